"""Every error is a FacekitError with one line that names the thing and the way out."""

from __future__ import annotations

import pytest

from facekit import errors


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (errors.UnknownNameError, LookupError),
        (errors.DuplicateNameError, LookupError),
        (errors.MissingDependencyError, ImportError),
        (errors.ConfigError, ValueError),
        (errors.WeightsError, ValueError),
        (errors.ImageError, ValueError),
        (errors.DatasetError, ValueError),
        (errors.MetricsError, ValueError),
        (errors.OutputError, OSError),
        (errors.BackendError, RuntimeError),
        (errors.TrainingError, RuntimeError),
    ],
)
def test_the_tree_is_the_one_drawn(kind: type[Exception], builtin: type[Exception]) -> None:
    assert issubclass(kind, errors.FacekitError)
    assert issubclass(kind, builtin)
    drawn = errors.__doc__ or ""
    assert f"{kind.__name__} " in drawn
    assert f"({builtin.__name__})" in drawn


def test_every_public_error_is_in_the_tree() -> None:
    public = {getattr(errors, name) for name in errors.__all__ if name.endswith("Error")}
    defined = {kind for kind in vars(errors).values() if isinstance(kind, type)}
    tree = {kind for kind in defined if issubclass(kind, errors.FacekitError)}
    assert public == tree


def test_nearest_ignores_case_and_puts_the_closest_first() -> None:
    known = ["tiny_ssd", "tiny_yolo", "haar", "S3FD"]
    assert errors.nearest("tiny_sdd", known)[0] == "tiny_ssd"
    assert errors.nearest("s3df", known) == ["S3FD"]
    assert errors.nearest("zebra-crossing", known) == []


def test_nearest_gives_at_most_three() -> None:
    assert len(errors.nearest("face", [f"face{i}" for i in range(9)])) == 3


def test_unknown_name_suggests_and_lists() -> None:
    error = errors.UnknownNameError("detector", "tiny_sdd", {"tiny_ssd", "haar"})
    assert str(error) == (
        "unknown detector 'tiny_sdd': did you mean 'tiny_ssd'? known: haar, tiny_ssd"
    )
    assert error.known == ["haar", "tiny_ssd"]


def test_unknown_name_without_anything_near() -> None:
    assert str(errors.UnknownNameError("dataset", "x", [])) == "unknown dataset 'x': known: none"


def test_duplicate_name_names_every_claimant() -> None:
    error = errors.DuplicateNameError("detector", "mine", ["one", "other"])
    assert str(error) == (
        "detector 'mine' is registered more than once, by one and other: uninstall one of them"
    )


def test_missing_dependency_has_the_command_and_the_module() -> None:
    error = errors.MissingDependencyError("detector 's3fd'", "torch", 'pip install "facekit[s3fd]"')
    assert error.name == "torch"
    assert error.install == 'pip install "facekit[s3fd]"'
    assert str(error) == (
        "detector 's3fd' needs 'torch': 'torch' is not installed; "
        'run: pip install "facekit[s3fd]"'
    )


def test_missing_dependency_can_tell_more_than_not_installed() -> None:
    error = errors.MissingDependencyError("haar", "cv2", "pip install x", "OpenCV 5 has none")
    assert "needs 'cv2': OpenCV 5 has none; run: pip install x" in str(error)


def test_weights_error_shows_both_hashes_or_none() -> None:
    plain = errors.WeightsError("w.onnx", "no such file")
    assert str(plain) == "w.onnx: no such file"
    hashed = errors.WeightsError("w.onnx", "damaged", expected="aa", actual="bb")
    assert str(hashed) == "w.onnx: damaged (expected sha256 aa, got bb)"
    assert (hashed.source, hashed.expected, hashed.actual) == ("w.onnx", "aa", "bb")


@pytest.mark.parametrize(("line", "where"), [(7, "labels.txt:7"), (None, "labels.txt")])
def test_dataset_error_points_at_the_line(line: int | None, where: str) -> None:
    error = errors.DatasetError("labels.txt", line, "five numbers expected")
    assert str(error) == f"{where}: five numbers expected"
    assert error.line == line
