"""Datasets that are never written over."""

from __future__ import annotations

from pathlib import Path

import pytest

from facekit.datasets.records import ImageRecord, Provenance
from facekit.datasets.sources import reader, spared
from facekit.errors import ConfigError


@pytest.mark.parametrize("file", ["out", "out/Annotations/a.xml", "out-00001-of-00010"])
def test_a_target_that_is_or_holds_a_source_is_refused(tmp_path: Path, file: str) -> None:
    records = [
        ImageRecord(name="a", source=Provenance(str(tmp_path / "first.txt"), 1)),
        ImageRecord(name="b", source=Provenance(str(tmp_path / file), 1)),
    ]
    stream = spared(records, f"voc:{tmp_path / 'other'}", f"voc:{tmp_path / 'x' / '..' / 'out'}")
    assert next(stream) is records[0]
    with pytest.raises(ConfigError, match="would overwrite what is read"):
        next(stream)


def test_other_targets_are_fine(tmp_path: Path) -> None:
    records = [
        ImageRecord(name="a", source=Provenance(str(tmp_path / "out"), 1)),
        ImageRecord(name="b"),
    ]
    assert list(spared(records, f"voc:{tmp_path / 'out' / 'inner'}", "csv:out2")) == records


def test_a_spec_or_a_function_is_read_again(tmp_path: Path) -> None:
    text = tmp_path / "list.txt"
    text.write_text("a.jpg\n0\n0 0 0 0 0 0 0 0 0 0\n")
    start = reader(f"wider_face:{text}")
    assert [one.name for one in start()] == [one.name for one in start()] == ["a.jpg"]
    assert reader(start) is start
