"""Every error that facekit raises on purpose.

::

    FacekitError
    ├── UnknownNameError       (LookupError)   a name that nobody registered
    ├── DuplicateNameError     (LookupError)   two plug-ins claim one name
    ├── MissingDependencyError (ImportError)   a declared package of a backend is not installed
    ├── ConfigError            (ValueError)    a run configuration or an option is wrong
    ├── WeightsError           (ValueError)    weights missing, damaged or of another network
    ├── ImageError             (ValueError)    an image that cannot be read or has a wrong shape
    ├── DatasetError           (ValueError)    an annotation that cannot be read: file, line, reason
    ├── MetricsError           (ValueError)    predictions or truth that cannot be scored
    ├── OutputError            (OSError)       a result that cannot be written
    ├── BackendError           (RuntimeError)  a vendor's code failed; the cause is chained
    └── TrainingError          (RuntimeError)  a training cannot go on, e.g. its loss is not finite

Catching :class:`FacekitError` catches everything that bad input can cause. Each message is one
line that names what was wrong and the way out, so that it can be shown to a user as it stands.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "BackendError",
    "ConfigError",
    "DatasetError",
    "DuplicateNameError",
    "FacekitError",
    "ImageError",
    "MetricsError",
    "MissingDependencyError",
    "OutputError",
    "TrainingError",
    "UnknownNameError",
    "WeightsError",
    "nearest",
]

_MAX_SUGGESTIONS = 3


def nearest(name: str, known: Iterable[str]) -> list[str]:
    """Return the known names that look most like ``name``, best first.

    Args:
        name: The name as the user typed it.
        known: The names that exist.

    Returns:
        At most three names; empty when nothing is close.
    """
    lowered = {candidate.lower(): candidate for candidate in known}
    close = difflib.get_close_matches(name.lower(), lowered, n=_MAX_SUGGESTIONS, cutoff=0.5)
    return [lowered[match] for match in close]


class FacekitError(Exception):
    """Base of every error that facekit raises on purpose."""


class UnknownNameError(FacekitError, LookupError):
    """A name that nobody registered.

    Attributes:
        kind: What was looked for (``"detector"``, ``"weights"``, ...).
        name: The unknown name.
        known: The names that exist, sorted.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        """Build the message from the nearest known names.

        Args:
            kind: What was looked for.
            name: The unknown name.
            known: The names that exist.
        """
        self.kind = kind
        self.name = name
        self.known = sorted(known)
        close = nearest(name, self.known)
        hint = f"did you mean {' or '.join(map(repr, close))}? " if close else ""
        listing = ", ".join(self.known) or "none"
        super().__init__(f"unknown {kind} {name!r}: {hint}known: {listing}")


class DuplicateNameError(FacekitError, LookupError):
    """Two installed packages register one name.

    Attributes:
        kind: The role of the name (``"detector"``, ...).
        name: The contested name.
        owners: Who claims it.
    """

    def __init__(self, kind: str, name: str, owners: Iterable[str]) -> None:
        """Name every claimant, so that the user can uninstall one.

        Args:
            kind: The role of the name.
            name: The contested name.
            owners: Who claims it.
        """
        self.kind = kind
        self.name = name
        self.owners = sorted(owners)
        super().__init__(
            f"{kind} {name!r} is registered more than once, by {' and '.join(self.owners)}: "
            "uninstall one of them"
        )


class MissingDependencyError(FacekitError, ImportError):
    """A package that a backend declares is not installed.

    Attributes:
        needed_by: The backend or feature that needs the package.
        package: The missing package's import name (also ``ImportError.name``).
        install: The exact command that installs it.
    """

    def __init__(self, needed_by: str, package: str, install: str, detail: str = "") -> None:
        """Build the message around the install command.

        Args:
            needed_by: The backend or feature that needs the package.
            package: The missing package's import name.
            install: The exact command that installs it.
            detail: What else to say, when "not installed" is not the whole truth.
        """
        self.needed_by = needed_by
        self.package = package
        self.install = install
        reason = detail or f"{package!r} is not installed"
        super().__init__(f"{needed_by} needs {package!r}: {reason}; run: {install}", name=package)


class ConfigError(FacekitError, ValueError):
    """A run configuration or an option is wrong; the message has its path."""


class WeightsError(FacekitError, ValueError):
    """Weights that are missing, damaged, untrusted or of another network.

    Attributes:
        source: The path or URL of the weights.
        expected: The expected sha256, where one is known.
        actual: The sha256 that was found, where it was computed.
    """

    def __init__(
        self, source: object, reason: str, *, expected: str | None = None, actual: str | None = None
    ) -> None:
        """Build the message from the source, the reason and the hashes.

        Args:
            source: The path or URL of the weights.
            reason: What is wrong and the way out.
            expected: The expected sha256.
            actual: The sha256 that was found.
        """
        self.source = str(source)
        self.expected = expected
        self.actual = actual
        hashes = f" (expected sha256 {expected}, got {actual})" if expected and actual else ""
        super().__init__(f"{source}: {reason}{hashes}")


class ImageError(FacekitError, ValueError):
    """An image that cannot be read, or an array that is not an RGB image."""


class DatasetError(FacekitError, ValueError):
    """An annotation that cannot be read.

    Attributes:
        file: The annotation file.
        line: The line number, from 1; ``None`` where the format has no lines.
        reason: What is wrong.
    """

    def __init__(self, file: object, line: int | None, reason: str) -> None:
        """Build a ``file:line: reason`` message.

        Args:
            file: The annotation file.
            line: The line number, from 1, or ``None``.
            reason: What is wrong.
        """
        self.file = str(file)
        self.line = line
        self.reason = reason
        where = self.file if line is None else f"{self.file}:{line}"
        super().__init__(f"{where}: {reason}")


class MetricsError(FacekitError, ValueError):
    """Predictions or ground truth that cannot be scored; the message names the image and box."""


class OutputError(FacekitError, OSError):
    """A result that cannot be written where the user asked."""


class BackendError(FacekitError, RuntimeError):
    """A vendor's code failed; the original exception is the ``__cause__``."""


class TrainingError(FacekitError, RuntimeError):
    """A training that cannot go on; what it had kept until then is left as it is."""
