"""``facekit mmdet migrate OLD.py NEW.py``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from typer.testing import Result

from facekit.mmlab.migrate import migrate

Facekit = Callable[..., Result]


def test_migrate(facekit: Facekit, old_mmdet_config: Path, tmp_path: Path) -> None:
    done = facekit("mmdet", "migrate", old_mmdet_config, tmp_path / "new.py")
    assert done.exit_code == 0
    assert "ClusteredSSDHead" in (tmp_path / "new.py").read_text()
    assert "have no place in it: cudnn_benchmark, load_from" in done.stdout


def test_other_files_are_one_line(facekit: Facekit, tmp_path: Path) -> None:
    (tmp_path / "old.py").write_text("import os\n")
    done = facekit("mmdet", "migrate", tmp_path / "old.py", tmp_path / "new.py")
    assert done.exit_code == 2
    assert "old.py:1: cannot be read without running it (a Python Import)" in done.stderr
    assert not (tmp_path / "new.py").exists()


# OpenMMLab's own, about itself.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.filterwarnings("ignore:torch.meshgrid")
@pytest.mark.usefixtures("require_mmdet")
def test_detect_with_an_old_checkpoint(
    facekit: Facekit,
    old_mmdet_config: Path,
    old_mmdet_checkpoint: Path,
    astronaut_path: Path,
    tmp_path: Path,
) -> None:
    new, config = tmp_path / "new.py", tmp_path / "facekit.yaml"
    migrate(old_mmdet_config, new)
    options = {"backend": "mmdet", "config": str(new), "weights": str(old_mmdet_checkpoint)}
    config.write_text(yaml.safe_dump({"detector": options}))
    out = tmp_path / "faces.json"
    done = facekit("detect", astronaut_path, "--config", config, "--json", out)
    assert done.exit_code == 0, done.stderr
    assert done.stdout.splitlines() == [f"1 face in 1 image; wrote {out}"]
    (face,) = json.loads(out.read_text())["images"][0]["faces"]
    assert face["box"] == pytest.approx([179, 59, 270, 169], abs=25)
