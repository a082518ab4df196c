"""A folder of predictions that grows image by image, so that a stopped run goes on where it was.

``facekit.json`` says what made the predictions. Another backend, other weights or other options
never mix with them: the folder is refused, or started again.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final, Generic, TypeVar

from facekit import atomic
from facekit.errors import ConfigError, DatasetError, OutputError
from facekit.evaluation import wider_text
from facekit.types import Detections

__all__ = [
    "HEAD",
    "Head",
    "Store",
    "detection_store",
    "json_file_of",
    "json_store",
    "made_by",
    "make_parent",
]

HEAD: Final = "facekit.json"

Value = TypeVar("Value")
Size = tuple[int, int]


class Store(Generic[Value]):
    """One file an image.

    Attributes:
        folder: Where they are.
    """

    def __init__(
        self,
        folder: Path,
        *,
        fingerprint: Mapping[str, Any],
        setting: Mapping[str, str],
        file_of: Callable[[str], str],
        write: Callable[[Path, str, Value], None],
        read: Callable[[Path, Size], Value],
        restart: bool = False,
    ) -> None:
        """Open a folder, or make it.

        Args:
            folder: The folder.
            fingerprint: What makes the predictions: plain JSON values.
            setting: What a table says of how they were made.
            file_of: Where an image's file is in the folder, by the image's name.
            write: Writes an image's predictions: folder, name, predictions.
            read: Reads them: file, height and width of the image.
            restart: Whether predictions of something else are removed.

        Raises:
            ConfigError: If the folder holds predictions of something else, or other files.
            OutputError: If it cannot be made.
        """
        self.folder = folder
        self._file_of, self._write, self._read = file_of, write, read
        if folder.exists():
            self._check(dict(fingerprint), restart=restart)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            message = f"{folder}: cannot be made: {error.strerror or error}"
            raise OutputError(message) from error
        if not (folder / HEAD).is_file():
            head = {"fingerprint": dict(fingerprint), "setting": dict(setting)}
            atomic.write_text(folder / HEAD, json.dumps(head, indent=2) + "\n")

    def _check(self, fingerprint: dict[str, Any], *, restart: bool) -> None:
        """Refuse what something else made, or remove it."""
        if not self.folder.is_dir():
            message = f"{self.folder}: is a file; predictions need a folder"
            raise OutputError(message)
        if not any(self.folder.iterdir()):
            return
        made = made_by(self.folder)
        if made is None:
            # Never removed: nobody knows what is in it.
            message = f"{self.folder}: has no {HEAD}, so facekit did not write it; name another"
            raise ConfigError(message)
        # Through JSON and back, as the other was.
        if made.fingerprint == json.loads(json.dumps(fingerprint)):
            return
        if not restart:
            differences = _differences(made.fingerprint, fingerprint)
            message = (
                f"{self.folder}: holds predictions of something else ({differences}): --restart "
                "replaces them, or name another --out"
            )
            raise ConfigError(message)
        shutil.rmtree(self.folder)

    def load(self, name: str, size: Size) -> Value:
        """Return an image's predictions.

        Args:
            name: The image's name.
            size: Its height and width, pixels.

        Raises:
            DatasetError: If the file is missing or damaged.
        """
        return self._read(self.folder / self._file_of(name), size)

    def has(self, name: str) -> bool:
        """Whether an image's predictions are there."""
        return (self.folder / self._file_of(name)).is_file()

    def save(self, name: str, value: Value) -> None:
        """Keep an image's predictions.

        Args:
            name: The image's name.
            value: Its predictions.

        Raises:
            OutputError: If they cannot be written.
        """
        self._write(self.folder, name, value)


def detection_store(
    folder: Path,
    *,
    fingerprint: Mapping[str, Any],
    setting: Mapping[str, str],
    restart: bool = False,
) -> Store[Detections]:
    """Open a folder of detections in WIDER FACE's layout; see :class:`Store`."""
    return Store(
        folder,
        fingerprint=fingerprint,
        setting=setting,
        file_of=wider_text.file_of,
        write=wider_text.write_image,
        read=wider_text.read_image,
        restart=restart,
    )


def json_store(
    folder: Path,
    *,
    fingerprint: Mapping[str, Any],
    setting: Mapping[str, str],
    what: str,
    pack: Callable[[Value], Mapping[str, Any]],
    unpack: Callable[[Mapping[str, Any]], Value],
    restart: bool = False,
) -> Store[Value]:
    """Open a folder of JSON documents, one an image; see :class:`Store`.

    Args:
        folder: The folder.
        fingerprint: What makes the predictions: plain JSON values.
        setting: What a table says of how they were made.
        what: What an image's predictions are called, for messages.
        pack: Turns them into plain JSON values by name.
        unpack: Its inverse; what it raises over values of another kind is a damaged file.
        restart: Whether predictions of something else are removed.

    Raises:
        ConfigError: If the folder holds predictions of something else, or other files.
        OutputError: If it cannot be made.
    """

    def write(folder: Path, name: str, value: Value) -> None:
        target = folder / json_file_of(name)
        make_parent(target)
        atomic.write_text(target, json.dumps({"image": name, **pack(value)}))

    def read(path: Path, _size: Size) -> Value:
        try:
            return unpack(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DatasetError(path, None, f"no {what} that facekit wrote: {error}") from error

    return Store(
        folder,
        fingerprint=fingerprint,
        setting=setting,
        file_of=json_file_of,
        write=write,
        read=read,
        restart=restart,
    )


def json_file_of(name: str) -> str:
    """Return where an image's JSON stands in a folder of predictions.

    Args:
        name: The image's name.
    """
    return str(PurePosixPath(name).with_suffix(".json"))


def make_parent(target: Path) -> None:
    """Make the folder of a file.

    Args:
        target: The file.

    Raises:
        OutputError: If it cannot be made.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"{target.parent}: cannot be made: {error.strerror or error}"
        raise OutputError(message) from error


@dataclasses.dataclass(frozen=True)
class Head:
    """What made a folder of predictions.

    Attributes:
        fingerprint: What must be the same for predictions to be the same.
        setting: What a table says of how they were made.
    """

    fingerprint: Mapping[str, Any]
    setting: Mapping[str, str]


def made_by(folder: Path) -> Head | None:
    """Return what made a folder of predictions, or ``None`` where facekit did not.

    Args:
        folder: The folder.
    """
    try:
        document = json.loads((folder / HEAD).read_text(encoding="utf-8"))
        fingerprint, setting = dict(document["fingerprint"]), dict(document["setting"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Head(fingerprint, {str(key): str(value) for key, value in setting.items()})


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Say in a few words what is not the same."""
    words = []
    for key in sorted({*old, *new}):
        one, two = old.get(key), new.get(key)
        if one != two:
            plain = key != "weights" and not isinstance(one, dict) and not isinstance(two, dict)
            values = f": {one!r}, now {two!r}" if plain else ""
            words.append(f"{key} differ{'' if key.endswith('s') else 's'}{values}")
    return "; ".join(words)
