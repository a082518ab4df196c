"""Training: one engine on Lightning, other frameworks' own trainers, one room a recipe.

A recipe (:mod:`facekit.training.recipe`) says what is trained, on what, and how it is measured;
:func:`train` runs it from a configuration into a folder that can be resumed after any kill.
Needs the extra ``facekit[train]``; importing this package imports no framework.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from facekit.training.config import TrainConfig
from facekit.training.foreign import Foreign, ForeignOptions, Job, Outcome
from facekit.training.recipes import RECIPES, needs_train_extra
from facekit.training.result import TrainResult
from facekit.training.start import train

if TYPE_CHECKING:
    from facekit.training.keys import ItemKey
    from facekit.training.recipe import Items, Recipe, RecipeOptions

__all__ = [
    "RECIPES",
    "Foreign",
    "ForeignOptions",
    "ItemKey",
    "Items",
    "Job",
    "Outcome",
    "Recipe",
    "RecipeOptions",
    "TrainConfig",
    "TrainResult",
    "train",
]

# Names whose modules import torch.
_LAZY = {
    "ItemKey": "facekit.training.keys",
    "Items": "facekit.training.recipe",
    "Recipe": "facekit.training.recipe",
    "RecipeOptions": "facekit.training.recipe",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - any public name
    """Import a public name's module when the name is first used (PEP 562).

    Raises:
        MissingDependencyError: If a package that training needs is not installed.
    """
    if name not in _LAZY:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    try:
        module = importlib.import_module(_LAZY[name])
    except ModuleNotFoundError as error:
        if missing := needs_train_extra(error):
            raise missing from error
        raise
    value = getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, lazy ones included."""
    return sorted(set(globals()) | set(__all__))
