"""Record what Detectron2 answers, with `mask_rcnn_seeded`'s weights, on a real photo.

    python record_mask_rcnn.py

Needs detectron2 (facebookresearch/detectron2 at 02b5c4e; its Python code runs from a checkout on
PYTHONPATH, nothing is compiled) with fvcore, iopath, omegaconf, pycocotools, yacs, cloudpickle,
torch, torchvision and scikit-image. `mask_rcnn_astronaut.npz` holds the proposals, boxes, scores,
classes and masks (packed bits) of ``DefaultPredictor``.
"""

from __future__ import annotations

import runpy
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import skimage.data
import torch
import torchvision
from detectron2.config import get_cfg
from detectron2.engine import DefaultPredictor
from detectron2.modeling import build_model

HERE = Path(__file__).parent
SEEDED = runpy.run_path(str(HERE / "mask_rcnn_seeded.py"))
PROPOSALS = 40


def main() -> None:
    """Write the file."""
    whole: npt.NDArray[np.uint8] = skimage.data.astronaut()  # type: ignore[no-untyped-call]
    photo = whole[:300, 60:460]
    config = get_cfg()
    config.MODEL.DEVICE = "cpu"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "narrow.yaml").write_text(SEEDED["CONFIG"])
        config.merge_from_file(str(folder / "narrow.yaml"))
        config.MODEL.WEIGHTS = ""
        shapes = {key: list(t.shape) for key, t in build_model(config).state_dict().items()}
        config.MODEL.WEIGHTS = str(SEEDED["write"](folder, shapes)["weights"])
        predictor = DefaultPredictor(config)
    kept: dict[str, Any] = {}
    propose = predictor.model.proposal_generator.forward

    def spy(*arguments: Any, **named: Any) -> Any:
        answer = propose(*arguments, **named)
        kept["proposals"] = answer[0][0].proposal_boxes.tensor.numpy()[:PROPOSALS]
        kept["logits"] = answer[0][0].objectness_logits.numpy()[:PROPOSALS]
        return answer

    predictor.model.proposal_generator.forward = spy
    found = predictor(photo[..., ::-1])["instances"]
    np.savez_compressed(
        HERE / "mask_rcnn_astronaut.npz",
        **kept,
        boxes=found.pred_boxes.tensor.numpy(),
        scores=found.scores.numpy(),
        classes=found.pred_classes.numpy(),
        masks=np.packbits(found.pred_masks.numpy(), axis=2),
        versions=np.array([torch.__version__, torchvision.__version__]),
    )


if __name__ == "__main__":
    main()
