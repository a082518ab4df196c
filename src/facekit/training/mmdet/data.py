"""Any facekit dataset as a file that MMDetection's ``CocoDataset`` reads."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from facekit.datasets import mmdet
from facekit.datasets.records import FaceRecord, ImageRecord
from facekit.errors import ConfigError
from facekit.training.data_source import DataSource

__all__ = ["Faces"]


@dataclasses.dataclass(frozen=True)
class Faces:
    """Datasets, read and checked: photos that are at hand, faces of known classes.

    Attributes:
        records: The photos; their names are absolute paths, unless they carry their own bytes.
        classes: The classes' names, in the order of their labels.
    """

    records: Sequence[ImageRecord]
    classes: tuple[str, ...]

    @classmethod
    def read(
        cls, sources: Sequence[DataSource], classes: tuple[str, ...], min_size: float
    ) -> Faces:
        """Read datasets.

        Args:
            sources: Which.
            classes: What is learned. One class takes faces of any label.
            min_size: Faces less high or wide, in pixels of the photo, are ignored.

        Raises:
            DatasetError: If an annotation is malformed, or holds no photo.
            ConfigError: If images are not at hand, or a face is of no class.
        """
        records: list[ImageRecord] = []
        for source in sources:
            for record in source.read():
                faces = tuple(_faces(record, source, classes, min_size))
                records.append(_found(record, source).replace(faces=faces))
        return cls(records, classes)

    def write(self, folder: Path, name: str) -> Path:
        """Write the annotation as COCO's JSON, and the images that have no file of their own.

        Args:
            folder: Where to.
            name: The file's stem.

        Returns:
            The JSON file.

        Raises:
            OutputError: If it cannot be written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{name}.json"
        mmdet.write(self._stored(folder / name), file, labels=self.classes)
        return file

    def _stored(self, folder: Path) -> Iterator[ImageRecord]:
        """Yield the records, each with the absolute path of a file as its name."""
        for number, record in enumerate(self.records):
            if record.data is None:
                yield record
                continue
            folder.mkdir(exist_ok=True)
            path = folder / f"{number:06d}{PurePosixPath(record.name).suffix or '.jpg'}"
            path.write_bytes(record.data)
            yield record.replace(name=str(path.resolve()), root=path.parent, data=None)


def _found(record: ImageRecord, source: DataSource) -> ImageRecord:
    """Return a record that is named by its file's absolute path.

    Raises:
        ConfigError: If nobody knows where that is.
    """
    if record.data is not None:
        return record
    if record.path is None:
        raise ConfigError(f"{source.data}: does not say where its images are: give `images`")
    path = record.path.resolve()
    if not path.is_file():
        raise ConfigError(f"{source.data}: there is no {path}: give the folder as `images`")
    return record.replace(name=str(path), root=path.parent)


def _faces(
    record: ImageRecord, source: DataSource, classes: tuple[str, ...], min_size: float
) -> Iterator[FaceRecord]:
    """Yield a photo's faces, of the classes' labels, the small ones ignored.

    Raises:
        ConfigError: If a face is of no class.
    """
    for face in record.faces:
        x1, y1, x2, y2 = face.box
        is_small = min(x2 - x1, y2 - y1) < min_size
        label = classes[0] if len(classes) == 1 else face.label
        if label not in classes:
            known = ", ".join(classes)
            message = f"{source.data}: {record.name}: a {face.label!r} is none of classes: {known}"
            raise ConfigError(message)
        yield dataclasses.replace(
            face,
            label=label,
            ignore=face.ignore or is_small,
            landmarks=None,
            scheme="",
            visibility=None,
        )
