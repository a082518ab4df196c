"""Faces on pixels: boxes, scores, labels, landmarks, masks; and contact sheets.

Every width and size follows the image and the face, so that a thumbnail and a 50-megapixel photo
look alike when shown at the same size. Colours are Okabe and Ito's, told apart by colour-blind
readers (https://jfly.uni-koeln.de/color/), with a dark rim that keeps them readable on any skin
and any background.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Sequence

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from facekit.errors import ImageError
from facekit.images import ImageLike, RgbImage, as_rgb, read_all
from facekit.types import Detections, Faces

__all__ = ["IBUG68_OUTLINE", "PALETTE", "contact_sheet", "draw_faces"]

Colour = tuple[int, int, int]
Rectangle = tuple[int, int, int, int]

PALETTE: tuple[Colour, ...] = (
    (86, 180, 233),  # sky blue
    (230, 159, 0),  # orange
    (0, 158, 115),  # bluish green
    (204, 121, 167),  # reddish purple
    (213, 94, 0),  # vermilion
    (0, 114, 178),  # blue
)
"""RGB; the colour of a face's box and mask follows its class, and its number where masks are."""

LANDMARK_COLOUR: Colour = (240, 228, 66)
RIM_COLOUR: Colour = (15, 15, 15)

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

_SHIFT = 4
_MASK_OPACITY = 0.45
_SMALLEST_TEXT = 9
_SMALLEST_DOTTED_FACE = 64.0


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
        _line(canvas, corners, closed=True, colour=look.colour, width=look.line)
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
    line: int
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
                line=max(1, round(min(0.0035 * longest, side / 25))),
                text=max(_SMALLEST_TEXT, round(text)),
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
        width = max(1, round(look.side / 160))
        for indices, closed in outline:
            _line(canvas, face[indices], closed=closed, colour=LANDMARK_COLOUR, width=width)
        if look.side >= _SMALLEST_DOTTED_FACE or not outline:
            _dots(canvas, face, radius=max(0.8, look.side / 90))


def _fixed(points: npt.ArrayLike) -> npt.NDArray[np.int32]:
    """Turn continuous coordinates into OpenCV's fixed-point pixel centres."""
    finite = np.nan_to_num(np.asarray(points, dtype=np.float64))
    clipped = np.clip(finite - 0.5, -1e6, 1e6)
    return np.round(clipped * (1 << _SHIFT)).astype(np.int32)


def _line(
    canvas: RgbImage, points: npt.ArrayLike, *, closed: bool, colour: Colour, width: int
) -> None:
    """Draw a smooth line of several points with a dark rim."""
    fixed = [_fixed(points).reshape(-1, 1, 2)]
    rim = width + 2 * max(1, round(width / 3))
    for shade, thickness in ((RIM_COLOUR, rim), (colour, width)):
        cv2.polylines(canvas, fixed, closed, shade, thickness, cv2.LINE_AA, _SHIFT)


def _dots(canvas: RgbImage, points: npt.ArrayLike, *, radius: float) -> None:
    """Draw round dots with a dark rim."""
    fixed = _fixed(points)
    rim = radius + max(1.0, radius / 2)
    for shade, size in ((RIM_COLOUR, rim), (LANDMARK_COLOUR, radius)):
        for x, y in fixed.tolist():
            extent = round(size * (1 << _SHIFT))
            cv2.circle(canvas, (x, y), extent, shade, cv2.FILLED, cv2.LINE_AA, _SHIFT)


def _draw_labels(canvas: RgbImage, faces: Faces, looks: Sequence[_Look]) -> None:
    """Write each face's score and labels where they cover least."""
    boxes = [_whole(box) for box in faces.boxes]
    taken: list[Rectangle] = []
    for i, look in enumerate(looks):
        lines = [f"{faces.scores[i]:.2f}"]
        for part in faces.classifications.values():
            best = int(part.scores[i].argmax())
            lines.append(f"{part.labels[best]} {part.scores[i, best]:.2f}")
        label = _text(tuple(lines), look.text, look.colour)
        others = [*boxes[:i], *boxes[i + 1 :], *taken]
        place = _place(boxes[i], label.shape[:2], canvas.shape[:2], others, gap=look.line)
        _paste(canvas, label, place)
        taken.append((place[0], place[1], place[0] + label.shape[1], place[1] + label.shape[0]))


def _whole(box: npt.NDArray[np.float32]) -> Rectangle:
    """Round a box to whole pixels."""
    x1, y1, x2, y2 = np.round(np.clip(np.nan_to_num(box), -1e6, 1e6)).astype(int).tolist()
    return x1, y1, x2, y2


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
    height, width = size
    left = min(max(x1 - gap, 0), max(image_size[1] - width, 0))
    candidates = [
        (left, y1 - height - gap),
        (left, y2 + gap),
        (x2 + gap, y1),
        (x1 - width - gap, y1),
        (left, y1 + gap),
    ]

    def cost(place: tuple[int, int]) -> int:
        x, y = place
        inside = max(0, min(x + width, image_size[1]) - max(x, 0)) * max(
            0, min(y + height, image_size[0]) - max(y, 0)
        )
        return 4 * (width * height - inside) + sum(
            max(0, min(x + width, other[2]) - max(x, other[0]))
            * max(0, min(y + height, other[3]) - max(y, other[1]))
            for other in (*others, box)
        )

    return min(candidates, key=cost)


@functools.lru_cache(maxsize=64)
def _font(height: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return Pillow's own font: no file to find on the user's machine."""
    return ImageFont.load_default(height)


def _text(lines: tuple[str, ...], height: int, ground: Colour) -> RgbImage:
    """Write dark text on a coloured ground."""
    font, pad = _font(height), max(1, height // 5)
    pitch = round(1.15 * height)
    width = max(1, round(max(font.getlength(line) for line in lines)))
    size = (width + 2 * pad, pitch * len(lines) + pad)
    label = Image.new("RGB", size, ground)
    pen = ImageDraw.Draw(label)
    for row, line in enumerate(lines):
        pen.text((pad, row * pitch + pad / 2), line, fill=RIM_COLOUR, font=font)
    return np.asarray(label)


def _paste(canvas: RgbImage, label: RgbImage, place: tuple[int, int]) -> None:
    """Put a label on the canvas, cut at its edges."""
    x, y = place
    left, top = max(x, 0), max(y, 0)
    visible = label[top - y :, left - x :][: canvas.shape[0] - top, : canvas.shape[1] - left]
    canvas[top : top + visible.shape[0], left : left + visible.shape[1]] = visible


def contact_sheet(
    images: Sequence[ImageLike],
    *,
    columns: int = 4,
    cell: int = 320,
    captions: Sequence[str] | None = None,
) -> RgbImage:
    """Lay images out in a grid, each scaled into a square cell.

    Args:
        images: Paths, Pillow images or ``(H, W, 3)`` uint8 RGB arrays.
        columns: Cells in a row; no more than there are images.
        cell: A cell's side, pixels, without its caption.
        captions: One line under each image, shortened where it is too long.

    Returns:
        ``(H, W, 3)`` uint8 RGB on white.

    Raises:
        ImageError: If there is no image, or one cannot be read.
        ValueError: If there is not one caption an image.
    """
    pictures = read_all(images)
    if not pictures:
        message = "a contact sheet needs at least one image"
        raise ImageError(message)
    texts = [""] * len(pictures) if captions is None else captions
    tiles = [
        _tile(picture, text, cell, captioned=captions is not None)
        for picture, text in zip(pictures, texts, strict=True)
    ]
    columns = max(1, min(columns, len(tiles)))
    tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % columns)
    rows = [np.hstack(tiles[i : i + columns]) for i in range(0, len(tiles), columns)]
    return np.vstack(rows)


def _tile(picture: RgbImage, caption: str, cell: int, *, captioned: bool) -> RgbImage:
    """Scale a picture into the middle of a white cell, its caption below."""
    gap = max(2, cell // 40)
    height = max(_SMALLEST_TEXT, cell // 18)
    room = cell - 2 * gap
    scale = room / max(picture.shape[:2])
    shape = max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    small = np.asarray(cv2.resize(picture, shape, interpolation=way), dtype=np.uint8)
    tile = np.full((cell + (round(1.6 * height) if captioned else 0), cell, 3), 255, np.uint8)
    _paste(tile, small, ((cell - shape[0]) // 2, (cell - shape[1]) // 2))
    if caption:
        text = caption
        while len(text) > 1 and _font(height).getlength(text) > room:
            text = text.removesuffix("…")[:-1] + "…"
        _paste(tile, _text((text,), height, (255, 255, 255)), (gap, cell - gap // 2))
    return tile
