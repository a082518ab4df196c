"""What TensorFlow's trainers raise, as facekit's errors."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final

from facekit.errors import BackendError, ConfigError

__all__ = ["API", "named"]

API: Final = "the TF Object Detection API"


@contextlib.contextmanager
def named(doing: str, trainer: str = API) -> Iterator[None]:
    """Turn what a trainer raises into an error that names what was done.

    Args:
        doing: Such as ``"training"``.
        trainer: Whose code runs.

    Raises:
        BackendError: Of everything but facekit's own errors and an interruption.
    """
    try:
        yield
    except (KeyboardInterrupt, BackendError, ConfigError):
        raise
    except Exception as error:
        # TensorFlow's exceptions and theirs have no common base.
        # Of an error in traced code the first line only says that it is one.
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        told = "" if not lines else lines[-1 if lines[0].startswith("in user code") else 0]
        message = f"{trainer}, {doing}: {type(error).__name__}: {told}"
        raise BackendError(message) from error
