"""PASCAL VOC and MMDetection's flavours of VOC and COCO."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from defusedxml import ElementTree

from facekit import datasets
from facekit.datasets import mmdet, mmdet_voc, voc
from facekit.datasets.records import FaceRecord, ImageRecord, Value
from facekit.errors import DatasetError, OutputError


def record(*faces: FaceRecord, name: str = "a/1.jpg", **more: Any) -> ImageRecord:
    return ImageRecord(name=name, size=(100, 200), faces=faces, **more)


PLAIN: dict[str, Value] = {"truncated": 0, "view": "Unspecified"}
FACES = (
    FaceRecord(box=(0, 0, 200, 100), attributes=PLAIN),
    FaceRecord(
        box=(-3, 5, 9, 9),
        label="with <mask> & more",
        ignore=True,
        attributes={"truncated": 1, "occluded": 1, "view": "Frontal"},
    ),
)
RECORDS = [record(*FACES), record(name="b.png"), record(FACES[0], name="a/b/c.jpg")]


def test_everything_comes_back_in_order(tmp_path: Path) -> None:
    losses = datasets.write(iter(RECORDS), f"voc:{tmp_path}")
    assert (losses.images, losses.lost) == (3, {})
    records = list(datasets.read(f"voc:{tmp_path}"))
    assert records == RECORDS
    assert records[2].path == tmp_path / "JPEGImages" / "a" / "b" / "c.jpg"
    names = (tmp_path / "ImageSets" / "Main" / "trainval.txt").read_text()
    assert names == "a/1\nb\na/b/c\n"


def test_the_first_pixel_is_1_and_the_last_is_included(tmp_path: Path) -> None:
    voc.write([record(FaceRecord(box=(0, 0, 200, 100)))], tmp_path)
    root = ElementTree.fromstring((tmp_path / "Annotations" / "a" / "1.xml").read_text())
    corners = [root.findtext(f"object/bndbox/{name}") for name in ("xmin", "ymin", "xmax", "ymax")]
    # The whole image, as VOC says it: pixels 1 to 200 and 1 to 100.
    assert corners == ["1", "1", "200", "100"]
    # What readers in circulation stop without.
    wanted = ("object/pose", "object/truncated", "object/difficult", "size/depth", "folder")
    assert all(root.find(name) is not None for name in wanted)


def test_splits(tmp_path: Path) -> None:
    voc.write(RECORDS[:1], tmp_path, split="train")
    voc.write(RECORDS[1:], tmp_path, split="val")
    assert list(voc.read(tmp_path, split="val")) == RECORDS[1:]
    # Several lists and none named: every XML.
    assert [one.name for one in voc.read(tmp_path)] == ["a/1.jpg", "a/b/c.jpg", "b.png"]
    (tmp_path / "ImageSets" / "Main" / "face_val.txt").write_text("b  1\n\na/1 -1\n")
    assert [one.name for one in voc.read(tmp_path, split="face_val")] == ["b.png", "a/1.jpg"]


def test_a_folder_of_any_xml(tmp_path: Path) -> None:
    text = xml()
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "a.xml").write_text(text)
    (one,) = voc.read(tmp_path)
    assert (one.name, one.path) == ("x/a.jpg", tmp_path / "x" / "a.jpg")
    (one,) = voc.read(tmp_path / "x" / "a.xml", images="photos")
    assert one.path == Path("photos/a.jpg")
    with pytest.raises(DatasetError, match="no XML files"):
        list(voc.read(tmp_path / "none"))


def test_two_images_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"a/1.png: another image is already written as a/1.xml"):
        voc.write([record(), record(name="a/1.png")], tmp_path)
    assert not (tmp_path / "ImageSets" / "Main" / "trainval.txt").exists()
    with pytest.raises(DatasetError, match=r"b/1.jpg: another image .* written as 1.xml"):
        mmdet_voc.write([record(), record(name="b/1.jpg")], tmp_path)


def test_values_that_voc_has_no_words_for_are_counted(tmp_path: Path) -> None:
    strange: dict[str, Value] = {"truncated": 2, "occluded": "yes", "view": "\x07"}
    losses = datasets.write(
        [record(FaceRecord(box=(0, 0, 9, 9), attributes=strange))], f"voc:{tmp_path}"
    )
    assert losses.lost == {f"attributes.{name}": 1 for name in strange}
    assert next(voc.read(tmp_path)).faces[0].attributes == PLAIN


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (record(name="a\nb.jpg"), "a list of lines cannot hold"),
        (record(name="a\x07b.jpg"), "XML cannot hold"),
        (record(name="../b.jpg"), "would leave the dataset's folder"),
        (record(FaceRecord(box=(0, 0, 1, 1), label=" a")), "XML cannot hold"),
        (record(FaceRecord(box=(0, 0, 1, 1), attributes={"occluded": 2})), "must be 0 or 1, got 2"),
        (record().replace(size=None), "its size is not known"),
    ],
)
def test_what_cannot_be_written(bad: ImageRecord, reason: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=reason):
        voc.write([bad], tmp_path)


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be made"):
        voc.write([record()], tmp_path / "file")


def xml(
    face: str = "<name>face</name><difficult>0</difficult>\n"
    "<bndbox><xmin>1</xmin>\n<ymin>2</ymin><xmax>3</xmax><ymax>4</ymax></bndbox>",
    head: str = "<filename>a.jpg</filename>",
    size: str = "<size><width>9</width><height>8</height></size>",
) -> str:
    """An XML with the name in line 2, the size in line 3 and a face in lines 4 to 7."""
    rows = ("<annotation>", head, size, "<object>", face, "</object>", "</annotation>")
    return "\n".join(rows)


def test_foreign_files(tmp_path: Path) -> None:
    file = tmp_path / "a.xml"
    head = "<folder>VOC2007</folder><filename>a.jpg</filename><source><name>Flickr</name></source>"
    face = (
        "<name>person</name><part><name>head</name><bndbox><xmin>5</xmin></bndbox></part>"
        "<truncated>True</truncated><pose></pose>"
        "<bndbox><xmax>30.5</xmax><ymax>4</ymax><xmin>1.2</xmin><ymin>2</ymin></bndbox>"
    )
    file.write_text(xml(face, head, "<size><width>0</width><height>0</height></size>"))
    (one,) = voc.read(file)
    assert (one.name, one.size) == ("a.jpg", None)
    assert one.faces[0] == FaceRecord(
        box=(0.2, 1, 30.5, 4), label="person", attributes={"truncated": 1}
    )
    assert [repair.code for repair in one.repairs] == ["no-size"]
    file.write_text(xml(size="").replace("<xmax>3<", "<xmax>0<"))
    (one,) = voc.read(file)
    assert [str(repair) for repair in one.repairs] == [
        f"{file}:1: no-size: the image's size is missing or zero",
        f"{file}:4: empty-box: 0 x 3 has no area; kept as ignored",
    ]
    assert one.faces[0].ignore


BOX = "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>3</xmax><ymax>4</ymax></bndbox>"
BOMB = '<!DOCTYPE a [<!ENTITY b "c">]>'
MALFORMED = {
    "empty": ("", 1, "not XML"),
    "cut off": (xml()[:100], 5, "not XML"),
    "another root": ("<dataset/>", 1, "expected VOC's <annotation>, got <dataset>"),
    "an entity bomb": (BOMB + xml(), 1, "declares a document type"),
    "an external entity": (
        '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]>\n' + xml(),
        1,
        "declares a document type",
    ),
    "no name": (xml(head=""), 1, "<filename> is missing"),
    "an empty name": (xml(head="<filename> </filename>"), 2, "<filename> is missing or empty"),
    "two names": (xml(head="<filename>a</filename>\n<filename>b</filename>"), 3, "is there twice"),
    "out of the folder": (xml(head="<filename>../a</filename>"), 2, "would leave"),
    "an absolute name": (xml(head="<filename>C:\\a</filename>"), 2, "would leave"),
    "half a size": (xml(size="<size><width>9</width></size>"), 3, "must be whole and positive"),
    "a negative size": (
        xml(size="<size><width>9</width><height>-8</height></size>"),
        3,
        "must be whole and positive",
    ),
    "a size in words": (
        xml(size="<size><width>wide</width><height>8</height></size>"),
        3,
        "must be whole and positive, got 'wide'",
    ),
    "no label": (xml(BOX), 4, "<name> is missing"),
    "an empty label": (xml("<name></name>" + BOX), 5, "<name> is missing or empty"),
    "two labels": (xml("<name>a</name>\n<name>b</name>" + BOX), 6, "<name> is there twice"),
    "two boxes": (xml("<name>a</name>\n" + BOX + "\n" + BOX), 7, "<bndbox><xmin> is there twice"),
    "no box": (xml("<name>a</name>"), 4, "<bndbox><xmin> is missing"),
    "no corner": (xml().replace("<ymax>4</ymax>", ""), 4, "<bndbox><ymax> is missing"),
    "an empty corner": (xml().replace("<ymin>2<", "<ymin><"), 7, "<bndbox><ymin> is missing or em"),
    "a word": (xml().replace("<ymin>2<", "<ymin>two<"), 7, "<ymin> must be a number, got 'two'"),
    "not a number": (xml().replace("<ymin>2<", "<ymin>nan<"), 4, "not a box"),
    "infinite": (xml().replace("<ymin>2<", "<ymin>inf<"), 4, "not a box"),
    "beyond any image": (xml().replace("<xmax>3<", "<xmax>1e10<"), 4, "not a box"),
    "difficult": (xml().replace("<difficult>0", "<difficult>2"), 5, "<difficult> must be 0 or 1"),
    "truncated": (xml("<truncated>x</truncated><name>a</name>" + BOX), 5, "<truncated> must be"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed(name: str, tmp_path: Path) -> None:
    text, line, reason = MALFORMED[name]
    file = tmp_path / "a.xml"
    file.write_text(text)
    with pytest.raises(DatasetError) as caught:
        list(voc.read(tmp_path))
    assert (caught.value.file, caught.value.line) == (str(file), line)
    assert reason in caught.value.reason


def test_the_table_is_otherwise_well_formed(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(xml())
    (one,) = voc.read(tmp_path)
    assert (one.size, one.faces) == ((8, 9), (FaceRecord(box=(0, 1, 3, 4)),))


@pytest.mark.parametrize(
    ("line", "reason"),
    [("none", "there is no"), ("../a", "would leave"), ("/a", "would leave"), ("c -1", "there is")],
)
def test_malformed_lists(line: str, reason: str, tmp_path: Path) -> None:
    voc.write(RECORDS, tmp_path)
    names = tmp_path / "ImageSets" / "Main" / "trainval.txt"
    names.write_text(f"b\n{line}\n")
    with pytest.raises(DatasetError, match=reason) as caught:
        list(voc.read(tmp_path))
    assert (caught.value.file, caught.value.line) == (str(names), 2)
    with pytest.raises(DatasetError, match="no such file"):
        list(voc.read(tmp_path, split="test"))


class TestMmdet:
    def test_widerfaces_flavour_comes_back(self, tmp_path: Path) -> None:
        losses = datasets.write(iter(RECORDS), f"mmdet_voc:{tmp_path}", split="val")
        assert (losses.images, losses.lost) == (3, {})
        records = list(datasets.read(f"mmdet_voc:{tmp_path}", split="val"))
        assert records == RECORDS
        assert records[0].path == tmp_path / "WIDER_val" / "a" / "1.jpg"

    def test_widerfaces_flavour_is_what_their_class_opens(self, tmp_path: Path) -> None:
        mmdet_voc.write([record(FaceRecord(box=(0, 3, 200, 100))), record(name="b.png")], tmp_path)
        assert (tmp_path / "train.txt").read_text() == "1\nb\n"
        root = ElementTree.fromstring(
            (tmp_path / "WIDER_train" / "Annotations" / "1.xml").read_text()
        )
        assert (root.findtext("folder"), root.findtext("filename")) == ("a", "1.jpg")
        corners = [root.findtext(f"object/bndbox/{n}") for n in ("xmin", "ymin", "xmax", "ymax")]
        assert corners == ["0", "3", "200", "100"]
        # It joins the folder to the name, so an empty one would stop it.
        other = ElementTree.fromstring(
            (tmp_path / "WIDER_train" / "Annotations" / "b.xml").read_text()
        )
        assert other.findtext("folder") == "."

    def test_widerfaces_flavour_checks_folders(self, tmp_path: Path) -> None:
        mmdet_voc.write([record()], tmp_path)
        file = tmp_path / "WIDER_train" / "Annotations" / "1.xml"
        for folder in ("..", "/etc", ""):
            file.write_text(xml(head=f"<folder>{folder}</folder><filename>a</filename>"))
            with pytest.raises(DatasetError, match=r"would leave|<folder> is missing"):
                list(mmdet_voc.read(tmp_path))

    def test_cocos_flavour_has_an_outline_of_every_face(self, tmp_path: Path) -> None:
        polygons = ((0.0, 0.0, 5.0, 0.0, 5.0, 5.0),)
        faces = (FaceRecord(box=(1.5, 2, 4, 6)), FaceRecord(box=(0, 0, 5, 5), polygons=polygons))
        file = tmp_path / "a.json"
        assert datasets.write([record(*faces)], f"mmdet:{file}").lost == {}
        written = [one["segmentation"] for one in json.loads(file.read_text())["annotations"]]
        assert written == [[[1.5, 2, 4, 2, 4, 6, 1.5, 6]], [list(polygons[0])]]
        assert list(mmdet.read(file)) == [record(*faces)]
