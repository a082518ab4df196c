"""Run configurations: three formats, and messages that point at the mistake."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field, ValidationError

from facekit import config
from facekit.config import BackendConfig, RunConfig
from facekit.errors import ConfigError
from facekit.protocols import DetectorOptions

YAML = """
detector: {backend: s3fd, weights: s3fd.pth, score_threshold: 0.5}
landmarker: {backend: resnet18}
classifiers:
  - {backend: s3fd, weights: gender.safetensors}
"""
TOML = """
[detector]
backend = "s3fd"
weights = "s3fd.pth"
score_threshold = 0.5
[landmarker]
backend = "resnet18"
[[classifiers]]
backend = "s3fd"
weights = "gender.safetensors"
"""
VALUES: dict[str, Any] = {
    "detector": {"backend": "s3fd", "weights": "s3fd.pth", "score_threshold": 0.5},
    "landmarker": {"backend": "resnet18"},
    "classifiers": [{"backend": "s3fd", "weights": "gender.safetensors"}],
}


def written(folder: Path, name: str, text: str) -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.yaml", YAML), ("a.YML", YAML), ("a.toml", TOML), ("a.json", json.dumps(VALUES))],
)
def test_three_formats_say_the_same(name: str, text: str, tmp_path: Path) -> None:
    found = config.load(written(tmp_path, name, text))
    assert found == RunConfig.from_mapping(VALUES)
    assert found.detector.backend == "s3fd"
    assert found.detector.options == {"weights": "s3fd.pth", "score_threshold": 0.5}
    assert found.landmarker is not None
    assert found.landmarker.options == {}
    assert found.classifiers[0].options == {"weights": "gender.safetensors"}


def test_defaults_and_an_empty_file(tmp_path: Path) -> None:
    found = config.load(written(tmp_path, "a.yaml", "# nothing yet\n"))
    assert found == RunConfig()
    assert found.detector.backend == "tiny_ssd"
    assert found.landmarker == BackendConfig(backend="resnet18")
    assert found.classifiers == ()


def test_boxes_alone(tmp_path: Path) -> None:
    assert config.load(written(tmp_path, "a.json", '{"landmarker": null}')).landmarker is None


def test_a_configuration_is_frozen() -> None:
    with pytest.raises(ValidationError):
        RunConfig().detector = BackendConfig(backend="haar")  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.yaml", "detector: {backend: s3fd\n", r"a\.yaml:2: not valid YAML: "),
        ("a.yaml", "a: !!python/object:os.system {}\n", r"a\.yaml:1: not valid YAML: "),
        ("a.yaml", "a: \x01\n", r"a\.yaml: not valid YAML: "),
        ("a.yaml", "detector: {backend: 2020-99-99}\n", r"a\.yaml: not valid YAML: "),
        ("a.toml", "detector = \n", r"a\.toml: not valid TOML: .*line 1"),
        ("a.json", '{\n"detector": }', r"a\.json:2: not valid JSON: "),
        ("a.ini", "[detector]", r"a\.ini: a configuration is \.yaml, \.toml or \.json"),
        ("a.yaml", "- detector\n", r"a\.yaml: expected a mapping with detector"),
        ("a.json", "7", r"a\.json: expected a mapping"),
    ],
)
def test_malformed_files(name: str, text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        config.load(written(tmp_path, name, text))
    assert "\n" not in str(caught.value)


def test_deep_nesting_is_malformed_too(tmp_path: Path) -> None:
    for name in ("a.yaml", "a.json"):
        with pytest.raises(ConfigError, match="not valid"):
            config.load(written(tmp_path, name, "[" * 100_000))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"missing\.yaml: cannot be read: No such file"):
        config.load(tmp_path / "missing.yaml")
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        config.load(str(tmp_path))
    (tmp_path / "latin.yaml").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(ConfigError, match=r"latin\.yaml: cannot be read: .*decode"):
        config.load(tmp_path / "latin.yaml")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"detectr": {"backend": "haar"}},
            "unknown option 'detectr', did you mean 'detector'? (known: classifiers, detector, l",
        ),
        ({"detector": {}}, "detector.backend: Field required"),
        ({"detector": "haar"}, "detector: Input should be a valid dictionary"),
        ({"classifiers": [{"backend": "a"}, {}]}, "classifiers.1.backend: Field required"),
        ({7: 7}, "7"),
    ],
)
def test_wrong_values_are_named_by_their_path(values: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        RunConfig.from_mapping(values, source="faces.yaml")
    assert str(caught.value).startswith("faces.yaml: ")
    assert message in str(caught.value)


class Options(DetectorOptions):
    """Options of a detector that exists for these tests only."""

    scale: float = Field(default=1.0, gt=0)


def test_options_of_a_backend() -> None:
    checked = config.validate_options(Options, {"score_threshold": 0.25}, "detector 'x'")
    assert checked == Options(score_threshold=0.25)
    assert checked.scale == 1.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scal": 2}, "x: unknown option 'scal', did you mean 'scale'? (known: box_transform, "),
        ({"zzz": 2}, "x: unknown option 'zzz' (known: "),
        ({"scale": 0}, "x: scale: Input should be greater than 0"),
        ({"scale": "big", "score_threshold": 2}, "; "),
    ],
)
def test_wrong_options_of_a_backend(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config.validate_options(Options, options, "x")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_options_in_a_file_are_named_by_their_place_in_it() -> None:
    with pytest.raises(ConfigError, match=r"faces\.yaml: unknown option 'detector\.scal', did you"):
        config.validate_options(Options, {"scal": 1}, "faces.yaml", path="detector")
    with pytest.raises(ConfigError, match=r"faces\.yaml: detector\.scale: Input should"):
        config.validate_options(Options, {"scale": -1}, "faces.yaml", path="detector")
