"""Reading on after malformed lines: each is told once, and what is whole is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from facekit import datasets
from facekit.datasets.check import check
from facekit.datasets.formats import going_on
from facekit.datasets.malformed import MOST, Malformed
from facekit.errors import DatasetError

FACE = "1 1 30 30 0 0 0 0 0 0"
TURKS = {
    "content": "a.jpg",
    "annotation": [
        {"label": ["Face"], "points": [[0.1, 0.1], [0.5, 0.5]], "imageWidth": 9, "imageHeight": 9}
    ],
}
XML = (
    "<annotation><folder>e</folder><filename>{}.jpg</filename><size><width>9</width><height>9</height></size>"
    "<object><name>face</name><bndbox><xmin>{}</xmin><ymin>1</ymin><xmax>4</xmax><ymax>5</ymax>"
    "</bndbox></object></annotation>"
)
PTS = "version: 1\nn_points: 68\n{\n" + "\n".join(f"{n} 5" for n in range(1, 69)) + "\n}\n"

# Of each format: its files, what is to be read, and the places of the malformed lines.
CASES: dict[str, tuple[dict[str, str], list[tuple[str, int]], list[tuple[str, int | None]]]] = {
    "wider_face": (
        {
            "list.txt": "\n".join(
                [
                    *("a.jpg", "2", FACE, "1 1 30 x 0 0 0 0 0 0"),
                    *("b.jpg", "3", FACE),  # two faces are missing
                    *("c.jpg", "one", FACE),
                    *("d.jpg", "1", FACE, FACE),  # one face too many
                    *("e.jpg", "0"),  # without its line of zeros
                    *("f.jpg", "1", "1 1 30 30 9 0 0 0 0 0"),
                    *("../g.jpg", "2", FACE, "nonsense"),
                    *("h", "-1", FACE, FACE, FACE),
                    *("i.jpg", "1", FACE),
                    *("j.jpg", "2", FACE),  # the end
                    "",
                ]
            )
        },
        [("a.jpg", 1), ("b.jpg", 1), ("d.jpg", 1), ("f.jpg", 0), ("i.jpg", 1)],
        [("list.txt", n) for n in (4, 8, 9, 15, 17, 19, 20, 23, 25, 34)],
    ),
    "csv": (
        {
            "list.csv": "\n".join(
                [
                    "file_name,width,height,x_min,y_min,x_max,y_max",
                    *("a.jpg,9,9,1,1,5,5", "a.jpg,9,9,1,1,5,x", "a.jpg,9,8,1,1,5,5"),
                    *("b.jpg,9,9,1,1,5", '"b".jpg,9,9,1,1,5,5', "../b.jpg,9,9,1,1,5,5"),
                    *("c.jpg,9,9,1,1,nan,5", "d.jpg,9,9,1,1,5,5", "a.jpg,9,9,2,2,5,5"),
                    "",
                ]
            )
        },
        [("a.jpg", 2), ("c.jpg", 0), ("d.jpg", 1)],
        [("list.csv", n) for n in (5, 6, 7, 3, 4, 8)],
    ),
    "labels": (
        {"list.csv": "Image_Name,Age\na.jpg,3\na.jpg,4\n..,1\nb.jpg\nc.jpg,5\n"},
        [("a.jpg", 0), ("c.jpg", 0)],
        [("list.csv", n) for n in (3, 4, 5)],
    ),
    "dataturks": (
        {"list.json": "\n".join([json.dumps(TURKS), "{", "[]", '{"content": 3}', "", "x", ""])},
        [("a.jpg", 1)],
        [("list.json", n) for n in (2, 3, 4, 6)],
    ),
    "yolo": (
        {
            "data.yaml": "names: {0: face}\n",
            "train.txt": "a.jpg\n../b.jpg\nmissing.jpg\nb.jpg\n",
            "labels/a.txt": "0 0.5 0.5 0.5 0.5\n7 0.5 0.5 0.5 0.5\n0 2 2 1 1\n\n0 0.5\n",
            "labels/b.txt": "0 0.5 0.5 0.5 0.5\n",
        },
        [("a.jpg", 1), ("b.jpg", 1)],
        [*(("labels/a.txt", n) for n in (2, 3, 5)), ("train.txt", 2), ("train.txt", 3)],
    ),
    "voc": (
        {
            "ImageSets/Main/train.txt": "a\nmissing\n../b\nc\nd\n",
            "Annotations/a.xml": XML.format("a", 1),
            "Annotations/c.xml": XML.format("c", "x"),
            "Annotations/d.xml": XML.format("d", 2),
        },
        [("a.jpg", 1), ("d.jpg", 1)],
        [
            *(("ImageSets/Main/train.txt", n) for n in (2, 3)),
            ("Annotations/c.xml", 1),
        ],
    ),
    "mmdet_voc": (
        {
            "train.txt": "a\nmissing\nc\nd\n",
            "WIDER_train/Annotations/a.xml": XML.format("a", 1),
            "WIDER_train/Annotations/c.xml": "<annotation>",
            "WIDER_train/Annotations/d.xml": XML.format("d", 2),
        },
        [("e/a.jpg", 1), ("e/d.jpg", 1)],
        [("train.txt", 2), ("WIDER_train/Annotations/c.xml", 1)],
    ),
    "pts": (
        {"a.pts": PTS, "b.pts": PTS.replace("7 5", "x"), "c.pts": "", "d.pts": PTS},
        [("a.jpg", 1), ("d.jpg", 1)],
        [("b.pts", 10), ("c.pts", 1)],
    ),
}


@pytest.fixture(params=sorted(CASES))
def case(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Any, Any]:
    """The spec of a dataset, its images with their numbers of faces, and its malformed lines."""
    files, images, places = CASES[request.param]
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "images").mkdir()
    for name in "ab":
        Image.new("RGB", (40, 40)).save(tmp_path / "images" / f"{name}.jpg")
    path = tmp_path / next(iter(files)) if len(files) == 1 else tmp_path
    where = [(str(tmp_path / name), line) for name, line in places]
    return f"{request.param}:{path}", images, where


def test_what_is_whole_is_read(case: tuple[str, Any, Any]) -> None:
    spec, images, places = case
    errors: list[DatasetError] = []
    records = list(datasets.read(spec, on_malformed=errors.append))
    assert [(record.name, len(record.faces)) for record in records] == images
    assert [(error.file, error.line) for error in errors] == places


def test_without_asking_the_first_one_stops(case: tuple[str, Any, Any]) -> None:
    spec, _, places = case
    with pytest.raises(DatasetError) as caught:
        list(datasets.read(spec))
    assert (caught.value.file, caught.value.line) in places


def test_the_linter_names_every_one(case: tuple[str, Any, Any]) -> None:
    spec, _, places = case
    findings = [one for one in check(spec, look_at_images=False) if one.code == "malformed"]
    assert [(one.where.file, one.where.line) for one in findings] == places


def test_formats_of_one_document_stop(tmp_path: Path) -> None:
    file = tmp_path / "list.json"
    file.write_text('{"images": [{"id": 1}], "annotations": [], "categories": []}')
    assert going_on(f"coco:{file}", Malformed()) == {}
    (finding,) = check(f"coco:{file}")
    assert finding.message.endswith("; what follows is not read")


def test_many_are_counted(tmp_path: Path) -> None:
    file = tmp_path / "list.txt"
    file.write_text(f"a.jpg\n{MOST + 7}\n" + "x\n" * (MOST + 5) + f"{FACE}\n{FACE}\n")
    findings = list(check(f"wider_face:{file}", look_at_images=False))
    assert [one.code for one in findings] == [
        *["malformed"] * MOST,
        "duplicate-face",
        "more-malformed",
    ]
    assert findings[-1].message == "5 more malformed lines"
    assert (findings[0].where.line, findings[-1].where.line) == (3, None)


def test_an_image_whose_faces_are_malformed_is_not_said_to_have_none(tmp_path: Path) -> None:
    file = tmp_path / "list.txt"
    file.write_text("a.jpg\n1\nx\nb.jpg\n0\n0 0 0 0\n")
    findings = check(f"wider_face:{file}", look_at_images=False)
    assert [(one.code, one.where.line) for one in findings] == [
        ("malformed", 3),
        ("zero-line", 6),
        ("no-faces", 4),
    ]


def test_a_header_is_needed(tmp_path: Path) -> None:
    file = tmp_path / "list.csv"
    file.write_text('"file_name"x,x_min,y_min,x_max,y_max\na.jpg,1,1,2,2\n')
    with pytest.raises(DatasetError, match="not CSV"):
        list(datasets.read(f"csv:{file}", on_malformed=Malformed()))
