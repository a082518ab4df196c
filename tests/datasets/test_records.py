"""Records compare, copy and travel between processes as plain values do."""

from __future__ import annotations

import copy
import pickle

import pytest

from facekit.datasets.records import EMPTY, FaceRecord, ImageRecord


def test_records_pickle_and_copy() -> None:
    record = ImageRecord(
        name="a.jpg",
        faces=(FaceRecord(box=(1, 2, 3, 4)), FaceRecord(box=(0, 0, 1, 1), attributes={"blur": 2})),
    )
    assert pickle.loads(pickle.dumps(record)) == record  # noqa: S301 - our own bytes
    assert copy.deepcopy(record) == record
    assert pickle.loads(pickle.dumps(EMPTY)) is EMPTY  # noqa: S301 - our own bytes


def test_no_attributes_equal_an_empty_dictionary() -> None:
    assert EMPTY == {}
    assert EMPTY != {"blur": 1}
    assert dict(EMPTY) == {}
    assert repr(EMPTY) == "{}"
    with pytest.raises(KeyError, match="blur"):
        EMPTY["blur"]
