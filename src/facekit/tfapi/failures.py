"""What TensorFlow's trainers raise, as facekit's errors."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Final

from facekit.errors import BackendError, ConfigError

__all__ = ["API", "named"]

API: Final = "the TF Object Detection API"
_RAISED: Final = re.compile(r"[A-Za-z_.]*(?:Error|Exception): (.+)")


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
        told = _told(str(error))
        message = f"{trainer}, {doing}: {type(error).__name__}: {told}"
        raise BackendError(message) from error


def _told(text: str) -> str:
    """Return the line of an error's text that says what is wrong.

    Of an error in traced code the first line only says that it is one; Keras has one such text
    in another, and after the innermost error what the layer was called with.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines or not lines[0].startswith("in user code"):
        return lines[0] if lines else ""
    raised = [found[1] for line in lines if (found := _RAISED.match(line))]
    return raised[-1] if raised else lines[-1]
