"""Every way a command ends: exit codes, and errors as one line on stderr.

======  ==========================================================
  0     all went well
  1     some inputs failed, the others were done
  2     wrong usage, or nothing could be done
  130   interrupted by Ctrl-C; what was done until then is kept
  141   the reader of standard output went away (``| head``)
======  ==========================================================
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup

from facekit.errors import FacekitError

__all__ = [
    "BROKEN_PIPE",
    "DEBUG_VARIABLE",
    "FAILED",
    "INTERRUPTED",
    "OK",
    "PARTLY_FAILED",
    "GuardedGroup",
    "exit_code",
    "one_line",
    "report",
]

OK = 0
PARTLY_FAILED = 1
FAILED = 2
INTERRUPTED = 130
BROKEN_PIPE = 141

DEBUG_VARIABLE = "FACEKIT_DEBUG"
"""Environment variable that, when set, shows the traceback of every error."""

# The base of typer's usage errors is click's, or since 0.16 a private copy of it: only this
# subclass has one public name in both.
_UsageError: type[Any] = typer.BadParameter.__mro__[1]


def one_line(text: object) -> str:
    """Return text that prints on one line and cannot drive a terminal.

    Args:
        text: A message or a file name; control characters and undecodable bytes are escaped.
    """
    joined = " ".join(str(text).splitlines())
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode()
        for char in joined
    )


def report(message: object, kind: str = "error") -> None:
    """Print one line on standard error.

    Args:
        message: What went wrong and the way out.
        kind: The word in front of it.
    """
    print(f"{kind}: {one_line(message)}", file=sys.stderr)


def exit_code(failed: int, total: int) -> int:
    """Return the exit code of a run over many inputs.

    Args:
        failed: How many failed.
        total: How many there were.
    """
    if failed == 0:
        return OK
    return FAILED if failed >= total else PARTLY_FAILED


def _quiet_stdout() -> None:
    """Point standard output at nothing, so that the interpreter's last flush does not complain."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(devnull, sys.stdout.fileno())
    finally:
        os.close(devnull)


class GuardedGroup(TyperGroup):
    """A group of commands whose errors end in one line and an exit code, never a traceback."""

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - typer has no public name for its context
        """Run the command; turn what it raises into an exit code."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except (typer.Exit, typer.Abort, _UsageError):
            raise
        except KeyboardInterrupt:
            self._debug()
            report("stopped by Ctrl-C", kind="interrupted")
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:
            self._debug()
            _quiet_stdout()
            raise typer.Exit(BROKEN_PIPE) from None
        except FacekitError as error:
            self._debug()
            report(error)
            raise typer.Exit(FAILED) from error
        except Exception as error:
            # The outermost door: a bug of ours, or of a plug-in, is no reason for a wall of text.
            self._debug()
            report(
                f"unexpected {type(error).__name__}: {error} "
                f"(a bug; {DEBUG_VARIABLE}=1 shows the traceback to report)"
            )
            raise typer.Exit(FAILED) from error
        return result

    @staticmethod
    def _debug() -> None:
        """Let the current exception through, traceback and all, when the user asked for it.

        Called from an ``except`` block.
        """
        if os.environ.get(DEBUG_VARIABLE, "") not in {"", "0"}:
            raise  # noqa: PLE0704 - re-raises the exception of the calling block

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,  # noqa: ARG002, FBT001, FBT002 - typer's signature
        windows_expand_args: bool = True,  # noqa: FBT001, FBT002 - typer's signature
        **extra: Any,  # noqa: ANN401 - typer's signature
    ) -> NoReturn:
        """Parse and run; wrong usage is one line too. Never returns.

        Args:
            args: The command line; by default ``sys.argv``'s.
            prog_name: The program's name in help and messages.
            complete_var: As typer has it.
            standalone_mode: Ignored: typer never prints the errors.
            windows_expand_args: As typer has it.
            **extra: As typer has it.
        """
        try:
            code = super().main(
                args,
                prog_name,
                complete_var,
                standalone_mode=False,
                windows_expand_args=windows_expand_args,
                **extra,
            )
        except _UsageError as error:
            context = getattr(error, "ctx", None)
            path = context.command_path if context is not None else prog_name or "facekit"
            report(f"{error.format_message().rstrip('.')}; see: {path} --help")
            code = FAILED
        except typer.Abort:
            code = INTERRUPTED
        sys.exit(code)
