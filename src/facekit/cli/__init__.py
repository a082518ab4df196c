"""The command line: argument parsing and printing only.

One module a command. A command's module imports nothing but typer, so that ``facekit --help``
stays fast; what does its work is imported when it runs.
"""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Run the command line of ``sys.argv`` and exit with its code."""
    from facekit.cli.app import app  # noqa: PLC0415 - `import facekit.cli` stays free of typer

    app(prog_name="facekit")
