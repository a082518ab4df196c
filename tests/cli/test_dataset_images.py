"""``facekit dataset images``, with a host of images on loopback."""

from __future__ import annotations

import http.server
import io
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import Result

Facekit = Callable[..., Result]


class _Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Keep the test's output clean."""

    def do_GET(self) -> None:
        buffer = io.BytesIO()
        Image.new("RGB", (20, 10)).save(buffer, format="PNG")
        found = self.path.startswith("/good")
        self.send_response(200 if found else 410)
        self.end_headers()
        self.wfile.write(buffer.getvalue() if found else b"")


@pytest.fixture
def host() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.fixture
def faces(tmp_path: Path, host: str) -> Path:
    urls = [f"{host}/{name}.png" for name in ("good_1", "gone", "good_2")]
    file = tmp_path / "faces.json"
    file.write_text("\n".join(json.dumps({"content": url, "annotation": None}) for url in urls))
    return file


def test_images_are_fetched_and_failures_told(
    facekit: Facekit, faces: Path, host: str, tmp_path: Path
) -> None:
    folder, listing = tmp_path / "images", tmp_path / "report.jsonl"
    options = ("--allow-private", "--report", listing)
    done = facekit("dataset", "images", f"dataturks:{faces}", folder, *options)
    assert done.stdout == f"{folder}: 2 fetched, 0 present, 1 failed\n"
    assert done.stderr == f"failed: {faces}:2: {host}/gone.png: HTTP 410 Gone\n"
    assert done.exit_code == 1
    assert sorted(path.name for path in folder.iterdir()) == ["good_1.png", "good_2.png"]
    statuses = [json.loads(line)["status"] for line in listing.read_text().splitlines()]
    assert statuses == ["fetched", "failed", "fetched"]
    again = facekit("dataset", "images", f"dataturks:{faces}", folder, "--allow-private")
    assert again.stdout == f"{folder}: 0 fetched, 2 present, 1 failed\n"


def test_the_tutorials_names(facekit: Facekit, faces: Path, tmp_path: Path) -> None:
    folder = tmp_path / "faces"
    options = ("--allow-private", "--reencode", "--read", "names=number")
    assert facekit("dataset", "images", f"dataturks:{faces}", folder, *options).exit_code == 1
    assert sorted(path.name for path in folder.iterdir()) == ["face_0.jpeg", "face_2.jpeg"]
    with Image.open(folder / "face_2.jpeg") as image:
        assert (image.format, image.size) == ("JPEG", (20, 10))


def test_private_hosts_and_small_limits(facekit: Facekit, faces: Path, tmp_path: Path) -> None:
    done = facekit("dataset", "images", f"dataturks:{faces}", tmp_path / "a")
    assert (done.exit_code, done.stderr.count("private address")) == (2, 3)
    options = ("--allow-private", "--max-mb", "0.00001", "--attempts", "1", "--workers", "1")
    done = facekit("dataset", "images", f"dataturks:{faces}", tmp_path / "b", *options)
    assert (done.exit_code, done.stderr.count("the limit of 10")) == (2, 2)


def test_wrong_options_and_offline(facekit: Facekit, faces: Path, tmp_path: Path) -> None:
    command = ("dataset", "images", f"dataturks:{faces}", tmp_path / "a")
    done = facekit(*command, "--read", "colour=red")
    assert (done.exit_code, "no option of the format 'dataturks'" in done.stderr) == (2, True)
    done = facekit(*command, env={"FACEKIT_OFFLINE": "1"})
    assert (done.exit_code, "FACEKIT_OFFLINE forbids" in done.stderr) == (2, True)
