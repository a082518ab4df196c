"""Networks that compute in 8 bits: several times as fast where the processor has VNNI or AMX.

NNCF measures the range of every layer's values on the inputs it is given, and rounds weights and
values to 255 levels of it. What that costs depends on the network and the inputs, so it is measured
on inputs of the same kind, and on a dataset by ``facekit evaluate``.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import onnx
import openvino as ov

from facekit.engines import FloatArray
from facekit.errors import BackendError

__all__ = ["quantise"]

_NO_TELEMETRY = "NNCF_CI"
"""NNCF tells its makers of every network that it rounds, unless this variable is set."""

_TALKATIVE = ("nncf", "torch.utils.cpp_extension")


def _nncf() -> ModuleType:
    """Import NNCF as what tells nobody."""
    before = os.environ.get(_NO_TELEMETRY)
    os.environ[_NO_TELEMETRY] = "1"
    try:
        import nncf  # noqa: PLC0415 - with the variable set
    finally:
        if before is None:
            del os.environ[_NO_TELEMETRY]
        else:
            os.environ[_NO_TELEMETRY] = before
    return nncf


nncf = _nncf()


def quantise(
    path: Path, inputs: Sequence[Mapping[str, FloatArray]], *, leave: Sequence[str] = ()
) -> None:
    """Round a network's arithmetic to 8 bits, in place.

    Args:
        path: An ``.onnx`` file, or an ``.xml`` file with its ``.bin`` beside it, in float32.
        inputs: What the network is given in use, by the names of its inputs; some dozens are
            enough. All are held in memory at once, as they are while NNCF runs the network on
            each.
        leave: Regular expressions of the names of nodes whose arithmetic stays in float32.

    Raises:
        BackendError: If NNCF cannot round the network.
    """
    try:
        with _quiet():
            model = _read(path)
            rounded = nncf.quantize(
                model,
                nncf.Dataset(list(inputs)),
                subset_size=len(inputs),
                ignored_scope=nncf.IgnoredScope(patterns=list(leave)),
            )
            _write(rounded, model, path)
    except OSError:
        raise
    except Exception as error:
        # NNCF and what it runs the network with raise anything.
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = lines[-1] if lines else type(error).__name__
        raise BackendError(f"{path}: NNCF cannot round it to 8 bits: {reason}") from error


def _read(path: Path) -> Any:  # noqa: ANN401 - of two packages
    return onnx.load(path) if path.suffix.lower() == ".onnx" else ov.Core().read_model(path)


def _write(rounded: Any, source: Any, path: Path) -> None:  # noqa: ANN401 - of two packages
    """Write a network, with what its source's file says of itself."""
    if path.suffix.lower() == ".onnx":
        del rounded.metadata_props[:]
        rounded.metadata_props.extend(source.metadata_props)
        path.write_bytes(rounded.SerializeToString())
    else:
        # The source's .bin may still be mapped into memory: a new file takes its name.
        beside = path.with_name(f"{path.stem}.part.xml")
        ov.save_model(rounded, beside, compress_to_fp16=False)
        for suffix in (".bin", ".xml"):
            beside.with_suffix(suffix).replace(path.with_suffix(suffix))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep NNCF's bars and its talk of its own internals from the user."""
    loggers = [logging.getLogger(name) for name in _TALKATIVE]
    disabled = [logger.disabled for logger in loggers]
    try:
        for logger in loggers:
            logger.disabled = True
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, was in zip(loggers, disabled, strict=True):
            logger.disabled = was
