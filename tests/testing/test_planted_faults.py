"""The contract suites catch what they are for: each planted fault fails its own check.

The suites run in one process of their own over the mutants beside this file; a mutant's row names
the check that must fail and, after it, those that its fault may also reach.
"""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PROJECT = HERE.parents[1] / "pyproject.toml"

DETECTOR = {
    "TestSound": [],
    "TestChannelsSwapped": ["test_golden_record"],
    "TestExifIgnored": ["test_exif_orientation_is_applied"],
    "TestWidthAndHeight": [
        "test_boxes_are_corners",
        "test_finds_the_face_where_it_is",
        "test_finds_two_faces",
        "test_golden_record",
    ],
    "TestBatchDiffers": ["test_batch_equals_one_by_one"],
    "TestScoresUnsorted": ["test_scores_descend"],
    "TestStateKept": ["test_nothing_is_remembered"],
    "TestInputChanged": ["test_inputs_are_not_changed"],
    "TestNoneForNoFace": [
        "test_image_without_a_face",
        "test_tiny_images",
        "test_leaves_other_things_alone",
        "test_score_threshold_is_honoured",
    ],
    "TestFlatBoxesForNoFace": [
        "test_image_without_a_face",
        "test_tiny_images",
        "test_score_threshold_is_honoured",
    ],
    "TestOnePixelFails": ["test_tiny_images"],
    "TestSizeIsWidthFirst": [
        "test_results_have_the_promised_shapes",
        "test_image_without_a_face",
        "test_tiny_images",
        "test_exif_orientation_is_applied",
    ],
    "TestTransformForgotten": [
        "test_results_have_the_promised_shapes",
        "test_box_transform_of_ones_own_is_taken",
    ],
    "TestMarksNothing": [
        "test_finds_the_face_where_it_is",
        "test_finds_two_faces",
        "test_score_threshold_is_honoured",
        "test_golden_record",
    ],
    "TestMarksEverything": [
        "test_leaves_other_things_alone",
        "test_finds_the_face_where_it_is",
        "test_finds_two_faces",
        "test_image_without_a_face",
        "test_golden_record",
    ],
    "TestThresholdIgnored": [
        "test_score_threshold_is_honoured",
        "test_finds_the_face_where_it_is",
        "test_finds_two_faces",
        "test_leaves_other_things_alone",
        "test_image_without_a_face",
    ],
    "TestNotThreadSafe": ["test_threads_get_the_same"],
}

LANDMARKER = {
    "TestSound": [],
    "TestEyesSwapped": ["test_eyes_are_where_they_are"],
    "TestChannelsSwapped": ["test_golden_record"],
    "TestExifIgnored": ["test_exif_orientation_is_applied"],
    "TestTransformIgnored": ["test_box_transform_is_honoured"],
    "TestFirstFaceOnly": [
        "test_several_faces_keep_their_order",
        "test_points_lie_on_the_face",
        "test_eyes_are_where_they_are",
    ],
    "TestBatchDiffers": ["test_batch_equals_one_by_one"],
    "TestNoneForNoFace": [
        "test_image_without_a_face",
        "test_tiny_images",
        "test_faces_and_no_faces_in_one_batch",
    ],
    "TestNoPointsForNoFace": [
        "test_image_without_a_face",
        "test_tiny_images",
        "test_faces_and_no_faces_in_one_batch",
    ],
    "TestShortListsForgiven": ["test_one_detections_an_image"],
    "TestOffTheFace": ["test_points_lie_on_the_face", "test_eyes_are_where_they_are"],
}

BARE_IMPORT = {
    "TestTold": [],
    "TestBare": ["test_missing_packages_name_their_install_command"],
}

# Both are the default detector under another name, which also needs a vendor's package.
PLUG_IN = """
{imports}
from facekit.detectors.tiny_ssd import TinySSD

class Adapter(TinySSD):
    name = "{name}"

    def __init__(self, options):
        super().__init__(options.model_copy(update={{"weights": "tiny_ssd"}}))
"""
IMPORTS = {
    "told": "import facekit_test_vendor",
    "bare": (
        "try:\n    import facekit_test_vendor\n"
        "except ImportError:\n    raise ImportError('no vendor here')"
    ),
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for ``PYTHONPATH`` that holds the two plug-ins, their metadata and the vendor."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "facekit_test_vendor.py").touch()
    for name, imports in IMPORTS.items():
        (folder / f"plug_{name}.py").write_text(PLUG_IN.format(imports=imports, name=name))
        metadata = folder / f"plug_{name}-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: plug-{name}\nVersion: 1.0\n"
            "Requires-Dist: facekit-test-vendor\n"
        )
        (metadata / "entry_points.txt").write_text(
            f"[facekit.detectors]\n{name} = plug_{name}:Adapter\n"
        )
    return folder


@pytest.fixture(scope="module")
def failures(site: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """By mutant (``file.Class``), the checks that failed."""
    report = tmp_path_factory.mktemp("report") / "junit.xml"
    mutants = [str(file) for file in sorted(HERE.glob("*_mutants.py"))]
    options = ["-c", str(PROJECT), "-q", "-p", "no:cacheprovider", f"--junitxml={report}"]
    path = os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *mutants],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout + done.stderr
    found: dict[str, set[str]] = {}
    for case in ET.parse(report).iter("testcase"):  # noqa: S314 - written by pytest just now
        file, _, mutant = case.attrib["classname"].rpartition(".")
        failed = found.setdefault(f"{file.rpartition('.')[2]}.{mutant}", set())
        if case.find("failure") is not None:
            failed.add(case.attrib["name"].partition("[")[0])
        elif case.find("error") is not None:
            failed.add(f"{case.attrib['name']} (could not be set up)")
    return found


ROWS = [
    *(("detector_mutants", mutant, checks) for mutant, checks in DETECTOR.items()),
    *(("landmarker_mutants", mutant, checks) for mutant, checks in LANDMARKER.items()),
    *(("bare_import_mutants", mutant, checks) for mutant, checks in BARE_IMPORT.items()),
]


@pytest.mark.parametrize(
    ("file", "mutant", "checks"), ROWS, ids=[f"{file}-{mutant}" for file, mutant, _ in ROWS]
)
def test_a_planted_fault_fails_its_own_check(
    file: str, mutant: str, checks: list[str], failures: dict[str, set[str]]
) -> None:
    failed = failures[f"{file}.{mutant}"]
    assert set(checks[:1]) <= failed, "the check that is meant for this fault passed"
    assert failed <= set(checks), "a check failed that has nothing to do with this fault"


def test_every_mutant_has_its_row(failures: dict[str, set[str]]) -> None:
    assert set(failures) == {f"{file}.{mutant}" for file, mutant, _ in ROWS}
