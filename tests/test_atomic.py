"""A file is written whole or not at all."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from facekit import atomic
from facekit.errors import OutputError


def test_writes_text_as_utf8_with_unix_line_ends(tmp_path: Path) -> None:
    target = tmp_path / "out.txt"
    atomic.write_text(target, "é\n")
    assert target.read_bytes() == b"\xc3\xa9\n"
    assert list(tmp_path.iterdir()) == [target]


def test_replaces_an_older_file(tmp_path: Path) -> None:
    target = tmp_path / "out.bin"
    target.write_bytes(b"old")
    atomic.write_bytes(str(target), b"new")
    assert target.read_bytes() == b"new"


def test_an_error_leaves_the_old_file_and_no_temporary(tmp_path: Path) -> None:
    target = tmp_path / "out.txt"
    target.write_text("old")

    def fail() -> None:
        with atomic.atomic_path(target) as temporary:
            temporary.write_text("half")
            message = "interrupted"
            raise KeyError(message)

    with pytest.raises(KeyError):
        fail()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_killed_run_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "out.txt"
    target.write_text("old")
    program = (
        "import os, signal, sys\n"
        "from facekit import atomic\n"
        "with atomic.atomic_path(sys.argv[1]) as temporary:\n"
        "    temporary.write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(target)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert target.read_text() == "old"


def test_temporary_keeps_the_suffix_that_encoders_look_at(tmp_path: Path) -> None:
    with atomic.atomic_path(tmp_path / "photo.jpg") as temporary:
        assert temporary.suffix == ".jpg"
        assert temporary.parent == tmp_path


def test_folder_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"the folder '.*nowhere' does not exist"):
        atomic.write_text(tmp_path / "nowhere" / "out.txt", "x")


def test_target_that_is_a_folder(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is a folder; give the name of a file"):
        atomic.check_writable(tmp_path)


@pytest.mark.usefixtures("require_permissions")
def test_folder_that_may_not_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(OutputError, match="may not be written"):
            atomic.write_text(tmp_path / "out.txt", "x")
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.usefixtures("require_permissions")
def test_file_that_may_not_be_written(tmp_path: Path) -> None:
    target = tmp_path / "out.txt"
    target.write_text("old")
    target.chmod(0o400)
    with pytest.raises(OutputError, match="may not be written"):
        atomic.write_text(target, "new")
    assert target.read_text() == "old"


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="a folder that refuses every file")
def test_folder_that_refuses_files_even_from_root() -> None:
    with pytest.raises(OutputError, match=r"/proc/self/facekit\.txt"):
        atomic.write_text("/proc/self/facekit.txt", "x")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_disk_that_fills_up_while_writing(tmp_path: Path) -> None:
    target = tmp_path / "out.txt"

    def fill() -> None:
        with atomic.atomic_path(target), Path("/dev/full").open("wb", buffering=0) as full:
            full.write(b"x")

    with pytest.raises(OutputError, match=r"out\.txt: cannot be written: No space left"):
        fill()
    assert list(tmp_path.iterdir()) == []
