"""The state of every registered backend, and how it is shown."""

from __future__ import annotations

import dataclasses
import importlib.util
from typing import Literal

from facekit.cli.console import Cell, print_json, print_lines, print_table
from facekit.errors import DuplicateNameError, FacekitError, MissingDependencyError
from facekit.registry import (
    DEFAULT_DETECTOR,
    DEFAULT_LANDMARKER,
    Backend,
    backends,
    find,
    load_class,
)

__all__ = ["State", "examine", "examine_all", "print_as_json", "print_as_table"]

Status = Literal["installed", "missing", "broken"]
_STYLES: dict[Status, str] = {"installed": "green", "missing": "yellow", "broken": "red"}
_DEFAULTS = {("detector", DEFAULT_DETECTOR), ("landmarker", DEFAULT_LANDMARKER)}
_OF_THE_CORE = {"cv2"}


@dataclasses.dataclass(frozen=True)
class State:
    """What a backend would do if it were asked for now.

    Attributes:
        backend: The registered backend.
        status: Whether it can be used here.
        reason: Why not, the backend named; empty when it can.
        install: The exact line that helps; empty when none is needed.
    """

    backend: Backend
    status: Status
    reason: str = ""
    install: str = ""


def examine_all() -> list[State]:
    """Return the state of every registered backend, in the registry's order."""
    return [examine(backend) for backend in backends()]


def examine(backend: Backend) -> State:
    """Find out whether a backend can be used here.

    A package that a backend of facekit's own needs is looked for without importing anything: a
    list of names must not wait for torch. What that cannot tell is imported: a plug-in, whose
    packages are known by distribution name only, or a backend that needs a certain version of
    what the core has anyway, as the cascades do of OpenCV.

    Args:
        backend: The registered backend.
    """
    ours = backend.owner == "facekit"
    absent = [name for name in backend.packages if ours and not _is_installed(name)]
    enough = backend.any_package and len(absent) < len(backend.packages)
    if absent and not enough:
        packages = (" or " if backend.any_package else " and ").join(map(repr, absent))
        reason = f"{backend.role} {backend.name!r} needs {packages}: not installed"
        return State(backend, "missing", reason, backend.install)
    try:
        find(backend.role, backend.name)
        if not ours or any(name in _OF_THE_CORE for name in backend.packages):
            load_class(backend)
    except MissingDependencyError as error:
        # The line that installs it is shown by itself.
        reason = str(error).removesuffix(f"; run: {error.install}")
        return State(backend, "missing", reason, error.install)
    except DuplicateNameError as error:
        return State(backend, "broken", str(error))
    except FacekitError as error:
        return State(backend, "broken", str(error), backend.install)
    return State(backend, "installed")


def _is_installed(package: str) -> bool:
    """Whether a package could be imported, without importing it."""
    try:
        return importlib.util.find_spec(package) is not None
    except (ImportError, ValueError):
        # A half-removed package: a parent that fails, or a module without a spec.
        return False


def print_as_json(states: list[State]) -> None:
    """Print a list of records.

    Args:
        states: As :func:`examine_all` returns them.
    """
    print_json(
        [
            {
                "role": state.backend.role,
                "name": state.backend.name,
                "status": state.status,
                "default": _is_default(state.backend),
                "owner": state.backend.owner,
                "summary": state.backend.summary,
                "reason": state.reason,
                "install": state.install,
            }
            for state in states
        ]
    )


def print_as_table(states: list[State]) -> None:
    """Print a table, and below it, unwrapped, what helps with each that is not installed.

    Args:
        states: As :func:`examine_all` returns them.
    """
    print_table(["role", "name", "status", "owner", "what it is"], map(_row, states))
    unusable = [state for state in states if state.status != "installed"]
    for state in unusable:
        print_lines(["", state.reason, *([f"  {state.install}"] if state.install else [])])


def _is_default(backend: Backend) -> bool:
    """Whether a backend is used when none is named."""
    return (backend.role, backend.name) in _DEFAULTS and backend.owner == "facekit"


def _row(state: State) -> list[Cell]:
    """Return a backend's cells."""
    backend = state.backend
    return [
        backend.role,
        backend.name,
        (state.status, _STYLES[state.status]),
        backend.owner,
        backend.summary,
    ]
