"""What the API raises, as facekit's errors."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from facekit.errors import BackendError, ConfigError

__all__ = ["named"]


@contextlib.contextmanager
def named(doing: str) -> Iterator[None]:
    """Turn what the API raises into an error that names what was done.

    Args:
        doing: Such as ``"training"``.

    Raises:
        BackendError: Of everything but facekit's own errors and an interruption.
    """
    try:
        yield
    except (KeyboardInterrupt, BackendError, ConfigError):
        raise
    except Exception as error:
        # TensorFlow's and the API's exceptions have no common base.
        # Of an error in traced code the first line only says that it is one.
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        told = "" if not lines else lines[-1 if lines[0].startswith("in user code") else 0]
        message = f"the TF Object Detection API, {doing}: {type(error).__name__}: {told}"
        raise BackendError(message) from error
