from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from facekit import mean_shape


@pytest.mark.data
def test_the_shape_is_what_its_script_makes(data_root: Path) -> None:
    script = Path(__file__).parent.parent / "scripts" / "mean_shape.py"
    annotations = data_root / "landmarks68" / "labels_ibug_300W_train.xml"
    made = subprocess.run(
        [sys.executable, str(script), str(annotations)], capture_output=True, text=True, check=True
    )
    assert mean_shape.__file__ is not None
    assert made.stdout == Path(mean_shape.__file__).read_text(encoding="utf-8")
