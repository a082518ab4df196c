"""Names to adapters: built-in backends and plug-ins, imported when first used.

A backend is a string ``"module:Class"`` until it is asked for, so that listing names imports no
framework. Third parties register adapters by the entry-point groups ``facekit.detectors``,
``facekit.landmarkers`` and ``facekit.classifiers``; a broken plug-in breaks only itself.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.metadata
import importlib.util
import re
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, cast

from facekit.coexistence import make_peace
from facekit.errors import (
    BackendError,
    DuplicateNameError,
    FacekitError,
    MissingDependencyError,
    UnknownNameError,
)

if TYPE_CHECKING:
    from facekit.protocols import Classifier, Detector, Landmarker

__all__ = [
    "DEFAULT_DETECTOR",
    "DEFAULT_LANDMARKER",
    "ROLES",
    "Backend",
    "Role",
    "backends",
    "create",
    "create_classifier",
    "create_detector",
    "create_landmarker",
    "find",
    "load_class",
]

Role = Literal["detector", "landmarker", "classifier"]
ROLES: tuple[Role, ...] = ("detector", "landmarker", "classifier")

DEFAULT_DETECTOR = "tiny_ssd"
DEFAULT_LANDMARKER = "resnet18"


@dataclasses.dataclass(frozen=True)
class Backend:
    """One registered adapter, not yet imported.

    Attributes:
        role: What it does.
        name: The word that users write.
        target: ``"module:Class"``.
        summary: One line for ``facekit backends``.
        packages: Import names of the packages that it needs beside the core's.
        install: The exact command that installs them.
        any_package: Whether one of ``packages`` will do, for some of its weights at least.
        owner: The distribution that registers it.
    """

    role: Role
    name: str
    target: str
    summary: str = ""
    packages: tuple[str, ...] = ()
    install: str = ""
    owner: str = "facekit"
    any_package: bool = False


_BUILT_IN: tuple[Backend, ...] = (
    Backend(
        role="detector",
        name="tiny_ssd",
        target="facekit.detectors.tiny_ssd:TinySSD",
        summary="MobileNetV2 tiny SSD, 300 x 300; the default, weights in the wheel",
    ),
    Backend(
        role="detector",
        name="haar",
        target="facekit.detectors.haar:Haar",
        summary="OpenCV's Haar cascade of frontal faces",
        packages=("cv2",),
        install='pip install "facekit[haar]"',
    ),
    Backend(
        role="detector",
        name="s3fd",
        target="facekit.detectors.s3fd:S3FD",
        summary="S3FD, faces from 10 px to the whole image; torch, or an exported .onnx",
        packages=("torch", "safetensors"),
        install='pip install "facekit[s3fd]"',
    ),
    Backend(
        role="detector",
        name="mask_rcnn",
        target="facekit.detectors.mask_rcnn:MaskRCNNDetector",
        summary="Detectron2's R-CNNs with an FPN, without it; torch, or an exported .onnx",
        packages=("torch", "torchvision", "safetensors"),
        install='pip install "facekit[mask_rcnn]"',
    ),
    Backend(
        role="detector",
        name="detectron2",
        target="facekit.detectors.detectron2:Detectron2",
        summary="any model of Detectron2, run by detectron2 itself",
        packages=(
            "detectron2",
            "cloudpickle",
            "fvcore",
            "iopath",
            "matplotlib",
            "omegaconf",
            "pycocotools",
            "safetensors",
            "tabulate",
            "termcolor",
            "torch",
            "torchvision",
            "tqdm",
            "yacs",
        ),
        install=(
            'pip install "facekit[detectron2]" && pip install --no-build-isolation --no-deps '
            '"detectron2 @ git+https://github.com/facebookresearch/detectron2"'
        ),
    ),
    Backend(
        role="detector",
        name="mmdet",
        target="facekit.detectors.mmdet:MMDet",
        summary="any detector of MMDetection 3.x, run by mmdet itself",
        packages=("mmcv", "mmdet", "mmengine", "safetensors", "torch", "torchvision"),
        install='pip install "facekit[mmdet]"',
    ),
    Backend(
        role="detector",
        name="tfod",
        target="facekit.detectors.tfod:TFOD",
        summary="TF Object Detection's exports: SavedModel, frozen graph; .tflite by LiteRT alone",
        packages=("tensorflow", "ai_edge_litert"),
        any_package=True,
        install='pip install "facekit[tfod]"',
    ),
    Backend(
        role="landmarker",
        name="resnet18",
        target="facekit.landmarkers.resnet18:ResNet18",
        summary="68 points by ResNet18 on a grey 224 x 224 crop; the default, weights in the wheel",
    ),
    Backend(
        role="classifier",
        name="s3fd",
        target="facekit.classifiers.s3fd:S3FD",
        summary="S3FD's trunk and a head: identity, gender, whatever it was trained on",
    ),
)


def backends(role: Role | None = None) -> list[Backend]:
    """Return every registered backend, built-in ones first, without importing any.

    Args:
        role: Only this role.

    Returns:
        Backends in order; a name that two owners claim is listed twice.
    """
    found = [*_BUILT_IN, *_plug_ins()]
    return [backend for backend in found if role is None or backend.role == role]


def _plug_ins() -> list[Backend]:
    """Read the entry points of installed distributions."""
    found: list[Backend] = []
    for role in ROLES:
        for point in importlib.metadata.entry_points(group=f"facekit.{role}s"):
            owner = point.dist.name if point.dist is not None else point.module
            found.append(
                Backend(
                    role=role,
                    name=point.name,
                    target=point.value,
                    summary=f"plug-in of {owner}",
                    packages=_declared_packages(point.dist),
                    install=f"pip install --upgrade {owner}",
                    owner=owner,
                )
            )
    return sorted(found, key=lambda backend: (ROLES.index(backend.role), backend.name))


def _declared_packages(distribution: importlib.metadata.Distribution | None) -> tuple[str, ...]:
    """Return the import names that a plug-in's requirements most likely have.

    Distribution and import name agree for most packages once dashes are underscores; where they
    do not, the missing module is reported with the plug-in's own traceback instead.
    """
    requirements = (distribution.requires if distribution is not None else None) or []
    names = (re.match(r"[\w.-]+", text) for text in requirements)
    return tuple(match[0].replace("-", "_").lower() for match in names if match)


def find(role: Role, name: str) -> Backend:
    """Return the backend of a name.

    Args:
        role: What it should do.
        name: The word that the user wrote.

    Raises:
        UnknownNameError: If nobody registered it; the nearest names are in the message.
        DuplicateNameError: If two packages registered it.
    """
    matches = [backend for backend in backends(role) if backend.name == name]
    if not matches:
        raise UnknownNameError(role, name, {backend.name for backend in backends(role)})
    if len(matches) > 1:
        raise DuplicateNameError(role, name, (backend.owner for backend in matches))
    return matches[0]


def load_class(backend: Backend) -> type[Any]:
    """Import a backend's class.

    Args:
        backend: The registered backend.

    Returns:
        The adapter class.

    Raises:
        MissingDependencyError: If a package that the backend declares is not installed.
        BackendError: If the module is broken in any other way; the cause is chained.
    """
    module_name, _, class_name = backend.target.partition(":")
    if "tensorflow" in sys.modules:
        # A backend of PyTorch's that is imported after TensorFlow would abort the process.
        make_peace()
    try:
        loaded = getattr(importlib.import_module(module_name), class_name)
    except FacekitError:
        raise
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing.lower() in backend.packages:
            needed_by = f"{backend.role} {backend.name!r}"
            raise MissingDependencyError(needed_by, missing, backend.install) from error
        raise _broken(backend, error) from error
    except Exception as error:
        # The import runs a plug-in's or a framework's own code, which may raise anything.
        raise _broken(backend, error) from error
    return cast("type[Any]", loaded)


def _broken(backend: Backend, error: Exception) -> BackendError:
    """Say that a backend's module cannot be imported."""
    return BackendError(
        f"{backend.role} {backend.name!r} of {backend.owner} cannot be imported "
        f"({backend.target}): {type(error).__name__}: {error}"
    )


def create(
    role: Role,
    name: str,
    options: Mapping[str, Any],
    *,
    source: str | None = None,
    path: str = "",
) -> Any:  # noqa: ANN401 - by role
    """Build an adapter by name.

    Args:
        role: What it should do.
        name: The word that the user wrote.
        options: The adapter's options, not yet checked.
        source: The file that the options are from, for messages.
        path: Where they are in that file, e.g. ``"detector"``.

    Returns:
        The adapter.

    Raises:
        UnknownNameError: If nobody registered the name.
        MissingDependencyError: If a package that the backend declares is not installed.
        ConfigError: If an option is unknown or has a wrong value.
        WeightsError: If the weights are missing, damaged or of another network.
        BackendError: If the backend fails in any other way.
    """
    from facekit.config import validate_options  # noqa: PLC0415 - pydantic only when needed

    backend = find(role, name)
    adapter = load_class(backend)
    checked = validate_options(adapter.Options, options, source or f"{role} {name!r}", path=path)
    try:
        return adapter(checked)
    except FacekitError:
        raise
    except Exception as error:
        # Building runs the vendor's loading code, which may raise anything.
        message = f"{role} {name!r} cannot be built: {type(error).__name__}: {error}"
        raise BackendError(message) from error


def create_detector(name: str = DEFAULT_DETECTOR, **options: Any) -> Detector:  # noqa: ANN401
    """Build a detector by name; see :func:`create` for the errors.

    Args:
        name: A name of ``facekit backends``.
        **options: The detector's options, ``score_threshold`` and ``weights`` among them.
    """
    return cast("Detector", create("detector", name, options))


def create_landmarker(name: str = DEFAULT_LANDMARKER, **options: Any) -> Landmarker:  # noqa: ANN401
    """Build a landmarker by name; see :func:`create` for the errors.

    Args:
        name: A name of ``facekit backends``.
        **options: The landmarker's options.
    """
    return cast("Landmarker", create("landmarker", name, options))


def create_classifier(name: str, **options: Any) -> Classifier:  # noqa: ANN401
    """Build a classifier by name; see :func:`create` for the errors.

    Args:
        name: A name of ``facekit backends``.
        **options: The classifier's options.
    """
    return cast("Classifier", create("classifier", name, options))
