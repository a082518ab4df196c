"""Conversions to other libraries' types; the libraries are the real ones."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from facekit.errors import MissingDependencyError
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


def test_without_supervision_the_install_command_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(MissingDependencyError, match=r'run: pip install "facekit\[supervision\]"'):
        Detections.empty((1, 1)).to_supervision()


def test_what_supervision_itself_lacks_is_not_blamed_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "supervision.py").write_text("import a_package_that_is_not_there")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "supervision", raising=False)
    with pytest.raises(ModuleNotFoundError, match="a_package_that_is_not_there"):
        Detections.empty((1, 1)).to_supervision()
    monkeypatch.delitem(sys.modules, "supervision", raising=False)
