"""Public sets from a local server: resumed, checked, and unpacked safely."""

from __future__ import annotations

import dataclasses
import hashlib
import http.server
import io
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facekit.datasets.public import SETS, Archive, PublicSet, fetch_set, find_set
from facekit.datasets.web import Limits
from facekit.errors import ConfigError, DatasetError, OutputError, UnknownNameError

FAST = Limits(attempts=3, backoff=0.001, timeout=10, deadline=30, allow_private=True)


def packed(*names: str) -> bytes:
    """An archive whose files are noise, so that it is not small."""
    noise = np.random.default_rng(0).bytes(50_000)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(zipfile.ZipInfo(name), noise)
    return buffer.getvalue()


GOOD = packed("SET/a.jpg", "SET/b/c.jpg")


class Handler(http.server.BaseHTTPRequestHandler):
    """A server with ranges, whose first answers may be short."""

    server: Server

    def log_message(self, *_: Any) -> None:
        """Keep the test's output clean."""

    def do_GET(self) -> None:
        span = self.headers.get("Range")
        self.server.asked.append((self.path, span))
        if self.path == "/moved.zip":
            self.send_response(302)
            self.send_header("Location", "/set.zip")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = self.server.files.get(self.path)
        start = int((span or "bytes=0-").removeprefix("bytes=").rstrip("-"))
        if not self.server.ranges:
            start = 0
        if body is None:
            self.answer(404, b"", {})
        elif start >= len(body):
            self.answer(416, b"", {"Content-Range": f"bytes */{len(body)}"})
        else:
            tell = {"Content-Range": f"bytes {start}-{len(body) - 1}/{len(body)}"}
            self.answer(206 if start else 200, body[start:], tell if start else {})

    def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[: self.server.cuts.pop(0)] if self.server.cuts else body)


class Server(http.server.ThreadingHTTPServer):
    """A host of archives."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {"/set.zip": GOOD}
        self.cuts: list[int] = []
        self.ranges = True
        self.asked: list[tuple[str, str | None]] = []

    def set_of(self, name: str = "set.zip", **changes: str) -> PublicSet:
        url = f"http://127.0.0.1:{self.server_address[1]}/{name}"
        archive = Archive(**{"url": url, "folder": "SET", **changes})
        return PublicSet(name="set", licence="ask first", page="a page", archives=(archive,))


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def get(chosen: PublicSet, folder: Path, limits: Limits = FAST) -> list[Path]:
    return fetch_set(chosen, folder, licence_accepted=True, limits=limits)


def test_a_set_is_fetched_once(server: Server, tmp_path: Path) -> None:
    steps: list[tuple[str, int, int | None]] = []
    chosen = server.set_of(md5=hashlib.md5(GOOD, usedforsecurity=False).hexdigest())
    found = fetch_set(
        chosen,
        tmp_path,
        licence_accepted=True,
        limits=FAST,
        progress=lambda *step: steps.append(step),
    )
    assert found == [tmp_path / "SET"]
    assert sorted(path.name for path in found[0].rglob("*.jpg")) == ["a.jpg", "c.jpg"]
    assert steps[-1] == ("set.zip", len(GOOD), len(GOOD))
    assert get(chosen, tmp_path) == found
    assert server.asked == [("/set.zip", None)]
    assert [path.name for path in tmp_path.iterdir()] == ["SET"]


def test_nothing_without_the_licence(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="not accepted: ask first; see a page"):
        fetch_set(server.set_of(), tmp_path, licence_accepted=False, limits=FAST)
    monkeypatch.setenv("FACEKIT_OFFLINE", "1")
    with pytest.raises(ConfigError, match="FACEKIT_OFFLINE"):
        get(server.set_of(), tmp_path)
    assert server.asked == []


def test_a_cut_download_goes_on(server: Server, tmp_path: Path) -> None:
    server.cuts = [30_000, 20_000]
    get(server.set_of(), tmp_path)
    assert [span for _, span in server.asked] == [None, "bytes=30000-", "bytes=50000-"]


def test_a_later_run_goes_on(server: Server, tmp_path: Path) -> None:
    server.cuts = [30_000]
    with pytest.raises(DatasetError, match="did not come: the connection ended after 30000 of"):
        get(server.set_of(), tmp_path, dataclasses.replace(FAST, attempts=1))
    assert (tmp_path / "set.zip.part").stat().st_size == 30_000
    get(server.set_of("moved.zip"), tmp_path)
    get(server.set_of(), tmp_path / "other")
    (tmp_path / "again").mkdir()
    (tmp_path / "again" / "set.zip.part").write_bytes(GOOD)
    server.asked.clear()
    assert (get(server.set_of(), tmp_path / "again")[0] / "a.jpg").is_file()
    assert server.asked == [("/set.zip", f"bytes={len(GOOD)}-")]


@pytest.mark.parametrize("ranges", [True, False])
def test_parts_that_do_not_fit_are_thrown_away(
    server: Server, tmp_path: Path, ranges: bool
) -> None:
    server.ranges = ranges
    (tmp_path / "set.zip.part").write_bytes(b"x" * (len(GOOD) + 5))
    assert (get(server.set_of(), tmp_path)[0] / "a.jpg").is_file()


@pytest.mark.parametrize(
    ("files", "changes", "reason"),
    [
        (GOOD, {"md5": "0" * 32}, "MD5 0000"),
        (GOOD, {"folder": "OTHER"}, "has no folder OTHER"),
        (packed("SET/a.jpg", "../evil.jpg"), {}, "would leave"),
        (GOOD[:60_000], {}, "neither a zip nor a tar"),
        (None, {}, "did not come: HTTP 404"),
    ],
)
def test_archives_that_are_refused(
    server: Server, tmp_path: Path, files: bytes | None, changes: dict[str, str], reason: str
) -> None:
    server.files = {} if files is None else {"/set.zip": files}
    target = tmp_path / "out"
    with pytest.raises(DatasetError, match=reason):
        get(server.set_of(**changes), target)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert [path for path in target.iterdir() if path.stat().st_size and path.is_file()] == []


def test_private_and_oversized(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="private address"):
        get(server.set_of(), tmp_path, Limits())
    with pytest.raises(DatasetError, match="more bytes than the limit of 1000"):
        get(server.set_of(), tmp_path, dataclasses.replace(FAST, max_bytes=1000))
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be made"):
        get(server.set_of(), tmp_path / "file")


def test_the_known_sets() -> None:
    assert find_set("ibug300w").archives[0].name == "ibug_300W_large_face_landmark_dataset.tar.gz"
    assert {name: one.name for name, one in SETS.items()} == {name: name for name in SETS}
    with pytest.raises(UnknownNameError, match="did you mean 'wider_face'"):
        find_set("widerface")
