"""WIDER FACE's official .mat, and how it differs from the text."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facekit import datasets
from facekit.datasets import wider_face
from facekit.datasets.wider_face_mat import compare_text_and_mat
from facekit.errors import DatasetError

Require = Callable[[str], Any]


def cells(*values: object) -> Any:
    """A column of cells, as MATLAB writes one."""
    column = np.empty((len(values), 1), dtype=object)
    for row, value in enumerate(values):
        column[row, 0] = value
    return column


def tree(**changes: object) -> dict[str, object]:
    """One event with two images, of two faces and one."""
    boxes = (np.array([[1.5, -2.0, 3.0, 4.0], [5, 6, 0, 7]]), np.array([[8, 9, 10, 11]]))
    flags = (np.array([[0], [1]]), np.array([[0]]))
    known: dict[str, object] = {
        "event_list": cells("0--Parade"),
        "file_list": cells(cells("0_Parade_a", "0_Parade_b")),
        "face_bbx_list": cells(cells(*boxes)),
        **{f"{name}_label_list": cells(cells(*flags)) for name in wider_face.ATTRIBUTES},
    }
    return {name: value for name, value in {**known, **changes}.items() if value is not None}


@pytest.fixture
def save(require: Require, tmp_path: Path) -> Callable[[dict[str, object]], Path]:
    savemat = require("scipy.io").savemat

    def write(values: dict[str, object]) -> Path:
        path = tmp_path / "wider_face_val.mat"
        savemat(path, values)
        return path

    return write


Save = Callable[[dict[str, object]], Path]


def test_a_tree_of_cells(save: Save) -> None:
    first, second = wider_face.read(save(tree()))
    assert (first.name, second.name) == ("0--Parade/0_Parade_a.jpg", "0--Parade/0_Parade_b.jpg")
    assert [face.box for face in first.faces] == [(1.5, -2, 4.5, 2), (5, 6, 5, 13)]
    assert [face.ignore for face in first.faces] == [False, True]
    assert first.faces[1].attributes == dict.fromkeys(wider_face.ATTRIBUTES, 1)
    assert [repair.message for repair in first.repairs] == [
        "0--Parade/0_Parade_a.jpg: box 2 has no area; kept as ignored"
    ]
    assert second.repairs == ()


def test_attribute_lists_may_be_missing(save: Save) -> None:
    first, _ = wider_face.read(save(tree(pose_label_list=None)))
    assert set(first.faces[0].attributes) == set(wider_face.ATTRIBUTES) - {"pose"}


MALFORMED = {
    "no events": (tree(event_list=None), "event_list missing"),
    "no boxes": (tree(face_bbx_list=None), "face_bbx_list missing"),
    "a number for the events": (tree(event_list=3.0), "not WIDER FACE's tree of cells"),
    "more events than files": (tree(event_list=cells("a", "b")), "not WIDER FACE's tree"),
    "fewer boxes than files": (tree(face_bbx_list=cells(cells(np.zeros((1, 4))))), "2 files, but"),
    "three columns": (
        tree(face_bbx_list=cells(cells(np.zeros((2, 3)), np.zeros((1, 4))))),
        "boxes must be n x 4 numbers, got (2, 3)",
    ),
    "words for boxes": (tree(face_bbx_list=cells(cells("abcd", "abcd"))), "must be n x 4 numbers"),
    "nan": (
        tree(face_bbx_list=cells(cells(np.full((2, 4), np.nan), np.zeros((1, 4))))),
        "0_Parade_a.jpg: a box is not of finite numbers",
    ),
    "a flag too few": (
        tree(blur_label_list=cells(cells(np.zeros((1, 1)), np.zeros((1, 1))))),
        "2 boxes, but 1 values of blur",
    ),
    "a flag out of range": (
        tree(occlusion_label_list=cells(cells(np.full((2, 1), 3), np.zeros((1, 1))))),
        "occlusion must be 0 to 2",
    ),
    "a file above": (tree(file_list=cells(cells("../../a", "b"))), "would leave"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed(save: Save, name: str) -> None:
    values, reason = MALFORMED[name]
    path = save(values)
    with pytest.raises(DatasetError) as caught:
        list(wider_face.read(path))
    assert (caught.value.file, caught.value.line) == (str(path), None)
    assert reason in caught.value.reason


def test_damaged_files(save: Save) -> None:
    path = save(tree())
    with pytest.raises(DatasetError, match="no such file"):
        list(wider_face.read(path.with_name("other.mat")))
    for damaged in (b"", b"not a mat", path.read_bytes()[:300]):
        path.write_bytes(damaged)
        with pytest.raises(DatasetError, match=r"scipy cannot read it|missing"):
            list(wider_face.read(path))


@pytest.mark.data
def test_the_text_and_the_mat_of_val(require: Require, data_root: Path) -> None:
    require("scipy")
    wider = data_root / "wider"
    found = compare_text_and_mat(
        wider / "wider_face_split" / "wider_face_val_bbx_gt.txt",
        wider / "ground_truth" / "wider_face_val.mat",
    )
    assert found.agree
    assert (found.images, found.faces) == (3_226, 39_708)
    assert (found.negative, found.negative_text) == (292, 0)
    assert (found.empty, found.empty_text) == (9, 11)
    assert round(found.fractions / found.faces, 2) == 0.90
    assert str(found).splitlines()[4:7] == [
        ".mat: 35745 boxes with fractions (90 %)",
        ".mat: 292 with a negative x or y, 9 without area",
        "text: 0 with a negative x or y, 11 without area",
    ]


@pytest.mark.data
def test_the_mat_finds_its_images(require: Require, data_root: Path) -> None:
    require("scipy")
    spec = f"wider_face:{data_root}/wider/ground_truth/wider_face_val.mat"
    record = next(one for one in datasets.read(spec) if "0_Parade_Parade_0_12." in one.name)
    assert record.path is not None
    assert record.path.is_file()


def test_every_difference_is_counted(save: Save, tmp_path: Path) -> None:
    text = tmp_path / "wider_face_val_bbx_gt.txt"
    text.write_text(
        "0--Parade/0_Parade_a.jpg\n2\n1 0 3 4 0 0 0 0 0 0\n5 6 0 7 1 1 1 1 1 0\n"
        "0--Parade/0_Parade_c.jpg\n0\n0 0 0 0 0 0 0 0 0 0\n"
    )
    found = compare_text_and_mat(text, save(tree()))
    assert not found.agree
    assert (found.images, found.faces, found.attributes) == (1, 2, 1)
    assert found.only_text == ("0--Parade/0_Parade_c.jpg",)
    assert found.only_mat == ("0--Parade/0_Parade_b.jpg",)
    assert (found.fractions, found.moved, found.largest) == (1, 1, 2.0)
    text.write_text("0--Parade/0_Parade_a.jpg\n1\n1 0 3 4 0 0 0 0 0 0\n")
    assert compare_text_and_mat(text, save(tree())).counts == ("0--Parade/0_Parade_a.jpg",)


def test_without_scipy_the_install_command_is_told(tmp_path: Path) -> None:
    program = (
        "import sys\nsys.modules['scipy'] = None\n"
        "from facekit.errors import MissingDependencyError\n"
        "from facekit.datasets import read\n"
        f"try:\n    list(read({f'wider_face:{tmp_path}/a.mat'!r}))\n"
        "except MissingDependencyError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert 'run: pip install "facekit[eval]"' in done.stdout
