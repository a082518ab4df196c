"""``facekit mmdet migrate OLD.py NEW.py``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from typer.testing import Result

Facekit = Callable[..., Result]


def test_migrate(facekit: Facekit, old_mmdet_config: Path, tmp_path: Path) -> None:
    done = facekit("mmdet", "migrate", old_mmdet_config, tmp_path / "new.py")
    assert done.exit_code == 0
    assert "ClusteredSSDHead" in (tmp_path / "new.py").read_text()
    assert "left out, because only training reads it: cudnn_benchmark, train_cfg" in done.stdout


def test_other_files_are_one_line(facekit: Facekit, tmp_path: Path) -> None:
    (tmp_path / "old.py").write_text("import os\n")
    done = facekit("mmdet", "migrate", tmp_path / "old.py", tmp_path / "new.py")
    assert done.exit_code == 2
    assert "old.py:1: cannot be read without running it (a Python Import)" in done.stderr
    assert not (tmp_path / "new.py").exists()
