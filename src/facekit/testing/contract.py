"""What the contracts of all three roles have in common: one way in, one way out, nothing kept."""

from __future__ import annotations

import abc
import functools
import inspect
import random
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import pytest
from PIL import Image

from facekit import registry
from facekit.errors import ConfigError, ImageError
from facekit.images import ImageLike
from facekit.testing import golden, isolation, photos
from facekit.testing.photos import Photo
from facekit.types import Classifications, Detections, Landmarks

__all__ = ["Contract", "Model"]

Model = Any
"""An adapter of any role: one that is being tested may lack anything."""

Result = TypeVar("Result", Detections, Landmarks, Classifications)

_THREADS = 4


@functools.lru_cache(maxsize=1)
def _built(contract: type[Contract[Any]]) -> Model:
    """Build a contract's adapter; the last one only is kept, since models may be large."""
    return contract.build()


class Contract(abc.ABC, Generic[Result]):
    """The checks that every adapter passes, whatever its role.

    Attributes:
        name: The adapter's registry name; the one thing that a subclass must set.
        options: The options to build it with.
        golden: The golden record; by default ``golden/<role>_<name>.json`` beside the test file.
        golden_pixels: How far from the record coordinates may be, pixels.
        golden_score: How far from the record scores may be.
        batch_pixels: How far a batch may be from one by one, pixels.
        batch_score: How far a batch's scores may be from one by one.
        decoder_pixels: How far boxes or points may be where a file is decoded by another decoder.
    """

    role: ClassVar[registry.Role]
    protocol: ClassVar[type[Any]]

    name: ClassVar[str]
    options: ClassVar[Mapping[str, Any]] = {}
    golden: ClassVar[Path | str | None] = None
    golden_pixels: ClassVar[float] = 0.5
    golden_score: ClassVar[float] = 1e-3
    batch_pixels: ClassVar[float] = 1e-3
    batch_score: ClassVar[float] = 1e-5
    decoder_pixels: ClassVar[float] = 1.0

    @classmethod
    def build(cls, **options: Any) -> Model:  # noqa: ANN401 - any option
        """Build the adapter as users do, by name.

        Args:
            **options: Options beside, or in place of, the class's own.
        """
        return registry.create(cls.role, cls.name, {**cls.options, **options})

    @abc.abstractmethod
    def run(
        self, model: Model, images: Sequence[ImageLike], shown: Sequence[Photo]
    ) -> list[Result]:
        """Ask the model about images; ``shown`` has the truth about them, in their order."""

    @abc.abstractmethod
    def check_shape(self, model: Model, result: Result, photo: Photo) -> None:
        """Check type, shapes, dtypes and ranges of one result."""

    @abc.abstractmethod
    def check_same(self, got: Result, want: Result, *, pixels: float, score: float) -> None:
        """Check that two results are the same within tolerances."""

    @abc.abstractmethod
    def check_golden(self, got: Mapping[str, Any], want: Mapping[str, Any]) -> None:
        """Check one photo's numbers against the record's."""

    def ask(self, model: Model, *shown: Photo) -> list[Result]:
        """Run the model on photos, as arrays."""
        return self.run(model, [photo.image for photo in shown], shown)

    @pytest.fixture
    def model(self) -> Model:
        """The adapter, built once for the class: nothing may be remembered between calls."""
        return _built(type(self))

    def test_has_the_protocols_attributes(self, model: Model) -> None:
        """The adapter has what its role's protocol asks for."""
        assert isinstance(model, self.protocol), (
            f"{type(model).__name__} lacks a method or attribute of facekit.protocols"
        )
        assert model.name == self.name, "name must be the registry's"

    def test_one_result_an_image(self, model: Model) -> None:
        """A list comes back, as long as the list that went in; so does an empty one."""
        shown = [photos.portrait(), photos.astronaut(), photos.portrait()]
        found = self.ask(model, *shown)
        assert isinstance(found, list), f"expected a list, got {type(found).__name__}"
        assert len(found) == len(shown), "one result an image, in their order"
        assert self.run(model, [], []) == [], "no image gives an empty list"

    def test_results_have_the_promised_shapes(self, model: Model) -> None:
        """Types, dtypes, shapes, ranges and the image's size are those of facekit.types."""
        for photo in photos.face_photos():
            self.check_shape(model, self.ask(model, photo)[0], photo)

    def test_image_without_a_face(self, model: Model) -> None:
        """No face is a result of length 0 with the same shapes, never ``None``."""
        photo = photos.blank(240, 320)
        found = self.ask(model, photo)[0]
        assert found is not None, "no face is a result of length 0, not None"
        self.check_shape(model, found, photo)
        assert len(found) == 0, "a face was reported in a plain grey image"

    @pytest.mark.parametrize("size", [(1, 1), (1, 400), (400, 1), (2, 3)])
    def test_tiny_images(self, model: Model, size: tuple[int, int]) -> None:
        """An image of one pixel, or a strip, gives a result of the right shapes."""
        photo = photos.blank(*size)
        self.check_shape(model, self.ask(model, photo)[0], photo)

    def test_batch_equals_one_by_one(self, model: Model) -> None:
        """Mixed sizes in one call, in any order, give what they give one by one."""
        shown = photos.face_photos()
        alone = {photo.name: self.ask(model, photo)[0] for photo in shown}
        for seed in range(2):
            random.Random(seed).shuffle(shown)  # noqa: S311 - an order, not a secret
            for photo, found in zip(shown, self.ask(model, *shown), strict=True):
                self.check_same(
                    found, alone[photo.name], pixels=self.batch_pixels, score=self.batch_score
                )

    def test_nothing_is_remembered(self, model: Model) -> None:
        """An answer does not depend on what was asked before."""
        first, other = photos.astronaut(), photos.mirrored(photos.astronaut())
        fresh = self.ask(self.build(), other)[0]
        self.ask(model, first)
        after_first = self.ask(model, other)[0]
        self.ask(model, photos.blank(100, 100))
        after_blank = self.ask(model, other)[0]
        for found in (after_first, after_blank):
            self.check_same(found, fresh, pixels=self.batch_pixels, score=self.batch_score)

    def test_inputs_are_not_changed(self, model: Model) -> None:
        """The caller's pixels are the caller's."""
        photo = photos.astronaut()
        mine = photo.image.copy()
        self.run(model, [mine], [photo])
        assert np.array_equal(mine, photo.image), "the input array was written to"

    def test_any_memory_layout(self, model: Model) -> None:
        """Read-only, mirrored, Fortran-ordered and sliced arrays are as good as any other."""
        photo = photos.portrait()
        wide = np.repeat(photo.image, 2, axis=1)[:, ::2]
        layouts = [wide, np.asfortranarray(photo.image), photo.image[:, ::-1].copy()[:, ::-1]]
        want = self.ask(model, photo)[0]
        for image in layouts:
            image.setflags(write=False)
            found = self.run(model, [image], [photo])[0]
            self.check_same(found, want, pixels=self.batch_pixels, score=self.batch_score)

    def test_path_and_pil_image_and_array_agree(self, model: Model, tmp_path: Path) -> None:
        """A file, its path as text, a Pillow image and an RGB array are the same image."""
        photo = photos.pair()
        file = tmp_path / "photo.png"
        pillow = Image.fromarray(photo.image)
        pillow.save(file)
        want = self.ask(model, photo)[0]
        for image in (file, str(file), pillow):
            found = self.run(model, [image], [photo])[0]
            self.check_same(found, want, pixels=self.batch_pixels, score=self.batch_score)

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_exif_orientation_is_applied(
        self,
        model: Model,
        orientation: int,
        tmp_path: Path,
    ) -> None:
        """A camera's JPEG gives the faces where a viewer shows them."""
        photo = photos.pair()
        data, upright = photos.stored_as(orientation, photo.image)
        file = tmp_path / "photo.jpg"
        file.write_bytes(data)
        want = self.run(model, [upright], [photo])[0]
        found = self.run(model, [file], [photo])[0]
        assert found.image_size == photo.size, "image_size must be that of the upright image"
        self.check_same(found, want, pixels=self.decoder_pixels, score=0.05)

    def test_bad_images_are_image_errors(self, model: Model, tmp_path: Path) -> None:
        """What is no image raises ImageError, and a lone image is refused."""
        photo = photos.portrait()
        text = tmp_path / "text.jpg"
        text.write_text("not an image")
        file = tmp_path / "photo.png"
        Image.fromarray(photo.image).save(file)
        half = tmp_path / "half.png"
        half.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        bad: list[tuple[str, Any]] = [
            ("a missing file", [tmp_path / "missing.jpg"]),
            ("a text file", [text]),
            ("a truncated file", [half]),
            ("a float array", [photo.image.astype(np.float32)]),
            ("a grey array", [photo.image[..., 0]]),
            ("an array with alpha", [np.dstack([photo.image, photo.image[..., :1]])]),
            ("an empty array", [photo.image[:0]]),
            ("a number", [7]),
            ("a single array", photo.image),
            ("a single path", str(file)),
        ]
        for what, images in bad:
            try:
                self.run(model, images, [photo])
            except ImageError:
                continue
            pytest.fail(f"{what} was accepted; it must raise ImageError")

    def test_threads_get_the_same(self, model: Model) -> None:
        """Calls from several threads at once do not disturb each other."""
        shown = photos.face_photos()[:_THREADS]
        want = [self.ask(model, photo)[0] for photo in shown]
        with ThreadPoolExecutor(_THREADS) as pool:
            for _ in range(3):
                got = list(pool.map(lambda photo: self.ask(model, photo)[0], shown))
                for one, two in zip(got, want, strict=True):
                    self.check_same(one, two, pixels=self.batch_pixels, score=self.batch_score)

    def test_unknown_options_are_config_errors(self) -> None:
        """A typo in an option is told, not ignored."""
        with pytest.raises(ConfigError, match="scoer_threshold"):
            self.build(scoer_threshold=0.5)

    def test_missing_packages_name_their_install_command(self) -> None:
        """Without its packages the adapter says what to install; never a bare ImportError."""
        backend = registry.find(self.role, self.name)
        report = isolation.build_without_packages(backend, self.options)
        assert report.outcome in {"built", "MissingDependencyError"}, report.message
        if report.outcome == "MissingDependencyError":
            assert "install" in report.install, "the error must carry the command that installs"
            assert report.install in report.message, "the message must show the command"

    def test_golden_record(self) -> None:
        """The numbers are those that the author recorded; swapped colour channels show here."""
        path = self._golden_path()
        command = golden.command(self.role, self.name, self.options, path)
        if not path.is_file():
            pytest.fail(f"no golden record; make it with: {command}")
        for photo in golden.golden_photos():
            colourful = golden.colourfulness(photo) > golden.COLOURFUL
            assert colourful, f"{photo.name} could not show swapped channels"
        want = golden.load(path)
        got = golden.measure(self._golden_model(), self.role)
        assert set(got) == set(want), f"the record is of other photos; renew it with: {command}"
        for name, numbers in got.items():
            assert numbers["pixels"] == want[name]["pixels"], (
                f"{name} has other pixels here than in the record; renew it with: {command}"
            )
            self.check_golden(numbers, want[name])

    def _golden_path(self) -> Path:
        if self.golden is not None:
            return Path(self.golden)
        folder = Path(inspect.getfile(type(self))).parent
        return folder / "golden" / f"{self.role}_{self.name}.json"

    def _golden_model(self) -> Model:
        """Build the model as its record was made."""
        return self.build()
