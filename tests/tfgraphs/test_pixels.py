"""Photos for inputs of every kind."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from facekit.errors import BackendError
from facekit.tfgraphs.pixels import prepare, resized
from facekit.tfgraphs.signature import TensorInfo

Image = npt.NDArray[np.uint8]
Require = Any


def given(images: list[Image], tensor: TensorInfo, mean: float = 0, std: float = 1) -> Any:
    offset, scale = (np.array([one] * 3, dtype=np.float32) for one in (mean, std))
    return prepare(images, tensor, offset=offset, scale=scale, half_pixel_centers=False)


def image(dtype: str, *sides: int | None, scale: float = 0, zero: int = 0) -> TensorInfo:
    return TensorInfo("image", (1, *(sides or (None, None)), 3), dtype, scale, zero)


def test_pixels_go_in_as_they_are(astronaut: Image) -> None:
    for dtype in ("uint8", "int32", "float32"):
        batch = given([astronaut, astronaut[::-1]], image(dtype))
        assert batch.dtype == dtype
        assert (batch[1] == astronaut[::-1]).all()


def test_floats_are_normalised(astronaut: Image) -> None:
    batch = given([astronaut], image("float32"), 127.5, 127.5)
    np.testing.assert_allclose(batch[0], astronaut / 127.5 - 1, atol=1e-6)


@pytest.mark.parametrize(("dtype", "zero"), [("uint8", 128), ("int8", 0), ("int8", -1)])
def test_quantised_integers_stand_for_the_normalised_floats(
    dtype: str, zero: int, astronaut: Image
) -> None:
    batch = given([astronaut], image(dtype, scale=1 / 127.5, zero=zero), 127.5, 127.5)
    assert batch.dtype == dtype
    meant = (batch[0].astype(np.float32) - zero) / 127.5
    np.testing.assert_allclose(meant, astronaut / 127.5 - 1, atol=1 / 127.5)


def test_files_are_lossless(astronaut: Image) -> None:
    (file,) = given([astronaut], TensorInfo("files", (None,), "string"))
    bgr = cv2.imdecode(np.frombuffer(file, np.uint8), 1)
    assert bgr is not None
    assert (bgr[..., ::-1] == astronaut).all()


def test_an_input_of_another_type_is_refused(astronaut: Image) -> None:
    with pytest.raises(BackendError, match=r"the input image bool \[1, \?, \?, 3\] holds no pixel"):
        given([astronaut], image("bool"))


def test_inputs_of_fixed_size_are_filled(astronaut: Image) -> None:
    assert given([astronaut, astronaut[:99]], image("uint8", 30, 40)).shape == (2, 30, 40, 3)
    assert given([astronaut], image("float32", 64, None)).shape == (1, 64, 512, 3)


def test_with_half_pixel_centers_resizing_is_opencvs(astronaut: Image) -> None:
    want = cv2.resize(astronaut.astype(np.float32), (300, 224), interpolation=cv2.INTER_LINEAR)
    found = resized(astronaut, (224, 300), half_pixel_centers=True)
    np.testing.assert_allclose(found, want, atol=0.05)


def test_corners_lie_on_each_other_without(astronaut: Image) -> None:
    found = resized(astronaut, (256, 128))
    assert (found == astronaut[::2, ::4]).all()


@pytest.mark.parametrize("size", [(224, 300), (700, 600), (512, 1), (3, 512)])
def test_resizing_is_tensorflows(
    size: tuple[int, int],
    astronaut: Image,
    require_tensorflow: None,  # noqa: ARG001 - asks for the package
) -> None:
    import tensorflow as tf

    for half in (False, True):
        want = tf.raw_ops.ResizeBilinear(
            images=astronaut[None].astype(np.float32), size=size, half_pixel_centers=half
        )
        found = resized(astronaut, size, half_pixel_centers=half)
        np.testing.assert_allclose(found, want.numpy()[0], atol=2e-3)
