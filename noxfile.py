"""Every check as a session: ``nox -l`` lists them, ``nox -s tests-3.12`` runs one.

Each session installs the package as a user would (not editable) into an environment of its own,
kept between runs. A backend session names its packages in ``FACEKIT_REQUIRE``, which turns a skip
for want of one of them into a failure: a session cannot pass by skipping its own point.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import nox

nox.needs_version = ">=2025.5.1"
nox.options.default_venv_backend = "uv"
nox.options.reuse_venv = "yes"
nox.options.error_on_missing_interpreters = False
nox.options.download_python = "never"
nox.options.sessions = [
    "lint",
    "types",
    "tests",
    "haar",
    "supervision",
    "datasets",
    "docs",
    "package",
]

PYTHONS = ["3.11", "3.12", "3.13"]
OLDEST = PYTHONS[0]
ROOT = Path(__file__).parent
PROJECT = nox.project.load_toml(ROOT / "pyproject.toml")
MAX_WHEEL_MB = 30
PYCOCOTOOLS = "pycocotools>=2.0.8"
DATASET_PACKAGES = "faster_coco_eval,google_crc32c,matplotlib,pycocotools,scipy"
MAX_ENVIRONMENT_MB = 450
MMDET_TESTS = tuple(
    f"tests/{room}/test_mmdet*.py" for room in ("cli", "detectors", "summary", "training")
)
TENSORFLOW = "tensorflow-cpu~=2.21.0"
OBJECT_DETECTION = (
    "tf-models-research-object-detection==2.8.0.post1",
    "tf-keras~=2.21.0",
    "tf-slim==1.1.0",
)
TFOD_TESTS = "tests/detectors/test_tfod*.py"
TF_MODELS = ("tensorflow-cpu~=2.20.0", "tf-keras~=2.20.0", "tf-models-official==2.20.0")
# What OpenCV draws, reads, resizes or finds.
OPENCV_TESTS = (
    "tests/detectors",
    "tests/landmarkers",
    "tests/classifiers",
    "tests/draw",
    "tests/media",
    "tests/evaluation",
    "tests/cli/test_detect.py",
    "tests/cli/test_calibrate.py",
    "tests/test_align.py",
    "tests/test_images.py",
    "tests/test_docs.py",
    "tests/test_registry.py",
)
# What no optional package changes, and takes long: the sessions `tests` run it.
CORE_ALONE = (
    "tests/plugin",
    "tests/testing",
    "tests/draw",
    "tests/media",
    "tests/test_examples.py",
)


def _install(session: nox.Session, *extras: str, groups: tuple[str, ...] = ("test",)) -> None:
    """Install the checkout with extras and dependency groups."""
    target = f".[{','.join(extras)}]" if extras else "."
    session.install(target, *nox.project.dependency_groups(PROJECT, *groups))


def _pytest(session: nox.Session, *paths: str, require: str = "") -> None:
    """Run the tests, all or those of some paths, and keep what they covered for ``coverage``."""
    env = {
        "COVERAGE_FILE": str(ROOT / f".coverage.{session.name}"),
        "FACEKIT_REQUIRE": require,
    }
    options = ("-n", "auto", "--cov", "--cov-report=", "--cov-fail-under=0")
    session.run("pytest", *options, *paths, *session.posargs, env=env)


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """The core on one Python with the newest dependencies."""
    _install(session)
    _pytest(session)


@nox.session(python=OLDEST)
def lowest(session: nox.Session) -> None:
    """The core, OpenVINO and supervision with the lowest versions that pyproject.toml allows."""
    groups = nox.project.dependency_groups(PROJECT, "test")
    session.install("--resolution", "lowest-direct", ".[openvino,supervision]", *groups)
    session.run("uv", "pip", "list", external=True)
    _pytest(session, require="openvino,supervision")


@nox.session(python=OLDEST)
def haar(session: nox.Session) -> None:
    """The cascades and everything else that OpenCV does, on OpenCV 4."""
    _install(session, "haar")
    _pytest(session, *OPENCV_TESTS, require="haar")


@nox.session(python=OLDEST)
def torch(session: nox.Session) -> None:
    """PyTorch, OpenVINO, NNCF, export and every optional part of datasets, together.

    FACEKIT_TORCH may name a CPU build of torch.
    """
    session.install(os.environ.get("FACEKIT_TORCH", "torch"), PYCOCOTOOLS)
    _install(session, "torch", "export", "openvino", "int8", "eval", "tfrecord")
    engines = "torch,safetensors,onnx,onnxscript,openvino,nncf"
    others = [f"--ignore={path}" for path in CORE_ALONE]
    _pytest(session, *others, require=f"{engines},{DATASET_PACKAGES}")


@nox.session(python=OLDEST)
def train(session: nox.Session) -> None:
    """Training, what becomes of it and `mask_rcnn`, with torchvision and the torch of its wheel."""
    _install(session, "train", "export", "mask_rcnn")
    detectors = sorted(path.as_posix() for path in Path("tests/detectors").glob("test_mask_rcnn*"))
    commands = ("tests/cli/test_train.py", "tests/cli/test_detectron2.py")
    paths = ("tests/training", *commands, *detectors)
    frameworks = "torch,torchvision,lightning,tensorboard,safetensors,onnx,onnxscript"
    _pytest(session, *paths, require=frameworks)


@nox.session(python=OLDEST)
def mmdet(session: nox.Session) -> None:
    """MMDetection itself, and its tiny SSD's tutorial from training to OpenVINO's format.

    With the torch that torchvision's wheel was built for.
    """
    _install(session, "mmdet", "export", "openvino", "eval")
    found = (path for pattern in MMDET_TESTS for path in sorted(ROOT.glob(pattern)))
    engines = "torch,torchvision,onnx,onnxscript,openvino,faster_coco_eval"
    require = f"{engines},mmcv,mmdet,mmengine"
    _pytest(session, "tests/mmlab", *map(str, found), require=require)


@nox.session(python=OLDEST)
def tfod(session: nox.Session) -> None:
    """TF Object Detection: its graphs beside PyTorch, and the API itself, trained and exported."""
    # The build for CPUs is as good, and a fraction of the size: hence not the extra `tfod`.
    session.install(TENSORFLOW, "onnx>=1.17")
    _install(session, "litert", "mask_rcnn", "tfod_train", "tfod_export")
    # Its own pins, TensorFlow's among them, are of 2021.
    session.install("--no-deps", *OBJECT_DETECTION)
    detectors = sorted(ROOT.glob(TFOD_TESTS))
    training = sorted(ROOT.glob("tests/training/test_tfod*.py"))
    rooms = ("tests/tfgraphs", "tests/tfapi", "tests/test_coexistence.py", "tests/cli/test_tfod.py")
    packages = "tensorflow,ai_edge_litert,onnx,tf2onnx,torch,torchvision"
    api = "object_detection,google_crc32c,pycocotools"
    # A file's models are trained and written once, not once by each process; the longest first.
    paths = ("--dist", "loadfile", *map(str, (*training, *detectors)), *rooms)
    _pytest(session, *paths, require=f"{packages},{api}")


@nox.session(python=OLDEST)
def tf_models(session: nox.Session) -> None:
    """tf-models-official's RetinaNet on MobileNetV2: trained, exported, loaded by `tfod`.

    By itself, because it wants the TensorFlow before the one that `tfod` runs on.
    """
    tensorflow, *others = TF_MODELS
    session.install(tensorflow)
    _install(session, "tf_models")
    # Its other tasks want 2 GB more; and tf-keras the build of TensorFlow for GPUs.
    session.install("--no-deps", *others)
    packages = "tensorflow,tf_keras,official,orbit,gin,immutabledict,matplotlib,six"
    require = f"{packages},tensorflow_datasets,pycocotools,google_crc32c"
    # Two are as much as one: all wait for the one run.
    _pytest(session, "-n", "1", "tests/training/test_tf_models.py", require=require)


@nox.session(python=OLDEST)
def supervision(session: nox.Session) -> None:
    """The conversion to supervision's result type."""
    _install(session, "supervision")
    _pytest(session, "tests/test_interop.py", "tests/test_docs.py", require="supervision")


@nox.session(python=OLDEST)
def coverage(session: nox.Session) -> None:
    """What the sessions that ran before have covered together."""
    session.install("coverage>=7.10")
    measured = {path.name.removeprefix(".coverage.") for path in ROOT.glob(".coverage.*")}
    if not measured:
        session.error("no session has run tests yet")
    session.log(f"covered by: {', '.join(sorted(measured))}")
    session.run("coverage", "combine", "--keep")
    # No session can install Detectron2: docs/backends/detectron2.md has its last real run.
    omitted = ["*/facekit/d2/*", "*/detectors/detectron2.py", "*/training/detectron2/*"]
    if "torch" not in measured:
        session.warn("the torch session has not run: its modules are left out")
        omitted += ["*/networks/*", "*/engines/openvino.py", "*/engines/torch.py"]
        omitted += ["*/export/onnx.py", "*/export/quantise.py", "*/summary/torch.py"]
    if "train" not in measured:
        session.warn("the train session has not run: its modules are left out")
        omitted += ["*/facekit/training/*", "*/cli/train_run.py"]
        omitted += ["*/detectors/*mask_rcnn*", "*/networks/mask_rcnn*"]
    if "mmdet" not in measured:
        session.warn("the mmdet session has not run: its modules are left out")
        omitted += ["*/facekit/mmlab/*", "*/detectors/mmdet.py", "*/training/mmdet/*"]
        omitted += ["*/summary/mmdet.py"]
    if "tfod" not in measured:
        session.warn("the tfod session has not run: its modules are left out")
        omitted += ["*/facekit/tfapi/*", "*/training/tfod/*", "*/training/tensorflow_start.py"]
        omitted += ["*/cli/tfod*"]
        omitted += ["*/facekit/tfgraphs/*", "*/facekit/coexistence.py", "*/detectors/tfod.py"]
    if "tf_models" not in measured:
        session.warn("the tf_models session has not run: its modules are left out")
        omitted += ["*/training/tf_models/*"]
    session.run("coverage", "report", *([f"--omit={','.join(omitted)}"] if omitted else []))


@nox.session(python=OLDEST)
def datasets(session: nox.Session) -> None:
    """Dataset formats and metrics, with what judges them: scipy, pycocotools, TFRecord's sums."""
    session.install(PYCOCOTOOLS)
    _install(session, "eval", "tfrecord")
    rooms = ("tests/datasets", "tests/metrics", "tests/evaluation", "tests/cli/test_evaluate.py")
    _pytest(session, *rooms, require=DATASET_PACKAGES)


@nox.session(python=OLDEST)
def lint(session: nox.Session) -> None:
    """Ruff's rules and format, and the news fragments."""
    session.install(*nox.project.dependency_groups(PROJECT, "lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("towncrier", "build", "--draft", "--version", "next", silent=True)


@nox.session(python=OLDEST)
def types(session: nox.Session) -> None:
    """Mypy, strict."""
    _install(session, groups=("types",))
    session.run("mypy")


@nox.session(python=OLDEST)
def docs(session: nox.Session) -> None:
    """The documentation site; any warning fails."""
    # Documenting a module imports it: the suites want pytest, the cascades OpenCV 4.
    _install(session, "testing", "haar", groups=("docs",))
    output = ROOT / "docs" / "_build" / "html"
    shutil.rmtree(output, ignore_errors=True)
    session.run("sphinx-build", "-W", "--keep-going", "-q", "-E", "docs", str(output))
    session.log(f"open {output / 'index.html'}")


# The package is measured as a user gets it: the standard library's venv, and pip.
@nox.session(python=OLDEST, venv_backend="venv", reuse_venv=False)
def package(session: nox.Session) -> None:
    """Build sdist and wheel, install the wheel alone, measure size and first detection."""
    # Not in the session's own folder, which is measured.
    folder = Path(session.cache_dir) / "package"
    shutil.rmtree(folder, ignore_errors=True)
    session.run("python", "-m", "venv", str(folder / "tools"))
    tools = folder / "tools" / "bin"
    build_group = nox.project.dependency_groups(PROJECT, "package")
    session.run(str(tools / "pip"), "install", "-q", *build_group, external=True)
    build = (str(tools / "python"), "-m", "build", "--outdir")
    session.run(*build, str(folder / "dist"), external=True, silent=True)
    session.run(*build, str(folder / "direct"), "--wheel", external=True, silent=True)
    (wheel,) = (folder / "dist").glob("*.whl")
    session.run(str(tools / "check-wheel-contents"), str(wheel), external=True)
    session.install(str(wheel))
    check = (".ci/check_package.py", str(folder / "dist"), str(folder / "direct"))
    limits = ("--max-wheel-mb", str(MAX_WHEEL_MB), "--max-environment-mb", str(MAX_ENVIRONMENT_MB))
    session.run("python", *check, *limits)
    session.install("scikit-image")
    session.run("python", "benchmarks/cold_start.py")
