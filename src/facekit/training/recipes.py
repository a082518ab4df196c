"""Recipes by name, as strings until they are used."""

from __future__ import annotations

import contextlib
import importlib
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from facekit.errors import ConfigError, MissingDependencyError, UnknownNameError
from facekit.registry import backends

if TYPE_CHECKING:
    from facekit.training.foreign import Foreign
    from facekit.training.recipe import Recipe

__all__ = [
    "FOREIGN",
    "INSTALL",
    "PACKAGES",
    "RECIPES",
    "Needs",
    "is_foreign",
    "load_foreign",
    "load_recipe",
    "needs_train_extra",
]

RECIPES: Final[dict[str, str]] = {
    "classify": "facekit.training.classify.recipe:Classify",
    "detectron2": "facekit.training.detectron2.recipe:Detectron2Recipe",
    "mask_rcnn": "facekit.training.mask_rcnn.recipe:MaskRCNNRecipe",
    "s3fd_detection": "facekit.training.s3fd_detection.recipe:S3FDDetection",
    "landmarks": "facekit.training.landmarks.recipe:Landmarks",
    "mmdet": "facekit.training.mmdet.recipe:MMDetTraining",
    "ssd": "facekit.training.ssd.recipe:Ssd",
    "tf_models": "facekit.training.tf_models.recipe:TfModels",
    "tfod": "facekit.training.tfod.recipe:Tfod",
}
"""Name to ``module:Class``."""


class Needs(NamedTuple):
    """What a recipe needs to be installed.

    Attributes:
        packages: Import names.
        install: The exact command that installs them.
    """

    packages: tuple[str, ...]
    install: str


def _as_detector(name: str, *more: str) -> Needs:
    """Return what the detector of a name needs, and more packages that its install line brings."""
    # A plug-in's of the same name comes after it.
    own = next(one for one in backends("detector") if one.name == name)
    return Needs((*own.packages, *more), own.install)


FOREIGN: Final[dict[str, Needs]] = {
    "detectron2": _as_detector("detectron2", "tensorboard"),
    "mmdet": _as_detector("mmdet"),
    "tf_models": Needs(
        (
            "gin",
            "immutabledict",
            "matplotlib",
            "official",
            "orbit",
            "pycocotools",
            "six",
            "tensorflow",
            "tensorflow_datasets",
            "tf_keras",
        ),
        'pip install "facekit[tf_models]" "tensorflow~=2.20.0" && pip install --no-deps '
        'tf-models-official==2.20.0 "tf-keras~=2.20.0"',
    ),
    "tfod": Needs(
        ("object_detection", "onnx", "tensorflow", "tf_keras", "tf_slim"),
        'pip install "facekit[tfod_train]" "tensorflow~=2.21.0" && pip install --no-deps '
        'tf-models-research-object-detection==2.8.0.post1 "tf-keras~=2.21.0" tf-slim==1.1.0',
    ),
}
"""Those of :data:`RECIPES` that run another framework's trainer, and what it needs; see
:mod:`facekit.training.foreign`."""

PACKAGES: Final = ("lightning", "safetensors", "tensorboard", "torch", "torchvision")
INSTALL: Final = 'pip install "facekit[train]"'


def needs_train_extra(error: ModuleNotFoundError) -> MissingDependencyError | None:
    """Return what to tell a user without the extra; ``None`` if another module is missing."""
    missing = (error.name or "").partition(".")[0]
    if missing not in PACKAGES:
        return None
    return MissingDependencyError("training", missing, INSTALL)


def is_foreign(name: str) -> bool:
    """Whether a recipe runs another framework's trainer; only one's own is imported to tell.

    Args:
        name: As for :func:`load_recipe`, which says what is wrong with a name.
    """
    if name in RECIPES or ":" not in name:
        return name in FOREIGN
    from facekit.training.foreign import Foreign  # noqa: PLC0415 - which imports this module

    with contextlib.suppress(Exception):
        return issubclass(_imported(name), Foreign)
    return False


def load_recipe(name: str) -> type[Recipe]:
    """Import a recipe of facekit's own engine.

    Args:
        name: A name of :data:`RECIPES`, or ``package.module:Class`` of one's own.

    Raises:
        UnknownNameError: If there is no such recipe.
        ConfigError: If one's own recipe cannot be imported.
        MissingDependencyError: If a package that training needs is not installed.
    """
    found = _found(name)
    if name in RECIPES:
        return found  # type: ignore[no-any-return] # tests load each of them
    from facekit.training.recipe import Recipe  # noqa: PLC0415 - torch is there by now

    if not (isinstance(found, type) and issubclass(found, Recipe)):
        message = f"{name!r} is not a recipe: it is no subclass of facekit.training.Recipe"
        raise ConfigError(message)
    return found


def load_foreign(name: str) -> type[Foreign]:
    """Import a recipe of which :func:`is_foreign` says that it runs another framework's trainer.

    Args:
        name: A name of :data:`FOREIGN`, or ``package.module:Class`` of one's own.

    Raises:
        MissingDependencyError: If a package that it needs is not installed.
    """
    return _found(name)  # type: ignore[no-any-return] # tests load each of them


def _found(name: str) -> Any:  # noqa: ANN401 - whoever wrote the name vouches for it
    """Import what a recipe's name stands for.

    Raises:
        UnknownNameError: If there is no such recipe.
        ConfigError: If one's own recipe cannot be imported.
        MissingDependencyError: If a package that it needs is not installed.
    """
    if name in RECIPES:
        return _imported(RECIPES[name], FOREIGN.get(name), f"recipe {name!r}")
    if ":" not in name:
        raise UnknownNameError("recipe", name, RECIPES)
    try:
        return _imported(name)
    except MissingDependencyError:
        raise
    except Exception as error:
        # A recipe's own module may raise anything.
        message = f"recipe {name!r} cannot be imported: {error}"
        raise ConfigError(message) from error


def _imported(target: str, needs: Needs | None = None, needed_by: str = "") -> Any:  # noqa: ANN401 - whoever wrote the target vouches for it
    """Import ``module:Class``; without ``needs`` a missing package is one of the extra's."""
    module, _, attribute = target.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if needs is not None and missing in needs.packages:
            raise MissingDependencyError(needed_by, missing, needs.install) from error
        if needs is None and (told := needs_train_extra(error)):
            raise told from error
        raise
