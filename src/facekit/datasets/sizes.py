"""The true size of an image, for formats that cannot do without it."""

from __future__ import annotations

from facekit import images
from facekit.datasets.records import ImageRecord
from facekit.errors import DatasetError, ImageError

__all__ = ["known_size", "with_size"]


def known_size(record: ImageRecord) -> tuple[int, int]:
    """Return an image's size: the record's, or the one in the image's header.

    Args:
        record: Any record; its image need not be at hand where its size is known.

    Returns:
        Height and width, pixels, with the EXIF orientation applied. No pixel is decoded.

    Raises:
        DatasetError: If neither size nor image is at hand.
    """
    if record.size is not None:
        return record.size
    source = record.data if record.data is not None else record.path
    if source is None:
        reason = "its size is not known; name the folder of images when reading (images=DIR)"
        raise _error(record, reason)
    try:
        return images.read_size(source, record.name)
    except ImageError as error:
        raise _error(record, f"its size is not known: {error}") from error


def _error(record: ImageRecord, reason: str) -> DatasetError:
    """Return an error that names the image and where its annotation stands."""
    file, line = (None, None) if record.source is None else (record.source.file, record.source.line)
    return DatasetError(file or record.name, line, f"{record.name}: {reason}" if file else reason)


def with_size(record: ImageRecord) -> ImageRecord:
    """Return the record with its size filled in; see :func:`known_size`."""
    return record if record.size is not None else record.replace(size=known_size(record))
