"""Boxes, scores, labels, landmarks and masks on a copy of the image.

Every width and size follows the image and the face, so that a thumbnail and a 50-megapixel photo
look alike when shown at the same size. A dark rim keeps lines readable on any skin.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from facekit.draw.palette import LANDMARK_COLOUR, PALETTE, Colour
from facekit.draw.strokes import Line, draw_strokes
from facekit.draw.text import SMALLEST_TEXT, paste, render
from facekit.errors import ImageError
from facekit.images import ImageLike, RgbImage, as_rgb
from facekit.types import Detections, Faces

__all__ = ["IBUG68_OUTLINE", "draw_faces"]

Rectangles = npt.NDArray[np.floating]
"""``(n, 4)`` x1, y1, x2, y2, pixels."""

IBUG68_OUTLINE: tuple[tuple[range, bool], ...] = (
    (range(17), False),  # jaw
    (range(17, 22), False),  # brow, left in the image
    (range(22, 27), False),  # brow, right in the image
    (range(27, 31), False),  # bridge of the nose
    (range(31, 36), False),  # below the nose
    (range(36, 42), True),  # eye, left in the image
    (range(42, 48), True),  # eye, right in the image
    (range(48, 60), True),  # outer lips
    (range(60, 68), True),  # inner lips
)
"""The points of each line and whether it is closed, of the iBUG 300-W scheme."""

_MASK_OPACITY = 0.45
_MOST_HIDDEN = 0.4
_FARTHEST = 1e5


def draw_faces(
    image: ImageLike,
    faces: Faces | Detections,
    *,
    scores: bool = True,
    landmarks: bool = True,
    class_names: Sequence[str] = (),
) -> RgbImage:
    """Draw boxes, scores, landmarks, labels and masks onto a copy of an image.

    Args:
        image: A path, a Pillow image or an ``(H, W, 3)`` uint8 RGB array.
        faces: What an analyzer or a detector found in it.
        scores: Whether to write scores and classifiers' labels.
        landmarks: Whether to draw landmarks, or a detector's own keypoints.
        class_names: The names of the detector's classes, written before the scores of faces that
            have a class; a class without a name has its number.

    Returns:
        ``(H, W, 3)`` uint8 RGB.

    Raises:
        ImageError: If the image cannot be read or has another size than the faces' image.
    """
    canvas = as_rgb(image).copy()
    if isinstance(faces, Detections):
        faces = Faces(detections=faces)
    if canvas.shape[:2] != faces.image_size:
        message = f"the faces are of an image of {faces.image_size} px, not {canvas.shape[:2]}"
        raise ImageError(message)
    looks = _looks(faces)
    _draw_masks(canvas, faces.detections, looks)
    # The best face last, so that it is on top.
    for box, look in reversed(list(zip(faces.boxes, looks, strict=True))):
        corners = np.array([[box[0], box[1]], [box[2], box[1]], [box[2], box[3]], [box[0], box[3]]])
        draw_strokes(canvas, lines=[(corners, True)], colour=look.colour, width=look.line)
    if landmarks:
        _draw_landmarks(canvas, faces, looks)
    if scores:
        _draw_labels(canvas, faces, looks, class_names)
    return canvas


@dataclasses.dataclass(frozen=True)
class _Look:
    """How to draw one face.

    Attributes:
        colour: Of the box, label and mask.
        line: The box's line width, pixels.
        text: The label's text height, pixels.
        side: The geometric mean of the box's sides, pixels.
    """

    colour: Colour
    line: float
    text: int
    side: float


def _looks(faces: Faces) -> list[_Look]:
    """Choose colour and sizes of each face from the image's and the face's size."""
    longest = max(faces.image_size)
    ids = faces.detections.class_ids
    if faces.detections.masks is not None:
        ids = np.arange(len(faces))
    looks = []
    for i, box in enumerate(faces.boxes):
        width, height = np.clip(np.nan_to_num(box[2:] - box[:2]), 1.0, longest).tolist()
        side = math.sqrt(width * height)
        text = float(np.clip(0.2 * side, 0.013 * longest, 0.032 * longest))
        looks.append(
            _Look(
                colour=PALETTE[0 if ids is None else int(ids[i]) % len(PALETTE)],
                line=max(1.2, min(0.005 * longest, side / 22)),
                text=max(SMALLEST_TEXT, round(text)),
                side=side,
            )
        )
    return looks


def _draw_masks(canvas: RgbImage, detections: Detections, looks: Sequence[_Look]) -> None:
    """Blend each face's mask with its colour."""
    for mask, look in zip(detections.masks or (), looks, strict=False):
        inside = mask.to_mask()
        blend = (1 - _MASK_OPACITY) * canvas[inside] + _MASK_OPACITY * np.array(look.colour)
        canvas[inside] = blend.astype(np.uint8)


def _draw_landmarks(canvas: RgbImage, faces: Faces, looks: Sequence[_Look]) -> None:
    """Draw the landmarks' outline and dots, or a detector's keypoints as dots."""
    points: Iterable[npt.NDArray[np.float32]] = ()
    outline: tuple[tuple[range, bool], ...] = ()
    if faces.landmarks is not None:
        points = faces.landmarks.points
        outline = IBUG68_OUTLINE if faces.landmarks.scheme == "ibug68" else ()
    elif faces.detections.keypoints is not None:
        points = faces.detections.keypoints[:, :, :2]
    for face, look in reversed(list(zip(points, looks, strict=False))):
        lines: list[Line] = [(face[indices], closed) for indices, closed in outline]
        draw_strokes(
            canvas,
            lines=lines,
            dots=face,
            colour=LANDMARK_COLOUR,
            width=max(0.4, look.side / 130),
            radius=max(0.5, look.side / 75),
        )


def _draw_labels(
    canvas: RgbImage, faces: Faces, looks: Sequence[_Look], class_names: Sequence[str]
) -> None:
    """Write each face's score and labels where they cover least.

    Best first; in a dense crowd a label that would hide other faces or labels is left out.
    """
    boxes = np.clip(np.nan_to_num(np.round(faces.boxes)), -_FARTHEST, _FARTHEST)
    taken = np.empty((0, 4))
    for i, look in enumerate(looks):
        label = render(_words(faces, i, class_names), look.text, look.colour)
        others = np.concatenate([np.delete(boxes, i, axis=0), taken])
        place = _place(boxes[i], label.shape, canvas.shape, others, gap=round(look.line))
        if _overlap(place, others).sum() <= _MOST_HIDDEN * label.shape[0] * label.shape[1]:
            paste(canvas, label, (int(place[0, 0]), int(place[0, 1])))
            taken = np.concatenate([taken, place])


def _words(faces: Faces, i: int, class_names: Sequence[str]) -> tuple[str, ...]:
    """Return the lines of a face's label: class and score, and each classifier's best label."""
    lines = [f"{faces.scores[i]:.2f}"]
    ids = faces.detections.class_ids
    if class_names and ids is not None:
        own = int(ids[i])
        name = class_names[own] if 0 <= own < len(class_names) else str(own)
        lines = [f"{name} {lines[0]}"]
    for part in faces.classifications.values():
        best = int(part.scores[i].argmax())
        lines.append(f"{part.labels[best]} {part.scores[i, best]:.2f}")
    return tuple(lines)


def _overlap(ones: Rectangles, twos: Rectangles) -> Rectangles:
    """Return the ``(n, m)`` areas that rectangles share."""
    low = np.maximum(ones[:, None, :2], twos[None, :, :2])
    high = np.minimum(ones[:, None, 2:], twos[None, :, 2:])
    return np.asarray(np.maximum(high - low, 0).prod(axis=2))


def _place(
    box: Rectangles,
    size: tuple[int, ...],
    image_size: tuple[int, ...],
    others: Rectangles,
    *,
    gap: int,
) -> Rectangles:
    """Choose a label's rectangle, ``(1, 4)``: above, below, beside or inside its box."""
    x1, y1, x2, y2 = box.tolist()
    height, width = size[:2]
    left = min(max(x1 - gap, 0), max(image_size[1] - width, 0))
    corners = np.array(
        [
            (left, y1 - height - gap),
            (left, y2 + gap),
            (x2 + gap, y1),
            (x1 - width - gap, y1),
            (left, max(y1 + gap, 0)),
        ]
    )
    places = np.concatenate([corners, corners + np.array([width, height])], axis=1)
    # Letters beyond the image are lost; what a label covers is only hidden.
    image = np.array([[0, 0, image_size[1], image_size[0]]])
    lost = width * height - _overlap(places, image)[:, 0]
    hidden = _overlap(places, np.concatenate([others, box[None]])).sum(axis=1)
    best = int(np.argmin(4 * lost + hidden))
    return places[best : best + 1]
