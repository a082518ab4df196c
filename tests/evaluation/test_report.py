"""Tables, JSON and plots of results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from facekit.errors import ConfigError, OutputError
from facekit.evaluation.report import Report
from facekit.evaluation.result import Curve, Result


def result(label: str, **changes: Any) -> Result:
    given: dict[str, Any] = {
        "label": label,
        "task": "detection",
        "setting": {"scale": "300 x 300 px", "threshold": "0.02"},
        "images": 197,
        "total": 3226,
        "faces": 2683,
        "values": {"AP50, 50 px": 0.61849, "AP50, 10 px": float("nan")},
        "curves": {"AP50, 50 px": Curve(np.linspace(0, 1, 5000), np.linspace(1, 0, 5000))},
        "groups": {"0--Parade": {"AP50, 50 px": 0.37}},
        "seconds_per_image": 0.0312,
        "notes": ("a subset",),
        "fingerprint": {"backend": label},
    }
    return Result(**(given | changes))


def test_markdown_has_the_scale_the_table_the_parts_and_the_notes() -> None:
    other = result("b|c", values={"COCO AP": 0.1}, groups={}, seconds_per_image=None)
    text = Report("wider_face:W", (result("a"), other)).to_markdown()
    assert "# Detection: wider_face:W: 197 of 3,226 images, 2,683 faces" in text
    assert "| a | 300 x 300 px | 0.02 | 0.618 | n/a |  | 31.2 |" in text
    assert "| b\\|c | 300 x 300 px | 0.02 |  |  | 0.100 |  |" in text
    assert "| 0--Parade | a | 0.370 |" in text
    assert text.count("- a subset") == 1


def test_per_cents_have_two_decimals_and_labels_a_matrix() -> None:
    one = result(
        "c",
        task="classification",
        values={"NME %": 5.678, "failures > 8 %": 0.0873},
        confusion=(("x", "y"), [[3, 1], [0, 2]]),
        parts={"recall x": 0.75},
    )
    text = Report("d", (one,)).to_markdown()
    assert "| 5.68 | 0.087 |" in text
    assert "|  | x | y |\n| --- | --- | --- |\n| x | 3 | 1 |\n| y | 0 | 2 |" in text
    assert "| c | 0.750 |" in text


def test_json_is_strict_and_thinned() -> None:
    text = json.dumps(Report("d", (result("a"),)).to_dict(), allow_nan=False)
    (read,) = json.loads(text)["results"]
    assert read["values"]["AP50, 10 px"] is None
    curve = read["curves"]["AP50, 50 px"]
    assert len(curve["x"]) == len(curve["y"]) <= 500
    assert (curve["x"][0], curve["x"][-1]) == (0, 1)


def test_what_is_no_report(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="of one task"):
        Report("d", (result("a"), result("b", task="landmarks")))
    with pytest.raises(ConfigError, match="at least one backend"):
        Report("d", ())
    with pytest.raises(OutputError, match="no such folder"):
        Report("d", (result("a"),)).save(tmp_path / "none")


def test_files_without_plots(tmp_path: Path) -> None:
    files = Report("d", (result("a"),)).save(tmp_path, plots=False)
    assert [file.name for file in files] == ["report.json", "report.md"]


def drawn(report: Report, folder: Path) -> Any:
    files = report.save(folder)
    assert files[-1].name == "curves.png"
    with Image.open(files[-1]) as image:
        return np.asarray(image.convert("RGB"))


def test_plots_have_a_panel_each_and_a_line_for_each_backend(tmp_path: Path, require: Any) -> None:
    require("matplotlib")
    one = drawn(Report("d", (result("a"),)), tmp_path)
    blue = np.abs(one.astype(int) - [0x00, 0x72, 0xB2]).sum(axis=2) < 30
    assert blue.sum() > 500
    curves = {name: result("a").curves["AP50, 50 px"] for name in ("AP50, 50 px", "AP50, 10 px")}
    two = drawn(Report("d", (result("a", curves=curves), result("b"))), tmp_path)
    assert two.shape[1] > 1.5 * one.shape[1]
    orange = np.abs(two.astype(int) - [0xD5, 0x5E, 0x00]).sum(axis=2) < 30
    assert orange.sum() > 500
    errors = {"CED, interocular": Curve(np.linspace(0, 0.16, 100), np.linspace(0, 1, 100))}
    assert drawn(Report("d", (result("l", curves=errors),)), tmp_path).size


def test_a_curve_without_points_is_left_out(tmp_path: Path, require: Any) -> None:
    require("matplotlib")
    nothing = Curve(np.zeros(0), np.zeros(0))
    both = (result("a"), result("b", curves={"AP50, 50 px": nothing}))
    assert drawn(Report("d", both), tmp_path).size
