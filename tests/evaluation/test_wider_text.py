"""WIDER FACE's layout of predictions: there and back without loss, and every malformed line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facekit.errors import DatasetError
from facekit.evaluation import wider_text
from facekit.types import Detections

SIZE = (480, 640)

# A float32's digits beside a thousandth of a pixel and beyond are nobody's.
coordinates = st.floats(-1e4, 1e4, width=32).map(lambda x: x if abs(x) > 1e-3 else 0.0)
scores = st.floats(-2, 2, width=32)
rows = st.lists(st.tuples(*[coordinates] * 4, scores), max_size=20)


def detections(table: list[tuple[float, ...]]) -> Detections:
    array = np.array(table, dtype=np.float32).reshape(-1, 5)
    low, high = np.minimum(array[:, :2], array[:, 2:4]), np.maximum(array[:, :2], array[:, 2:4])
    order = np.argsort(-array[:, 4], kind="stable")
    boxes = np.concatenate([low, high], axis=1)[order]
    return Detections(boxes=boxes, scores=array[order, 4], image_size=SIZE)


@given(rows)
def test_reading_gives_back_the_very_numbers(
    tmp_path_factory: pytest.TempPathFactory, table: list[tuple[float, ...]]
) -> None:
    folder = tmp_path_factory.mktemp("dump")
    given_ = detections(table)
    wider_text.write_image(folder, "event/a b.jpg", given_)
    assert wider_text.read_image(folder / "event" / "a b.txt", SIZE) == given_


def test_the_text_is_wider_faces_own() -> None:
    one = Detections(boxes=[[10, 20.5, 30, 60]], scores=[0.25], image_size=SIZE)  # type: ignore[arg-type]
    assert wider_text.text_of("0--Parade/a.jpg", one) == "a\n1\n10.0 20.5 20.0 39.5 0.25\n"


def write(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "a.txt"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["a", "a.jpg", "0--Parade/a.jpg", "0--Parade/a"])
def test_other_writers_name_the_image_in_other_ways(tmp_path: Path, name: str) -> None:
    read = wider_text.read_image(write(tmp_path, name, "1", "1 2 3 4 0.5", "", ""))
    np.testing.assert_array_equal(read.boxes, [[1, 2, 4, 6]])


def test_scores_come_out_descending_and_equal_ones_in_their_order(tmp_path: Path) -> None:
    path = write(tmp_path, "a", "3", "1 0 1 1 0.5", "2 0 1 1 0.9", "3 0 1 1 0.5")
    assert wider_text.read_image(path).boxes[:, 0].tolist() == [2, 1, 3]


def test_without_a_size_the_image_is_what_the_boxes_span(tmp_path: Path) -> None:
    assert wider_text.read_image(write(tmp_path, "a", "1", "1 2 3.5 4 0.5")).image_size == (6, 5)
    assert wider_text.read_image(write(tmp_path, "a", "0")).image_size == (1, 1)


@pytest.mark.parametrize(
    ("lines", "line", "word"),
    [
        (["a"], 1, "expected a name"),
        (["b", "0"], 1, "expected the name 'a', got 'b'"),
        (["a", "x"], 2, "number of faces"),
        (["a", "-1"], 2, "number of faces"),
        (["a", "9" * 20], 2, "number of faces"),
        (["a", "2", "1 2 3 4 0.5"], 3, "2 faces are announced, but 1 lines"),
        (["a", "0", "1 2 3 4 0.5"], 3, "0 faces are announced, but 1 lines"),
        (["a", "1", "1 2 3 4"], 3, "expected x y width height score"),
        (["a", "2", "1 2 3 4", "1 2 3 4 5 6"], 3, "expected x y width height score"),
        (["a", "2", "1 2 3 4 0.5", "1 2 3 4 high"], 4, "expected x y width height score"),
        (["a", "1", "nan 2 3 4 0.5"], 3, "not finite"),
        (["a", "1", "1 2 3 4 inf"], 3, "not finite"),
        (["a", "2", "1 2 3 4 0.5", "1 2 -3 4 0.5"], 4, "must not be negative"),
    ],
)
def test_what_is_malformed_is_named_with_its_line(
    tmp_path: Path, lines: list[str], line: int, word: str
) -> None:
    path = write(tmp_path, *lines)
    with pytest.raises(DatasetError, match=word) as caught:
        wider_text.read_image(path)
    assert (caught.value.file, caught.value.line) == (str(path), line)


def test_no_text_and_no_utf8(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no such file"):
        wider_text.read_image(tmp_path / "a.txt")
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DatasetError, match="not UTF-8"):
        wider_text.read_image(tmp_path / "a.txt")


def test_images_that_would_share_a_file_are_refused(tmp_path: Path) -> None:
    empty = Detections.empty(SIZE)
    with pytest.raises(DatasetError, match=r"'x/a.jpg' and 'x/a.png' would share"):
        wider_text.write({"x/a.jpg": empty, "x/a.png": empty}, tmp_path)
