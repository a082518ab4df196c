"""The wire format of ``tf.train.Example``; TFRecord files are in test_tfrecord.py."""

from __future__ import annotations

import contextlib
import io
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facekit.datasets import tf_example
from facekit.errors import MissingDependencyError


@given(st.binary(max_size=60))
def test_no_bytes_crash_the_decoder(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        tf_example.decode(data)


@given(
    st.lists(st.integers(-(2**63), 2**63 - 1)),
    st.lists(st.floats(width=32, allow_nan=False)),
    st.lists(st.binary()),
)
def test_examples_come_back(whole: list[int], real: list[float], raw: list[bytes]) -> None:
    features = {
        "é": tf_example.int_feature(whole),
        "b": tf_example.float_feature(real),
        "": tf_example.bytes_feature(raw),
    }
    assert tf_example.decode(tf_example.encode(features)) == {"é": whole, "b": real, "": raw}


def test_lists_that_are_not_packed() -> None:
    # As a writer of protobuf's second version leaves them.
    loose = tf_example.encode(
        {"a": b"\x1a\x04\x08\x05\x08\x07", "b": b"\x12\x05\x0d" + b"\0\0\x80?"}
    )
    assert tf_example.decode(loose) == {"a": [5, 7], "b": [1.0]}


def test_without_the_package_of_checksums(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "google_crc32c", None)
    with pytest.raises(MissingDependencyError, match=r'pip install "facekit\[tfrecord\]"'):
        tf_example.write_frame(io.BytesIO(), b"")
    with pytest.raises(MissingDependencyError, match="google_crc32c"):
        list(tf_example.read_frames(tmp_path / "x"))
