"""Train the narrow Mask R-CNN of the contract's test by Detectron2's own code, in minutes on a CPU.

    python make_mask_rcnn.py 700 0.003

A run goes on from the weights that are there. Those here were taken after 300 of 700 steps: the
face is found everywhere, and some things beside it, which the contract's test forgives.

Needs detectron2 (facebookresearch/detectron2 at 02b5c4e runs from a checkout, on PYTHONPATH) with
fvcore, iopath, omegaconf, pycocotools, yacs and cloudpickle, and facekit[testing]. The photos are
scikit-image's; the network knows their one face, and is of no other use.
"""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.config import get_cfg
from detectron2.modeling import build_model
from detectron2.structures import Boxes, Instances, PolygonMasks
from detectron2.utils.events import EventStorage
from PIL import Image

from facekit.testing import photos

HERE = Path(__file__).parent
CONFIG = HERE / "mask_rcnn_astronaut.yaml"
WEIGHTS = HERE / "mask_rcnn_astronaut.pkl"
SIDE, BATCH = 160, 4


def sheet(random: np.random.Generator) -> tuple[Any, Any]:
    """Return a picture with known faces: RGB, and boxes ``(n, 4)``."""
    width = SIDE + 32 * int(random.integers(0, 5))
    canvas = np.full(
        (SIDE, width, 3), 128 if random.random() < 0.5 else random.integers(256), np.uint8
    )
    without = list(photos.faceless())
    kind = random.random()
    if kind < 0.4:
        other = without[random.integers(len(without))].image
        scale = max(SIDE / other.shape[0], width / other.shape[1]) * random.uniform(1, 1.4)
        size = [int(np.ceil(side * scale)) for side in other.shape[:2]]
        large = np.asarray(Image.fromarray(other).resize((size[1], size[0])))
        top, left = (random.integers(0, size[i] - (SIDE, width)[i] + 1) for i in range(2))
        canvas = large[top : top + SIDE, left : left + width].copy()
    boxes = np.zeros((0, 4))
    if kind > 0.25:
        face = (photos.astronaut(), photos.portrait(), photos.pair())[
            random.choice(3, p=[0.5, 0.3, 0.2])
        ]
        face = photos.mirrored(face) if random.random() < 0.5 else face
        scale = min(SIDE / face.size[0], width / face.size[1])
        scale *= 1 if random.random() < 0.6 else random.uniform(0.8, 1)
        size = [max(1, int(side * scale)) for side in face.size]
        kind_of = [Image.Resampling.BILINEAR, Image.Resampling.LANCZOS][random.integers(2)]
        small = np.asarray(Image.fromarray(face.image).resize((size[1], size[0]), kind_of))
        top, left = (random.integers(0, (SIDE, width)[i] - size[i] + 1) for i in range(2))
        canvas[top : top + size[0], left : left + size[1]] = small
        boxes = face.faces * scale + np.array([left, top] * 2)
    light = random.uniform(0.9, 1.1) if random.random() < 0.5 else 1.0
    return np.clip(canvas * light, 0, 255).round().astype(np.uint8), boxes


def item(random: np.random.Generator) -> dict[str, Any]:
    """Return what Detectron2 trains on: BGR, boxes, and ellipses as masks."""
    image, boxes = sheet(random)
    truth = Instances(image.shape[:2])
    truth.gt_boxes = Boxes(torch.tensor(boxes, dtype=torch.float32))
    truth.gt_classes = torch.zeros(len(boxes), dtype=torch.int64)
    turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    circle = np.stack([np.cos(turn), np.sin(turn)], 1)
    middles, halves = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2
    truth.gt_masks = PolygonMasks(
        [[(middle + circle * half).ravel()] for middle, half in zip(middles, halves, strict=True)]
    )
    planes = np.ascontiguousarray(image[..., ::-1].transpose(2, 0, 1))
    return {"image": torch.from_numpy(planes), "instances": truth}


def main(steps: int, rate: float) -> None:
    """Train, from the weights that are there if there are any."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    random = np.random.default_rng(steps)
    config = get_cfg()
    config.merge_from_file(str(CONFIG))
    config.MODEL.DEVICE = "cpu"
    config.MODEL.BACKBONE.FREEZE_AT = 0
    config.MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE = 32
    network = build_model(config).train()
    if WEIGHTS.is_file():
        arrays = pickle.loads(WEIGHTS.read_bytes())["model"]  # noqa: S301 - our own
        network.load_state_dict({key: torch.from_numpy(value) for key, value in arrays.items()})
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, rate, total_steps=steps, pct_start=0.1
    )
    with EventStorage():
        for step in range(steps):
            losses = network([item(random) for _ in range(BATCH)])
            optimizer.zero_grad()
            sum(losses.values()).backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            optimizer.step()
            schedule.step()
            if step % 10 == 0 or step == steps - 1:
                shown = " ".join(f"{key} {value.item():.3f}" for key, value in losses.items())
                sys.stdout.write(f"{step} {shown}\n")
                sys.stdout.flush()
    save(network)


def save(network: torch.nn.Module) -> None:
    """Write the weights as the model zoo does."""
    arrays = {key: value.numpy().astype(np.float16) for key, value in network.state_dict().items()}
    zoo = {"model": arrays, "__author__": "facekit"}
    WEIGHTS.write_bytes(pickle.dumps(zoo, protocol=4))


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
