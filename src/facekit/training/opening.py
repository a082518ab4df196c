"""What every run is checked for before anything is read or written, whoever's loop it runs in."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel

from facekit.config import validate_options
from facekit.training.config import RecipeConfig, check_names
from facekit.training.folder import RunFolder

__all__ = ["opened"]

Options = TypeVar("Options", bound=BaseModel)


def opened(
    config: RecipeConfig,
    options: type[Options],
    source: str,
    *,
    resume: bool,
    overwrite: bool,
    is_first: bool,
) -> tuple[Options, RunFolder]:
    """Check a run's options, and that its folder may be written into.

    Args:
        config: The run.
        options: The recipe's options.
        source: Where the configuration came from, for messages.
        resume: Whether a run that is there may be gone on with.
        overwrite: Whether a run that is there may be thrown away.
        is_first: Whether this is the first of the run's processes.

    Returns:
        The options, and the folder, in which nothing has been written yet.

    Raises:
        ConfigError: If an option is unknown or wrong.
        OutputError: If a run is there and neither is wanted, or if something else is there.
    """
    check_names(config, options, source)
    checked = validate_options(options, config.options, source)
    folder = RunFolder(config.out)
    folder.check(resume=resume, overwrite=overwrite, is_first=is_first)
    return checked, folder
