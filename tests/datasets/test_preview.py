"""Contact sheets of annotated images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from facekit.datasets.preview import draw_record, preview
from facekit.datasets.records import FaceRecord, ImageRecord
from facekit.errors import ConfigError, ImageError
from facekit.images import encode, write

GREY = np.full((100, 200, 3), 90, np.uint8)
BLUE, ORANGE, YELLOW, PALE = (86, 180, 233), (230, 159, 0), (240, 228, 66), (170, 170, 170)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for n in range(12):
        write(tmp_path / f"{n}.png", GREY)
    (tmp_path / "bad.png").write_text("no image")
    return tmp_path


def record(name: str, root: Path | None, *faces: FaceRecord) -> ImageRecord:
    return ImageRecord(name=name, root=root, faces=faces)


def near(drawn: npt.NDArray[np.uint8], colour: tuple[int, int, int]) -> npt.NDArray[Any]:
    return np.asarray((np.abs(drawn.astype(int) - colour) < 12).all(axis=2))


def test_boxes_lie_where_they_should(root: Path) -> None:
    face = FaceRecord(box=(50, 20, 150, 80))
    drawn = draw_record(record("0.png", root, face), 400)
    assert drawn.shape == (200, 400, 3)
    rows, columns = np.nonzero(near(drawn, BLUE))
    edges = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    assert edges == pytest.approx((100, 40, 300, 160), abs=3)


def test_ignored_faces_are_dashed_and_pale(root: Path) -> None:
    whole = FaceRecord(box=(20, 20, 90, 90))
    ignored = FaceRecord(box=(110, 20, 180, 90), ignore=True)
    drawn = draw_record(record("0.png", root, whole, ignored), 800)
    assert not near(drawn, BLUE)[:, 400:].any()
    line = near(drawn, PALE)[80 - 2 : 80 + 3, 440:720].any(axis=0)
    assert 0.3 < line.mean() < 0.8
    # Eight dashes a side, not one line.
    assert (np.diff(line.astype(int)) == 1).sum() >= 7


def test_labels_have_colours_and_landmarks_dots(root: Path) -> None:
    mask = FaceRecord(box=(20, 20, 90, 90), label="mask")
    five = FaceRecord(
        box=(110, 20, 180, 90),
        landmarks=((130, 50), (160, 50), (5, 5)),
        visibility=(2, 2, 0),
        scheme="eyes",
    )
    drawn = draw_record(record("0.png", root, mask, five), 800)
    assert near(drawn, ORANGE)[:, :400].any()
    dots = near(drawn, YELLOW)
    assert dots[200, 520]
    assert dots[200, 640]
    assert not dots[:60, :60].any()
    points = tuple((120.0 + n % 10 * 5, 30.0 + n // 10 * 6) for n in range(68))
    outlined = FaceRecord(box=(110, 20, 180, 90), landmarks=points, scheme="ibug68")
    plain = FaceRecord(box=(110, 20, 180, 90), landmarks=points, scheme="other")
    counts = [
        near(draw_record(record("0.png", root, face), 800), YELLOW).sum()
        for face in (outlined, plain)
    ]
    assert counts[0] > 0
    assert counts[0] != counts[1]


def test_a_label_has_one_colour_on_the_whole_sheet(root: Path) -> None:
    green = (0, 158, 115)
    hat, mask = (FaceRecord(box=(20, 20, 90, 90), label=label) for label in ("hat", "mask"))
    sheet = preview([record("0.png", root, hat), record("1.png", root, mask)], columns=2)
    assert near(sheet.picture, ORANGE)[:, :320].any()
    assert not near(sheet.picture, ORANGE)[:, 320:].any()
    assert near(sheet.picture, green)[:, 320:].any()
    assert near(
        draw_record(record("1.png", root, mask), 400, ["hat", "cap"]), (204, 121, 167)
    ).any()


def test_boxes_that_are_no_boxes_do_no_harm(root: Path) -> None:
    wild = [
        FaceRecord(box=(float("nan"), 0, 1, 1)),
        FaceRecord(box=(9, 9, 9, 9)),
        FaceRecord(box=(-1e8, -1e8, 1e8, 1e8)),
        FaceRecord(box=(9, 9, 1, 1), landmarks=((1, 1),), visibility=(2, 2)),
    ]
    assert draw_record(record("0.png", root, *wild), 100).shape == (50, 100, 3)


def test_the_sample_follows_the_seed_and_not_the_order(root: Path) -> None:
    records = [record(f"{n}.png", root) for n in range(12)]
    one = preview(records, count=4, cell=40)
    assert preview(records[::-1], count=4, cell=40).names == one.names == tuple(sorted(one.names))
    assert preview(records, count=4, cell=40, seed=1).names != one.names
    assert one.picture.shape[1] == 160
    assert (one.absent, one.failed) == (0, ())
    assert preview(records, count=50, cell=40, columns=3).picture.shape[1] == 120


def test_what_is_not_at_hand_is_counted(root: Path) -> None:
    face = FaceRecord(box=(1, 1, 9, 9), ignore=True)
    records = [
        record("0.png", root, face, face),
        record("gone.png", root),
        record("nowhere.png", None),
        record("bad.png", root),
        ImageRecord(name="packed.jpg", data=encode(GREY, ".jpg")),
    ]
    sheet = preview(records, cell=40)
    assert (sheet.names, sheet.absent) == (("0.png", "packed.jpg"), 2)
    assert "bad.png" in sheet.failed[0]
    with pytest.raises(ImageError, match="none of 1 images is at hand"):
        preview(records[1:2])
    with pytest.raises(ImageError, match=r"bad\.png: not an image"):
        preview(records[3:4])
    with pytest.raises(ImageError, match="not at hand"):
        draw_record(records[2], 100)
    with pytest.raises(ImageError, match=r"packed\.jpg: not an image"):
        draw_record(ImageRecord(name="packed.jpg", data=b"text"), 100)


@pytest.mark.parametrize("bad", [{"count": 0}, {"columns": 0}, {"cell": 5000}])
def test_wrong_values(bad: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=next(iter(bad))):
        preview([], **bad)
