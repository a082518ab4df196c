"""``facekit detectron2 release``; what it writes is tests/training/test_mask_rcnn.py's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from typer.testing import Result

Facekit = Callable[..., Result]


def test_other_weights_are_one_line(
    facekit: Facekit, require: Callable[[str], Any], tmp_path: Path
) -> None:
    for package in ("torch", "torchvision", "safetensors"):
        require(package)
    from safetensors.numpy import save_file

    save_file({"a": np.zeros(3, np.float32)}, tmp_path / "other.safetensors")
    done = facekit("detectron2", "release", tmp_path / "other.safetensors", tmp_path / "o.pth")
    assert done.exit_code == 2
    assert "does not hold its configuration" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "o.pth").exists()
