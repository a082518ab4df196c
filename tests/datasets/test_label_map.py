"""TF Object Detection's label maps."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facekit.datasets.label_map import read_label_map, text_of
from facekit.errors import DatasetError

LABEL_MAPS = {
    "text": ("faces", 1, "got 'faces'"),
    "no item": ("id: 1", 1, "expected item"),
    "an item in an item": ("item {\nitem {", 2, "expected item"),
    "no number": ("item {\nname: 'a'\n}", 3, "an item has an id from 1 and a name"),
    "no name": ("item { id: 1 }", 1, "an item has an id from 1 and a name"),
    "from 0": ("item { id: 0 name: 'a' }", 1, "an item has an id from 1"),
    "a number twice": ("item { id: 1 name: 'a' }\nitem { id: 1 name: 'b' }", 2, "is there twice"),
    "a name twice": ("item { id: 1 name: 'a' }\nitem { id: 2 name: 'a' }", 2, "is there twice"),
    "cut off": ("item {\nid: 1", 2, "the file ends inside an item"),
    "no quotes": ("item { id: 1 name: face }", 1, "expected item"),
    "open quotes": ("item { id: 1 name: 'face }", 1, "expected item"),
}


@pytest.mark.parametrize("name", LABEL_MAPS)
def test_malformed_label_maps(name: str, tmp_path: Path) -> None:
    text, line, reason = LABEL_MAPS[name]
    file = tmp_path / "label_map.pbtxt"
    file.write_text(text)
    with pytest.raises(DatasetError) as caught:
        read_label_map(file)
    assert (caught.value.file, caught.value.line) == (str(file), line)
    assert reason in caught.value.reason


@given(st.lists(st.text(st.characters(codec="utf-8"), min_size=1), unique=True))
def test_label_maps_come_back(tmp_path_factory: pytest.TempPathFactory, names: list[str]) -> None:
    file = tmp_path_factory.mktemp("map") / "label_map.pbtxt"
    file.write_bytes(text_of((name, i) for i, name in enumerate(names, start=1)).encode())
    assert list(read_label_map(file).values()) == names
