"""Train the S3FD beside this file: a 16th of its width, on scikit-image's photos alone.

    python make_s3fd.py [STEPS]

It knows one face, NASA's public-domain portrait, and a few photos of things: enough to be put under
the contract of detectors, which published weights cannot be (they may not be shipped). Needs torch,
onnx, onnxscript and scikit-image; some minutes.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from facekit.boxes import iou
from facekit.detectors._s3fd_maps import STRIDES, map_shapes
from facekit.detectors.s3fd import SPEC
from facekit.export.onnx import write
from facekit.networks.s3fd import S3FD, TRUNK_LAYERS
from facekit.testing import photos
from facekit.testing.photos import Photo

SIDE, BATCH = 224, 4
MEAN = np.array([104, 117, 123], dtype=np.float32)

Array = npt.NDArray[Any]


def anchors() -> Array:
    """Return every cell's square of four strides, as centre and size."""
    found = []
    for stride, (rows, columns) in zip(STRIDES, map_shapes(SIDE, SIDE, "s3fd"), strict=True):
        y, x = np.mgrid[:rows, :columns].reshape(2, -1) * stride + stride / 2
        found.append(np.stack([x, y, *[np.full(len(x), 4.0 * stride)] * 2], axis=1))
    return np.concatenate(found).astype(np.float32)


def sample(photo: Photo, rng: np.random.Generator) -> tuple[Array, Array]:
    """Return a random part of a photo at a random size, and its faces."""
    factor = 2 ** rng.uniform(-1, 0.9)
    x, y = rng.uniform(-0.3, 1, 2) * np.maximum(np.array(photo.size[::-1]) * factor - SIDE, 0)
    if len(photo.faces) and rng.random() < 0.7:
        face = photo.faces[rng.integers(len(photo.faces))] * factor
        x, y = (face[:2] + face[2:]) / 2 - rng.uniform(0.15, 0.85, 2) * SIDE
    matrix = np.array([[factor, 0, -x], [0, factor, -y]])
    grey = [int(rng.integers(256)) if rng.random() < 0.5 else 128] * 3
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    small = cv2.resize(photo.image, None, fx=factor, fy=factor, interpolation=how)
    matrix[0, 0] = matrix[1, 1] = 1
    image = cv2.warpAffine(small, matrix, (SIDE, SIDE), borderValue=grey).astype(np.float32)
    image = image * rng.uniform(0.85, 1.15) + rng.uniform(-15, 15, 3).astype(np.float32)
    faces = photo.faces * factor - np.array([x, y, x, y])
    centre = (faces[:, :2] + faces[:, 2:]) / 2
    faces = faces[((centre > 0) & (centre < SIDE)).all(axis=1)]
    return (image.clip(0, 255)[..., ::-1] - MEAN).transpose(2, 0, 1), faces


def targets(faces: Array, cells: Array) -> tuple[Array, Array]:
    """Return each cell's class (-1 for those that do not count) and deltas."""
    kinds, deltas = np.zeros(len(cells), dtype=np.int64), np.zeros((len(cells), 4))
    if not len(faces):
        return kinds, deltas
    corners = np.concatenate([cells[:, :2] - cells[:, 2:] / 2, cells[:, :2] + cells[:, 2:] / 2], 1)
    overlaps = iou(corners, faces)
    best = overlaps.argmax(axis=1)
    kinds[overlaps.max(axis=1) > 0.25] = -1
    kinds[overlaps.max(axis=1) > 0.4] = 1
    nearest = overlaps.argmax(axis=0)
    kinds[nearest], best[nearest] = 1, np.arange(len(faces))
    face = faces[best]
    extent = face[:, 2:] - face[:, :2]
    deltas[:, :2] = ((face[:, :2] + face[:, 2:]) / 2 - cells[:, :2]) / cells[:, 2:] / 0.1
    deltas[:, 2:] = np.log(extent / cells[:, 2:]) / 0.2
    return kinds, deltas


def loss_of(logits: Any, deltas: Any, kinds: Any, wanted: Any) -> Any:
    """Return the multibox loss with three hard negatives a face."""
    faces = kinds == 1
    each = functional.cross_entropy(logits.transpose(1, 2), kinds.clamp(min=0), reduction="none")
    hard = each.detach().masked_fill(kinds != 0, -1).flatten()
    chosen = hard.topk(int(min(3 * faces.sum() + 30, (kinds == 0).sum()))).indices
    classes = each[faces].sum() + each.flatten()[chosen].sum()
    places = functional.smooth_l1_loss(deltas[faces], wanted[faces], reduction="sum")
    return (classes + 0.5 * places) / (faces.sum() + 10)


def spread(network: S3FD, batch: Any) -> None:
    """Bring each layer's answers on a batch to mean 0 and deviation 1, first layers first.

    Nothing normalises this deep network; as narrow as it is, He's weights do not train.
    """

    def adjust(layer: Any, _: Any, answer: Any) -> Any:
        centre = answer.mean(dim=(0, 2, 3))
        deviation = (answer - centre[:, None, None]).std(dim=(0, 2, 3)) + 1e-6
        layer.weight.data /= deviation[:, None, None, None]
        layer.bias.data = (layer.bias - centre) / deviation
        return (answer - centre[:, None, None]) / deviation[:, None, None]

    hooks = [network.get_submodule(name).register_forward_hook(adjust) for name in TRUNK_LAYERS]
    with torch.no_grad():
        network.features(batch)
    for hook in hooks:
        hook.remove()


def main() -> None:
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 700
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    faces = [photos.astronaut(), photos.mirrored(photos.astronaut()), photos.pair()]
    shown = [*faces, *faces, *photos.faceless(), photos.blank(SIDE, SIDE)]
    network, cells = S3FD(1 / 16), anchors()
    network.reset_parameters()
    first = [sample(shown[rng.integers(len(shown))], rng)[0] for _ in range(16)]
    spread(network, torch.from_numpy(np.stack(first).astype(np.float32)))
    network.to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, steps, pct_start=0.1)
    for _ in range(steps):
        items = [sample(shown[rng.integers(len(shown))], rng) for _ in range(BATCH)]
        batch = torch.from_numpy(np.stack([image for image, _ in items]).astype(np.float32))
        kinds, wanted = (
            np.stack(part) for part in zip(*[targets(one, cells) for _, one in items], strict=True)
        )
        logits, deltas = network(batch)
        loss = loss_of(
            logits, deltas, torch.from_numpy(kinds), torch.from_numpy(wanted.astype(np.float32))
        )
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
        schedule.step()
    write(network.eval(), SPEC, Path(__file__).parent / "s3fd_astronaut.onnx", network.metadata)


if __name__ == "__main__":
    main()
