"""Old generated protobuf modules: their descriptions are read, they are not run."""

from __future__ import annotations

import pytest

from facekit.tfapi.protos import ProtoFinder, description_of, is_old

OLD = """
raise SystemExit("an old module shall not be run")
DESCRIPTOR = _descriptor.FileDescriptor(
  name='object_detection/protos/x.proto',
  serialized_pb=b'\\n\\x01x'
)
"""


def test_the_description_is_taken_from_the_source() -> None:
    assert is_old(OLD)
    assert description_of(OLD) == b"\n\x01x"


def test_a_module_of_today_is_left_alone() -> None:
    today = "DESCRIPTOR = _descriptor_pool.Default().AddSerializedFile(b'x')"
    assert not is_old(today)
    with pytest.raises(ImportError, match="without its serialised description"):
        description_of(today)


def test_the_finder_leaves_all_else_to_python() -> None:
    finder = ProtoFinder()
    for name in ("json", "object_detection.protos", "object_detection.protos.nothing_pb2"):
        assert finder.find_spec(name, []) is None
