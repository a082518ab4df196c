"""The frameworks' tips and hints are not for those who watch a facekit run."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator

from facekit.quiet import errors_only

__all__ = ["quiet_frameworks"]

_TALKERS = ("lightning", "lightning.pytorch", "lightning.fabric")


@contextlib.contextmanager
def quiet_frameworks() -> Iterator[None]:
    """Let Lightning log nothing but errors, and torch not doubt the workers, in a block."""
    with errors_only(*_TALKERS), warnings.catch_warnings():
        # Advice on workers, checkpoints and loggers, which the engine decides itself.
        warnings.filterwarnings("ignore", module=r"lightning\..*")
        # More workers than cores are the user's own choice.
        warnings.filterwarnings("ignore", "This DataLoader will create", UserWarning)
        # Workers are forked while threads exist; they use none of them.
        warnings.filterwarnings("ignore", ".*multi-threaded, use of fork", DeprecationWarning)
        yield
