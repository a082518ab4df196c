"""Frameworks talk of their own internals; those who run facekit need not listen."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

__all__ = ["errors_only"]


@contextlib.contextmanager
def errors_only(*names: str) -> Iterator[None]:
    """Let loggers say nothing but errors in a block, and after it what they said before.

    Args:
        names: Of the loggers.
    """
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
