"""Detectron2's pickled checkpoints, read without running what they name, and without Detectron2."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from facekit.errors import WeightsError
from facekit.pickled_arrays import PickledArray, Refused, load

__all__ = ["Pickled", "read_pickle"]


class Pickled(NamedTuple):
    """What a file holds.

    Attributes:
        arrays: numpy's arrays by the file's own names; those are writeable.
        of_zoo: Whether it is the model zoo's layout; otherwise it is Caffe2's.
        rest: What the model zoo's layout has beside the arrays.
    """

    arrays: dict[str, Any]
    of_zoo: bool
    rest: dict[str, Any]


def read_pickle(path: Path) -> Pickled:
    """Read a pickle of arrays, in the model zoo's layout or in Caffe2's.

    Args:
        path: The file.

    Raises:
        WeightsError: If it is damaged, would run code, or holds no weights.
    """
    try:
        with path.open("rb") as file:
            stored = load(file, encoding="latin1")
    except Refused as error:
        raise WeightsError(path, str(error)) from error
    except pickle.UnpicklingError as error:
        raise WeightsError(path, f"damaged, or not a pickle: {error}") from error
    if not isinstance(stored, dict):
        raise WeightsError(path, f"holds no weights: expected a dict, got {type(stored).__name__}")
    of_zoo = "model" in stored and "__author__" in stored
    found = stored["model"] if of_zoo else stored.get("blobs", stored)
    if not isinstance(found, dict):
        raise WeightsError(path, "holds no weights by name")
    arrays = {
        str(key): np.asarray(value).copy()
        for key, value in found.items()
        if isinstance(value, PickledArray) and not str(key).endswith("_momentum")
    }
    if not arrays:
        raise WeightsError(path, "holds no arrays by name, neither under 'model' nor under 'blobs'")
    rest = {key: value for key, value in stored.items() if key != "model"} if of_zoo else {}
    return Pickled(arrays, of_zoo, rest)
