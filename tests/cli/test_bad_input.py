"""Whatever a user gets wrong: one clear line, exit code 2, nothing written, no traceback."""

from __future__ import annotations

import hashlib
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from facekit.weights import BUNDLED

Facekit = Callable[..., Result]

CODE = 2


def refused(result: Result, *words: str) -> None:
    """Check exit code, one line, and that it says what was wrong."""
    assert result.exit_code == CODE, result.output
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("error: ")
    for word in words:
        assert word in lines[0]


def bomb(path: Path, side: int) -> Path:
    """Write a valid PNG of ``side`` x ``side`` grey pixels; it deflates a thousandfold."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    packer = zlib.compressobj(1)
    row = bytes(side + 1)
    rows = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )
    return path


@pytest.fixture
def bad(tmp_path: Path, astronaut: object) -> Callable[[str], Path]:
    """A file that is no photo, by the reason why."""
    from facekit.images import encode

    def build(kind: str) -> Path:
        path = tmp_path / f"{kind}.jpg"
        if kind == "missing":
            return path
        if kind == "bomb":
            return bomb(path, 20_000)
        jpeg = encode(astronaut, ".jpg")  # type: ignore[arg-type]
        contents = {
            "text": b"this is no photo\n" * 100,
            "truncated": jpeg[: len(jpeg) // 2],
            "empty": b"",
        }
        path.write_bytes(contents[kind])
        return path

    return build


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("missing", ("no such file",)),
        ("text", ("not an image",)),
        ("truncated", ("truncated",)),
        ("bomb", ("20000 x 20000", "100000000", "FACEKIT_MAX_PIXELS")),
        ("empty", ("empty",)),
    ],
)
def test_bad_photo(
    facekit: Facekit,
    bad: Callable[[str], Path],
    tmp_path: Path,
    kind: str,
    words: tuple[str, ...],
) -> None:
    photo = bad(kind)
    before = sorted(tmp_path.iterdir())
    out = tmp_path / "out.jpg", tmp_path / "out.json", tmp_path / "crops"
    result = facekit("detect", photo, "-o", out[0], "--json", out[1], "--crops", out[2])
    refused(result, str(photo), *words)
    assert sorted(tmp_path.iterdir()) == before


def test_pixel_limit_can_be_lowered_and_raised(facekit: Facekit, astronaut_path: Path) -> None:
    pixels = 512 * 512
    low = facekit("detect", astronaut_path, "--max-pixels", pixels - 1)
    refused(low, "512 x 512", str(pixels - 1))
    environment = {"FACEKIT_MAX_PIXELS": str(pixels - 1)}
    refused(facekit("detect", astronaut_path, env=environment), "512 x 512")
    raised = facekit("detect", astronaut_path, "--max-pixels", pixels, env=environment)
    assert raised.exit_code == 0
    assert "FACEKIT_MAX_PIXELS" not in os.environ


def test_pixel_limit_that_is_no_number(facekit: Facekit, astronaut_path: Path) -> None:
    result = facekit("detect", astronaut_path, env={"FACEKIT_MAX_PIXELS": "lots"})
    refused(result, "FACEKIT_MAX_PIXELS='lots'")


def test_unknown_backend(facekit: Facekit, astronaut_path: Path) -> None:
    refused(
        facekit("detect", astronaut_path, "--detector", "tinyssd"),
        "unknown detector 'tinyssd'",
        "did you mean 'tiny_ssd'",
    )
    refused(
        facekit("detect", astronaut_path, "--landmarker", "resnet"),
        "unknown landmarker 'resnet'",
        "'resnet18'",
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "detector: {backend: tiny_ssd, score_treshold: 0.5}",
            ("'detector.score_treshold'", "did you mean 'score_threshold'"),
        ),
        ("landmarker: {backend: resnet18, thread: 2}", ("'landmarker.thread'", "'threads'")),
        ("detector: {backend: tiny_ssd, score_threshold: 7}", ("detector.score_threshold",)),
        ("detektor: {backend: tiny_ssd}", ("'detektor'", "did you mean 'detector'")),
        ("detector: {backend: tinyssd}", ("'tinyssd'", "'tiny_ssd'")),
        ("classifiers: [{backend: nobody}]", ("unknown classifier 'nobody'",)),
        ("detector: [", ("facekit.yaml:1", "not valid YAML")),
        ("- a\n- b", ("expected a mapping",)),
    ],
)
def test_wrong_config(
    facekit: Facekit, astronaut_path: Path, tmp_path: Path, text: str, words: tuple[str, ...]
) -> None:
    config = tmp_path / "facekit.yaml"
    config.write_text(text)
    refused(facekit("detect", astronaut_path, "--config", config), *words)


def test_the_config_s_file_is_named(facekit: Facekit, astronaut_path: Path, tmp_path: Path) -> None:
    config = tmp_path / "facekit.yaml"
    config.write_text("detector: {backend: tiny_ssd, score_treshold: 0.5}")
    refused(facekit("detect", astronaut_path, "--config", config), str(config))
    missing = tmp_path / "other.yaml"
    refused(facekit("detect", astronaut_path, "--config", missing), str(missing), "No such file")


@pytest.mark.parametrize(
    ("word", "words"),
    [
        ("threads", ("KEY=VALUE",)),
        ("face.threads=2", ("KEY=VALUE",)),
        ("=2", ("KEY=VALUE",)),
        ("threads=[", ("not valid YAML",)),
        ("backend=haar", ("--detector",)),
        ("landmarker.backend=x", ("--landmarker",)),
        ("thread=2", ("command line", "'detector.thread'", "'threads'")),
        ("landmarker.thread=2", ("command line", "'landmarker.thread'", "'threads'")),
    ],
)
def test_wrong_option(
    facekit: Facekit, astronaut_path: Path, word: str, words: tuple[str, ...]
) -> None:
    refused(facekit("detect", astronaut_path, "--option", word), *words)


def test_options_without_a_landmarker(facekit: Facekit, astronaut_path: Path) -> None:
    result = facekit(
        "detect", astronaut_path, "--landmarker", "none", "--option", "landmarker.threads=1"
    )
    refused(result, "no landmarker")


def test_wrong_engine(facekit: Facekit, astronaut_path: Path) -> None:
    result = facekit("detect", astronaut_path, "--engine", "tensorflow")
    refused(result, "detector.engine", "'torch', 'onnxruntime' or 'openvino'")


def test_weights_of_another_network(facekit: Facekit, astronaut_path: Path) -> None:
    other = BUNDLED / "resnet18.onnx"
    result = facekit("detect", astronaut_path, "--weights", other)
    refused(result, str(other), "logits", "deltas", "landmarks")


def test_weights_that_are_no_weights(
    facekit: Facekit, astronaut_path: Path, tmp_path: Path
) -> None:
    text = tmp_path / "weights.onnx"
    text.write_text("no weights")
    refused(facekit("detect", astronaut_path, "--weights", text), str(text))
    refused(
        facekit("detect", astronaut_path, "--weights", "tiny-ssd"), "'tiny_ssd'", "no such file"
    )


def test_weights_of_another_hash(facekit: Facekit, astronaut_path: Path) -> None:
    wanted = "0123456789abcdef" * 4
    weights = BUNDLED / "tiny_ssd.onnx"
    result = facekit("detect", astronaut_path, "--weights", weights, "--option", f"sha256={wanted}")
    refused(result, str(weights), wanted, hashlib.sha256(weights.read_bytes()).hexdigest())


def test_output_in_a_folder_that_does_not_exist(
    facekit: Facekit, astronaut_path: Path, photos: Path, tmp_path: Path
) -> None:
    nowhere = tmp_path / "nowhere"
    words = (str(nowhere), "does not exist")
    refused(facekit("detect", astronaut_path, "-o", nowhere / "out.jpg"), *words)
    refused(facekit("detect", astronaut_path, "--json", nowhere / "out.json"), *words)
    refused(facekit("detect", astronaut_path, "--crops", nowhere / "crops"), *words)
    refused(facekit("detect", photos, "-o", nowhere / "out"), *words)
    assert not nowhere.exists()


# Root may write into any folder, whatever its permissions; /proc and /sys refuse files from
# everybody, and the checks must not trust os.access, which says yes to root there.
@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_output_that_may_not_be_written(
    facekit: Facekit, astronaut_path: Path, photos: Path
) -> None:
    words = ("/proc", "written")
    refused(facekit("detect", astronaut_path, "-o", "/proc/out.jpg"), *words)
    refused(facekit("detect", astronaut_path, "--json", "/proc/out.jsonl"), *words)
    refused(facekit("detect", astronaut_path, "--crops", "/proc"), *words)
    refused(facekit("detect", photos, "-o", "/proc/drawn"), *words)


@pytest.mark.usefixtures("require_permissions")
def test_output_in_a_read_only_folder(
    facekit: Facekit, astronaut_path: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o555)
    refused(facekit("detect", astronaut_path, "-o", folder / "out.jpg"), "may not be written")


def test_output_below_a_file(facekit: Facekit, astronaut_path: Path, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    refused(facekit("detect", astronaut_path, "-o", file / "out.jpg"), "does not exist")
    refused(facekit("detect", astronaut_path, "--crops", file), "is a file")


def test_outputs_are_checked_before_models_are_loaded(
    facekit: Facekit, astronaut_path: Path, tmp_path: Path
) -> None:
    result = facekit(
        "detect", astronaut_path, "-o", tmp_path / "no" / "out.jpg", "--weights", "nobody.onnx"
    )
    refused(result, "does not exist")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("out.xyz", ("'.xyz'", ".jpg")),
        ("out", ("out: ", "''", ".jpg", "folder")),
        ("out.mp4", (".mp4", ".jpg")),
    ],
)
def test_output_of_no_picture_s_name(
    facekit: Facekit, astronaut_path: Path, tmp_path: Path, name: str, words: tuple[str, ...]
) -> None:
    refused(facekit("detect", astronaut_path, "-o", tmp_path / name), *words)


def test_json_of_another_suffix(facekit: Facekit, astronaut_path: Path, tmp_path: Path) -> None:
    refused(facekit("detect", astronaut_path, "--json", tmp_path / "a.txt"), ".json", ".jsonl")


def test_one_file_for_many_inputs(facekit: Facekit, photos: Path, tmp_path: Path) -> None:
    refused(facekit("detect", photos, "-o", tmp_path / "out.jpg"), "out.jpg", "give a folder")


def test_video_s_output_of_another_kind(facekit: Facekit, clip: Path, tmp_path: Path) -> None:
    refused(facekit("detect", clip, "-o", tmp_path / "out.jpg"), "as a video", ".mp4")


def test_an_input_is_never_overwritten(facekit: Facekit, photos: Path, tmp_path: Path) -> None:
    photo = photos / "a.png"
    before = photo.read_bytes()
    refused(facekit("detect", photo, "-o", photo), "one of the inputs")
    link = tmp_path / "link.png"
    link.symlink_to(photo)
    refused(facekit("detect", photo, "-o", link), "one of the inputs")
    refused(facekit("detect", photos, "-o", photos), "holds the inputs")
    refused(facekit("detect", photo, "-o", photos), "holds the inputs")
    config = tmp_path / "run.json"
    config.write_text("{}")
    refused(facekit("detect", photo, "--config", config, "--json", config), "one of the inputs")
    assert photo.read_bytes() == before
    assert config.read_text() == "{}"


def test_a_camera_is_alone(facekit: Facekit, astronaut_path: Path) -> None:
    refused(facekit("detect", "0", astronaut_path), "camera must be the only input")


def test_a_camera_that_is_not_there(facekit: Facekit, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    refused(facekit("detect", "97", "-o", out), "camera 97", "cannot be opened")
    refused(facekit("detect", "97"), "camera 97", "cannot be opened")
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nope",), ("nope", "facekit --help")),
        (("detect",), ("Missing argument", "facekit detect --help")),
        (("summary",), ("Missing argument", "facekit summary --help")),
        (("export",), ("Missing argument", "facekit export --help")),
        (("convert",), ("Missing argument", "facekit convert --help")),
        (("convert", "widerface:a"), ("Missing argument", "facekit convert --help")),
        (("train",), ("Missing argument", "facekit train --help")),
        (("calibrate",), ("Missing argument", "facekit calibrate --help")),
        (("detect", "a.jpg", "--treshold", "1"), ("--treshold", "facekit detect --help")),
        (("detect", "a.jpg", "--score-threshold", "5"), ("--score-threshold",)),
        (("detect", "a.jpg", "--batch-size", "0"), ("--batch-size",)),
        (("detect", "a.jpg", "--max-frames", "many"), ("--max-frames",)),
        (("weights",), ("Missing command", "facekit weights --help")),
        (("summary", "tiny_sdd"), ("'tiny_sdd'", "'tiny_ssd'")),
        (("summary", "resnet18", "--role", "nose"), ("role", "'nose'")),
    ],
)
def test_wrong_usage(facekit: Facekit, arguments: tuple[str, ...], words: tuple[str, ...]) -> None:
    refused(facekit(*arguments), *words)


def test_a_name_cannot_drive_the_terminal(facekit: Facekit, tmp_path: Path) -> None:
    path = tmp_path / "red\x1b[31m\nline.jpg"
    result = facekit("detect", path)
    refused(result, r"red\x1b[31m line.jpg")


def test_a_process_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "missing.jpg"
    done = subprocess.run(
        [sys.executable, "-m", "facekit", "detect", path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (CODE, "")
    assert done.stderr == f"error: {path}: no such file\n"
