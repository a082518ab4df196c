"""Importing facekit, and listing its backends, imports no framework."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("torch", "torchvision", "tensorflow", "cv2", "onnxruntime", "openvino", "pydantic", "PIL")


@pytest.mark.parametrize(
    "statement",
    ["import facekit", "import facekit; facekit.backends()", "import facekit; dir(facekit)"],
)
def test_imports_no_framework(statement: str) -> None:
    program = f"{statement}\nimport sys\nprint([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_every_public_name_resolves() -> None:
    import facekit

    missing = [name for name in facekit.__all__ if getattr(facekit, name, None) is None]
    assert missing == []
    assert set(facekit.__all__) <= set(dir(facekit))


def test_unknown_names_are_attribute_errors() -> None:
    import facekit

    with pytest.raises(AttributeError, match="has no attribute 'detct'"):
        _ = facekit.detct
