"""What ``facekit weights`` does and prints."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from facekit import weights
from facekit.cli.console import print_json, print_lines, print_table
from facekit.cli.exits import exit_code, one_line, report
from facekit.errors import FacekitError, WeightsError
from facekit.weights import Catalogue, Status, WeightsEntry

__all__ = ["fetch", "print_as_json", "print_as_table", "verify"]


def _catalogue() -> Catalogue:
    return Catalogue.load(weights.BUNDLED / "weights.toml")


def _path(name: str) -> Path:
    """Return where weights lie, or will lie once they are downloaded."""
    return _catalogue().path(name)


def _is_present(entry: WeightsEntry) -> bool:
    """Whether there is a file in an entry's place; its hash is not computed."""
    return _path(entry.name).is_file()


def megabytes(size: int | None) -> str:
    """Return a size in words."""
    return "unknown" if size is None else f"{size / 1e6:.1f} MB"


def print_as_json() -> None:
    """Print the catalogue as a list of records."""
    print_json(
        [
            entry.model_dump(exclude={"file", "card"})
            | {
                "sha256": _catalogue().expected(entry.name),
                "bundled": entry.bundled,
                "path": str(_path(entry.name)),
                "present": _is_present(entry),
            }
            for entry in weights.entries().values()
        ]
    )


def print_as_table() -> None:
    """Print the catalogue as a table, and below it what does not fit into one."""
    known = weights.entries().values()
    print_table(
        ["name", "role", "backend", ">size", "where", "licence"],
        [
            [
                entry.name,
                entry.role,
                entry.backend,
                megabytes(entry.size),
                _where(entry),
                entry.licence,
            ]
            for entry in known
        ],
    )
    for entry in known:
        lines = ["", f"{entry.name}: {entry.summary}", f"  {entry.source}"]
        lines += [f"  {entry.url}"] if entry.url else []
        lines += [f"  {_hash(entry)}"] if entry.trust_first_download else []
        print_lines([*lines, f"  {_path(entry.name)}"])


def _hash(entry: WeightsEntry) -> str:
    """Say what a publisher does not: which bytes are the right ones."""
    known = _catalogue().expected(entry.name)
    if known is None:
        return "no hash is published: that of the first download will be recorded"
    return f"no hash is published: that of the first download was {known}"


def _where(entry: WeightsEntry) -> str:
    """Say in a word where weights are."""
    if entry.bundled:
        return "bundled" if _is_present(entry) else "bundled, missing"
    return "downloaded" if _is_present(entry) else "to be fetched"


def _announce(entry: WeightsEntry) -> None:
    """Show what is downloaded and its licence, before it is."""
    size = "size unknown" if entry.size is None else megabytes(entry.size)
    report(f"{entry.url} ({size})", kind=f"fetching {entry.name}")
    report(entry.licence, kind="licence")
    if entry.trust_first_download:
        report(_hash(entry), kind="note")


def fetch(names: Sequence[str]) -> int:
    """Download weights and print their paths.

    Args:
        names: Names of the catalogue.

    Returns:
        The exit code.
    """
    failed = 0
    for name in names:
        try:
            path = weights.fetch(name, progress=sys.stderr.isatty(), announce=_announce)
        except FacekitError as error:
            report(error)
            failed += 1
        else:
            print(one_line(path))
    return exit_code(failed, len(names))


def verify(names: Sequence[str]) -> int:
    """Check the hashes of weights and print each one's status.

    Args:
        names: Names of the catalogue; all of them when empty.

    Returns:
        The exit code.
    """
    chosen = list(names) or list(weights.entries())
    rows, failed = [], 0
    for name in chosen:
        try:
            status, detail = weights.verify(name), str(_path(name))
            is_wrong = status in {Status.DAMAGED, Status.UNRECORDED}
            if is_wrong or (status is Status.ABSENT and _is_expected(name, names)):
                raise WeightsError(detail, f"{name} is {status}; {_way_out(name)}")
        except FacekitError as error:
            report(error)
            failed += 1
        else:
            rows.append([name, str(status), detail])
    if rows:
        print_table(["name", "status", "path"], rows)
    return exit_code(failed, len(chosen))


def _is_expected(name: str, asked: Sequence[str]) -> bool:
    """Whether weights should be on this machine: asked for by name, or shipped."""
    return name in asked or weights.entries()[name].bundled


def _way_out(name: str) -> str:
    """Say what brings weights back."""
    if weights.entries()[name].bundled:
        return "reinstall facekit"
    return f"run: facekit weights fetch {name}"
