"""Archives, hostile ones among them."""

from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from facekit.datasets.archives import Bounds, unpack
from facekit.errors import DatasetError, OutputError

FILES = {"WIDER_val/images/a.jpg": b"a" * 1000, "WIDER_val/b.txt": b"", "c.txt": b"c"}


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return path


def tarred(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


Pack = Callable[[Path, dict[str, bytes]], Path]
PACKERS = pytest.mark.parametrize("pack", [zipped, tarred])


def everything(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@PACKERS
def test_unpacking(tmp_path: Path, pack: Pack) -> None:
    archive = pack(tmp_path / "archive", FILES)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_bytes(b"mine")
    assert unpack(archive, tmp_path / "out") == ["WIDER_val", "c.txt"]
    assert everything(tmp_path / "out") == {**FILES, "mine.txt": b"mine"}


@PACKERS
@pytest.mark.parametrize(
    "name", ["../evil.txt", "a/../../evil.txt", "/evil.txt", "..\\evil.txt", "C:\\evil", "a" * 300]
)
def test_nothing_leaves_the_folder(tmp_path: Path, pack: Pack, name: str) -> None:
    archive = pack(tmp_path / "archive", {"good.txt": b"", name: b"evil"})
    with pytest.raises(DatasetError, match=r"would leave|longer than"):
        unpack(archive, tmp_path / "out")
    assert everything(tmp_path) == {"archive": archive.read_bytes()}


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_of_a_tar_are_refused(tmp_path: Path, kind: bytes) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        member = tarfile.TarInfo("link")
        member.type, member.linkname = kind, "/etc"
        archive.addfile(member)
    with pytest.raises(DatasetError, match="a link or a device"):
        unpack(tmp_path / "a.tar", tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_links_of_a_zip_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        member = zipfile.ZipInfo("link")
        member.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(member, "/etc")
    with pytest.raises(DatasetError, match="a link or a device"):
        unpack(tmp_path / "a.zip", tmp_path / "out")


@PACKERS
def test_bombs_are_refused(tmp_path: Path, pack: Pack) -> None:
    archive = pack(tmp_path / "archive", {"zeros": b"\0" * 10_000_000})
    assert archive.stat().st_size < 20_000
    with pytest.raises(DatasetError, match="unpacks to over 1000000 bytes"):
        unpack(archive, tmp_path / "out", Bounds(size=1_000_000))
    with pytest.raises(DatasetError, match="more than 2 files"):
        unpack(pack(archive, FILES), tmp_path / "out", Bounds(files=2))
    assert list((tmp_path / "out").iterdir()) == []


@PACKERS
def test_damaged_archives(tmp_path: Path, pack: Pack) -> None:
    archive = pack(tmp_path / "archive", {"a.bin": bytes(range(256)) * 500})
    data = bytearray(archive.read_bytes())
    data[len(data) // 3] ^= 0xFF
    archive.write_bytes(data)
    with pytest.raises(DatasetError, match="the archive is damaged"):
        unpack(archive, tmp_path / "out")
    archive.write_bytes(b"<html>no archive</html>")
    with pytest.raises(DatasetError, match="neither a zip nor a tar"):
        unpack(archive, tmp_path / "out")
    with pytest.raises(DatasetError, match="no such file"):
        unpack(tmp_path / "missing", tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


@PACKERS
def test_what_is_there_is_kept(tmp_path: Path, pack: Pack) -> None:
    archive = pack(tmp_path / "archive", FILES)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "c.txt").write_bytes(b"mine")
    with pytest.raises(OutputError, match="is there already"):
        unpack(archive, tmp_path / "out")
    assert everything(tmp_path / "out") == {"c.txt": b"mine"}


@PACKERS
def test_names_that_differ_by_case_are_one(tmp_path: Path, pack: Pack) -> None:
    archive = pack(tmp_path / "archive", {"a.txt": b"1", "A.txt": b"2"})
    with pytest.raises(DatasetError, match=r"A\.txt is in the archive twice"):
        unpack(archive, tmp_path / "out")
