"""Record what Detectron2 itself finds, with masks and with keypoints, in crops of a real photo.

    python record_detectron2.py

Needs detectron2 (facebookresearch/detectron2 at 02b5c4e; its Python code runs from a checkout on
PYTHONPATH, nothing is compiled) and facekit[detectron2,testing]. `detectron2.npz` holds the fields
of ``DefaultPredictor``'s instances: those of the narrow Mask R-CNN of the contract's test, and of a
keypoint R-CNN with `mask_rcnn_seeded`'s weights.
"""

from __future__ import annotations

import runpy
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import skimage.data
import torch
import torchvision
from detectron2.config import get_cfg
from detectron2.engine import DefaultPredictor
from detectron2.modeling import build_model

HERE = Path(__file__).parent
NETWORKS = HERE.parents[1] / "data" / "networks"
SEEDED = runpy.run_path(str(HERE / "mask_rcnn_seeded.py"))


def main() -> None:
    """Write the file."""
    photo = skimage.data.astronaut()[..., ::-1]  # type: ignore[no-untyped-call]
    masks, points = get_cfg(), get_cfg()
    masks.merge_from_file(str(NETWORKS / "mask_rcnn_astronaut.yaml"))
    masks.MODEL.WEIGHTS = str(NETWORKS / "mask_rcnn_astronaut.pkl")
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "narrow.yaml"
        path.write_text(SEEDED["CONFIG"])
        points.merge_from_file(str(path))
        points.MODEL.MASK_ON, points.MODEL.KEYPOINT_ON = False, True
        points.MODEL.ROI_HEADS.NUM_CLASSES = 2
        points.MODEL.ROI_KEYPOINT_HEAD.CONV_DIMS = [8]
        points.MODEL.ROI_KEYPOINT_HEAD.NUM_KEYPOINTS = 5
        points.TEST.DETECTIONS_PER_IMAGE = 8
        for config in (masks, points):
            config.MODEL.DEVICE = "cpu"
        drawn = SEEDED["weights"]({k: t.shape for k, t in build_model(points).state_dict().items()})
        path = Path(name) / "seeded.pth"
        torch.save({key: torch.from_numpy(value) for key, value in drawn.items()}, path)
        points.MODEL.WEIGHTS = str(path)
        crops = {"masks": (masks, photo[:256, 100:356]), "points": (points, photo[:200, 120:320])}
        stored: dict[str, Any] = {"versions": [torch.__version__, torchvision.__version__]}
        for kind, (config, crop) in crops.items():
            found = DefaultPredictor(config)(crop)["instances"]
            for field, value in found.get_fields().items():
                if field == "pred_keypoint_heatmaps":
                    continue
                array = np.asarray(getattr(value, "tensor", value))
                packed = np.packbits(array, axis=2) if array.dtype == bool else array
                stored[f"{kind}_{field}"] = packed
    np.savez_compressed(HERE / "detectron2.npz", **stored)


if __name__ == "__main__":
    main()
