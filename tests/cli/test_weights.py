"""``facekit weights list|fetch|verify``."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typer.testing import Result

from facekit import weights

Facekit = Callable[..., Result]

CONTENT = b"weights" * 1000


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """Serve a folder with one file, ``remote.onnx``, on this machine alone."""

    class Silent(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "remote.onnx").write_bytes(CONTENT)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=str(folder))) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()
        thread.join()


@pytest.fixture
def catalogue(tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A catalogue of one shipped and one remote file in place of facekit's own."""
    folder = tmp_path / "bundled"
    folder.mkdir()
    (folder / "local.onnx").write_bytes(CONTENT)
    digest = hashlib.sha256(CONTENT).hexdigest()
    common = (
        f'backend = "tiny_ssd"\nrole = "detector"\nsha256 = "{digest}"\nsize = {len(CONTENT)}\n'
    )
    common += 'licence = "CC0-1.0"\nsource = "made up"\nsummary = "for tests"\n'
    (folder / "weights.toml").write_text(
        f'[local]\nfile = "local.onnx"\n{common}[remote]\nurl = "{server}/remote.onnx"\n{common}'
    )
    monkeypatch.setenv("FACEKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(weights, "BUNDLED", folder)
    weights._bundled_catalogue.cache_clear()
    yield folder
    weights._bundled_catalogue.cache_clear()


def test_list(facekit: Facekit) -> None:
    result = facekit("weights", "list")
    assert (result.exit_code, result.stderr) == (0, "")
    headers, *rows = result.stdout.splitlines()
    assert headers.split() == ["name", "role", "backend", "size", "where", "licence"]
    assert rows[0].split()[:3] == ["tiny_ssd", "detector", "tiny_ssd"]
    assert "LicenseRef-facekit-weights" in rows[0]
    assert str(weights.BUNDLED / "tiny_ssd.onnx") in result.stdout


def test_list_as_json(facekit: Facekit) -> None:
    records = json.loads(facekit("weights", "list", "--json").stdout)
    found = {record["name"]: record for record in records}
    assert set(found) == set(weights.entries())
    shipped = found["tiny_ssd"]
    assert shipped["bundled"] is True
    assert shipped["present"] is True
    assert Path(shipped["path"]).stat().st_size == shipped["size"]


@pytest.mark.usefixtures("catalogue")
def test_list_before_and_after_fetching(facekit: Facekit, server: str) -> None:
    before = facekit("weights", "list").stdout
    assert "to be fetched" in before
    assert f"  {server}/remote.onnx" in before.splitlines()
    facekit("weights", "fetch", "remote")
    assert "downloaded" in facekit("weights", "list").stdout


def test_list_of_a_missing_file(facekit: Facekit, catalogue: Path) -> None:
    (catalogue / "local.onnx").unlink()
    assert "bundled, missing" in facekit("weights", "list").stdout


@pytest.mark.usefixtures("catalogue")
def test_fetch(facekit: Facekit, server: str, tmp_path: Path) -> None:
    result = facekit("weights", "fetch", "remote", "local")
    assert result.exit_code == 0
    remote, local = map(Path, result.stdout.splitlines())
    assert remote.parent == tmp_path / "cache"
    assert remote.read_bytes() == local.read_bytes() == CONTENT
    assert [line for line in result.stderr.splitlines() if line] == [
        f"fetching remote: {server}/remote.onnx (0.0 MB)",
        "licence: CC0-1.0",
    ]
    again = facekit("weights", "fetch", "remote")
    assert (again.exit_code, again.stdout, again.stderr) == (0, f"{remote}\n", "")


@pytest.mark.usefixtures("catalogue")
def test_fetch_what_nobody_knows(facekit: Facekit) -> None:
    result = facekit("weights", "fetch", "remot")
    assert (result.exit_code, result.stdout) == (2, "")
    assert (
        result.stderr == "error: unknown weights 'remot': did you mean 'remote'? "
        "known: local, remote\n"
    )
    partly = facekit("weights", "fetch", "remot", "local")
    assert partly.exit_code == 1
    assert len(partly.stdout.splitlines()) == len(partly.stderr.splitlines()) == 1


@pytest.mark.usefixtures("catalogue")
def test_fetch_offline(facekit: Facekit, tmp_path: Path) -> None:
    result = facekit("weights", "fetch", "remote", env={"FACEKIT_OFFLINE": "1"})
    assert result.exit_code == 2
    assert "FACEKIT_OFFLINE" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "cache").exists()


def test_fetch_other_bytes(facekit: Facekit, catalogue: Path, tmp_path: Path) -> None:
    (tmp_path / "served" / "remote.onnx").write_bytes(b"x" * len(CONTENT))
    result = facekit("weights", "fetch", "remote")
    assert result.exit_code == 2
    assert "expected sha256" in result.stderr.splitlines()[-1]
    assert catalogue.exists()


@pytest.mark.usefixtures("catalogue")
def test_verify(facekit: Facekit) -> None:
    result = facekit("weights", "verify")
    assert (result.exit_code, result.stderr) == (0, "")
    assert [line.split()[:2] for line in result.stdout.splitlines()] == [
        ["name", "status"],
        ["local", "ok"],
        ["remote", "absent"],
    ]


@pytest.mark.usefixtures("catalogue")
def test_verify_what_is_not_there(facekit: Facekit) -> None:
    result = facekit("weights", "verify", "remote")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.endswith("remote is absent; run: facekit weights fetch remote\n")
    assert facekit("weights", "verify", "remote", "local").exit_code == 1
    assert facekit("weights", "verify", "nobody").exit_code == 2


def test_verify_a_damaged_file(facekit: Facekit, catalogue: Path) -> None:
    (catalogue / "local.onnx").write_bytes(b"other")
    result = facekit("weights", "verify")
    assert result.exit_code == 1
    assert "local is damaged; reinstall facekit" in result.stderr


def test_weights_without_a_published_hash(
    facekit: Facekit, catalogue: Path, server: str, tmp_path: Path
) -> None:
    table = f'url = "{server}/remote.onnx"\ntrust_first_download = true\nlicence = "CC0-1.0"\n'
    table += 'backend = "tiny_ssd"\nrole = "detector"\nsource = "made up"\nsummary = "a test"\n'
    (catalogue / "weights.toml").write_text(f"[remote]\n{table}")
    before = facekit("weights", "list").stdout
    assert before.splitlines()[1].split()[3] == "unknown"
    assert "  no hash is published: that of the first download will be recorded" in before
    fetched = facekit("weights", "fetch", "remote")
    assert fetched.exit_code == 0, fetched.stderr
    assert fetched.stderr.splitlines()[:3] == [
        f"fetching remote: {server}/remote.onnx (size unknown)",
        "licence: CC0-1.0",
        "note: no hash is published: that of the first download will be recorded",
    ]
    digest = hashlib.sha256(CONTENT).hexdigest()
    assert f"that of the first download was {digest}" in facekit("weights", "list").stdout
    (told,) = json.loads(facekit("weights", "list", "--json").stdout)
    assert (told["sha256"], told["size"], told["trust_first_download"]) == (digest, None, True)
    assert facekit("weights", "verify", "remote").exit_code == 0
    (record,) = (tmp_path / "cache").glob("*.sha256")
    record.unlink()
    refused = facekit("weights", "verify")
    assert refused.exit_code == 2
    assert "remote is without the record of its first download; run: facekit" in refused.stderr


def test_the_shipped_weights_are_whole(facekit: Facekit) -> None:
    result = facekit("weights", "verify")
    assert (result.exit_code, result.stderr) == (0, "")


def test_detect_with_weights_of_the_catalogue(
    facekit: Facekit, catalogue: Path, astronaut_path: Path
) -> None:
    # The hash is checked before anything reads the file.
    (catalogue / "local.onnx").write_bytes(b"other")
    result = facekit("detect", astronaut_path, "--weights", "local")
    assert result.exit_code == 2
    assert "damaged" in result.stderr
    assert len(result.stderr.splitlines()) == 1
