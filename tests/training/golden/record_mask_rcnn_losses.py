"""Record Detectron2's losses of a narrow Mask R-CNN on two crops of a real photo.

    python record_mask_rcnn_losses.py

Needs detectron2 (facebookresearch/detectron2 at 02b5c4e runs from a checkout, on PYTHONPATH) with
fvcore, iopath, omegaconf, pycocotools, yacs, cloudpickle, and scikit-image. So many anchors and
regions may be learned from that all of them are, and nothing is left to chance. The JSON holds the
losses, the norms of some gradients, and the share of a polygon's cells in each row of its mask.
"""

from __future__ import annotations

import json
import runpy
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import skimage.data
import torch
from detectron2.config import get_cfg
from detectron2.modeling import build_model
from detectron2.structures import Boxes, Instances, PolygonMasks
from detectron2.utils.events import EventStorage

HERE = Path(__file__).parent
SEEDED = runpy.run_path(str(HERE.parent.parent / "detectors" / "golden" / "mask_rcnn_seeded.py"))
FACES = [[(100.0, 60.0, 205.0, 186.0), (10.0, 150.0, 60.0, 230.0)], [(52.5, 20.25, 150.0, 150.0)]]
CROPS = [(0, 80), (40, 130)]
SIDE = 256
GRADIENTS = (
    "backbone.bottom_up.res3.0.conv1.weight",
    "backbone.fpn_lateral4.weight",
    "proposal_generator.rpn_head.anchor_deltas.weight",
    "roi_heads.box_head.fc1.weight",
    "roi_heads.box_predictor.bbox_pred.weight",
    "roi_heads.mask_head.deconv.weight",
)


def ellipse(box: tuple[float, ...]) -> Any:
    """Return an ellipse in a box as one polygon of 24 points, flat."""
    turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    x1, y1, x2, y2 = box
    x = (x1 + x2) / 2 + np.cos(turn) * (x2 - x1) / 2
    y = (y1 + y2) / 2 + np.sin(turn) * (y2 - y1) / 2
    return np.stack([x, y], axis=1).ravel()


def main() -> None:
    """Write the file."""
    config = get_cfg()
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "narrow.yaml"
        path.write_text(SEEDED["CONFIG"])
        config.merge_from_file(str(path))
    config.MODEL.DEVICE, config.MODEL.WEIGHTS = "cpu", ""
    config.MODEL.ROI_HEADS.NUM_CLASSES = 1
    config.MODEL.RPN.BATCH_SIZE_PER_IMAGE = 200_000
    config.MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE = 4_000
    config.MODEL.RPN.PRE_NMS_TOPK_TRAIN, config.MODEL.RPN.POST_NMS_TOPK_TRAIN = 300, 150
    model = build_model(config)
    drawn = SEEDED["weights"]({key: t.shape for key, t in model.state_dict().items()})
    model.load_state_dict({key: torch.from_numpy(value) for key, value in drawn.items()})
    photo = skimage.data.astronaut()  # type: ignore[no-untyped-call]
    batch = []
    for (top, left), faces in zip(CROPS, FACES, strict=True):
        crop = photo[top : top + SIDE, left : left + SIDE, ::-1].transpose(2, 0, 1).copy()
        truth = Instances((SIDE, SIDE))
        truth.gt_boxes = Boxes(torch.tensor(faces))
        truth.gt_classes = torch.zeros(len(faces), dtype=torch.int64)
        truth.gt_masks = PolygonMasks([[ellipse(face)] for face in faces])
        batch.append({"image": torch.from_numpy(crop), "instances": truth})
    with EventStorage():
        losses = model.train()(batch)
    sum(losses.values()).backward()
    parameters = dict(model.named_parameters())
    region = torch.tensor([[90.0, 70.0, 180.0, 200.0]])
    cells = batch[0]["instances"].gt_masks[[0]].crop_and_resize(region, 28)[0]
    stored = {
        "losses": {key: value.item() for key, value in losses.items()},
        "gradients": {key: parameters[key].grad.norm().item() for key in GRADIENTS},
        "mask_rows": cells.sum(dim=1).tolist(),
        "torch": torch.__version__,
    }
    (HERE / "mask_rcnn_losses.json").write_text(json.dumps(stored, indent=1) + "\n")


if __name__ == "__main__":
    main()
