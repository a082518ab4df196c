from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

import facekit
from facekit.analyzer import FaceAnalyzer
from facekit.boxes import IDENTITY
from facekit.config import BackendConfig, RunConfig
from facekit.errors import (
    BackendError,
    ConfigError,
    FacekitError,
    ImageError,
    UnknownNameError,
)
from facekit.images import ImageLike, read_all, write
from facekit.media import VideoWriter, expand
from facekit.protocols import DetectorOptions, Options
from facekit.types import Classifications, Detections, Faces, Landmarks

Rgb = npt.NDArray[np.uint8]


class Corner:
    """A detector of someone else's: one face, whose score is the first pixel's red."""

    Options: ClassVar[type[DetectorOptions]] = DetectorOptions
    name: ClassVar[str] = "corner"

    def __init__(self) -> None:
        self.class_names: tuple[str, ...] = ("face",)
        self.evaluation_threshold = 0.0
        self.score_threshold = 0.5
        self.box_transform = IDENTITY
        self.batches: list[int] = []

    def detect(self, images: Sequence[ImageLike]) -> list[Detections]:
        self.batches.append(len(images))
        arrays = read_all(images)
        if any(int(array[0, 0, 0]) == REFUSED for array in arrays):
            message = "the vendor's code failed"
            raise BackendError(message)
        return [
            Detections(
                boxes=np.array([[0, 0, array.shape[1], array.shape[0]]], np.float32),
                scores=np.array([array[0, 0, 0] / 255], np.float32),
                image_size=(array.shape[0], array.shape[1]),
            )
            for array in arrays
        ]


class Middle:
    """A landmarker of one point; it takes arrays only, so nothing is decoded twice."""

    Options: ClassVar[type[Options]] = Options
    name: ClassVar[str] = "middle"
    scheme = "middle"
    point_count = 1

    def locate(
        self, images: Sequence[ImageLike], detections: Sequence[Detections]
    ) -> list[Landmarks]:
        assert all(isinstance(image, np.ndarray) for image in images)
        return [
            Landmarks(
                points=found.boxes.reshape(-1, 2, 2).mean(axis=1, keepdims=True),
                scheme="middle",
                image_size=found.image_size,
            )
            for found in detections
        ]


class Redness:
    """A classifier of someone else's."""

    Options: ClassVar[type[Options]] = Options
    name: ClassVar[str] = "redness"
    labels: tuple[str, ...] = ("dark", "red")

    def classify(
        self, images: Sequence[ImageLike], detections: Sequence[Detections]
    ) -> list[Classifications]:
        assert all(isinstance(image, np.ndarray) for image in images)
        return [
            Classifications(
                scores=np.stack([1 - found.scores, found.scores], axis=1),
                labels=self.labels,
                image_size=found.image_size,
            )
            for found in detections
        ]


REFUSED = 200


@pytest.fixture
def analyzer() -> FaceAnalyzer:
    return FaceAnalyzer(Corner(), None)


@pytest.fixture
def photos(tmp_path: Path, astronaut: Rgb) -> Path:
    """A folder of twelve photos; the first pixel's red is the number."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(12):
        write(folder / f"{i:02d}.png", numbered(astronaut, i))
    return folder


def numbered(astronaut: Rgb, number: int) -> Rgb:
    image = astronaut[: 50 + number, :80].copy()
    image[0, 0] = number
    return image


def numbers(found: Sequence[Faces]) -> list[int]:
    """The numbers of the photos by what the detector saw."""
    return [round(255 * float(faces.scores[0])) for faces in found]


def readers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("facekit")]


class TestDefaults:
    def test_the_face_on_the_photo_is_found_with_68_landmarks(self, astronaut_path: Path) -> None:
        faces = FaceAnalyzer()(astronaut_path)
        assert len(faces) == 1
        x1, y1, x2, y2 = faces.boxes[0]
        # The face, marked by eye.
        assert facekit.boxes.iou([[x1, y1, x2, y2]], [[178, 70, 268, 185]])[0, 0] > 0.5
        assert faces.landmarks is not None
        (points,) = faces.landmarks.points
        assert points.shape == (68, 2)
        for eye, place in ((slice(36, 42), (203, 106)), (slice(42, 48), (242, 106))):
            assert np.hypot(*(points[eye].mean(axis=0) - place)) < 8
        assert faces.path == astronaut_path
        assert faces.frame is None
        assert faces.image is not None
        assert faces.image.shape == (512, 512, 3)

    def test_boxes_alone(self, astronaut: Rgb) -> None:
        faces = FaceAnalyzer(landmarker=None)(astronaut)
        assert (len(faces), faces.landmarks, faces.path) == (1, None, None)

    def test_a_video_is_followed(self, astronaut: Rgb, tmp_path: Path) -> None:
        clip = tmp_path / "clip.mp4"
        with VideoWriter(clip) as writer:
            for i in range(6):
                # Moved to the right; the left border is replicated.
                moved = np.pad(astronaut, ((0, 0), (30 * i, 0), (0, 0)), mode="edge")
                writer.write(np.ascontiguousarray(moved[:, : astronaut.shape[1]]))
        found = list(FaceAnalyzer().stream(clip, batch_size=4))
        assert [(faces.path, faces.frame, len(faces)) for faces in found] == [
            (clip, i, 1) for i in range(6)
        ]
        steps = np.diff([faces.boxes[0, 0] for faces in found])
        assert np.abs(steps - 30).max() < 8

    def test_nobody_is_found_where_nobody_is(self, astronaut: Rgb) -> None:
        sky = np.ascontiguousarray(astronaut[:60, 310:380])
        faces = FaceAnalyzer()(sky)
        assert len(faces) == 0
        assert faces.landmarks is not None
        assert faces.landmarks.points.shape == (0, 68, 2)


class TestParts:
    def test_any_object_that_satisfies_the_protocol_serves(self, astronaut: Rgb) -> None:
        analyzer = FaceAnalyzer(Corner(), Middle(), [Redness()])
        faces = analyzer(numbered(astronaut, 51))
        assert faces.landmarks is not None
        assert faces.landmarks.points[0].tolist() == [[40, 50.5]]
        assert faces.classifications["redness"].best() == ["dark"]
        assert np.isclose(faces.classifications["redness"].scores[0, 1], 0.2)

    def test_classifiers_of_one_name_get_a_number(self, astronaut: Rgb) -> None:
        faces = FaceAnalyzer(Corner(), None, [Redness(), Redness(), Redness()])(astronaut)
        assert [*faces.classifications] == ["redness", "redness_2", "redness_3"]

    def test_parts_come_by_name_and_by_options(self) -> None:
        analyzer = FaceAnalyzer({"backend": "tiny_ssd", "score_threshold": 0.9}, "resnet18")
        assert analyzer.detector.score_threshold == 0.9
        assert analyzer.landmarker is not None
        assert analyzer.landmarker.name == "resnet18"
        part = BackendConfig(backend="tiny_ssd")
        assert FaceAnalyzer(part, None).detector.name == "tiny_ssd"

    @pytest.mark.parametrize(
        ("parts", "error", "reason"),
        [
            ({"detector": "tiny_sd"}, UnknownNameError, "did you mean 'tiny_ssd'"),
            ({"landmarker": {"backend": "resnet"}}, UnknownNameError, "landmarker 'resnet'"),
            ({"classifiers": [{"backend": "x"}]}, UnknownNameError, "classifier 'x'"),
            ({"classifiers": ["x"]}, UnknownNameError, "classifier 'x'"),
            ({"detector": {"name": "tiny_ssd"}}, ConfigError, "detector.backend: Field required"),
            ({"detector": {"backend": "tiny_ssd", "score": 1}}, ConfigError, "'score'"),
            ({"detector": 3}, ConfigError, "int is no name and no detector: it lacks Options"),
            ({"detector": Middle()}, ConfigError, "Middle is no name and no detector: it lacks"),
            ({"landmarker": Redness()}, ConfigError, r"it lacks scheme, point_count, locate"),
        ],
    )
    def test_what_is_no_part_is_named(
        self, parts: dict[str, Any], error: type[Exception], reason: str
    ) -> None:
        with pytest.raises(error, match=reason):
            FaceAnalyzer(**({"detector": Corner(), "landmarker": None} | parts))


class TestConfig:
    def test_a_file_a_mapping_and_a_run_configuration_give_the_same(self, tmp_path: Path) -> None:
        file = tmp_path / "facekit.yaml"
        file.write_text("detector: {backend: tiny_ssd, score_threshold: 0.25}\nlandmarker: null\n")
        values = {
            "detector": {"backend": "tiny_ssd", "score_threshold": 0.25},
            "landmarker": None,
        }
        for source in (file, str(file), values, RunConfig.from_mapping(values)):
            analyzer = FaceAnalyzer.from_config(source)
            assert analyzer.detector.score_threshold == 0.25
            assert analyzer.landmarker is None
            assert analyzer.classifiers == {}

    def test_the_empty_configuration_is_the_defaults(self) -> None:
        analyzer = FaceAnalyzer.from_config({})
        assert analyzer.detector.name == "tiny_ssd"
        assert analyzer.landmarker is not None
        assert analyzer.landmarker.name == "resnet18"

    def test_a_wrong_option_is_named_with_file_and_path(self, tmp_path: Path) -> None:
        file = tmp_path / "facekit.toml"
        file.write_text('[landmarker]\nbackend = "resnet18"\nthreds = 2\n')
        with pytest.raises(ConfigError, match=r"facekit\.toml: .*'landmarker\.threds'.*'threads'"):
            FaceAnalyzer.from_config(file)

    def test_classifiers_are_built_from_the_list(self) -> None:
        with pytest.raises(UnknownNameError, match="classifier 'nothing'"):
            FaceAnalyzer.from_config({"classifiers": [{"backend": "nothing"}]})


class TestBatch:
    def test_each_image_has_its_own_faces(self, analyzer: FaceAnalyzer, photos: Path) -> None:
        paths = sorted(photos.iterdir())[:3]
        with Image.open(paths[1]) as opened:
            found = analyzer.batch(
                [paths[0], opened, np.asarray(Image.open(paths[2])), str(paths[3 % 3])]
            )
        assert numbers(found) == [0, 1, 2, 0]
        assert [faces.path for faces in found] == [paths[0], None, None, paths[0]]
        assert [faces.image_size for faces in found] == [(50, 80), (51, 80), (52, 80), (50, 80)]

    def test_no_image_is_no_result(self, analyzer: FaceAnalyzer) -> None:
        assert analyzer.batch([]) == []

    def test_a_single_image_is_not_a_batch(self, analyzer: FaceAnalyzer, astronaut: Rgb) -> None:
        with pytest.raises(ImageError, match=r"write \[image\]"):
            analyzer.batch(astronaut)  # type: ignore[arg-type]

    def test_the_image_given_is_neither_changed_nor_frozen(self, analyzer: FaceAnalyzer) -> None:
        image = np.full((20, 30, 3), 7, np.uint8)
        faces = analyzer(image)
        assert faces.image is not None
        with pytest.raises(ValueError, match="read-only"):
            faces.image[0, 0] = 0
        image[0, 0] = 9

    def test_a_part_that_loses_an_image_is_a_backend_error(self, astronaut: Rgb) -> None:
        class Forgetful(Corner):
            def detect(self, images: Sequence[ImageLike]) -> list[Detections]:
                return super().detect(images)[1:]

        with pytest.raises(BackendError, match="'corner' gave 1 results for 2 images"):
            FaceAnalyzer(Forgetful(), None).batch([astronaut, astronaut])


class TestStream:
    @pytest.mark.parametrize("batch_size", [1, 5, 12, 100])
    def test_a_folder_comes_in_order(
        self, analyzer: FaceAnalyzer, photos: Path, batch_size: int
    ) -> None:
        found = list(analyzer.stream(photos, batch_size=batch_size))
        assert numbers(found) == [*range(12)]
        assert [faces.path for faces in found] == sorted(photos.iterdir())
        assert all(faces.image is not None for faces in found)
        assert isinstance(analyzer.detector, Corner)
        full, rest = divmod(12, batch_size)
        assert analyzer.detector.batches == [batch_size] * full + [rest] * (rest > 0)

    def test_anything_that_holds_images_streams(
        self, analyzer: FaceAnalyzer, photos: Path, astronaut: Rgb, tmp_path: Path
    ) -> None:
        clip = tmp_path / "clip.avi"
        with VideoWriter(clip) as writer:
            for value in (40, 80, 120):
                writer.write(np.full((64, 64, 3), value, np.uint8))
        first = photos / "01.png"
        for source, wanted in (
            (str(first), [1]),
            (f"{photos}/0[2-4].png", [2, 3, 4]),
            ([first, photos / "03.png"], [1, 3]),
            (expand(photos)[4:6], [4, 5]),
            (expand(first)[0], [1]),
            (numbered(astronaut, 9), [9]),
            (np.stack([numbered(astronaut, 9), numbered(astronaut, 9)]), [9, 9]),
            (Image.fromarray(numbered(astronaut, 8)), [8]),
            ((numbered(astronaut, i) for i in (6, 5)), [6, 5]),
        ):
            assert numbers(list(analyzer.stream(source))) == wanted
        found = list(analyzer.stream([first, clip]))
        assert [(faces.path, faces.frame) for faces in found] == [
            (first, None),
            (clip, 0),
            (clip, 1),
            (clip, 2),
        ]
        assert np.allclose(numbers(found)[1:], [40, 80, 120], atol=4)
        assert len(list(analyzer.stream(clip, max_frames=2))) == 2

    def test_an_iterator_is_read_only_as_far_as_needed(
        self, analyzer: FaceAnalyzer, astronaut: Rgb
    ) -> None:
        taken = 0

        def endless() -> Iterator[Rgb]:
            nonlocal taken
            while True:
                taken += 1
                yield numbered(astronaut, taken % 100)

        with contextlib.closing(analyzer.stream(endless(), batch_size=3)) as stream:
            for count in range(1, 40):
                assert numbers([next(stream)]) == [count % 100]
                # One batch is in hand, one waits, and one image is being read.
                assert taken <= count + 7
        assert readers() == []

    def test_stopping_early_stops_the_threads(self, analyzer: FaceAnalyzer, photos: Path) -> None:
        for faces in analyzer.stream(photos, batch_size=2):
            assert faces.path is not None
            break
        stream = analyzer.stream(photos, batch_size=2)
        next(stream)
        assert readers() != []
        stream.close()
        assert readers() == []

    def test_an_unreadable_file_is_raised(self, analyzer: FaceAnalyzer, photos: Path) -> None:
        (photos / "05.jpg").write_text("no photo")
        stream = analyzer.stream(photos, batch_size=2)
        found: list[Faces] = []
        with pytest.raises(ImageError, match=r"05\.jpg: not an image"):
            found.extend(stream)
        assert numbers(found) == [0, 1, 2, 3]
        assert readers() == []

    def test_a_missing_file_is_raised_before_anything_runs(
        self, analyzer: FaceAnalyzer, photos: Path
    ) -> None:
        with pytest.raises(ImageError, match=r"gone\.png: no such file"):
            analyzer.stream([photos, photos / "gone.png"])

    def test_with_on_error_the_rest_goes_on(
        self, analyzer: FaceAnalyzer, photos: Path, astronaut: Rgb
    ) -> None:
        (photos / "05.jpg").write_text("no photo")
        write(photos / "06.bmp", numbered(astronaut, REFUSED))
        seen: list[tuple[Path | None, type[FacekitError]]] = []
        found = list(
            analyzer.stream(
                [photos / "gone.png", photos, np.zeros((3, 3), np.uint8)],
                batch_size=4,
                on_error=lambda path, error: seen.append((path, type(error))),
            )
        )
        assert numbers(found) == [*range(12)]
        assert sorted(seen, key=str) == sorted(
            [
                (photos / "gone.png", ImageError),
                (photos / "05.jpg", ImageError),
                (photos / "06.bmp", BackendError),
                (None, ImageError),
            ],
            key=str,
        )
        assert readers() == []

    @pytest.mark.skipif(Path("/dev/video9").exists(), reason="this machine has ten cameras")
    def test_an_absent_camera_is_reported_without_a_path(self, analyzer: FaceAnalyzer) -> None:
        seen: list[tuple[Path | None, str]] = []
        found = list(
            analyzer.stream(9, on_error=lambda path, error: seen.append((path, str(error))))
        )
        assert found == []
        assert len(seen) == 1
        assert seen[0][0] is None
        assert seen[0][1].startswith("camera 9: cannot be opened")

    def test_a_failing_network_is_raised(self, analyzer: FaceAnalyzer, astronaut: Rgb) -> None:
        with pytest.raises(BackendError, match="the vendor's code failed"):
            list(analyzer.stream([astronaut, numbered(astronaut, REFUSED)]))
        assert readers() == []

    def test_a_batch_has_at_least_one_image(self, analyzer: FaceAnalyzer, photos: Path) -> None:
        with pytest.raises(ConfigError, match="batch_size must be at least 1, got 0"):
            analyzer.stream(photos, batch_size=0)

    def test_two_streams_do_not_disturb_each_other(
        self, analyzer: FaceAnalyzer, photos: Path
    ) -> None:
        one, two = (analyzer.stream(photos, batch_size=size) for size in (2, 3))
        pairs = list(zip(one, two, strict=True))
        assert [numbers(pair) for pair in pairs] == [[i, i] for i in range(12)]


def test_threads_may_share_an_analyzer(photos: Path) -> None:
    analyzer = FaceAnalyzer(Corner(), Middle())
    results: dict[int, list[int]] = {}

    def work(key: int) -> None:
        results[key] = numbers(list(analyzer.stream(photos, batch_size=key + 1)))

    threads = [threading.Thread(target=work, args=(key,)) for key in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {key: [*range(12)] for key in range(4)}
