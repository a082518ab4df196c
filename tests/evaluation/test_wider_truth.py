"""WIDER FACE's official ground truth: found beside a dataset, read, and refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facekit.errors import DatasetError
from facekit.evaluation import wider_truth


@pytest.mark.data
def test_the_settings_have_the_published_numbers_of_faces(data_root: Path, require: Any) -> None:
    require("scipy")
    truth = wider_truth.read(data_root / "wider" / "ground_truth")
    assert len(truth) == 3226
    assert sum(map(len, truth.values())) == 39708
    counts = {
        name: sum(int(one.counted[name].sum()) for one in truth.values())
        for name in ("easy", "medium", "hard")
    }
    assert counts == {"easy": 7211, "medium": 13319, "hard": 31958}
    first = truth["0--Parade/0_Parade_marchingband_1_465.jpg"]
    np.testing.assert_allclose(first.boxes[0], [345, 211, 4, 4], atol=1)


@pytest.mark.data
def test_it_is_found_beside_the_dataset(data_root: Path, tmp_path: Path) -> None:
    wider = data_root / "wider"
    text = wider / "wider_face_split" / "wider_face_val_bbx_gt.txt"
    assert wider_truth.find(wider) == wider_truth.find(text) == wider / "ground_truth"
    assert wider_truth.find(tmp_path) is None


def test_what_is_no_ground_truth(tmp_path: Path, require: Any) -> None:
    require("scipy")
    from scipy.io import savemat

    with pytest.raises(DatasetError, match=r"wider_easy_val.mat: no such file"):
        wider_truth.read(tmp_path)
    names = ("wider_easy_val", "wider_medium_val", "wider_hard_val", "wider_face_val")
    for name in names:
        (tmp_path / f"{name}.mat").write_bytes(b"text")
    with pytest.raises(DatasetError, match="scipy cannot read it"):
        wider_truth.read(tmp_path)
    for name in names:
        savemat(tmp_path / f"{name}.mat", {"gt_list": 1})
    with pytest.raises(DatasetError, match="event_list, file_list, face_bbx_list missing"):
        wider_truth.read(tmp_path)
    savemat(tmp_path / "wider_face_val.mat", dict.fromkeys(wider_truth_cells(), 1))
    with pytest.raises(DatasetError, match="not WIDER FACE's ground truth"):
        wider_truth.read(tmp_path)


def wider_truth_cells() -> tuple[str, ...]:
    return "event_list", "file_list", "face_bbx_list"
