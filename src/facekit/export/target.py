"""Where an export is written, and what can become what."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from facekit import atomic
from facekit.engines import SUFFIXES
from facekit.errors import OutputError, WeightsError

__all__ = ["beside", "check_source", "checked_target"]


def checked_target(out: str | os.PathLike[str]) -> Path:
    """Check where and what shall be written, before any work.

    Args:
        out: The file to be written.

    Raises:
        OutputError: If the suffix is of no export, or the place cannot be written.
    """
    target = atomic.check_writable(out)
    if target.suffix.lower() not in {".onnx", ".xml"}:
        reason = f"weights are exported to .onnx or .xml, not {target.suffix!r}"
        raise OutputError(f"{target}: {reason}")
    return target


def check_source(source: Path, target: Path, *, copied: bool) -> None:
    """Refuse weights that cannot become the target.

    Args:
        source: The weights' file.
        target: The file to be written.
        copied: Whether a graph of the target's own format will not do either.

    Raises:
        WeightsError: If they cannot.
    """
    wanted = target.suffix.lower()
    graphs = () if wanted == ".onnx" and not copied else (".onnx",)
    readable = (*SUFFIXES["torch"], *graphs)
    if source.suffix.lower() not in readable:
        raise WeightsError(source, f"only {', '.join(readable)} can be exported to {wanted}")


@contextlib.contextmanager
def beside(target: Path) -> Iterator[Path]:
    """Give a temporary folder on the target's file system.

    Args:
        target: The file to be written.

    Raises:
        OutputError: If files cannot be written there.
    """
    try:
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".part-") as folder:
            yield Path(folder)
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(f"{target}: cannot be written: {error.strerror or error}") from error
