"""Two detectors on one dataset: what a swap changes, image by image, and at which threshold.

A user who swaps A for B keeps the behaviour when B shows as many false positives as A did. So
the threshold of B is chosen where it does, and the faces that each finds are compared there.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from facekit.datasets import ImageRecord
from facekit.draw.palette import Colour
from facekit.draw.sheet import contact_sheet
from facekit.draw.strokes import draw_strokes
from facekit.errors import ConfigError
from facekit.evaluation import candidates as naming
from facekit.evaluation import wider_text
from facekit.evaluation.candidates import Candidate
from facekit.evaluation.detection import detect_all
from facekit.evaluation.operating import Outcomes, Point
from facekit.evaluation.photos import read_photo
from facekit.evaluation.runner import BATCH_SIZE, Watch, unwatched
from facekit.evaluation.selection import Missing, is_at_hand, roots_of, select
from facekit.evaluation.store import detection_store
from facekit.images import RgbImage
from facekit.parts import Part
from facekit.protocols import Detector
from facekit.types import Detections

__all__ = ["Comparison", "Difference", "Side", "compare_detectors", "worst_cases"]

PER_IMAGE: Final = (0.1, 1.0)
"""False positives an image for which thresholds are suggested."""

BOTH: Final[Colour] = (0, 158, 115)
ONLY_A: Final[Colour] = (86, 180, 233)
ONLY_B: Final[Colour] = (230, 159, 0)
NEITHER: Final[Colour] = (170, 170, 170)

_CELL: Final = 420


@dataclasses.dataclass(frozen=True, eq=False)
class Side:
    """One of the two detectors.

    Attributes:
        label: Its name.
        scale: The scale at which it sees images, in words.
        predictions: By the image's name, from its evaluation threshold up.
        outcomes: What became of them.
        points: Its display threshold, and thresholds that are suggested.
        chosen: The threshold at which the two are compared.
    """

    label: str
    scale: str
    predictions: dict[str, Detections]
    outcomes: Outcomes
    points: tuple[Point, ...]
    chosen: Point


@dataclasses.dataclass(frozen=True)
class Difference:
    """What a swap changes in one image.

    Attributes:
        name: The image.
        faces: Faces to find.
        both: Faces that both find.
        only_a: Faces that only A finds.
        only_b: Faces that only B finds.
        false_a: False positives of A.
        false_b: False positives of B.
    """

    name: str
    faces: int
    both: int
    only_a: int
    only_b: int
    false_a: int
    false_b: int

    @property
    def loss(self) -> int:
        """By how much the swap makes the image worse: faces lost, and false positives gained."""
        return self.only_a - self.only_b + self.false_b - self.false_a

    @property
    def change(self) -> int:
        """How much the swap changes at all."""
        return self.only_a + self.only_b + abs(self.false_a - self.false_b)


@dataclasses.dataclass(frozen=True, eq=False)
class Comparison:
    """Two detectors on one dataset.

    Attributes:
        a: The detector in use.
        b: The detector to be used.
        records: The images.
        differences: What the swap changes, the greatest loss first.
        notes: What a reader of the numbers must know.
    """

    a: Side
    b: Side
    records: tuple[ImageRecord, ...]
    differences: tuple[Difference, ...]
    notes: tuple[str, ...]

    @property
    def advice(self) -> str:
        """What to set, in a sentence."""
        one, two = self.a.chosen, self.b.chosen
        return (
            f"{self.b.label} at score_threshold {two.threshold:g} gives "
            f"{two.per_image:.3g} false positives an image, as {self.a.label} at "
            f"{one.threshold:g} ({one.per_image:.3g}); of the faces it finds {two.recall:.1%}, "
            f"{self.a.label} {one.recall:.1%}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return {
            "images": len(self.records),
            "faces": self.a.outcomes.faces,
            "advice": self.advice,
            "notes": list(self.notes),
            "detectors": [
                {
                    "label": side.label,
                    "scale": side.scale,
                    "points": [_plain(point) for point in side.points],
                    "compared_at": side.chosen.threshold,
                }
                for side in (self.a, self.b)
            ],
            "differences": [dataclasses.asdict(one) for one in self.differences],
        }


def _plain(point: Point) -> dict[str, Any]:
    """Return a point for JSON, NaN as ``None``."""
    values = {**dataclasses.asdict(point), "f1": point.f1}
    return {
        key: None if isinstance(value, float) and math.isnan(value) else value
        for key, value in values.items()
    }


def compare_detectors(
    records: Iterable[ImageRecord],
    a: Part | Detector | Candidate,
    b: Part | Detector | Candidate,
    *,
    min_height: float = 0.0,
    threshold: float | None = None,
    folder: str | Path | None = None,
    restart: bool = False,
    missing: Missing = "error",
    batch_size: int = BATCH_SIZE,
    watch: Watch = unwatched,
) -> Comparison:
    """Compare two detectors.

    Args:
        records: The annotated images.
        a: The detector in use, by name, with options, or ready.
        b: The detector to be used.
        min_height: Lower faces are ignored, pixels.
        threshold: A's threshold in use; by default its display threshold.
        folder: Where predictions are kept, a folder for each; a stopped run goes on from there.
        restart: Whether predictions of something else are removed.
        missing: What becomes of images that are not at hand: ``"error"`` or ``"skip"``.
        batch_size: Images that a detector sees together.
        watch: Passes images on as they are done.

    Raises:
        FacekitError: If a detector cannot be built, an image cannot be read, or the dataset has no
            face to find.
    """
    selection = select(records, missing=missing, empty=False)
    images = selection.records
    labels = _labels(a, b)
    kept = [None if folder is None else Path(folder) / label for label in labels]
    if folder is not None:
        wider_text.check_names([record.name for record in images], folder)
    first, second = (
        _run(images, one, place, restart=restart, batch_size=batch_size, watch=watch)
        for one, place in zip((a, b), kept, strict=True)
    )
    outcomes = [
        Outcomes(images, list(one.predictions.values()), min_height=min_height)
        for one in (first, second)
    ]
    if not outcomes[0].faces:
        message = f"the dataset has no face of at least {min_height:g} px to find"
        raise ConfigError(message)
    shown = first.display if threshold is None else threshold
    at = outcomes[0].at(shown, "in use" if threshold is not None else "its display threshold")
    equal = outcomes[1].at_false_positives(
        at.per_image, second.lowest, f"as many false positives as {labels[0]}"
    )
    side_a = _side(labels[0], first, outcomes[0], at)
    side_b = _side(labels[1], second, outcomes[1], equal)
    changes = _differences(images, side_a, side_b)
    return Comparison(side_a, side_b, images, changes, selection.notes)


def _side(label: str, ran: _Ran, outcomes: Outcomes, chosen: Point) -> Side:
    """Join what is known of a detector."""
    shown = outcomes.at(ran.display, "its display threshold")
    points = [chosen, *_suggested(outcomes, ran)]
    if chosen.threshold != shown.threshold:
        points.insert(1, shown)
    return Side(label, ran.scale, ran.predictions, outcomes, tuple(points), chosen)


@dataclasses.dataclass(frozen=True, eq=False)
class _Ran:
    """A detector's run."""

    predictions: dict[str, Detections]
    scale: str
    display: float
    lowest: float


def _labels(a: Part | Detector | Candidate, b: Part | Detector | Candidate) -> tuple[str, str]:
    """Return two names that differ."""
    one, two = map(_label, (a, b))
    return (one, two) if one != two else (one, f"{two}_2")


def _label(given: Part | Detector | Candidate) -> str:
    """Return what a detector is called."""
    candidate = naming.candidate_of("detector", given)
    return str(getattr(given, "name", given)) if candidate is None else candidate.label


def _run(
    records: Sequence[ImageRecord],
    given: Part | Detector | Candidate,
    folder: Path | None,
    *,
    restart: bool,
    batch_size: int,
    watch: Watch,
) -> _Ran:
    """Run a detector at its evaluation threshold."""
    part, made, options = naming.built("detector", given)
    candidate = naming.candidate_of("detector", given)
    display = part if candidate is None else candidate.build()
    scale = naming.scale_of(part, options)
    store = None
    if folder is not None:
        setting = {"scale": scale, "threshold": f"{part.score_threshold:g}"}
        made |= {"images": roots_of(records)}
        store = detection_store(folder, fingerprint=made, setting=setting, restart=restart)
    here = [record for record in records if is_at_hand(record)]
    done = detect_all(here, part, store=store, batch_size=batch_size, watch=watch)
    return _Ran(done.values, scale, display.score_threshold, part.score_threshold)


def _suggested(outcomes: Outcomes, ran: _Ran) -> list[Point]:
    """Return thresholds for common wishes."""
    return [
        outcomes.at_best_f1("greatest F1"),
        *(
            outcomes.at_false_positives(
                wanted, ran.lowest, f"at most {wanted:g} false positives an image"
            )
            for wanted in PER_IMAGE
        ),
    ]


def _differences(records: Sequence[ImageRecord], a: Side, b: Side) -> tuple[Difference, ...]:
    """Return what a swap changes in each image, the greatest loss first."""
    found = [side.outcomes.found(side.chosen.threshold) for side in (a, b)]
    false = [side.outcomes.false(side.chosen.threshold) for side in (a, b)]
    starts = a.outcomes.face_starts
    rows = []
    for number, record in enumerate(records):
        own = slice(starts[number], starts[number + 1])
        one, two = found[0][own], found[1][own]
        rows.append(
            Difference(
                name=record.name,
                faces=int(a.outcomes.counted[own].sum()),
                both=int((one & two).sum()),
                only_a=int((one & ~two).sum()),
                only_b=int((~one & two).sum()),
                false_a=int(false[0][number]),
                false_b=int(false[1][number]),
            )
        )
    return tuple(sorted(rows, key=lambda row: (-row.loss, -row.change, row.name)))


def worst_cases(comparison: Comparison, *, count: int = 12, columns: int = 4) -> RgbImage | None:
    """Draw the images that the swap makes worst.

    Faces that both find are green, those that only A finds blue, only B orange, neither grey; false
    positives are dashed in the detector's colour.

    Args:
        comparison: The comparison.
        count: How many images, of those that change.
        columns: Cells in a row.

    Returns:
        ``(H, W, 3)`` uint8 RGB, or ``None`` where nothing changes.

    Raises:
        ImageError: If an image cannot be read.
    """
    worst = [one for one in comparison.differences if one.change][:count]
    if not worst:
        return None
    numbers = {record.name: number for number, record in enumerate(comparison.records)}
    tiles = [_drawn(comparison, numbers[one.name]) for one in worst]
    captions = [
        f"A {one.both + one.only_a}+{one.false_a}  B {one.both + one.only_b}+{one.false_b} of "
        f"{one.faces}: {PurePosixPath(one.name).name}"
        for one in worst
    ]
    return contact_sheet(tiles, columns=columns, cell=_CELL, captions=captions)


def _drawn(comparison: Comparison, number: int) -> RgbImage:
    """Draw one image."""
    record = comparison.records[number]
    photo = read_photo(record)
    scale = 2 * _CELL / max(photo.shape[:2])
    shape = max(1, round(photo.shape[1] * scale)), max(1, round(photo.shape[0] * scale))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    canvas = np.asarray(cv2.resize(photo, shape, interpolation=way), dtype=np.uint8)
    a, b = comparison.a, comparison.b
    own = slice(*a.outcomes.face_starts[number : number + 2])
    found = [side.outcomes.found(side.chosen.threshold)[own] for side in (a, b)]
    for face, counted, one, two in zip(record.faces, a.outcomes.counted[own], *found, strict=True):
        colour = BOTH if one and two else ONLY_A if one else ONLY_B if two else NEITHER
        if counted:
            _outline(canvas, np.asarray(face.box) * scale, colour, dashed=False)
    for side, colour in ((a, ONLY_A), (b, ONLY_B)):
        for box in _false_boxes(side, record.name, number):
            _outline(canvas, box * scale, colour, dashed=True)
    return canvas


def _false_boxes(side: Side, name: str, number: int) -> npt.NDArray[np.float64]:
    """Return the boxes of an image's false positives, ``(n, 4)``."""
    outcomes = side.outcomes
    wrong = (outcomes.image == number) & ~outcomes.true
    rows = outcomes.place[wrong & (outcomes.scores >= side.chosen.threshold)]
    boxes: npt.NDArray[np.float64] = side.predictions[name].boxes[rows].astype(np.float64)
    return boxes


def _outline(
    canvas: RgbImage, box: npt.NDArray[np.float64], colour: Colour, *, dashed: bool
) -> None:
    """Draw a box."""
    x1, y1, x2, y2 = box
    corners = np.array([(x1, y1), (x2, y1), (x2, y2), (x1, y2)])
    size = max(abs(x2 - x1), abs(y2 - y1), 1.0)
    width = max(1.5, min(0.006 * max(canvas.shape[:2]), size / 12))
    if not dashed:
        draw_strokes(canvas, lines=[(corners, True)], colour=colour, width=width)
        return
    ends = np.roll(corners, -1, axis=0)
    pieces = [
        (np.array([start + (end - start) * (i + part) / 5 for part in (0.0, 0.5)]), False)
        for start, end in zip(corners, ends, strict=True)
        for i in range(5)
    ]
    draw_strokes(canvas, lines=pieces, colour=colour, width=width)
