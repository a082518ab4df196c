"""Downloads from a real HTTP server on loopback, in all its moods."""

from __future__ import annotations

import hashlib
import http.server
import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from facekit.errors import OutputError, WeightsError
from facekit.weights import Catalogue, Status, WeightsEntry
from facekit.weights.download import Retries

CONTENT = bytes(range(256)) * 2048
HASH = hashlib.sha256(CONTENT).hexdigest()
PAGE = b"\n<!DOCTYPE html><html><body>Log in to download</body></html>"
FAST = Retries(attempts=3, backoff=0.001, timeout=5)


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers by the server's ``behave``; each request is written down."""

    server: Server

    def do_GET(self) -> None:
        self.server.requests.append((self.path, self.headers.get("Range")))
        self.server.behave(self, len(self.server.requests))

    def log_message(self, *_: Any) -> None:
        """Keep the test's output clean."""

    def answer(
        self,
        body: bytes,
        status: int = 200,
        *,
        length: int | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def answer_range(self) -> None:
        """The rest from where the client asks, as servers with ranges do."""
        start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").rstrip("-"))
        span = f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}"
        self.answer(CONTENT[start:], 206, headers={"Content-Range": span})

    def cut(self, size: int) -> None:
        """Promise everything, send the start, close."""
        self.answer(CONTENT[:size], length=len(CONTENT))


Behaviour = Callable[[Handler, int], None]


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[tuple[str, str | None]] = []
        self.behave: Behaviour = lambda handler, _: handler.answer(CONTENT)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/net.onnx"


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("FACEKIT_CACHE", str(folder))
    monkeypatch.delenv("FACEKIT_OFFLINE", raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return folder


@pytest.fixture
def catalogue(server: Server, cache: Path) -> Catalogue:
    return catalogue_of(server.url, cache.parent)


def catalogue_of(url: str, folder: Path) -> Catalogue:
    entry = WeightsEntry(
        name="net",
        backend="tiny_ssd",
        role="detector",
        url=url,
        sha256=HASH,
        size=len(CONTENT),
        licence="CC0-1.0",
        source="made for a test",
        summary="a test",
    )
    return Catalogue({"net": entry}, folder)


def fetch(catalogue: Catalogue, retries: Retries = FAST) -> Path:
    return catalogue.fetch("net", progress=False, retries=retries)


def left_in(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.exists() else []


def test_good_bytes_arrive_once(catalogue: Catalogue, server: Server, cache: Path) -> None:
    assert catalogue.verify("net") is Status.ABSENT
    path = fetch(catalogue)
    assert path.parent == cache
    assert path.name == f"{HASH[:12]}-net.onnx"
    assert path.read_bytes() == CONTENT
    assert left_in(cache) == [path]
    assert catalogue.verify("net") is Status.OK
    assert catalogue.resolve("net", default="net") == path
    assert server.requests == [("/net.onnx", None)]


def test_resolve_downloads_a_known_name(catalogue: Catalogue, server: Server) -> None:
    assert catalogue.resolve(None, default="net").read_bytes() == CONTENT
    assert len(server.requests) == 1


def test_a_damaged_file_is_downloaded_again(catalogue: Catalogue, server: Server) -> None:
    path = fetch(catalogue)
    path.write_bytes(b"damaged")
    assert catalogue.verify("net") is Status.DAMAGED
    assert fetch(catalogue).read_bytes() == CONTENT
    assert len(server.requests) == 2


def test_a_cut_is_resumed_where_the_server_can(
    catalogue: Catalogue, server: Server, cache: Path
) -> None:
    def behave(handler: Handler, count: int) -> None:
        if count == 1:
            handler.cut(100_000)
        else:
            handler.answer_range()

    server.behave = behave
    path = fetch(catalogue)
    assert path.read_bytes() == CONTENT
    first, second = server.requests
    assert first[1] is None
    assert second[1] is not None
    assert 0 < int(second[1].removeprefix("bytes=").rstrip("-")) <= 100_000
    assert left_in(cache) == [path]


def test_a_cut_is_restarted_where_the_server_cannot(catalogue: Catalogue, server: Server) -> None:
    def behave(handler: Handler, count: int) -> None:
        if count == 1:
            handler.cut(300_000)
        else:
            handler.answer(CONTENT)

    server.behave = behave
    assert fetch(catalogue).read_bytes() == CONTENT
    assert len(server.requests) == 2


def test_a_cut_without_a_promised_length_is_noticed(catalogue: Catalogue, server: Server) -> None:
    def behave(handler: Handler, count: int) -> None:
        if count > 1:
            return handler.answer_range()
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(CONTENT[:131_072])
        return None

    server.behave = behave
    assert fetch(catalogue).read_bytes() == CONTENT
    assert server.requests[1] == ("/net.onnx", "bytes=131072-")


@pytest.mark.parametrize(("size", "kept"), [(1000, 0), (131_072, 131_072)])
def test_cuts_without_end_are_given_up(
    catalogue: Catalogue, server: Server, cache: Path, size: int, kept: int
) -> None:
    server.behave = lambda handler, _: handler.cut(size)
    with pytest.raises(
        WeightsError, match=rf"broke after {kept} of {len(CONTENT)} bytes.*3 times over.*path"
    ):
        fetch(catalogue)
    assert len(server.requests) == 3
    assert left_in(cache) == []


@pytest.mark.parametrize(
    ("body", "came"),
    [
        (PAGE, "a web page came"),
        (CONTENT[:-1] + b"x", "other bytes came"),
        (b"", "other bytes came"),
        (CONTENT + b"x", "sends more than the expected 524288 bytes"),
    ],
)
def test_other_bytes_are_refused(
    catalogue: Catalogue, server: Server, cache: Path, body: bytes, came: str
) -> None:
    server.behave = lambda handler, _: handler.answer(body)
    with pytest.raises(WeightsError, match=came) as caught:
        fetch(catalogue)
    assert server.url in str(caught.value)
    assert "\n" not in str(caught.value)
    if len(body) <= len(CONTENT):
        assert caught.value.expected == HASH
        assert caught.value.actual == hashlib.sha256(body).hexdigest()
    assert left_in(cache) == []
    assert len(server.requests) == 1


def test_refused_bytes_leave_nothing_to_be_used_later(
    catalogue: Catalogue, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.behave = lambda handler, _: handler.answer(PAGE)
    with pytest.raises(WeightsError, match="web page"):
        fetch(catalogue)
    monkeypatch.setenv("FACEKIT_OFFLINE", "1")
    with pytest.raises(WeightsError, match="FACEKIT_OFFLINE"):
        fetch(catalogue)


def test_a_missing_file_is_not_asked_for_twice(
    catalogue: Catalogue, server: Server, cache: Path
) -> None:
    server.behave = lambda handler, _: handler.answer(b"no", 404)
    with pytest.raises(WeightsError, match=r"net\.onnx: the server answers 404 Not Found"):
        fetch(catalogue)
    assert len(server.requests) == 1
    assert left_in(cache) == []


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_passing_fault_is_waited_out(catalogue: Catalogue, server: Server, status: int) -> None:
    def behave(handler: Handler, count: int) -> None:
        handler.answer(*((b"later", status) if count == 1 else (CONTENT, 200)))

    server.behave = behave
    assert fetch(catalogue).read_bytes() == CONTENT
    assert len(server.requests) == 2


def test_a_lasting_fault_is_given_up(catalogue: Catalogue, server: Server, cache: Path) -> None:
    server.behave = lambda handler, _: handler.answer(b"later", 503)
    with pytest.raises(WeightsError, match="answers 503 Service Unavailable, 3 times over"):
        fetch(catalogue)
    assert len(server.requests) == 3
    assert left_in(cache) == []


def test_redirects_are_followed(catalogue: Catalogue, server: Server) -> None:
    def behave(handler: Handler, _: int) -> None:
        if handler.path == "/net.onnx":
            handler.answer(b"moved", 302, headers={"Location": "/there.onnx"})
        else:
            handler.answer(CONTENT)

    server.behave = behave
    assert fetch(catalogue).read_bytes() == CONTENT
    assert [path for path, _ in server.requests] == ["/net.onnx", "/there.onnx"]


def test_a_circle_of_redirects_is_an_error(catalogue: Catalogue, server: Server) -> None:
    server.behave = lambda handler, _: handler.answer(
        b"moved", 302, headers={"Location": "/net.onnx"}
    )
    with pytest.raises(WeightsError, match="the server answers 302"):
        fetch(catalogue)


def test_a_silent_server_is_given_up(catalogue: Catalogue, server: Server, cache: Path) -> None:
    done = threading.Event()
    server.behave = lambda _handler, _count: (done.wait(), None)[1]
    try:
        with pytest.raises(WeightsError, match=r"out of reach \(timed out\), 2 times over"):
            fetch(catalogue, Retries(attempts=2, backoff=0.001, timeout=0.1))
    finally:
        done.set()
    assert left_in(cache) == []


def test_a_server_that_falls_silent_midway_is_resumed(catalogue: Catalogue, server: Server) -> None:
    done = threading.Event()

    def behave(handler: Handler, count: int) -> None:
        if count > 1:
            return handler.answer_range()
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(CONTENT)))
        handler.end_headers()
        handler.wfile.write(CONTENT[:131_072])
        handler.wfile.flush()
        done.wait()
        return None

    server.behave = behave
    try:
        path = fetch(catalogue, Retries(attempts=9, backoff=0.001, timeout=0.5))
    finally:
        done.set()
    assert path.read_bytes() == CONTENT
    assert server.requests[1] == ("/net.onnx", "bytes=131072-")


def test_an_unreachable_server_is_one_line(cache: Path) -> None:
    with Server() as stopped:
        url = stopped.url
    with pytest.raises(WeightsError, match=r"out of reach \(.*refused.*\), 3 times over") as caught:
        fetch(catalogue_of(url, cache.parent))
    assert "\n" not in str(caught.value)
    assert left_in(cache) == []


@pytest.mark.parametrize("value", ["1", "true"])
def test_offline_forbids_downloads_and_asks_nobody(
    catalogue: Catalogue, server: Server, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("FACEKIT_OFFLINE", value)
    with pytest.raises(WeightsError, match=r"FACEKIT_OFFLINE forbids it.*give its path"):
        fetch(catalogue)
    assert server.requests == []


def test_offline_uses_what_is_there(
    catalogue: Catalogue, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACEKIT_OFFLINE", "0")
    path = fetch(catalogue)
    monkeypatch.setenv("FACEKIT_OFFLINE", "1")
    assert fetch(catalogue) == path
    assert len(server.requests) == 1


def test_the_licence_is_shown_before_the_first_byte(catalogue: Catalogue, server: Server) -> None:
    shown: list[tuple[str, int]] = []
    catalogue.fetch(
        "net",
        progress=False,
        announce=lambda entry: shown.append((entry.licence, len(server.requests))),
    )
    assert shown == [("CC0-1.0", 0)]


def test_the_licence_is_logged_by_default(
    catalogue: Catalogue, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="facekit"):
        fetch(catalogue)
    assert "licence: CC0-1.0" in caplog.text


def test_progress_is_shown_on_standard_error(
    catalogue: Catalogue, capsys: pytest.CaptureFixture[str]
) -> None:
    catalogue.fetch("net", retries=FAST)
    printed = capsys.readouterr()
    assert "524.3/524.3 kB" in printed.err
    assert printed.out == ""


def test_a_cache_that_cannot_be_made_is_an_output_error(catalogue: Catalogue, cache: Path) -> None:
    cache.write_text("a file where the folder should be")
    with pytest.raises(OutputError, match="cannot be written"):
        fetch(catalogue)


def test_a_full_disk_is_an_output_error(catalogue: Catalogue, cache: Path) -> None:
    resource = pytest.importorskip("resource")  # absent on Windows
    signal = pytest.importorskip("signal")
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limits[1]))
    try:
        with pytest.raises(OutputError, match="cannot be written: File too large"):
            fetch(catalogue)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, previous)
    assert left_in(cache) == []


def test_the_users_cache_folder_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FACEKIT_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    path = catalogue_of("http://host/net.onnx", Path()).path("net")
    assert path.parent.name == "facekit"
    assert path.is_absolute()


# Weights whose publisher gives no hash.

CHECKPOINT = b"PK\x03\x04" + CONTENT
OTHER = b"\x80\x02" + CONTENT[::-1]


@pytest.fixture
def unhashed(server: Server, cache: Path) -> Catalogue:
    """A catalogue that knows nothing of the file but its address."""
    server.behave = lambda handler, _: handler.answer(CHECKPOINT)
    entry = WeightsEntry(
        name="net",
        backend="tiny_ssd",
        role="detector",
        url=server.url.replace(".onnx", ".pth"),
        trust_first_download=True,
        licence="CC0-1.0",
        source="made for a test",
        summary="a test",
    )
    return Catalogue({"net": entry}, cache.parent)


def hash_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_the_first_downloads_hash_is_recorded_and_told(
    unhashed: Catalogue, server: Server, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert (unhashed.verify("net"), unhashed.expected("net")) == (Status.ABSENT, None)
    with caplog.at_level(logging.WARNING, logger="facekit"):
        path = fetch(unhashed)
    url = server.url.replace(".onnx", ".pth")
    assert path.name == f"{hash_of(url.encode())[:12]}-net.pth"
    assert path.read_bytes() == CHECKPOINT
    record = path.with_name(f"{path.name}.sha256")
    assert record.read_text() == f"{hash_of(CHECKPOINT)}  {path.name}\n"
    assert left_in(cache) == [path, record]
    assert "of unknown size" in caplog.text
    assert f"gives no hash; recorded that of this first download, sha256 {hash_of(CHECKPOINT)}" in (
        caplog.text
    )
    assert (unhashed.verify("net"), unhashed.expected("net")) == (Status.OK, hash_of(CHECKPOINT))
    assert fetch(unhashed) == path
    assert len(server.requests) == 1


def test_later_downloads_must_be_the_first_again(unhashed: Catalogue, server: Server) -> None:
    path = fetch(unhashed)
    path.write_bytes(b"damaged")
    assert unhashed.verify("net") is Status.DAMAGED
    assert fetch(unhashed).read_bytes() == CHECKPOINT
    path.unlink()
    server.behave = lambda handler, _: handler.answer(OTHER)
    with pytest.raises(WeightsError, match="other bytes came than at the first download") as caught:
        fetch(unhashed)
    assert caught.value.expected == hash_of(CHECKPOINT)
    assert caught.value.actual == hash_of(OTHER)
    record = path.with_name(f"{path.name}.sha256")
    assert f"if you trust them, delete {record}" in str(caught.value)
    assert left_in(path.parent) == [record]
    record.unlink()
    assert fetch(unhashed).read_bytes() == OTHER


def test_a_file_that_no_download_left_is_not_trusted(unhashed: Catalogue, cache: Path) -> None:
    path = unhashed.path("net")
    cache.mkdir()
    path.write_bytes(OTHER)
    assert unhashed.verify("net") is Status.UNRECORDED
    assert fetch(unhashed).read_bytes() == CHECKPOINT
    assert unhashed.verify("net") is Status.OK


@pytest.mark.parametrize(
    ("body", "came"),
    [(PAGE, "a web page came"), (b'{"error": "gone"}', "no checkpoint of PyTorch")],
)
def test_what_is_no_checkpoint_is_not_recorded(
    unhashed: Catalogue, server: Server, cache: Path, body: bytes, came: str
) -> None:
    server.behave = lambda handler, _: handler.answer(body)
    with pytest.raises(WeightsError, match=came):
        fetch(unhashed)
    assert left_in(cache) == []


def test_a_cut_first_download_is_not_taken_for_the_whole(
    unhashed: Catalogue, server: Server, cache: Path
) -> None:
    def without_length(handler: Handler, _: int) -> None:
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(CHECKPOINT[:131_072])

    server.behave = without_length
    with pytest.raises(WeightsError, match="does not say how long the file is"):
        fetch(unhashed)
    assert left_in(cache) == []
    server.behave = lambda handler, count: handler.answer(
        CHECKPOINT[: 100_000 if count < 3 else None], length=len(CHECKPOINT)
    )
    assert fetch(unhashed).read_bytes() == CHECKPOINT


def test_a_damaged_record_is_an_error(unhashed: Catalogue) -> None:
    path = fetch(unhashed)
    path.with_name(f"{path.name}.sha256").write_text("abc")
    with pytest.raises(WeightsError, match=r"\.sha256: is no record of a hash; delete it"):
        fetch(unhashed)
