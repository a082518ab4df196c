"""ResNet18 comes in two forms: it sees its input as it is, or halved."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest

Require = Callable[[str], ModuleType]


def test_the_metadata_choose_the_form(require: Require) -> None:
    torch = require("torch")
    from facekit.networks.resnet18 import ResNet18Landmarks

    torch.manual_seed(0)
    plain = ResNet18Landmarks.from_metadata({}).eval()
    half = ResNet18Landmarks.from_metadata({"facekit.shrink": "2"}).eval()
    half.load_state_dict(plain.state_dict())
    picture = torch.randn(1, 1, 64, 64)
    small = torch.nn.functional.avg_pool2d(picture, 2)
    with torch.no_grad():
        torch.testing.assert_close(half(picture), plain(small))
        assert (half(picture) - plain(picture)).abs().max() > 1e-3


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5", ""])
def test_a_form_that_there_is_not(require: Require, text: str) -> None:
    require("torch")
    from facekit.networks.resnet18 import ResNet18Landmarks

    with pytest.raises(ValueError, match="no whole number"):
        ResNet18Landmarks.from_metadata({"facekit.shrink": text})
