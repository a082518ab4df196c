"""Matching, coding, hard negatives and losses, against slow and plain code."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facekit import boxes as box_maths
from facekit.detectors import tiny_ssd

pytestmark = pytest.mark.usefixtures("training")

Floats = npt.NDArray[np.float64]
CONTINUOUS = np.array([0, 0, 1, 1])


def parts() -> tuple[Any, Any]:
    multibox = importlib.import_module("facekit.training.detection.multibox")
    return importlib.import_module("torch"), multibox


def boxes_of(random: np.random.Generator, count: int, side: float = 300) -> Floats:
    centre = random.uniform(0, side, (count, 2))
    half = np.exp(random.uniform(np.log(3), np.log(90), (count, 2)))
    return np.concatenate([centre - half, centre + half], axis=1)


def faces_of(boxes: Any, images: Any, ignore: Any) -> Any:
    torch, multibox = parts()
    return multibox.Faces(
        torch.tensor(np.asarray(boxes, dtype=np.float32).reshape(-1, 4)),
        torch.tensor(np.asarray(images, dtype=np.int64)),
        torch.tensor(np.asarray(ignore, dtype=bool)),
    )


def slowly(
    boxes: Floats, ignore: Any, anchors: Floats, overlap: float
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """One image's classes and faces by the words of the docstring, one anchor at a time."""
    classes, owners = np.zeros(len(anchors), np.int64), np.zeros(len(anchors), np.int64)
    overlaps = box_maths.iou(boxes.astype(np.float32), anchors.astype(np.float32))
    for anchor in range(len(anchors)):
        for face in np.flatnonzero(ignore):
            low = np.maximum(boxes[face, :2], anchors[anchor, :2])
            high = np.minimum(boxes[face, 2:], anchors[anchor, 2:])
            covered = (high - low).clip(0).prod() / (
                anchors[anchor, 2:] - anchors[anchor, :2]
            ).prod()
            if covered > 0.5 or overlaps[face, anchor] > 0.2:
                classes[anchor] = -1
    for anchor in range(len(anchors)):
        claims = []
        for face in np.flatnonzero(~np.array(ignore)):
            is_best = overlaps[face, anchor] >= overlaps[face].max() - 1e-6
            if is_best and overlaps[face, anchor] > 0:
                claims.append((1, overlaps[face, anchor], -face))
            elif overlaps[face, anchor] >= overlap:
                claims.append((0, overlaps[face, anchor], -face))
        if claims:
            classes[anchor], owners[anchor] = 1, -int(max(claims)[2])
    return classes, owners


@pytest.mark.parametrize("seed", range(6))
def test_matching_is_what_plain_code_says(seed: int) -> None:
    torch, multibox = parts()
    random = np.random.default_rng(seed)
    anchors = boxes_of(random, 60)
    counts = [4, 0, 9, 1]
    boxes = boxes_of(random, sum(counts))
    images = np.repeat(np.arange(4), counts)
    ignore = np.arange(len(boxes)) % 3 == 0
    shuffled = random.permutation(len(boxes))
    found = multibox.match(
        faces_of(boxes[shuffled], images[shuffled], ignore[shuffled]),
        4,
        torch.tensor(anchors, dtype=torch.float32),
        overlap=0.35,
    )
    for image in range(4):
        rows = np.flatnonzero(images[shuffled] == image)
        own = shuffled[rows]
        classes, owners = slowly(boxes[own], ignore[own], anchors, 0.35)
        assert found.classes[image].tolist() == classes.tolist()
        is_face = classes == 1
        assert found.faces[image].numpy()[is_face].tolist() == rows[owners[is_face]].tolist()
    assert {0, 1} <= set(found.classes.unique().tolist())


def test_every_face_has_an_anchor_of_the_tiny_ssd() -> None:
    torch, multibox = parts()
    anchors = torch.tensor(tiny_ssd.anchors() + CONTINUOUS, dtype=torch.float32)
    boxes = [[20, 20, 26, 27], [0, 0, 300, 300], [150, 150, 151, 290], [1, 298, 2, 299]]
    found = multibox.match(faces_of(boxes, [0] * 4, [False] * 4), 1, anchors)
    owned = set(found.faces[found.classes == 1].tolist())
    assert owned == {0, 1, 2, 3}


def test_degenerate_and_missing_faces_match_nothing() -> None:
    torch, multibox = parts()
    anchors = torch.tensor(boxes_of(np.random.default_rng(0), 30), dtype=torch.float32)
    nothing = multibox.match(faces_of([], [], []), 2, anchors)
    assert nothing.classes.shape == (2, 30)
    assert nothing.classes.unique().tolist() == [0]
    flat = [[50, 50, 50, 80], [90, 90, 80, 80], [1e6, 1e6, 1e6 + 5, 1e6 + 5]]
    found = multibox.match(faces_of(flat, [0, 0, 1], [False, False, False]), 2, anchors)
    assert found.classes.unique().tolist() == [0]
    ignored = multibox.match(faces_of([[0, 0, 300, 300]], [1], [True]), 2, anchors)
    assert ignored.classes[0].unique().tolist() == [0]
    assert (ignored.classes[1] == -1).any()
    assert not (ignored.classes == 1).any()


def test_a_face_beside_an_ignored_one_keeps_its_anchors() -> None:
    torch, multibox = parts()
    anchors = torch.tensor([[0, 0, 20, 20], [40, 40, 60, 60.0]])
    found = multibox.match(
        faces_of([[0, 0, 20, 20], [0, 0, 70, 70]], [0, 0], [False, True]), 1, anchors
    )
    assert found.classes.tolist() == [[1, -1]]


def test_compensation_gives_small_faces_more_anchors() -> None:
    torch, multibox = parts()
    places = torch.arange(0, 60, 4.0)
    anchors = torch.stack([places, places * 0, places + 16, places * 0 + 16], dim=1)
    faces = faces_of([[6, 4, 14, 12]], [0], [False])
    plain = multibox.match(faces, 1, anchors, overlap=0.35)
    more = multibox.match(
        faces, 1, anchors, overlap=0.35, compensation=multibox.Compensation(4, 0.04)
    )
    none = multibox.match(
        faces, 1, anchors, overlap=0.35, compensation=multibox.Compensation(4, 0.9)
    )
    overlaps = multibox.iou(faces.boxes, anchors)[0]
    assert int((plain.classes == 1).sum()) == int((overlaps == overlaps.max()).sum()) < 4
    expected = overlaps.topk(4).indices
    assert sorted(torch.nonzero(more.classes[0] == 1).flatten().tolist()) == sorted(
        expected.tolist()
    )
    assert none.classes.tolist() == plain.classes.tolist()


side = st.floats(1, 400, width=32)
place = st.floats(-100, 700, width=32)
box = st.tuples(place, place, side, side).map(lambda b: [b[0], b[1], b[0] + b[2], b[1] + b[3]])


@given(st.lists(st.tuples(box, box), min_size=1, max_size=20))
def test_decoding_inverts_encoding(pairs: list[tuple[list[float], list[float]]]) -> None:
    torch, multibox = parts()
    boxes, anchors = torch.tensor(pairs, dtype=torch.float64).unbind(1)
    again = multibox.decode(multibox.encode(boxes, anchors), anchors)
    np.testing.assert_allclose(again.numpy(), boxes.numpy(), atol=1e-6)


def test_coding_is_the_detectors_own() -> None:
    torch, multibox = parts()
    random = np.random.default_rng(0)
    anchors = tiny_ssd.anchors()
    rows = random.integers(len(anchors), size=200)
    deltas = random.normal(size=(200, 4)).astype(np.float32)
    theirs = tiny_ssd._decode(deltas, anchors[rows]) + CONTINUOUS
    continuous = torch.tensor(anchors[rows] + CONTINUOUS, dtype=torch.float32)
    ours = multibox.decode(torch.tensor(deltas), continuous).numpy().clip(0, 300)
    inside = (theirs > 1).all(axis=1) & (theirs < 299).all(axis=1)
    assert inside.sum() > 20
    np.testing.assert_allclose(ours[inside], theirs[inside], atol=1e-3)


def test_hard_negatives_are_the_hardest_of_the_batch() -> None:
    torch, multibox = parts()
    random = np.random.default_rng(0)
    losses = torch.tensor(random.random((3, 40)), dtype=torch.float32)
    classes = torch.tensor(random.choice([-1, 0, 1], (3, 40), p=[0.2, 0.7, 0.1]))
    classes[2][classes[2] == 1] = 0
    chosen = multibox.hard_negatives(losses, classes, ratio=3)
    count = 3 * int((classes == 1).sum())
    background = losses[classes == 0].sort(descending=True).values
    assert int(chosen.sum()) == count < len(background)
    assert set(classes[chosen].tolist()) == {0}
    assert losses[chosen].min() == background[count - 1]
    assert bool(chosen[2].any()), "photos without a face teach too"
    every = multibox.hard_negatives(losses, classes, ratio=1000)
    assert torch.equal(every, classes == 0)
    none = multibox.hard_negatives(losses, torch.full((3, 40), -1), ratio=3, least=5)
    assert not none.any()


def test_losses_by_hand() -> None:
    torch, multibox = parts()
    anchors = torch.tensor([[0, 0, 10, 10], [100, 100, 110, 110], [200, 200, 210, 210.0]])
    faces = faces_of([[1, 0, 11, 10]], [0], [False])
    targets = multibox.match(faces, 1, anchors)
    logits = torch.tensor([[[0, 2.0], [1, 0], [3, 0]]])
    deltas = torch.tensor([[[0.4, 0, 0, 0], [9, 9, 9, 9.0], [9, 9, 9, 9]]])
    score, box_loss = multibox.multibox_losses(logits, deltas, targets, faces, anchors, ratio=1)
    assert float(score) == pytest.approx(np.log1p(np.exp(-2)) + np.log1p(np.exp(-1)), rel=1e-5)
    # The face is 0.1 of the anchor to the right: a delta of 1, of which 0.6 is missing.
    assert float(box_loss) == pytest.approx(0.5 * 0.6**2, rel=1e-5)


def test_without_faces_there_is_background_to_learn() -> None:
    torch, multibox = parts()
    anchors = torch.tensor(boxes_of(np.random.default_rng(0), 30), dtype=torch.float32)
    faces = faces_of([], [], [])
    logits = torch.zeros(2, 30, 2, requires_grad=True)
    deltas = torch.zeros(2, 30, 4, requires_grad=True)
    targets = multibox.match(faces, 2, anchors)
    score, box_loss = multibox.multibox_losses(logits, deltas, targets, faces, anchors)
    assert float(score.detach()) == pytest.approx(2 * np.log(2), rel=1e-5)
    assert float(box_loss.detach()) == 0
    (score + box_loss).backward()
    assert torch.isfinite(logits.grad).all()
    assert logits.grad[..., 1].min() >= 0


def test_a_network_like_its_teacher_has_nothing_to_learn() -> None:
    torch, multibox = parts()
    torch.manual_seed(0)
    logits, deltas = torch.randn(2, 50, 2) * 4, torch.randn(2, 50, 4)
    for temperature in (1.0, 2.0):
        same = multibox.distillation_losses(logits, deltas, logits, deltas, temperature=temperature)
        assert [float(part) for part in same] == pytest.approx([0, 0], abs=1e-4)
        # Only the margin counts.
        moved = multibox.distillation_losses(
            logits + 5, deltas, logits, deltas, temperature=temperature
        )
        assert float(moved[0]) == pytest.approx(0, abs=1e-4)


def test_a_teacher_is_followed_where_it_sees_faces() -> None:
    torch, multibox = parts()
    taught_logits = torch.tensor([[[0, 8.0], [8, 0]]])
    taught_deltas = torch.ones(1, 2, 4)
    logits = torch.zeros(1, 2, 2, requires_grad=True)
    deltas = torch.zeros(1, 2, 4, requires_grad=True)
    score, box_loss = multibox.distillation_losses(logits, deltas, taught_logits, taught_deltas)
    (score + box_loss).backward()
    assert logits.grad[0, 0, 1] < 0 < logits.grad[0, 1, 1]
    assert (deltas.grad[0, 0] < 0).all()
    assert (deltas.grad[0, 1] == 0).all()
