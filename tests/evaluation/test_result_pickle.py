"""MMDetection's results: both layouts, real arrays and tensors, and pickles that are refused."""

from __future__ import annotations

import io
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facekit.errors import DatasetError
from facekit.evaluation import result_pickle
from facekit.pickled_arrays import Refused, load

NAMES = ["x/a.jpg", "x/b.jpg"]
ROWS = np.array([[1, 2, 4, 6, 0.5], [0, 0, 10, 20, 0.9]], np.float32)
NONE = np.zeros((0, 5), np.float32)
PROTOCOLS = range(2, pickle.HIGHEST_PROTOCOL + 1)


def dump(tmp_path: Path, value: object, protocol: int = 4) -> Path:
    path = tmp_path / "result.pkl"
    path.write_bytes(pickle.dumps(value, protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_layout_of_1x(tmp_path: Path, protocol: int) -> None:
    read = result_pickle.read(dump(tmp_path, [[ROWS], [NONE]], protocol), NAMES)
    assert list(read) == NAMES
    np.testing.assert_array_equal(read["x/a.jpg"].boxes, [[0, 0, 10, 20], [1, 2, 4, 6]])
    np.testing.assert_array_equal(read["x/a.jpg"].scores, np.array([0.9, 0.5], np.float32))
    assert len(read["x/b.jpg"]) == 0


def test_inclusive_boxes_end_a_pixel_later(tmp_path: Path) -> None:
    read = result_pickle.read(dump(tmp_path, [[ROWS], [NONE]]), NAMES, inclusive=True)
    np.testing.assert_array_equal(read["x/a.jpg"].boxes, [[0, 0, 11, 21], [1, 2, 5, 7]])


def test_masks_beside_the_boxes_are_passed_over(tmp_path: Path) -> None:
    entry = ([ROWS], [[{"size": [4, 4], "counts": b"04"}]])
    assert len(result_pickle.read(dump(tmp_path, [entry, entry]), NAMES)["x/b.jpg"]) == 2


def instances(arrays: Callable[[Any], Any], path: str, **more: object) -> dict[str, Any]:
    """An entry of 3.x, as ``DumpDetResults`` writes it."""
    return {
        "img_id": 3,
        "img_path": path,
        "ori_shape": (100, 200),
        "scale_factor": (1.0, 1.0),
        "pred_instances": {
            "bboxes": arrays(ROWS[:, :4]),
            "scores": arrays(ROWS[:, 4]),
            "labels": arrays(np.zeros(2, np.int64)),
        }
        | more,
    }


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_layout_of_3x_by_the_images_paths(tmp_path: Path, protocol: int) -> None:
    entries = [instances(np.asarray, f"data/WIDER_val/images/{name}") for name in NAMES[::-1]]
    read = result_pickle.read(dump(tmp_path, entries, protocol), NAMES)
    assert list(read) == NAMES
    assert read["x/a.jpg"].image_size == (100, 200)
    np.testing.assert_array_equal(read["x/a.jpg"].scores, np.array([0.9, 0.5], np.float32))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_tensors_of_torch_are_read_without_torch(
    tmp_path: Path, protocol: int, require: Any
) -> None:
    torch = require("torch")
    entries = [instances(torch.tensor, name) for name in NAMES]
    # Views, and types that a checkpoint of half precision has.
    wide = torch.tensor(np.concatenate([ROWS, ROWS], axis=1))
    entries[1]["pred_instances"] |= {
        "bboxes": wide[:, 5:9],
        "scores": torch.tensor(ROWS[:, 4]).half(),
    }
    read = result_pickle.read(dump(tmp_path, entries, protocol), NAMES)
    np.testing.assert_array_equal(read["x/a.jpg"].boxes, read["x/b.jpg"].boxes)
    np.testing.assert_allclose(read["x/b.jpg"].scores, [0.9, 0.5], atol=1e-3)


def test_a_tensor_that_reaches_beyond_its_numbers_is_refused(require: Any) -> None:
    torch = require("torch")
    data = pickle.dumps(torch.tensor([1.0, 2.0]), protocol=4)
    forged = data.replace(b"K\x02\x85\x94K\x01\x85", b"K\xff\x85\x94K\x01\x85")
    assert forged != data
    with pytest.raises(Refused, match="reaches beyond its numbers"):
        load(io.BytesIO(forged))


class _Evil:
    def __init__(self, target: Callable[..., Any], *arguments: object) -> None:
        self._call = (target, arguments)

    def __reduce__(self) -> Any:
        return self._call


@pytest.mark.parametrize(
    ("value", "word"),
    [
        (_Evil(os.system, "touch proof"), r"system"),
        (_Evil(eval, "1"), "eval"),
        (_Evil(getattr, "", "upper"), "getattr"),
        ([Path("x")], "Path"),
        (np.array([None]), "an array of 'O8'"),
        (np.array(["text"]), "an array of 'U4'"),
        (np.ma.masked_array([1.0]), "numpy.ma"),
    ],
)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_pickle_that_asks_for_anything_else_is_refused(
    tmp_path: Path, value: object, word: str, protocol: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DatasetError, match=f"refused: it .*{word}.*COCO JSON instead"):
        result_pickle.read(dump(tmp_path, value, protocol), NAMES)
    assert not (tmp_path / "proof").exists()


@pytest.mark.parametrize(
    ("entries", "word"),
    [
        ({}, "one entry an image, got dict"),
        ([[ROWS]], "1 entries, but the dataset has 2 images"),
        ([[ROWS], 5], r"\[1\]: expected a list of classes or a dict, got int"),
        ([[ROWS], []], r"\[1\]: expected a list of classes"),
        ([[ROWS, ROWS], [NONE, NONE]], "2 classes; choose one"),
        ([[ROWS[:, :4]], [NONE]], r"\[0\]: expected numbers of shape \(n, 5\)"),
        ([["abc"], [NONE]], r"\[0\]: expected numbers"),
        ([[ROWS * np.nan], [NONE]], r"\[0\]: a number is not finite"),
        ([[ROWS[:, [2, 3, 0, 1, 4]]], [NONE]], r"\[0\]: a box has x2 < x1"),
        ([{"pred_instances": 1}, {}], r"\[0\]: expected pred_instances"),
        ([instances(np.asarray, "x/a.jpg", scores=[1.0]), [NONE]], "2 boxes, 1 scores"),
        ([instances(np.asarray, "x/a.jpg", labels=[0, 1]), [NONE]], "several classes"),
        ([instances(np.asarray, "y/a.jpg")] * 2, "'y/a.jpg' is no image of the dataset"),
        ([instances(np.asarray, "x/a.jpg")] * 2, r"\[1\]: 'x/a.jpg' is there twice"),
    ],
)
def test_what_is_malformed_is_named_with_its_place(
    tmp_path: Path, entries: object, word: str
) -> None:
    with pytest.raises(DatasetError, match=word):
        result_pickle.read(dump(tmp_path, entries), NAMES)


def test_one_class_of_several(tmp_path: Path) -> None:
    path = dump(tmp_path, [[NONE, ROWS], [NONE, NONE]])
    assert len(result_pickle.read(path, NAMES, category=1)["x/a.jpg"]) == 2
    with pytest.raises(DatasetError, match="no class 2"):
        result_pickle.read(path, NAMES, category=2)


@pytest.mark.parametrize("data", [b"", b"garbage", pickle.dumps([ROWS])[:-20]])
def test_a_damaged_pickle(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "r.pkl").write_bytes(data)
    with pytest.raises(DatasetError, match="not a pickle of results"):
        result_pickle.read(tmp_path / "r.pkl", NAMES)
    with pytest.raises(DatasetError, match="no such file"):
        result_pickle.read(tmp_path / "none.pkl", NAMES)
