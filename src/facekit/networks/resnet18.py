"""ResNet18 that regresses the 68 iBUG facial points from one grey crop.

The module tree repeats torchvision's ``resnet18`` name by name under a ``model.`` prefix
(``model.conv1``, ``model.layer1.0.bn2``, ``model.layer2.0.downsample.0``, ``model.fc``), so a
checkpoint of the widely copied landmark tutorial (torchvision's ResNet18 with a one-channel
``conv1`` and a 136-wide ``fc``) loads with ``strict=True``. torchvision itself is not needed.

Source of the architecture: He et al., "Deep Residual Learning for Image Recognition" (2015),
the 18-layer column of table 1, with the basic block of figure 5 (left).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

INPUT_SIZE = 224
"""Side of the square input crop, in pixels."""

POINT_COUNT = 68
"""Points of the iBUG 300-W scheme."""

SHRINK_KEY = "facekit.shrink"
"""The entry of a file's metadata that says by how much the network shrinks its input."""


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and the shortcut around them.

    Shapes: (N, in_channels, H, W) to (N, out_channels, H / stride, W / stride), rounded up.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        """Build the block; the shortcut gets a 1x1 convolution where the shape changes."""
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.downsample: nn.Module | None = None
        if stride != 1 or in_channels != out_channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False),
                nn.BatchNorm2d(out_channels),
            )

    def forward(self, features: Tensor) -> Tensor:
        """Return ``relu(residual + shortcut)``."""
        shortcut = features if self.downsample is None else self.downsample(features)
        residual = self.relu(self.bn1(self.conv1(features)))
        residual = self.bn2(self.conv2(residual))
        output: Tensor = self.relu(residual + shortcut)
        return output


class ResNet18Trunk(nn.Module):
    """torchvision's ``resnet18`` with one input channel and a free output width.

    Shapes: (N, 1, H, W) to (N, outputs). Fully convolutional up to the average pool, so any side
    of at least 32 px runs; the weights are only accurate at the size they were last trained at.
    """

    def __init__(self, outputs: int) -> None:
        """Build the trunk with PyTorch's default initialisation."""
        super().__init__()
        self.conv1 = nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = _stage(64, 64, stride=1)
        self.layer2 = _stage(64, 128, stride=2)
        self.layer3 = _stage(128, 256, stride=2)
        self.layer4 = _stage(256, 512, stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(512, outputs)

    def forward(self, image: Tensor) -> Tensor:
        """Return the fully connected layer's output, (N, outputs)."""
        features = self.maxpool(self.relu(self.bn1(self.conv1(image))))
        features = self.layer4(self.layer3(self.layer2(self.layer1(features))))
        output: Tensor = self.fc(self.avgpool(features).flatten(1))
        return output


class ResNet18Landmarks(nn.Module):
    """68-point landmark regressor: a ResNet18 under the tutorial's ``model.`` prefix.

    Input: float32 (N, 1, 224, 224), grey, scaled from 0..255 to -1..1 by ``(x / 255 - 0.5) / 0.5``.
    Output: float32 (N, 136), ``x0, y0, x1, y1, ...``, each a fraction of the crop's side minus 0.5:
    (0, 0) is the crop's centre, (-0.5, -0.5) the outer corner of its top left pixel.
    """

    def __init__(self, point_count: int = POINT_COUNT, shrink: int = 1) -> None:
        """Build the network with He initialisation, as torchvision does.

        Args:
            point_count: Landmarks to regress; the output is twice as wide.
            shrink: By how much the input is averaged before the trunk sees it; 2 makes training
                and inference four times as fast.
        """
        super().__init__()
        self.shrink = shrink
        self.model = ResNet18Trunk(2 * point_count)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> ResNet18Landmarks:
        """Build the network that weights are of.

        Args:
            metadata: The file's; ``facekit.shrink`` is 1 where it says nothing.

        Raises:
            ValueError: If that is no whole number from 1.
        """
        text = metadata.get(SHRINK_KEY, "1")
        if not text.isdecimal() or int(text) < 1:
            message = f"metadata {SHRINK_KEY} is no whole number from 1: {text!r}"
            raise ValueError(message)
        return cls(shrink=int(text))

    def forward(self, image: Tensor) -> Tensor:
        """Return the points, (N, 2 * point_count), as a fraction of the crop minus 0.5."""
        if self.shrink > 1:
            image = functional.avg_pool2d(image, self.shrink)
        points: Tensor = self.model(image)
        return points


def _stage(in_channels: int, out_channels: int, *, stride: int) -> nn.Sequential:
    """Return two blocks, the first of which changes channels and resolution."""
    return nn.Sequential(
        BasicBlock(in_channels, out_channels, stride),
        BasicBlock(out_channels, out_channels, 1),
    )
