"""Draw the landmarks of a turned, a masked, a cut-off and a tiny face, all made from one photo.

    python examples/hard_faces.py PHOTO OUT.jpg

The photo shows one face; scikit-image's astronaut made the picture in the documentation.
"""

from __future__ import annotations

import sys

import cv2
import numpy as np
import numpy.typing as npt

import facekit
from facekit.boxes import square
from facekit.draw.sheet import contact_sheet
from facekit.images import RgbImage, crop

CELL = 320
Points = npt.NDArray[np.float32]


def turned(photo: RgbImage, points: Points) -> RgbImage:
    """Turn the photo about the nose by 30 degrees."""
    turn = cv2.getRotationMatrix2D(points[30].tolist(), 30, 1)
    size = photo.shape[1], photo.shape[0]
    picture = cv2.warpAffine(photo, turn, size, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(picture, dtype=np.uint8)


def masked(photo: RgbImage, points: Points) -> RgbImage:
    """Paint a surgical mask from the bridge of the nose to below the chin, with its folds."""
    chin = points[3:14] + np.array([0, 0.04], np.float32) * np.ptp(points, axis=0)
    outline = np.concatenate([points[1:2], chin, points[15:16], points[28:29]])
    picture = photo.copy()
    cv2.fillPoly(picture, [outline.round().astype(np.int32)], (170, 200, 215), cv2.LINE_AA)
    for row in (3, 4, 5):
        ends = [points[i].round().astype(int).tolist() for i in (row, 16 - row)]
        cv2.line(picture, *ends, (140, 170, 190), 1, cv2.LINE_AA)
    return picture


def cut_off(photo: RgbImage, points: Points) -> RgbImage:
    """Cut the photo so that a fifth of the face lies beyond its border."""
    left, right = points[:, 0].min(), points[:, 0].max()
    return np.ascontiguousarray(photo[:, int(left + 0.2 * (right - left)) :])


def tiny(photo: RgbImage, points: Points) -> RgbImage:
    """Shrink the photo until the face is 24 pixels high."""
    ratio = 24 / float(np.ptp(points[:, 1]))
    size = [round(side * ratio) for side in photo.shape[1::-1]]
    return np.asarray(cv2.resize(photo, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def close_up(picture: RgbImage, faces: facekit.Faces) -> RgbImage:
    """Draw the best face and its landmarks on an enlarged cut-out around it."""
    if faces.landmarks is None:
        return picture
    view = square(faces.detections.boxes[:1], 1.9)[0]
    corner, ratio = view[:2], CELL / (view[2] - view[0])
    size = {"image_size": (CELL, CELL)}
    boxes = (faces.detections.boxes[:1] - np.tile(corner, 2)) * ratio
    points = (faces.landmarks.points[:1] - corner) * ratio
    moved = facekit.Faces(
        detections=faces.detections[:1].replace(boxes=boxes, **size),
        landmarks=faces.landmarks[:1].replace(points=points, **size),
    )
    return facekit.draw_faces(crop(picture, view, (CELL, CELL)), moved, scores=False)


def main() -> None:
    """Make the sheet."""
    photo, out = sys.argv[1:]
    analyzer = facekit.FaceAnalyzer()
    plain = facekit.read_image(photo)
    landmarks = analyzer(plain).landmarks
    if landmarks is None or not len(landmarks):
        sys.exit(f"{photo}: no face")
    pictures, captions = [], []
    for change in (turned, masked, cut_off, tiny):
        picture = change(plain, landmarks.points[0])
        faces = analyzer(picture)
        found = len(faces) > 0
        name = change.__name__.replace("_", " ")
        captions.append(name if found else f"{name}: not found")
        pictures.append(close_up(picture, faces) if found else picture)
        print(captions[-1])
    facekit.write_image(out, contact_sheet(pictures, columns=2, cell=CELL, captions=captions))


if __name__ == "__main__":
    main()
