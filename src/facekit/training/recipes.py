"""Recipes by name, as strings until they are used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

from facekit.errors import ConfigError, MissingDependencyError, UnknownNameError

if TYPE_CHECKING:
    from facekit.training.recipe import Recipe

__all__ = ["INSTALL", "PACKAGES", "RECIPES", "load_recipe", "needs_train_extra"]

RECIPES: Final[dict[str, str]] = {
    "classify": "facekit.training.classify:Classify",
    "mask_rcnn": "facekit.training.mask_rcnn:MaskRCNNRecipe",
    "s3fd_detection": "facekit.training.s3fd_detection:S3FDDetection",
    "landmarks": "facekit.training.landmarks:Landmarks",
    "ssd": "facekit.training.ssd:Ssd",
}
"""Name to ``module:Class``."""

PACKAGES: Final = ("lightning", "safetensors", "tensorboard", "torch", "torchvision")
INSTALL: Final = 'pip install "facekit[train]"'


def needs_train_extra(error: ModuleNotFoundError) -> MissingDependencyError | None:
    """Return what to tell a user without the extra; ``None`` if another module is missing."""
    missing = (error.name or "").partition(".")[0]
    if missing not in PACKAGES:
        return None
    return MissingDependencyError("training", missing, INSTALL)


def load_recipe(name: str) -> type[Recipe]:
    """Import a recipe.

    Args:
        name: A name of :data:`RECIPES`, or ``package.module:Class`` of one's own.

    Raises:
        UnknownNameError: If there is no such recipe.
        ConfigError: If one's own recipe cannot be imported.
        MissingDependencyError: If a package that training needs is not installed.
    """
    if name in RECIPES:
        return _imported(RECIPES[name])
    if ":" not in name:
        raise UnknownNameError("recipe", name, RECIPES)
    try:
        found = _imported(name)
    except MissingDependencyError:
        raise
    except Exception as error:
        # A recipe's own module may raise anything.
        message = f"recipe {name!r} cannot be imported: {error}"
        raise ConfigError(message) from error
    from facekit.training.recipe import Recipe  # noqa: PLC0415 - torch is there by now

    if not (isinstance(found, type) and issubclass(found, Recipe)):
        message = f"{name!r} is not a recipe: it is no subclass of facekit.training.Recipe"
        raise ConfigError(message)
    return found


def _imported(target: str) -> type[Recipe]:
    """Import ``module:Class``."""
    module, _, attribute = target.partition(":")
    try:
        found: Any = getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        if missing := needs_train_extra(error):
            raise missing from error
        raise
    return found  # type: ignore[no-any-return] # whoever wrote the target vouches for it
