from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facekit.align import (
    ARCFACE_5,
    align_faces,
    five_points,
    similarity,
    template_points,
)
from facekit.errors import ConfigError, ImageError, UnknownNameError
from facekit.mean_shape import MEAN_SHAPE_68
from facekit.types import Landmarks

Rgb = npt.NDArray[np.uint8]
Points = npt.NDArray[np.float64]

# Eyes, nose tip and mouth corners of the astronaut, marked by eye to a pixel or two.
ASTRONAUT_5 = np.array([[202.5, 106], [242, 106], [224, 125], [207, 147], [243, 147]])


def landmarks(points: npt.ArrayLike, scheme: str, image: Rgb) -> Landmarks:
    size = (image.shape[0], image.shape[1])
    return Landmarks(points=np.asarray(points), scheme=scheme, image_size=size)


def placed(size: float, angle: float, centre: tuple[float, float]) -> Points:
    """The mean shape somewhere in an image, turned by an angle in degrees."""
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    turned = (np.array(MEAN_SHAPE_68) - 0.5) @ np.array([[cos, sin], [-sin, cos]])
    return np.asarray(turned * size + centre)


@given(
    angle=st.floats(-180, 180),
    scale=st.floats(0.05, 20),
    shift=st.tuples(st.floats(-500, 500), st.floats(-500, 500)),
)
def test_a_similarity_is_found_exactly(
    angle: float, scale: float, shift: tuple[float, float]
) -> None:
    cos, sin = scale * np.cos(np.radians(angle)), scale * np.sin(np.radians(angle))
    wanted = np.array([[cos, -sin, shift[0]], [sin, cos, shift[1]]])
    points = np.array(ARCFACE_5)
    found = similarity(points, points @ wanted[:, :2].T + wanted[:, 2])
    assert np.allclose(found, wanted, atol=1e-9 * (1 + scale * 100))


@pytest.mark.parametrize("seed", range(5))
def test_the_fit_is_that_of_scikit_image(seed: int) -> None:
    transform = pytest.importorskip("skimage.transform")
    rng = np.random.default_rng(seed)
    points = placed(80, 40 * seed, (150, 200)) + rng.normal(0, 3, (68, 2))
    template = template_points("ibug68", 112)
    oracle = transform.SimilarityTransform.from_estimate(points, template)
    assert np.allclose(similarity(points, template), oracle.params[:2], atol=1e-9)


def test_a_mirrored_face_is_turned_never_mirrored() -> None:
    points = np.array(ARCFACE_5) * [-1, 1]
    assert np.linalg.det(similarity(points, ARCFACE_5)[:, :2]) > 0


def test_points_of_another_number_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(5, 2\) do not fit a template of \(68, 2\)"):
        similarity(ARCFACE_5, MEAN_SHAPE_68)


@pytest.mark.parametrize("bad", [np.zeros((5, 2)), np.full((5, 2), np.nan)])
def test_points_without_a_similarity_are_an_image_error(bad: Points) -> None:
    with pytest.raises(ImageError, match="cannot be aligned"):
        similarity(bad, ARCFACE_5)


def test_templates_scale_about_the_middle() -> None:
    assert np.allclose(template_points("arcface5"), ARCFACE_5)
    assert np.allclose(template_points("arcface5", 224), 2 * np.array(ARCFACE_5))
    shape = template_points("ibug68", 100, margin=0.25)
    assert np.isclose(np.ptp(shape, axis=0).max(), 100 / 1.5, atol=0.02)
    assert np.allclose((shape.min(axis=0) + shape.max(axis=0)) / 2, 50, atol=0.02)


@pytest.mark.parametrize(("size", "margin"), [(0, 0.0), (112, -0.5)])
def test_a_template_without_a_square_is_refused(size: int, margin: float) -> None:
    with pytest.raises(ConfigError, match="leave no square"):
        template_points("arcface5", size, margin)


def test_the_mean_shape_is_a_symmetric_upright_face() -> None:
    shape = np.array(MEAN_SHAPE_68)
    assert shape.shape == (68, 2)
    assert shape.min() >= 0
    assert shape.max() <= 1
    # The jaw, mirrored, is the jaw read backwards; the eyes are above the nose and mouth.
    assert np.allclose(shape[:17] * [-1, 1] + [1, 0], shape[16::-1], atol=1e-4)
    heights = [shape[part, 1].mean() for part in (slice(17, 27), slice(36, 48), 30, slice(48, 68))]
    assert heights == sorted(heights)
    assert shape[36, 0] < shape[45, 0]


def test_five_points_are_eyes_nose_and_mouth(astronaut: Rgb) -> None:
    shape = placed(100, 0, (224, 130))
    five = five_points(landmarks(shape[None], "ibug68", astronaut))
    assert five.shape == (1, 5, 2)
    assert np.allclose(five[0, 0], shape[36:42].mean(axis=0))
    assert np.allclose(five[0, 2:], shape[[30, 48, 54]], atol=1e-4)
    left, right = five[0, :2]
    assert left[0] < right[0]


def test_the_astronaut_s_eyes_land_on_the_template(astronaut: Rgb) -> None:
    face = landmarks(ASTRONAUT_5[None], "arcface5", astronaut)
    (aligned,) = align_faces(astronaut, face)
    assert aligned.shape == (112, 112, 3)
    assert aligned.dtype == np.uint8
    # Eyes are darker than the cheeks below them.
    grey = aligned.astype(float).mean(axis=2)
    for x, y in np.array(ARCFACE_5[:2]).astype(int):
        assert (
            grey[y - 3 : y + 4, x - 3 : x + 4].mean() < grey[y + 14 : y + 20, x - 3 : x + 4].mean()
        )


def test_a_turned_photo_gives_the_same_face(astronaut: Rgb) -> None:
    turned = np.ascontiguousarray(np.rot90(astronaut))
    # A quarter turn to the left takes (x, y) to (y, width - x).
    points = np.stack([ASTRONAUT_5[:, 1], 512 - ASTRONAUT_5[:, 0]], axis=1)
    upright = align_faces(astronaut, landmarks(ASTRONAUT_5[None], "arcface5", astronaut), size=64)
    again = align_faces(turned, landmarks(points[None], "arcface5", turned), size=64)
    difference = np.abs(upright.astype(int) - again.astype(int))
    assert difference.mean() < 1
    assert difference.max() < 40


def test_every_pixel_lands_where_the_matrix_says() -> None:
    # A ramp tells each pixel's continuous x by its value: pixel i has centre i + 0.5.
    ramp = np.repeat(np.arange(200, dtype=np.uint8)[None, :, None], 200, axis=0).repeat(3, axis=2)
    points = np.array(ARCFACE_5) * 1.25 + [20, 30]
    (aligned,) = align_faces(ramp, landmarks(points[None], "arcface5", ramp), size=112)
    wanted = (np.arange(112) + 0.5) * 1.25 + 20 - 0.5
    assert np.abs(aligned[56, :, 0] - wanted).max() <= 0.75


def test_a_large_face_is_shrunk_without_aliasing(astronaut: Rgb) -> None:
    fine = np.zeros((1200, 1200, 3), np.uint8)
    fine[:, ::2] = 255
    points = np.array(ARCFACE_5) * 9 + [50, 60]
    (aligned,) = align_faces(fine, landmarks(points[None], "arcface5", fine))
    # Stripes finer than a pixel become grey; skipping pixels would leave stripes.
    assert np.abs(aligned[5:-5, 5:-5].astype(int) - 127).max() < 25
    big = astronaut.repeat(6, axis=0).repeat(6, axis=1)
    one = align_faces(astronaut, landmarks(ASTRONAUT_5[None], "arcface5", astronaut))
    six = align_faces(big, landmarks(6 * ASTRONAUT_5[None], "arcface5", big))
    assert np.abs(one.astype(int) - six.astype(int)).mean() < 4


def test_outside_the_image_is_black_even_far_away(astronaut: Rgb) -> None:
    for offset in (-5e3, 5e3, 1e7):
        for zoom in (1, 30):
            points = zoom * np.array(ARCFACE_5) + offset
            (aligned,) = align_faces(astronaut, landmarks(points[None], "arcface5", astronaut))
            assert aligned.max() == 0


def test_a_face_at_the_end_of_a_very_wide_image_is_cut_out(astronaut: Rgb) -> None:
    wide = np.zeros((512, 40_000, 3), np.uint8)
    wide[:, -512:] = astronaut
    points = ASTRONAUT_5 + np.array([40_000 - 512, 0])
    (found,) = align_faces(wide, landmarks(points[None], "arcface5", wide))
    (wanted,) = align_faces(astronaut, landmarks(ASTRONAUT_5[None], "arcface5", astronaut))
    assert np.abs(found.astype(int) - wanted.astype(int)).max() <= 2


def test_faces_by_all_points_fill_the_square(astronaut: Rgb) -> None:
    shape = placed(90, 20, (224, 130))
    faces = landmarks(np.stack([shape, shape]), "ibug68", astronaut)
    tight = align_faces(astronaut, faces, size=80, template="ibug68")
    wide = align_faces(astronaut, faces, size=80, template="ibug68", margin=0.5)
    assert tight.shape == wide.shape == (2, 80, 80, 3)
    middle = tight[0][::2, ::2].astype(int)
    assert np.abs(middle - wide[0][20:60, 20:60].astype(int)).mean() < 12
    assert np.array_equal(tight[0], tight[1])


def test_no_face_keeps_the_shape(astronaut: Rgb) -> None:
    assert align_faces(astronaut, Landmarks.empty((512, 512)), size=32).shape == (0, 32, 32, 3)


def test_the_image_is_never_changed(astronaut: Rgb) -> None:
    before = astronaut.copy()
    align_faces(astronaut, landmarks(ASTRONAUT_5[None], "arcface5", astronaut))
    assert np.array_equal(before, astronaut)


@pytest.mark.parametrize(
    ("scheme", "template", "error", "reason"),
    [
        ("ibug68", "arcface", UnknownNameError, "did you mean 'arcface5'"),
        ("dlib5", "arcface5", UnknownNameError, "unknown landmark scheme 'dlib5'"),
        ("arcface5", "ibug68", ImageError, "'ibug68' needs its own landmarks"),
    ],
)
def test_schemes_and_templates_that_do_not_fit_are_named(
    astronaut: Rgb, scheme: str, template: str, error: type[Exception], reason: str
) -> None:
    points = np.random.default_rng(0).uniform(100, 200, (1, 68 if scheme == "ibug68" else 5, 2))
    with pytest.raises(error, match=reason):
        align_faces(astronaut, landmarks(points, scheme, astronaut), template=template)


def test_landmarks_of_another_image_are_refused(astronaut: Rgb) -> None:
    with pytest.raises(ImageError, match=r"\(100, 100\), not \(512, 512\)"):
        align_faces(astronaut, Landmarks.empty((100, 100)))
