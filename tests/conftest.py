"""What every test may ask for: optional packages, a real photo, the research data."""

from __future__ import annotations

import importlib
import importlib.util
import os
import signal
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, settings
from PIL import Image

Require = Callable[[str], ModuleType]

# A busy machine is no fault of the code's.
settings.register_profile(
    "facekit", deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("facekit")

# A shell ignores Ctrl-C on behalf of what it runs in the background, and so would the commands that
# tests start: they could not be interrupted, and some would never end.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# What OpenMMLab warns of, about itself, and torch, about a machine without a GPU, while mmdet
# trains.
_MMDET_TRAINS = (
    "ignore::DeprecationWarning",
    "ignore::FutureWarning",
    "ignore:Could not import OneDL",
    "ignore:torch.meshgrid",
    "ignore::UserWarning",
    "ignore::ResourceWarning",
)

_FOLDERS = {"data": "FACEKIT_DATA", "weights": "FACEKIT_WEIGHTS"}


def _required() -> set[str]:
    """The packages whose absence is a failure here, so that a CI session cannot skip its point."""
    return {name.strip() for name in os.environ.get("FACEKIT_REQUIRE", "").split(",")} - {""}


def _folder(marker: str) -> Path | None:
    text = os.environ.get(_FOLDERS[marker], "")
    return Path(text) if text and Path(text).is_dir() else None


def pytest_itemcollected(item: pytest.Item) -> None:
    """Ignore what MMDetection's trainer warns of: a fixture's own filters end with its set-up."""
    if "mmdet_trains" in getattr(item, "fixturenames", ()):
        item.add_marker(pytest.mark.filterwarnings(*_MMDET_TRAINS))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests marked ``data`` or ``weights`` where there are none, and say why."""
    for marker, variable in _FOLDERS.items():
        if _folder(marker) is not None:
            continue
        skip = pytest.mark.skip(reason=f"{variable} names no folder")
        for item in items:
            if item.get_closest_marker(marker) is not None:
                item.add_marker(skip)


@pytest.fixture(scope="session")
def require() -> Require:
    """Import an optional package, or skip; fail if FACEKIT_REQUIRE (comma separated) lists it."""

    def import_or_skip(name: str) -> ModuleType:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name.partition(".")[0]:
                raise
            if name.partition(".")[0] in _required():
                pytest.fail(f"FACEKIT_REQUIRE lists {name}, but it is not installed")
            pytest.skip(f"{name} is not installed")

    return import_or_skip


def _skip_or_fail(missing: bool, name: str, reason: str) -> None:
    if missing and name in _required():
        pytest.fail(f"FACEKIT_REQUIRE lists {name}, but {reason}")
    if missing:
        pytest.skip(reason)


@pytest.fixture
def require_permissions(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Skip where a file's mode binds nobody; fail if FACEKIT_REQUIRE lists ``permissions``."""
    locked = tmp_path_factory.mktemp("locked") / "file"
    locked.touch(mode=0)
    _skip_or_fail(
        os.access(locked, os.R_OK), "permissions", "this user may read and write anything (root)"
    )


@pytest.fixture
def require_cascades() -> None:
    """Skip where OpenCV has no cascade classifier; fail if FACEKIT_REQUIRE lists ``haar``."""
    cv2 = importlib.import_module("cv2")
    _skip_or_fail(
        not hasattr(cv2, "CascadeClassifier"),
        "haar",
        f"OpenCV {cv2.__version__} has no cascade classifier",
    )


@pytest.fixture(scope="session")
def require_mmdet(require: Require) -> None:
    """Skip where mmdet or what it needs is not installed; fail if FACEKIT_REQUIRE lists it."""
    for name in ("torch", "torchvision", "mmengine", "mmcv"):
        require(name)
    with warnings.catch_warnings():
        # Its modules warn of themselves while they are compiled.
        warnings.simplefilter("ignore")
        importlib.import_module("facekit.mmlab.ops").provide()
        require("mmdet")
        importlib.import_module("facekit.mmlab.predictor")
        importlib.import_module("mmdet.apis")


@pytest.fixture
def one_torch_thread(require: Require) -> Iterator[None]:
    """Let PyTorch compute in one thread: those of small networks would wait for each other."""
    torch = require("torch")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def mmdet_trains(require_mmdet: None, one_torch_thread: None) -> None:
    """What MMDetection's own trainer needs, or skip; its warnings are ignored."""


@pytest.fixture(scope="session")
def require_detectron2(require: Require) -> None:
    """Skip where Detectron2 is not installed, which no package index has."""
    for name in ("torch", "torchvision"):
        require(name)
    with warnings.catch_warnings():
        # It warns of what today's PyTorch deprecates, and so do its dependencies.
        warnings.simplefilter("ignore")
        require("detectron2")
        importlib.import_module("facekit.d2.predictor")


@pytest.fixture(scope="session")
def old_mmdet_checkpoint(require: Require, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped tiny SSD as MMDetection 1.x wrote checkpoints."""
    torch, _ = require("torch"), require("onnx")
    weights = importlib.import_module("facekit.training.detection.ssd_weights")
    state = weights.load("tiny_ssd").state_dict()
    state["bbox_head.loss_weights"] = torch.zeros(2)
    path = tmp_path_factory.mktemp("checkpoint") / "epoch_70.pth"
    torch.save({"state_dict": state, "meta": {"CLASSES": ["face"], "epoch": 70}}, path)
    return path


@pytest.fixture(scope="session")
def old_mmdet_config() -> Path:
    """The tiny SSD's config as MMDetection 1.x had them, shortened."""
    return Path(__file__).parent / "data" / "mmdet" / "tiny_ssd_1x.txt"


@pytest.fixture(scope="session")
def require_tensorflow(require: Require) -> None:
    """Skip where TensorFlow is not installed; fail if FACEKIT_REQUIRE lists it."""
    with warnings.catch_warnings():
        # Of its own making, about itself.
        warnings.simplefilter("ignore")
        require("tensorflow")


@pytest.fixture(scope="session")
def tfod_graph(
    require_tensorflow: None,  # noqa: ARG001 - asks for the package
    require: Require,
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str], Path]:
    """A function that returns a graph of ``make_tfod.WRITERS``, made when first asked for."""
    require("onnx")
    maker = Path(__file__).parent / "data" / "networks" / "make_tfod.py"
    spec = importlib.util.spec_from_file_location("make_tfod", maker)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    folder = tmp_path_factory.mktemp("tfod")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        spec.loader.exec_module(module)

    def make(name: str) -> Path:
        path = folder / name
        if not path.exists():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                module.WRITERS[name](path)
        return path

    return make


@pytest.fixture(scope="session")
def astronaut_path() -> Path:
    """The file of scikit-image's photo of Eileen Collins: one clear face."""
    import skimage

    # Beside the code: ``skimage.data_dir`` may name a cache that is still empty.
    return Path(skimage.__file__).parent / "data" / "astronaut.png"


@pytest.fixture(scope="session")
def astronaut(astronaut_path: Path) -> npt.NDArray[np.uint8]:
    """``(512, 512, 3)`` uint8 RGB, read-only: one clear face."""
    with Image.open(astronaut_path) as image:
        photo = np.array(image.convert("RGB"))
    photo.setflags(write=False)
    return photo


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of research photos, or skip."""
    folder = _folder("data")
    if folder is None:
        pytest.skip("FACEKIT_DATA names no folder")
    return folder


@pytest.fixture(scope="session")
def weights_root() -> Path:
    """The folder of published weights, or skip."""
    folder = _folder("weights")
    if folder is None:
        pytest.skip("FACEKIT_WEIGHTS names no folder")
    return folder


@pytest.fixture
def free_malloc(monkeypatch: pytest.MonkeyPatch) -> None:
    """A glibc whose memory nobody has chosen how to manage, or skip."""
    from facekit import memory

    for name in ("MALLOC_ARENA_MAX", "GLIBC_TUNABLES", "LD_PRELOAD"):
        monkeypatch.delenv(name, raising=False)
    if memory._glibc() is None:
        pytest.skip("only glibc's malloc has these options")
