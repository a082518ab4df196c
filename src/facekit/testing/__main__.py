"""``python -m facekit.testing record ROLE NAME -o FILE``: record what an adapter gives."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from facekit import registry
from facekit.errors import ConfigError, FacekitError
from facekit.testing import golden

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Record, and return the exit code: 0, or 2 after one line about what was wrong.

    Args:
        arguments: The command line; by default the process's own.
    """
    given = _parser().parse_args(arguments)
    try:
        options = dict(map(_option, given.option))
        golden.record(given.role, given.name, options, given.output)
    except FacekitError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    for name, numbers in golden.load(given.output).items():
        answers = numbers.get("boxes", numbers.get("points", numbers.get("scores")))
        sys.stdout.write(f"{name}: {len(answers)} recorded\n")
    sys.stdout.write(f"{given.output}: look at it, then commit it beside the tests\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m facekit.testing", description="Tools for the authors of adapters."
    )
    commands = parser.add_subparsers(required=True)
    record = commands.add_parser("record", help="write an adapter's golden record")
    record.add_argument("role", choices=registry.ROLES)
    record.add_argument("name", help="a name of `facekit backends`")
    record.add_argument("--option", action="append", default=[], metavar="NAME=VALUE")
    record.add_argument("-o", "--output", type=Path, required=True, metavar="FILE")
    return parser


def _option(text: str) -> tuple[str, Any]:
    """Split ``name=value``; the value is read as YAML, so that numbers are numbers.

    Raises:
        ConfigError: If there is no ``=`` or the value is not YAML.
    """
    name, equals, value = text.partition("=")
    try:
        parsed = yaml.safe_load(value)
    except yaml.YAMLError as error:
        message = f"--option {text}: the value is not valid YAML"
        raise ConfigError(message) from error
    if not name or not equals:
        message = f"--option {text}: expected NAME=VALUE"
        raise ConfigError(message)
    return name, parsed


if __name__ == "__main__":
    sys.exit(main())
