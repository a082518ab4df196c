"""Detectron2's checkpoints, matched as its own loader does, without running what a file names.

Its loader unpickles ``.pkl`` files, which runs whatever they say. Here the file is read by
:mod:`facekit.d2.pickles` or with ``weights_only``, and Detectron2 gets the arrays.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from detectron2.checkpoint import DetectionCheckpointer

from facekit.d2.pickles import read_pickle
from facekit.engines.torch import load_state_dict
from facekit.errors import WeightsError

__all__ = ["load_into"]

_SHOWN: Final = 3


def load_into(model: Any, path: Path, *, strict: bool) -> list[str]:  # noqa: ANN401 - a torch module
    """Give a model the weights of a file.

    Args:
        model: Built by Detectron2.
        path: ``.pth``, ``.pkl`` of the model zoo or of Caffe2, or ``.safetensors``.
        strict: Whether weights that the file does not give, or the model has no place for, are an
            error.

    Returns:
        What did not fit, a text each.

    Raises:
        WeightsError: If the file is damaged, would run code, or is of another model.
    """
    try:
        different = _Checkpointer(model, save_to_disk=False).load(str(path)) or {}
    except WeightsError:
        raise
    except Exception as error:
        # The loader's asserts and the tensors' own errors.
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise WeightsError(path, f"Detectron2 cannot read it: {reason}") from error
    incompatible = different.get("__incompatible", _Nothing())
    parts = (
        ("missing", incompatible.missing_keys),
        ("unexpected", incompatible.unexpected_keys),
        ("of another shape", [one[0] for one in incompatible.incorrect_shapes]),
    )
    problems = [_counted(what, list(keys)) for what, keys in parts if keys]
    if strict and problems:
        raise WeightsError(
            path, f"weights of another model: {'; '.join(problems)}; strict: false ignores it"
        )
    return problems


class _Nothing:
    """What a loader without complaints has to say."""

    missing_keys: tuple[str, ...] = ()
    unexpected_keys: tuple[str, ...] = ()
    incorrect_shapes: tuple[tuple[str, ...], ...] = ()


class _Checkpointer(DetectionCheckpointer):  # type: ignore[misc, unused-ignore] # Any where it is absent
    """Detectron2's loader, with a reader that runs nothing."""

    def _load_file(self, filename: str) -> dict[str, Any]:
        """Return what Detectron2's own method returns."""
        path = Path(filename)
        if path.suffix.lower() not in {".pkl", ".pickle"}:
            return {"model": load_state_dict(path)[0]}
        return _pickled(path)

    def _load_model(self, checkpoint: dict[str, Any]) -> Any:  # noqa: ANN401 - fvcore's tuple
        """Keep what did not fit: the loader only logs it."""
        self.incompatible = super()._load_model(checkpoint)
        return self.incompatible

    def load(self, path: str, *args: Any, **named: Any) -> dict[str, Any]:  # noqa: ANN401 - the base's own
        """Load, and say what did not fit."""
        super().load(path, *args, **named)
        return {"__incompatible": self.incompatible}


def _pickled(path: Path) -> dict[str, Any]:
    """Read a pickle of arrays as what Detectron2's loader goes on with.

    Raises:
        WeightsError: If it is damaged, would run code, or holds no weights.
    """
    arrays, of_zoo, rest = read_pickle(path)
    if not of_zoo:
        return {"model": arrays, "__author__": "Caffe2", "matching_heuristics": True}
    return {**rest, "model": arrays}


def _counted(what: str, keys: list[str]) -> str:
    """Name the first few of some weights, and how many there are."""
    more = ", ..." if len(keys) > _SHOWN else ""
    return f"{len(keys)} {what} ({', '.join(keys[:_SHOWN])}{more})"
