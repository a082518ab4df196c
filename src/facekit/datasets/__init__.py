"""Face datasets in every format, as one stream of typed records.

>>> from facekit import datasets
>>> records = datasets.read("wider_face:WIDER")                  # doctest: +SKIP
>>> losses = datasets.write(records, "coco:out.json")            # doctest: +SKIP
"""

from facekit.datasets.formats import Format, Losses, formats, read, write
from facekit.datasets.records import FaceColumns, FaceRecord, ImageRecord, Provenance, Repair

__all__ = [
    "FaceColumns",
    "FaceRecord",
    "Format",
    "ImageRecord",
    "Losses",
    "Provenance",
    "Repair",
    "formats",
    "read",
    "write",
]
