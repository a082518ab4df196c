from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from facekit import weights
from facekit.errors import ConfigError, UnknownNameError, WeightsError
from facekit.weights import Catalogue, Status

CONTENT = b"the bytes of a network"
HASH = hashlib.sha256(CONTENT).hexdigest()
SCRIPT = Path(__file__).parents[1] / "scripts" / "pin_weights.py"


def table(name: str, **values: object) -> str:
    fields: dict[str, object] = {
        "backend": "tiny_ssd",
        "role": "detector",
        "file": f"{name}.onnx",
        "sha256": HASH,
        "size": len(CONTENT),
        "licence": "CC0-1.0",
        "source": "made for a test",
        "summary": "a test",
    } | values
    lines = [
        f"{key} = {value}" if isinstance(value, int) else f'{key} = "{value}"'
        for key, value in fields.items()
        if value is not None
    ]
    return f"[{name}]\n" + "\n".join(lines) + "\n"


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    file = tmp_path / "weights.toml"
    file.write_text(table("small") + table("gone"))
    (tmp_path / "small.onnx").write_bytes(CONTENT)
    return Catalogue.load(file)


def test_none_is_the_default_entry(catalogue: Catalogue, tmp_path: Path) -> None:
    assert catalogue.resolve(None, default="small") == tmp_path / "small.onnx"


def test_a_name_is_its_entry(catalogue: Catalogue, tmp_path: Path) -> None:
    assert catalogue.resolve("small", default="gone") == tmp_path / "small.onnx"


@pytest.mark.parametrize("kind", [str, Path])
def test_an_existing_file_is_itself(
    catalogue: Catalogue, tmp_path: Path, kind: type[str | Path]
) -> None:
    own = tmp_path / "own.onnx"
    own.write_bytes(b"mine")
    assert catalogue.resolve(kind(own), default="small") == own


def test_a_file_wins_over_a_name(
    catalogue: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "small").write_bytes(b"mine")
    monkeypatch.chdir(folder)
    assert catalogue.resolve("small", default="small") == Path("small")
    assert catalogue.resolve(None, default="small") == tmp_path / "small.onnx"


def test_an_unknown_name_is_met_with_the_nearest(catalogue: Catalogue) -> None:
    with pytest.raises(WeightsError, match=r"smal: no such file.*did you mean 'small'.*known: s"):
        catalogue.resolve("smal", default="small")


def test_a_missing_file_is_named(catalogue: Catalogue, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"nowhere\.pth: no such file, .*weights: known"):
        catalogue.resolve(tmp_path / "nowhere.pth", default="small")


def test_a_folder_is_no_weights_file(catalogue: Catalogue, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="is a folder"):
        catalogue.resolve(tmp_path, default="small")


def test_a_name_too_long_for_a_file_is_an_error(catalogue: Catalogue) -> None:
    with pytest.raises(WeightsError, match="cannot be read: File name too long"):
        catalogue.resolve("x" * 5000, default="small")


def test_an_empty_catalogue_knows_none(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="known: none"):
        Catalogue({}, tmp_path).resolve("x", default="small")


def test_a_right_hash_passes_in_any_case(catalogue: Catalogue, tmp_path: Path) -> None:
    found = catalogue.resolve("small", default="small", sha256=HASH.upper())
    assert found == tmp_path / "small.onnx"


@pytest.mark.parametrize("name", [None, "small", "small.onnx"])
def test_a_wrong_hash_is_refused_with_both(
    catalogue: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WeightsError, match="not the expected file") as caught:
        catalogue.resolve(name, default="small", sha256="0" * 64)
    assert (caught.value.expected, caught.value.actual) == ("0" * 64, HASH)
    assert "\n" not in str(caught.value)


def test_damaged_shipped_weights_are_refused(catalogue: Catalogue, tmp_path: Path) -> None:
    (tmp_path / "small.onnx").write_bytes(CONTENT[:-1])
    assert catalogue.verify("small") is Status.DAMAGED
    with pytest.raises(WeightsError, match="damaged; reinstall") as caught:
        catalogue.resolve("small", default="small")
    assert caught.value.expected == HASH
    assert caught.value.actual == hashlib.sha256(CONTENT[:-1]).hexdigest()


def test_missing_shipped_weights_are_named(catalogue: Catalogue) -> None:
    assert catalogue.verify("gone") is Status.ABSENT
    with pytest.raises(WeightsError, match=r"gone\.onnx: .*missing; reinstall facekit"):
        catalogue.fetch("gone")


def test_good_shipped_weights_verify(catalogue: Catalogue) -> None:
    assert catalogue.verify("small") is Status.OK
    assert catalogue.entry("small").bundled


def test_an_entry_of_an_unknown_name_is_an_error(catalogue: Catalogue) -> None:
    with pytest.raises(UnknownNameError, match="unknown weights 'smal'"):
        catalogue.entry("smal")
    assert list(catalogue.entries) == ["small", "gone"]


def test_an_unreadable_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="cannot be read: Is a directory"):
        weights.sha256(tmp_path)


def test_hashes_of_large_files_are_those_of_their_bytes(tmp_path: Path) -> None:
    file = tmp_path / "large"
    file.write_bytes(CONTENT * 100_000)
    assert weights.sha256(file) == hashlib.sha256(CONTENT * 100_000).hexdigest()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[a", "not valid TOML"),
        ("a = 1", r"weights\.toml: a: expected a table \[a\]"),
        (table("a", url="http://host/file.onnx"), "either file .* or url"),
        (table("a", sha256=None), r"\[a\]: .*has sha256 and size, or trust_first_download"),
        (table("a", size=None), r"\[a\]: .*has sha256 and size, or trust_first_download"),
        (table("a", sha256=None) + "trust_first_download = true", "for files with a url"),
        (
            table("a", file=None, url="https://host/a.pth") + "trust_first_download = true",
            "and without a sha256",
        ),
        (table("a", file=None), "either file .* or url"),
        (table("a", sha256="abc"), r"\[a\]: sha256"),
        (table("a", role="dancer"), r"\[a\]: role"),
        (table("a", size=0), r"\[a\]: size"),
        (table("a", file="../secret"), r"\[a\]: file"),
        (table("a", file=None, url="ftp://host/file.onnx"), r"\[a\]: url"),
        (table("a", file=None, url="https://host/"), r"\[a\]: url"),
        (table("a", licens="CC0-1.0"), "unknown option 'licens', did you mean 'licence'"),
    ],
)
def test_a_wrong_catalogue_says_where(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "weights.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=message):
        Catalogue.load(file)


def test_a_missing_catalogue_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"weights\.toml: cannot be read: No such file"):
        Catalogue.load(tmp_path / "weights.toml")


def test_every_shipped_file_is_the_catalogued_one() -> None:
    bundled = {name: entry for name, entry in weights.entries().items() if entry.bundled}
    assert {"tiny_ssd", "resnet18"} <= set(bundled)
    for name, entry in bundled.items():
        assert weights.verify(name) is Status.OK, f"{name}: run scripts/pin_weights.py"
        path = weights.fetch(name)
        assert path == weights.resolve(None, default=name)
        assert path.stat().st_size == entry.size
        assert entry.card is not None
        assert (weights.BUNDLED / entry.card).is_file()
        assert "LicenseRef-facekit-weights" in entry.licence


def test_upstreams_tiny_ssd_is_known_by_its_address_alone() -> None:
    entry = weights.entries()["wider_face_tiny_ssd_075x"]
    assert entry.trust_first_download
    assert (entry.backend, entry.sha256, entry.size) == ("tiny_ssd", None, None)
    assert str(entry.url).endswith("/object_detection/wider_face_tiny_ssd_075x_epoch_70.pth")
    assert entry.cache_name.endswith("-wider_face_tiny_ssd_075x_epoch_70.pth")


def test_the_weights_licence_lies_beside_them() -> None:
    text = (weights.BUNDLED / "LICENSE-weights.md").read_text(encoding="utf-8")
    assert "Apache-2.0 AND LicenseRef-facekit-weights" in text


def pin(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_pinning_writes_hash_and_size_and_nothing_else(tmp_path: Path) -> None:
    stale = {"sha256": "0" * 64, "size": 1}
    file = tmp_path / "weights.toml"
    far = {"file": None, "url": "https://host/far.onnx"}
    file.write_text("# kept\n" + table("small", **stale) + table("gone") + table("far", **far))
    (tmp_path / "small.onnx").write_bytes(CONTENT)
    done = pin(file)
    assert done.returncode == 0, done.stderr
    assert "gone.onnx does not exist" in done.stderr
    expected = "# kept\n" + table("small") + table("gone") + table("far", **far)
    assert file.read_text() == expected


def test_pinning_refuses_a_table_that_it_cannot_edit(tmp_path: Path) -> None:
    file = tmp_path / "weights.toml"
    text = table("small").replace("[small]", "[ small ]")
    file.write_text(text)
    (tmp_path / "small.onnx").write_bytes(CONTENT)
    done = pin(file)
    assert done.returncode == 1
    assert "no table [small]" in done.stderr
    assert file.read_text() == text
