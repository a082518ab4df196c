"""Results as frozen structs of arrays: detections, landmarks, classifications, faces.

Arrays are copied in and made read-only; indexing and filtering keep the type; no face is a
result of length 0 with the same shapes, never ``None``. Coordinates are continuous pixels of the
image as it was given (after EXIF orientation): pixel ``i`` covers ``[i, i + 1)``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from facekit import boxes as box_maths
from facekit.boxes import IDENTITY, BoxTransform
from facekit.masks import RleMask

if TYPE_CHECKING:
    from types import EllipsisType

__all__ = ["Classifications", "Detections", "Faces", "Landmarks"]

Index = int | slice | npt.ArrayLike
Array = npt.NDArray[Any]


def _frozen(
    value: npt.ArrayLike, dtype: type[np.generic], name: str, shape: tuple[Any, ...]
) -> Array:
    """Copy ``value`` into a read-only array and check its shape.

    Args:
        value: Anything that numpy can read.
        dtype: The dtype of the copy.
        name: The field's name, for the message.
        shape: The expected shape; ``...`` stands for any length.

    Raises:
        ValueError: If the shape is another.
    """
    array = np.array(value, dtype=dtype)
    if array.size == 0 and array.ndim != len(shape) and 0 in shape:
        array = array.reshape([0 if side is ... else side for side in shape])
    fits = array.ndim == len(shape) and all(
        want is ... or want == have for want, have in zip(shape, array.shape, strict=True)
    )
    if not fits:
        wanted = ", ".join("*" if side is ... else str(side) for side in shape)
        message = f"{name} must have shape ({wanted}), got {array.shape}"
        raise ValueError(message)
    array.setflags(write=False)
    return array


def _optional(
    value: npt.ArrayLike | None,
    dtype: type[np.generic],
    name: str,
    shape: tuple[int | EllipsisType, ...],
) -> Array | None:
    """As :func:`_frozen`, but ``None`` stays ``None``."""
    return None if value is None else _frozen(value, dtype, name, shape)


def _checked_size(image_size: tuple[int, int]) -> tuple[int, int]:
    """Return ``(height, width)`` as plain ints.

    Raises:
        ValueError: If it is not two positive numbers.
    """
    height, width = (int(side) for side in image_size)
    if height < 1 or width < 1:
        message = f"image_size must be a positive (height, width), got {image_size}"
        raise ValueError(message)
    return height, width


def _indices(index: Index, length: int) -> Array:
    """Turn an int, slice, mask or index array into an array of indices.

    Raises:
        IndexError: If an index is out of range or a mask has another length.
    """
    if isinstance(index, slice):
        return np.arange(length)[index]
    chosen: Array = np.arange(length)[
        np.atleast_1d(np.asarray(index, dtype=None if np.size(index) else int))
    ]
    return chosen


class _Struct:
    """What the frozen structs of arrays share: length, indexing, equality, iteration.

    Subclasses are dataclasses; each array field's first axis is the face.
    """

    # Fields that describe the whole struct and are not indexed by face.
    _whole: frozenset[str] = frozenset({"image_size"})

    def _fields(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}  # type: ignore[arg-type]

    def __len__(self) -> int:
        raise NotImplementedError

    def __getitem__(self, index: Index) -> Self:
        """Return the chosen faces as the same type; an int gives a result of length 1."""
        chosen = _indices(index, len(self))
        picked: dict[str, Any] = {}
        for name, value in self._fields().items():
            if name in self._whole or value is None:
                picked[name] = value
            elif isinstance(value, tuple):
                picked[name] = tuple(value[i] for i in chosen)
            else:
                picked[name] = value[chosen]
        return type(self)(**picked)

    def __iter__(self) -> Iterator[Self]:
        """Yield the faces one by one, each as a result of length 1."""
        return (self[i] for i in range(len(self)))

    def __eq__(self, other: object) -> bool:
        """Whether type, shapes and every value are the same (NaN equals NaN)."""
        if type(self) is not type(other):
            return NotImplemented
        assert isinstance(other, _Struct)  # noqa: S101 - narrows the type for mypy
        theirs = other._fields()
        return all(_same(value, theirs[name]) for name, value in self._fields().items())

    __hash__ = None  # type: ignore[assignment]

    def replace(self, **changes: Any) -> Self:  # noqa: ANN401 - the fields' own types
        """Return a copy with some fields changed, checked as at construction."""
        return dataclasses.replace(self, **changes)  # type: ignore[type-var]


def _same(one: object, two: object) -> bool:
    """Compare two field values, arrays by content."""
    if isinstance(one, np.ndarray) and isinstance(two, np.ndarray):
        return one.shape == two.shape and bool(
            np.array_equal(one, two, equal_nan=one.dtype.kind == "f")
        )
    return type(one) is type(two) and one == two


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Detections(_Struct):
    """The faces that a detector found in one image, best first.

    Attributes:
        boxes: ``(n, 4)`` float32 xyxy, pixels; clipped as the upstream clips, and no further.
        scores: ``(n,)`` float32 in [0, 1], descending as detectors return them.
        image_size: Height and width of the image, pixels.
        class_ids: ``(n,)`` int64, or ``None`` for a detector of faces alone.
        keypoints: ``(n, k, 3)`` float32 ``x, y, score``, pixels, or ``None``.
        masks: One :class:`~facekit.masks.RleMask` a face, or ``None``.
        box_transform: From these boxes to the canonical squares that landmarkers crop by.
    """

    boxes: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    image_size: tuple[int, int]
    class_ids: npt.NDArray[np.int64] | None = None
    keypoints: npt.NDArray[np.float32] | None = None
    masks: tuple[RleMask, ...] | None = None
    box_transform: BoxTransform = IDENTITY

    _whole = frozenset({"image_size", "box_transform"})

    def __post_init__(self) -> None:
        """Copy, freeze and check every field.

        Raises:
            ValueError: If shapes disagree.
        """
        boxes = _frozen(
            np.reshape(self.boxes, (-1, 4)) if np.size(self.boxes) == 0 else self.boxes,
            np.float32,
            "boxes",
            (..., 4),
        )
        count = len(boxes)
        put = object.__setattr__
        put(self, "boxes", boxes)
        put(self, "scores", _frozen(self.scores, np.float32, "scores", (count,)))
        put(self, "class_ids", _optional(self.class_ids, np.int64, "class_ids", (count,)))
        put(self, "keypoints", _optional(self.keypoints, np.float32, "keypoints", (count, ..., 3)))
        put(self, "image_size", _checked_size(self.image_size))
        put(self, "box_transform", BoxTransform(*self.box_transform))
        if self.masks is not None:
            put(self, "masks", tuple(self.masks))
            if len(self.masks) != count:
                message = f"masks must have one mask a box: {count}, got {len(self.masks)}"
                raise ValueError(message)

    @classmethod
    def empty(cls, image_size: tuple[int, int]) -> Self:
        """Return "no face": the same shapes with ``n == 0``.

        Args:
            image_size: Height and width of the image, pixels.
        """
        return cls(
            boxes=np.zeros((0, 4), np.float32),
            scores=np.zeros(0, np.float32),
            image_size=image_size,
        )

    def __len__(self) -> int:
        """Return the number of faces."""
        return len(self.boxes)

    def above(self, score_threshold: float) -> Self:
        """Return the faces whose score is at least ``score_threshold``, in their order."""
        return self[self.scores >= score_threshold]

    def clip(self) -> Self:
        """Return a copy with the boxes clipped to the image."""
        return self.replace(boxes=box_maths.clip(self.boxes, self.image_size))

    def canonical_squares(self) -> npt.NDArray[np.float32]:
        """Return ``(n, 4)`` float32 xyxy squares around the 68 landmarks, pixels.

        They are the boxes put through :attr:`box_transform`, and may leave the image.
        """
        return self.box_transform.apply(self.boxes).astype(np.float32)

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python values, ready for JSON; absent fields are left out."""
        height, width = self.image_size
        faces: list[dict[str, Any]] = []
        for i in range(len(self)):
            face: dict[str, Any] = {"box": _plain(self.boxes[i]), "score": float(self.scores[i])}
            if self.class_ids is not None:
                face["class_id"] = int(self.class_ids[i])
            if self.keypoints is not None:
                face["keypoints"] = _plain(self.keypoints[i])
            if self.masks is not None:
                face["mask"] = self.masks[i].to_dict()
            faces.append(face)
        return {"width": width, "height": height, "faces": faces}

    def to_coco(self, image_id: int = 0, category_id: int = 1) -> list[dict[str, Any]]:
        """Return COCO result records, one a face.

        Args:
            image_id: The image's id in the COCO file.
            category_id: The category of a face; a class id is added to it where there is one.

        Returns:
            ``image_id, category_id, bbox`` (x, y, width, height, pixels) and ``score``; also
            ``segmentation`` (uncompressed RLE) and ``keypoints`` where present.
        """
        records: list[dict[str, Any]] = []
        for i, bbox in enumerate(box_maths.xyxy_to_xywh(self.boxes)):
            offset = 0 if self.class_ids is None else int(self.class_ids[i])
            record: dict[str, Any] = {
                "image_id": image_id,
                "category_id": category_id + offset,
                "bbox": _plain(bbox),
                "score": float(self.scores[i]),
            }
            if self.masks is not None:
                record["segmentation"] = self.masks[i].to_dict()
            if self.keypoints is not None:
                record["keypoints"] = _plain(self.keypoints[i].reshape(-1))
            records.append(record)
        return records

    def to_supervision(self) -> Any:  # noqa: ANN401 - supervision is not a dependency
        """Return a ``supervision.Detections`` with the same boxes, scores, masks and classes.

        Raises:
            MissingDependencyError: If supervision is not installed.
        """
        from facekit.interop import to_supervision  # noqa: PLC0415 - optional package

        return to_supervision(self)


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Landmarks(_Struct):
    """The landmarks of the faces of one image, in the order of the detections.

    Attributes:
        points: ``(n, k, 2)`` float32 ``x, y``, pixels.
        scheme: The name of the point scheme; ``"ibug68"`` has 68 points.
        image_size: Height and width of the image, pixels.
        scores: ``(n, k)`` float32 in [0, 1], or ``None``.
    """

    points: npt.NDArray[np.float32]
    scheme: str
    image_size: tuple[int, int]
    scores: npt.NDArray[np.float32] | None = None

    _whole = frozenset({"image_size", "scheme"})

    def __post_init__(self) -> None:
        """Copy, freeze and check every field.

        Raises:
            ValueError: If shapes disagree.
        """
        put = object.__setattr__
        put(self, "points", _frozen(self.points, np.float32, "points", (..., ..., 2)))
        put(self, "scores", _optional(self.scores, np.float32, "scores", self.points.shape[:2]))
        put(self, "image_size", _checked_size(self.image_size))

    @classmethod
    def empty(cls, image_size: tuple[int, int], *, scheme: str = "ibug68", count: int = 68) -> Self:
        """Return the landmarks of no face: points of shape ``(0, count, 2)``.

        Args:
            image_size: Height and width of the image, pixels.
            scheme: The name of the point scheme.
            count: The scheme's number of points.
        """
        return cls(points=np.zeros((0, count, 2), np.float32), scheme=scheme, image_size=image_size)

    def __len__(self) -> int:
        """Return the number of faces."""
        return len(self.points)

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python values, ready for JSON."""
        plain: dict[str, Any] = {"scheme": self.scheme, "points": _plain(self.points)}
        if self.scores is not None:
            plain["scores"] = _plain(self.scores)
        return plain


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Classifications(_Struct):
    """What a classifier says of the faces of one image, in the order of the detections.

    Attributes:
        scores: ``(n, c)`` float32 in [0, 1]: each label's score.
        labels: The ``c`` labels' names.
        image_size: Height and width of the image, pixels.
    """

    scores: npt.NDArray[np.float32]
    labels: tuple[str, ...]
    image_size: tuple[int, int]

    _whole = frozenset({"image_size", "labels"})

    def __post_init__(self) -> None:
        """Copy, freeze and check every field.

        Raises:
            ValueError: If shapes disagree.
        """
        put = object.__setattr__
        put(self, "labels", tuple(self.labels))
        scores = (
            np.reshape(self.scores, (-1, len(self.labels)))
            if np.size(self.scores) == 0
            else self.scores
        )
        put(self, "scores", _frozen(scores, np.float32, "scores", (..., len(self.labels))))
        put(self, "image_size", _checked_size(self.image_size))

    def __len__(self) -> int:
        """Return the number of faces."""
        return len(self.scores)

    def best(self) -> list[str]:
        """Return each face's label of the highest score."""
        return [self.labels[i] for i in self.scores.argmax(axis=1)] if len(self) else []

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python values, ready for JSON."""
        return {"labels": list(self.labels), "best": self.best(), "scores": _plain(self.scores)}


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Faces(_Struct):
    """Everything that an analyzer found in one image.

    Attributes:
        detections: The boxes and scores.
        landmarks: The landmarks in the same order, or ``None`` without a landmarker.
        classifications: Each classifier's answer in the same order, by the classifier's name.
        path: The file that the image came from, or ``None`` for an array.
        frame: The frame's number from 0, for a video; else ``None``.
        image: ``(H, W, 3)`` uint8 RGB, read-only, or ``None`` where it was not kept.
    """

    detections: Detections
    landmarks: Landmarks | None = None
    classifications: Mapping[str, Classifications] = dataclasses.field(default_factory=dict)
    path: Path | None = None
    frame: int | None = None
    image: npt.NDArray[np.uint8] | None = None

    def __post_init__(self) -> None:
        """Check that the parts belong together.

        Raises:
            ValueError: If the parts have different numbers of faces or image sizes.
        """
        put = object.__setattr__
        put(self, "classifications", dict(self.classifications))
        parts: list[Landmarks | Classifications] = list(self.classifications.values())
        if self.landmarks is not None:
            parts.append(self.landmarks)
        for part in parts:
            if len(part) != len(self.detections) or part.image_size != self.image_size:
                message = (
                    f"{type(part).__name__} of {len(part)} faces in an image of {part.image_size} "
                    f"do not belong to {len(self.detections)} detections in {self.image_size}"
                )
                raise ValueError(message)
        if self.image is not None:
            view = self.image.view()
            view.setflags(write=False)
            put(self, "image", view)

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the image, pixels."""
        return self.detections.image_size

    @property
    def boxes(self) -> npt.NDArray[np.float32]:
        """``(n, 4)`` float32 xyxy, pixels."""
        return self.detections.boxes

    @property
    def scores(self) -> npt.NDArray[np.float32]:
        """``(n,)`` float32 in [0, 1], descending."""
        return self.detections.scores

    def __len__(self) -> int:
        """Return the number of faces."""
        return len(self.detections)

    def __getitem__(self, index: Index) -> Self:
        """Return the chosen faces of every part; the image stays whole."""
        return self.replace(
            detections=self.detections[index],
            landmarks=None if self.landmarks is None else self.landmarks[index],
            classifications={name: part[index] for name, part in self.classifications.items()},
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python values, ready for JSON: one record an image, one entry a face."""
        record = self.detections.to_dict()
        for i, face in enumerate(record["faces"]):
            if self.landmarks is not None:
                face["landmarks"] = _plain(self.landmarks.points[i])
            for name, part in self.classifications.items():
                scores = dict(zip(part.labels, _plain(part.scores[i]), strict=True))
                face.setdefault("classifications", {})[name] = scores
        head: dict[str, Any] = {"image": None if self.path is None else str(self.path)}
        if self.frame is not None:
            head["frame"] = self.frame
        if self.landmarks is not None:
            head["landmark_scheme"] = self.landmarks.scheme
        return head | record


def _plain(array: Array) -> Any:  # noqa: ANN401 - nested lists of floats
    """Return nested lists of floats without float32's trailing noise (1e-5 px is below it)."""
    return np.round(array.astype(np.float64), 5).tolist()
