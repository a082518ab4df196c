"""Boxes, scores, labels, landmarks and masks on a copy of the image.

Every width and size follows the image and the face, so that a thumbnail and a 50-megapixel photo
look alike when shown at the same size. A dark rim keeps lines readable on any skin.
"""

from __future__ import annotations

import dataclasses
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

Rectangle = tuple[int, int, int, int]

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


def draw_faces(
    image: ImageLike, faces: Faces | Detections, *, scores: bool = True, landmarks: bool = True
) -> RgbImage:
    """Draw boxes, scores, landmarks, labels and masks onto a copy of an image.

    Args:
        image: A path, a Pillow image or an ``(H, W, 3)`` uint8 RGB array.
        faces: What an analyzer or a detector found in it.
        scores: Whether to write scores and classifiers' labels.
        landmarks: Whether to draw landmarks, or a detector's own keypoints.

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
        _draw_labels(canvas, faces, looks)
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
        side = float(np.sqrt(max(box[2] - box[0], 1.0) * max(box[3] - box[1], 1.0)))
        text = float(np.clip(0.2 * side, 0.013 * longest, 0.032 * longest))
        looks.append(
            _Look(
                colour=PALETTE[0 if ids is None else int(ids[i]) % len(PALETTE)],
                line=max(1.0, min(0.004 * longest, side / 25)),
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
            width=max(0.35, look.side / 150),
            radius=max(0.4, look.side / 95),
        )


def _draw_labels(canvas: RgbImage, faces: Faces, looks: Sequence[_Look]) -> None:
    """Write each face's score and labels where they cover least.

    Best first; in a dense crowd a label that would hide other faces or labels is left out.
    """
    boxes = [_whole(box) for box in faces.boxes]
    taken: list[Rectangle] = []
    for i, look in enumerate(looks):
        label = render(_words(faces, i), look.text, look.colour)
        others = [*boxes[:i], *boxes[i + 1 :], *taken]
        place = _place(boxes[i], label.shape, canvas.shape, others, gap=round(look.line))
        x, y = place
        rectangle = (x, y, x + label.shape[1], y + label.shape[0])
        hidden = sum(_overlap(rectangle, other) for other in others)
        if hidden <= _MOST_HIDDEN * label.shape[0] * label.shape[1]:
            paste(canvas, label, place)
            taken.append(rectangle)


def _words(faces: Faces, i: int) -> tuple[str, ...]:
    """Return the lines of a face's label: its score, and each classifier's best label."""
    lines = [f"{faces.scores[i]:.2f}"]
    for part in faces.classifications.values():
        best = int(part.scores[i].argmax())
        lines.append(f"{part.labels[best]} {part.scores[i, best]:.2f}")
    return tuple(lines)


def _whole(box: npt.NDArray[np.float32]) -> Rectangle:
    """Round a box to whole pixels."""
    x1, y1, x2, y2 = np.round(np.clip(np.nan_to_num(box), -1e5, 1e5)).astype(int).tolist()
    return x1, y1, x2, y2


def _overlap(one: Rectangle, two: Rectangle) -> int:
    """Return the area that two rectangles share."""
    width = min(one[2], two[2]) - max(one[0], two[0])
    height = min(one[3], two[3]) - max(one[1], two[1])
    return max(0, width) * max(0, height)


def _place(
    box: Rectangle,
    size: tuple[int, ...],
    image_size: tuple[int, ...],
    others: Sequence[Rectangle],
    *,
    gap: int,
) -> tuple[int, int]:
    """Choose a label's upper left corner: above, below, beside or inside its box."""
    x1, y1, x2, y2 = box
    height, width = size[:2]
    image = (0, 0, image_size[1], image_size[0])
    left = min(max(x1 - gap, 0), max(image_size[1] - width, 0))
    candidates = [
        (left, y1 - height - gap),
        (left, y2 + gap),
        (x2 + gap, y1),
        (x1 - width - gap, y1),
        (left, max(y1 + gap, 0)),
    ]

    def cost(place: tuple[int, int]) -> int:
        label = (*place, place[0] + width, place[1] + height)
        # Letters beyond the image are lost; what a label covers is only hidden.
        lost = width * height - _overlap(label, image)
        return 4 * lost + sum(_overlap(label, other) for other in (*others, box))

    return min(candidates, key=cost)
