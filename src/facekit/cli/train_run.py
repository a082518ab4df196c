"""What ``facekit train`` does, from the door to the exit code."""

from __future__ import annotations

import contextlib
import logging
import shlex
import sys
from collections.abc import Iterator, Sequence

from facekit import training
from facekit.cli.console import print_lines
from facekit.cli.exits import INTERRUPTED, OK, one_line, report
from facekit.errors import ConfigError
from facekit.training.sources import read_run

__all__ = ["run"]


def run(source: str, settings: Sequence[str], *, resume: bool, overwrite: bool) -> int:
    """Train, and say where it is and how to go on.

    Args:
        source: A file, a preset or a run's folder.
        settings: Changes like ``key=value``.
        resume: Go on with the run of the folder.
        overwrite: Replace it.

    Returns:
        The exit code.

    Raises:
        FacekitError: As :func:`facekit.training.train` raises it.
    """
    if resume and overwrite:
        message = "--resume goes on with a run and --overwrite replaces it: give one of them"
        raise ConfigError(message)
    config = read_run(source, settings)
    # A wrong configuration is told before a missing framework: `train` is found when it is used.
    with _lines():
        result = training.train(
            config, resume=resume, overwrite=overwrite, progress=True, source=source
        )
    folder = str(result.folder.path)
    if not result.is_first:
        return OK
    if result.interrupted:
        again = f"facekit train {shlex.quote(folder)} --resume"
        report(f"stopped at step {result.step}; go on by: {again}", kind="interrupted")
        return INTERRUPTED
    best = "" if result.best is None else f": best {result.monitor} {result.best:.4g}"
    print_lines([folder + best])
    return OK


class _Lines(logging.Handler):
    """Prints records as plain lines on today's standard error, above a bar that may be there."""

    def emit(self, record: logging.LogRecord) -> None:
        print(one_line(record.getMessage()), file=sys.stderr)


@contextlib.contextmanager
def _lines() -> Iterator[None]:
    """Show what training tells its watchers."""
    logger, handler = logging.getLogger("facekit.training"), _Lines()
    before = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
