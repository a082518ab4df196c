"""``facekit compare``: the table, the advice, the files, and what is wrong in one line."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from typer.testing import Result

from facekit.images import read, write

Facekit = Callable[..., Result]


@pytest.fixture
def dataset(tmp_path: Path, astronaut: npt.NDArray[np.uint8]) -> tuple[str, str]:
    photos = tmp_path / "WIDER_val" / "images"
    photos.mkdir(parents=True)
    write(photos / "a.jpg", astronaut)
    text = tmp_path / "wider_face_val_bbx_gt.txt"
    text.write_text("a.jpg\n1\n176 60 96 112 0 0 0 0 0 0\n")
    return "--dataset", f"wider_face:{text}"


def test_a_swap(facekit: Facekit, dataset: tuple[str, str], tmp_path: Path) -> None:
    small = tmp_path / "small.yaml"
    small.write_text("detector: {backend: tiny_ssd, input_size: 32}\n")
    out = tmp_path / "out"
    result = facekit("compare", "tiny_ssd", small, *dataset, "--out", out)
    assert result.exit_code == 0, result.stderr
    assert "as many false positives as tiny_ssd" in result.stdout
    assert "tiny_ssd-small at score_threshold" in result.stdout
    assert "greatest F1" in result.stdout
    document = json.loads((out / "compare.json").read_text())
    assert [one["label"] for one in document["detectors"]] == ["tiny_ssd", "tiny_ssd-small"]
    with (out / "differences.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert (row["name"], row["faces"], row["only_a"]) == ("a.jpg", "1", "1")
    assert read(out / "worst.jpg").shape[1] == 420
    again = facekit("compare", "tiny_ssd", small, *dataset, "--out", out, "--json")
    assert json.loads(again.stdout) == document


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("tiny_ssd", "tiny_sdd"), "unknown detector 'tiny_sdd'"),
        (("tiny_ssd", "tiny_ssd", "--missing", "drop"), "'drop'"),
        (("tiny_ssd", "tiny_ssd", "--min-height", "500"), "no face of at least 500 px"),
    ],
)
def test_what_is_wrong_is_one_line(
    facekit: Facekit, dataset: tuple[str, str], words: tuple[str, ...], part: str
) -> None:
    result = facekit("compare", *words, *dataset)
    assert (result.exit_code, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert part in line
