"""Conversions to other libraries' types; the libraries are the real ones."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from types import ModuleType

import numpy as np

from facekit.masks import RleMask
from facekit.types import Detections

Require = Callable[[str], ModuleType]


def test_supervision_has_the_same_faces(require: Require) -> None:
    supervision = require("supervision")
    mask = np.zeros((100, 200), bool)
    mask[5:9, 6:10] = True
    found = Detections(
        boxes=np.array([[6, 5, 10, 9]], np.float32),
        scores=np.array([0.75], np.float32),
        image_size=(100, 200),
        masks=(RleMask.from_mask(mask),),
        class_ids=np.array([2]),
    )
    converted = found.to_supervision()
    assert isinstance(converted, supervision.Detections)
    assert converted.xyxy.tolist() == [[6, 5, 10, 9]]
    assert converted.confidence.tolist() == [0.75]
    assert converted.class_id.tolist() == [2]
    assert np.array_equal(converted.mask[0], mask)
    # Theirs is a copy, which they may write to.
    converted.xyxy[0] = 0


def test_supervision_of_no_face(require: Require) -> None:
    require("supervision")
    converted = Detections.empty((100, 200)).to_supervision()
    assert len(converted) == 0
    assert converted.xyxy.shape == (0, 4)
    assert converted.mask is None


def test_without_supervision_the_install_command_is_told() -> None:
    program = (
        "import sys\n"
        "sys.modules['supervision'] = None\n"
        "from facekit import Detections\n"
        "from facekit.errors import MissingDependencyError\n"
        "try:\n"
        "    Detections.empty((1, 1)).to_supervision()\n"
        "except MissingDependencyError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert 'run: pip install "facekit[supervision]"' in done.stdout
