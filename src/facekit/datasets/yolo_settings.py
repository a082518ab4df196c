"""What YOLO's ``data.yaml`` says: the names of the classes, above all."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import yaml

from facekit.datasets.files import open_text
from facekit.errors import DatasetError

__all__ = ["SETTINGS", "checked_names", "class_names", "read_settings"]

SETTINGS: Final = ("data.yaml", "data.yml", "dataset.yaml")


def class_names(place: Path) -> dict[int, str]:
    """Return the names of a dataset's classes.

    Raises:
        DatasetError: If the dataset does not name them.
    """
    for name in SETTINGS:
        if (file := place / name).is_file():
            return checked_names(read_settings(file).get("names"), file)
    file = place / "classes.txt"
    if not file.is_file():
        reason = "no data.yaml or classes.txt with the names of the classes; give labels=[...]"
        raise DatasetError(place, None, reason)
    with open_text(file) as lines:
        return checked_names([line.strip() for line in lines if line.strip()], file)


def read_settings(file: Path) -> dict[str, Any]:
    """Return what ``data.yaml`` says.

    Raises:
        DatasetError: If it is malformed, or of key points.
    """
    with open_text(file) as text:
        try:
            settings = yaml.safe_load(text)
        except yaml.MarkedYAMLError as error:
            line = None if error.problem_mark is None else error.problem_mark.line + 1
            raise DatasetError(file, line, f"not YAML: {error.problem}") from error
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise DatasetError(file, None, f"not YAML: {error}") from error
    if not isinstance(settings, dict):
        raise DatasetError(file, None, "expected names: and the splits")
    if settings.get("kpt_shape") is not None:
        raise DatasetError(file, None, "kpt_shape: YOLO's key points are not read by facekit")
    return settings


def checked_names(names: object, file: Path) -> dict[int, str]:
    """Check the names of the classes: a list, or a mapping from every number from 0 up.

    Raises:
        DatasetError: If they are not.
    """
    texts: list[Any] = []
    if isinstance(names, list | dict):
        found = names if isinstance(names, dict) else dict(enumerate(names))
        texts = [found.get(number) for number in range(len(found))]
    if not texts or not all(isinstance(text, str) and text for text in texts):
        reason = f"names must be texts, numbered from 0, got {names!r}"
        raise DatasetError(file, None, reason)
    if len(set(texts)) != len(texts):
        raise DatasetError(file, None, f"a name is there twice: {names!r}")
    return dict(enumerate(texts))
