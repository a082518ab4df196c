"""Images from a real HTTP server on loopback, in all its moods."""

from __future__ import annotations

import dataclasses
import http.server
import io
import itertools
import json
import shutil
import ssl
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from facekit import datasets, images
from facekit.datasets.download import Limits, Outcome, fetch_images, write_report
from facekit.datasets.records import ImageRecord
from facekit.datasets.web import WebError, _is_public, fetch
from facekit.errors import ConfigError, OutputError

FAST = Limits(
    attempts=3, backoff=0.001, timeout=10, deadline=30, max_bytes=100_000, allow_private=True
)


def png(mode: str = "RGBA") -> bytes:
    """A noisy image of 40 x 30 pixels, some kilobytes."""
    noise = np.random.default_rng(0).integers(0, 255, (30, 40, len(mode)), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise, mode).save(buffer, format="PNG")
    return buffer.getvalue()


PHOTO = png()


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers by the path; each request is written down."""

    server: Server

    def log_message(self, *_: Any) -> None:
        """Keep the test's output clean."""

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        with self.server.lock:
            self.server.most = max(self.server.most, self.server.busy + 1)
            self.server.busy += 1
        try:
            mood = self.path.partition("?")[0].strip("/").partition(".")[0].partition("_")[0]
            getattr(self, f"be_{mood}")()
        except (BrokenPipeError, ConnectionResetError):
            pass  # the client has hung up, as it should
        finally:
            with self.server.lock:
                self.server.busy -= 1

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content_Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def be_photo(self) -> None:
        self.answer(200, PHOTO, Content_Type="image/png")

    def be_gone(self) -> None:
        self.answer(404)

    def be_busy(self) -> None:
        self.answer(200, PHOTO) if self.server.asked.count(self.path) > 2 else self.answer(503)

    def be_broken(self) -> None:
        self.answer(500)

    def be_page(self) -> None:
        self.answer(200, b"<html>Log in</html>", Content_Type="text/html; charset=utf-8")

    def be_empty(self) -> None:
        self.answer(200)

    def be_moved(self) -> None:
        self.answer(302, Location="/photo_%20.png?a=b")

    def be_loop(self) -> None:
        self.answer(301, Location=self.path)

    def be_astray(self) -> None:
        self.answer(302, Location="file:///etc/passwd")

    def be_nowhere(self) -> None:
        self.answer(302)

    def be_large(self) -> None:
        self.answer(200, Content_Length="1000000")

    def be_endless(self) -> None:
        self.send_response(200)
        self.end_headers()
        for _ in range(10_000):
            self.wfile.write(b"0" * 1000)

    def be_cut(self) -> None:
        self.answer(200, PHOTO[:1000], Content_Length=str(len(PHOTO)))

    def be_truncated(self) -> None:
        self.answer(200, PHOTO[:1000])

    def be_silent(self) -> None:
        self.server.closing.wait(10)

    def be_dripping(self) -> None:
        self.send_response(200)
        self.end_headers()
        while not self.server.closing.wait(0.05):
            self.wfile.write(b"0")
            self.wfile.flush()


class Server(http.server.ThreadingHTTPServer):
    """A host of images."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str] = []
        self.closing = threading.Event()
        self.lock = threading.Lock()
        self.busy = self.most = 0

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{name}"


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.closing.set()
        running.shutdown()
        thread.join()


def record(url: str, name: str, **changes: Any) -> ImageRecord:
    return ImageRecord(name=name, attributes={"url": url} if url else {}, **changes)


def one(server: Server, mood: str, folder: Path, limits: Limits = FAST) -> Outcome:
    (outcome,) = fetch_images([record(server.url(mood), mood)], folder, limits=limits)
    return outcome


def test_an_image_is_kept_as_it_comes(server: Server, tmp_path: Path) -> None:
    source = datasets.Provenance("faces.json", 7)
    asked = record(server.url("photo.png"), "sub/a.png", size=(30, 40), source=source)
    (outcome,) = fetch_images([asked], tmp_path / "new", limits=FAST)
    assert outcome == Outcome(
        name="sub/a.png",
        url=server.url("photo.png"),
        status="fetched",
        attempts=1,
        bytes=len(PHOTO),
        size=(30, 40),
        stated=(30, 40),
        file="faces.json",
        line=7,
    )
    assert (tmp_path / "new" / "sub" / "a.png").read_bytes() == PHOTO


def test_the_tutorials_jpegs(server: Server, tmp_path: Path) -> None:
    asked = record(server.url("photo.png"), "face_0.jpeg", size=(3, 4))
    (outcome,) = fetch_images([asked], tmp_path, limits=FAST, reencode=True)
    assert outcome.reason == "the annotation states 4 x 3 pixels, the image has 40 x 30"
    with Image.open(tmp_path / "face_0.jpeg") as image:
        assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (40, 30))


FAILURES = {
    "gone": ("HTTP 404", 1),
    "broken": ("HTTP 500", 3),
    "page": ("not an image in a format that Pillow reads (the server says text/html)", 1),
    "empty": ("the answer is empty", 1),
    "loop": ("more than 5 redirects", 1),
    "astray": ("only http and https are fetched, got 'file'", 1),
    "nowhere": ("HTTP 302 without a Location", 1),
    "large": ("1000000 bytes are over the limit of 100000", 1),
    "endless": ("more bytes than the limit of 100000", 1),
    "cut": ("the connection ended after 1000 of", 3),
    "truncated": ("damaged or truncated", 1),
}


@pytest.mark.parametrize("mood", FAILURES)
def test_an_image_that_does_not_come_costs_one_line(
    server: Server, tmp_path: Path, mood: str
) -> None:
    moods = (mood, "photo.png")
    asked = [record(server.url(name), f"{n}.png") for n, name in enumerate(moods)]
    failed, fetched = fetch_images(asked, tmp_path, limits=FAST)
    reason, attempts = FAILURES[mood]
    assert (failed.status, fetched.status) == ("failed", "fetched")
    assert reason in failed.reason
    assert failed.attempts == attempts
    assert [path.name for path in tmp_path.iterdir()] == ["1.png"]


SLOW = {
    "silent": ("no answer within 0.2 s", dataclasses.replace(FAST, attempts=2, timeout=0.2)),
    "dripping": ("took longer than 0.3 s", dataclasses.replace(FAST, attempts=2, deadline=0.3)),
}


@pytest.mark.parametrize("mood", SLOW)
def test_slow_servers(server: Server, tmp_path: Path, mood: str) -> None:
    reason, limits = SLOW[mood]
    outcome = one(server, mood, tmp_path, limits)
    assert (outcome.status, outcome.reason, outcome.attempts) == ("failed", reason, 2)


def test_faults_that_pass_and_redirects(server: Server, tmp_path: Path) -> None:
    outcome = one(server, "busy", tmp_path)
    assert (outcome.status, outcome.attempts) == ("fetched", 3)
    assert one(server, "moved", tmp_path).status == "fetched"
    assert server.asked[-1] == "/photo_%20.png?a=b"


def test_no_server_no_host_no_url(server: Server, tmp_path: Path) -> None:
    port = server.server_address[1]
    server.shutdown()
    server.server_close()
    urls = {
        f"http://127.0.0.1:{port}/a.jpg": "the connection failed",
        "ftp://127.0.0.1/a.jpg": "only http and https",
        "a.jpg": "got 'no scheme'",
        "http:///a.jpg": "no host",
        "http://[a/a.jpg": "not a URL",
        "http://127.0.0.1:99999/a.jpg": "not a URL",
        f"http://{'a' * 70}.example/a.jpg": "not a host",
        "http://nobody.invalid/a.jpg": "is not known",
        "": "gives no URL",
    }
    asked = [record(url, f"{n}.jpg") for n, url in enumerate(urls)]
    outcomes = list(fetch_images(asked, tmp_path, limits=FAST))
    for outcome, reason in zip(outcomes, urls.values(), strict=True):
        assert (outcome.status, reason in outcome.reason) == ("failed", True), outcome


def test_private_addresses_are_refused_unless_allowed(server: Server) -> None:
    limits = Limits(attempts=1)
    for host in ("127.0.0.1", "localhost", "2130706433"):
        url = f"http://{host}:{server.server_address[1]}/photo.png"
        with pytest.raises(WebError, match=r"is the private address 127\.0\.0\.1, which is not"):
            fetch(url, limits)
    assert server.asked == []


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A key and a certificate of this machine's, signed by nobody."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    file = tmp_path / "both.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext"
    names = "subjectAltName=DNS:localhost,IP:127.0.0.1"
    outputs = ("-keyout", str(file), "-out", str(tmp_path / "certificate.pem"))
    subprocess.run([*command.split(), names, *outputs], check=True, capture_output=True)
    with file.open("a") as both:
        both.write((tmp_path / "certificate.pem").read_text())
    return file


def test_https(server: Server, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    url = server.url("photo.png").replace("http:", "https:")
    with pytest.raises(WebError, match="the certificate is not trusted: self") as caught:
        fetch(url, FAST)
    assert caught.value.attempts == 1
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert fetch(url, FAST).data == PHOTO
    assert fetch(url.replace("127.0.0.1", "localhost"), FAST).data == PHOTO


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2001:4860:4860::8888", True),
        ("10.1.2.3", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),  # noqa: S104 - an address to be refused
        ("224.0.0.1", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("::ffff:192.168.0.1", False),
        ("2002:7f00:1::", False),
        ("64:ff9b::a00:1", False),
        ("64:ff9b::808:808", True),
    ],
)
def test_which_addresses_are_public(address: str, public: bool) -> None:
    assert _is_public(address) is public


def test_a_killed_run_goes_on_without_fetching_twice(server: Server, tmp_path: Path) -> None:
    asked = [record(server.url(f"photo_{n}.png"), f"{n}.png") for n in range(30)]
    run = fetch_images(iter(asked), tmp_path, limits=FAST, workers=2)
    first = [next(run).status for _ in range(5)]
    run.close()
    before = Counter(server.asked)
    assert first == ["fetched"] * 5
    assert len(before) < 30
    (tmp_path / "29.png").write_bytes(b"what a crash of the machine may leave")
    statuses = Counter(outcome.status for outcome in fetch_images(asked, tmp_path, limits=FAST))
    assert set(Counter(server.asked).values()) == {1}
    assert statuses == {"present": len(before), "fetched": 30 - len(before)}
    assert {images.read_size(path) for path in tmp_path.iterdir()} == {(30, 40)}


KILLED = """
import sys
from facekit import datasets
from facekit.datasets.download import Limits, fetch_images

for outcome in fetch_images(
    datasets.read(f"dataturks:{sys.argv[1]}"), sys.argv[2], limits=Limits(allow_private=True)
):
    print(outcome.status, flush=True)
"""


def test_a_process_that_is_killed_leaves_whole_images(server: Server, tmp_path: Path) -> None:
    file, folder = tmp_path / "faces.json", tmp_path / "faces"
    urls = [server.url(f"photo_{n}.png") for n in range(1000)]
    file.write_text("\n".join(json.dumps({"content": url, "annotation": []}) for url in urls))
    command = [sys.executable, "-c", KILLED, str(file), str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        assert [run.stdout.readline() for _ in range(10)] == ["fetched\n"] * 10
        run.kill()
    whole = {path.name for path in folder.glob("photo_*.png")}
    assert 10 <= len(whole) < 1000
    server.asked.clear()
    records = itertools.islice(datasets.read(f"dataturks:{file}"), len(whole) + 20)
    outcomes = list(fetch_images(records, folder, limits=FAST))
    assert {outcome.name for outcome in outcomes if outcome.status == "present"} == whole
    assert not {name.strip("/") for name in server.asked} & whole
    assert {outcome.status for outcome in outcomes} == {"present", "fetched"}


def test_workers_are_bounded_and_records_are_read_as_needed(server: Server, tmp_path: Path) -> None:
    taken: list[int] = []

    def asked() -> Iterator[ImageRecord]:
        for number in range(50):
            taken.append(number)
            yield record(server.url(f"photo_{number}.png"), f"{number}.png")

    run = fetch_images(asked(), tmp_path, limits=FAST, workers=3)
    next(run)
    assert len(taken) == 7
    assert len(list(run)) == 49
    assert server.most <= 3


def test_the_report(server: Server, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    asked = [record(server.url(mood), f"{mood}.png") for mood in ("photo", "gone")]
    outcomes = fetch_images(asked, tmp_path / "images", limits=FAST)
    assert write_report(outcomes, tmp_path / "report.jsonl") == {"fetched": 1, "failed": 1}
    lines = [json.loads(line) for line in (tmp_path / "report.jsonl").read_text().splitlines()]
    assert [(line["name"], line["status"]) for line in lines] == [
        ("photo.png", "fetched"),
        ("gone.png", "failed"),
    ]
    assert lines[1]["reason"].startswith("HTTP 404")


def test_dataturks_from_urls_to_records(server: Server, tmp_path: Path) -> None:
    def line(mood: str) -> str:
        points = [{"x": 0.25, "y": 0.5}, {"x": 0.5, "y": 1}]
        face = {"label": ["Face"], "points": points, "imageWidth": 80, "imageHeight": 60}
        return json.dumps({"content": server.url(mood), "annotation": [face]})

    file = tmp_path / "faces.json"
    file.write_text("\n".join(map(line, ("photo", "gone", "photo"))))
    spec, folder = f"dataturks:{file}", tmp_path / "faces"
    outcomes = fetch_images(datasets.read(spec, names="number"), folder, limits=FAST, reencode=True)
    counts = Counter(outcome.status for outcome in outcomes)
    assert counts == {"fetched": 2, "failed": 1}
    records = list(datasets.read(spec, names="number", images=folder))
    assert [record.size for record in records] == [(30, 40), (60, 80), (30, 40)]
    assert [record.faces[0].box for record in records] == [
        (10, 15, 20, 30),
        (20, 30, 40, 60),
        (10, 15, 20, 30),
    ]
    again = fetch_images(iter(records), folder, limits=FAST)
    assert [outcome.stated for outcome in again] == [(60, 80)] * 3


def test_what_stops_a_run(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = [record(server.url("photo"), "a.unknown")]
    with pytest.raises(OutputError, match="no image format has the suffix"):
        list(fetch_images(asked, tmp_path, limits=FAST, reencode=True))
    with pytest.raises(ConfigError, match="workers"):
        list(fetch_images(asked, tmp_path, workers=0))
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be made"):
        list(fetch_images(asked, tmp_path / "file"))
    monkeypatch.setenv("FACEKIT_OFFLINE", "1")
    with pytest.raises(ConfigError, match="FACEKIT_OFFLINE forbids"):
        list(fetch_images(asked, tmp_path))
