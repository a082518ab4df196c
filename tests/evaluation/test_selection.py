"""Which images are measured: all, a subset that says so, or none."""

from __future__ import annotations

from pathlib import Path

import pytest

from facekit import datasets
from facekit.datasets import ImageRecord, Provenance
from facekit.errors import ConfigError, DatasetError
from facekit.evaluation.selection import select


@pytest.fixture
def records(album: Path) -> list[ImageRecord]:
    """Three images, the second not at hand."""
    (album / "WIDER_val" / "images" / "0--Parade" / "b.jpg").unlink()
    return list(datasets.read(f"wider_face:{album}"))


def test_an_image_that_is_not_at_hand_is_an_error(records: list[ImageRecord]) -> None:
    message = r"val_bbx_gt.txt:4: 1 of 3 images are not at hand \(the first: .*b.jpg\); --missing"
    with pytest.raises(DatasetError, match=message):
        select(records)


def test_or_left_out_which_is_said(records: list[ImageRecord]) -> None:
    chosen = select(records, missing="skip")
    assert [one.name for one in chosen.records] == ["0--Parade/a.jpg", "4--Dancing/c.jpg"]
    assert (chosen.total, chosen.absent) == (3, ("0--Parade/b.jpg",))
    assert "a subset: 2 of the dataset's 3 images" in chosen.notes[0]


def test_or_one_in_which_nothing_is_found(records: list[ImageRecord]) -> None:
    chosen = select(records, missing="empty")
    assert len(chosen.records) == 3
    assert chosen.notes == ("1 images without predictions: nothing found in them",)


def test_a_whole_dataset_needs_no_note(records: list[ImageRecord]) -> None:
    assert select(records, has=lambda _: True).notes == ()


def test_what_cannot_be_measured() -> None:
    with pytest.raises(DatasetError, match="it has no image"):
        select([])
    twice = [ImageRecord(name="a.jpg", source=Provenance("f.txt", n)) for n in (1, 9)]
    with pytest.raises(DatasetError, match=r"f.txt:9: the image 'a.jpg' is there twice"):
        select(twice)
    with pytest.raises(DatasetError, match="no image is left"):
        select(twice[:1], missing="skip")
    with pytest.raises(ConfigError, match="must be one of error, skip, empty, got"):
        select(twice[:1], missing="drop")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="must be one of error, skip, got 'empty'"):
        select(twice[:1], missing="empty", empty=False)
    with pytest.raises(DatasetError, match=r"--missing skip measures the others$"):
        select(twice[:1], empty=False)
