"""``facekit dataset fetch``, without the real servers."""

from __future__ import annotations

import http.server
import io
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from typer.testing import Result

from facekit.datasets import public
from facekit.datasets.web import Limits

Facekit = Callable[..., Result]


class _Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Keep the test's output clean."""

    def do_GET(self) -> None:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("SET/a.txt", "a")
        self.send_response(200)
        self.end_headers()
        self.wfile.write(buffer.getvalue())


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        address = f"http://127.0.0.1:{server.server_address[1]}/set.zip"
        archives = (public.Archive(url=address, folder="SET"),)
        known = public.PublicSet(name="a", licence="ask first", page="p", archives=archives)
        sets: Mapping[str, public.PublicSet] = MappingProxyType({"a": known})
        monkeypatch.setattr(public, "SETS", sets)
        monkeypatch.setattr(public, "_LARGE", Limits(allow_private=True))
        yield address
        server.shutdown()
        thread.join()


def test_the_licence_comes_first(facekit: Facekit, url: str, tmp_path: Path) -> None:
    done = facekit("dataset", "fetch", "a", tmp_path / "sets")
    first, second, third = done.stderr.splitlines()
    assert (first, second) == (f"from: {url}", "licence: ask first; see p")
    assert third.startswith("error: a: the licence is not accepted")
    assert (done.exit_code, done.stdout, list(tmp_path.iterdir())) == (2, "", [])


def test_a_set_is_unpacked(facekit: Facekit, url: str, tmp_path: Path) -> None:
    done = facekit("dataset", "fetch", "a", tmp_path / "sets", "--accept-licence")
    assert (done.exit_code, done.stdout) == (0, f"{tmp_path / 'sets' / 'SET'}\n")
    assert url in done.stderr
    assert (tmp_path / "sets" / "SET" / "a.txt").read_text() == "a"


def test_an_unknown_set(facekit: Facekit, tmp_path: Path) -> None:
    done = facekit("dataset", "fetch", "widerface", tmp_path)
    assert (done.exit_code, "did you mean 'wider_face'" in done.stderr) == (2, True)
    done = facekit("dataset", "fetch", "wider_face", tmp_path, "--accept-licence", env=OFFLINE)
    assert (done.exit_code, "FACEKIT_OFFLINE forbids" in done.stderr) == (2, True)


OFFLINE = {"FACEKIT_OFFLINE": "1"}
