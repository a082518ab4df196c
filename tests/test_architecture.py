"""Who may import whom, and one word per backend: the rooms of the house stay rooms."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import facekit
from facekit.registry import ROLES, Backend, backends
from facekit.training.recipes import RECIPES

PACKAGE = Path(facekit.__file__).parent
TESTS = Path(__file__).parent
ROOT = TESTS.parent

ADAPTER = {
    "batches",
    "boxes",
    "d2",
    "engines",
    "errors",
    "images",
    "masks",
    "mmlab",
    "networks",
    "pickled_arrays",
    "protocols",
    "tfgraphs",
    "types",
    "weights",
}

# A room is a module or folder of the package; it may import itself and these.
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "boxes": {"errors"},
    "masks": {"errors"},
    "mean_shape": set(),
    "memory": set(),
    "quiet": set(),
    "pickled_arrays": set(),
    "types": {"boxes", "errors", "interop", "masks"},
    "interop": {"errors", "types"},
    "atomic": {"errors"},
    "images": {"atomic", "errors"},
    "batches": {"errors", "images", "types"},
    "protocols": {"boxes", "images", "types"},
    "config": {"errors", "registry"},
    "coexistence": set(),
    "registry": {"coexistence", "config", "errors", "protocols"},
    "weights": {"atomic", "config", "errors", "registry"},
    "engines": {"errors", "memory", "networks", "protocols", "registry"},
    "networks": set(),
    "d2": {"engines", "errors", "pickled_arrays"},
    "mmlab": {"atomic", "errors", "networks"},
    "tfapi": {"atomic", "errors"},
    "tfgraphs": {"coexistence", "datasets", "errors", "masks", "quiet"},
    "detectors": ADAPTER,
    "landmarkers": ADAPTER,
    "classifiers": ADAPTER,
    "align": {"errors", "images", "mean_shape", "types"},
    "draw": {"errors", "images", "types"},
    "media": {"atomic", "errors", "images"},
    "parts": {"config", "errors", "protocols", "registry"},
    "analyzer": {"config", "errors", "images", "media", "parts", "protocols", "registry", "types"},
    "datasets": {"atomic", "boxes", "draw", "errors", "images", "types"},
    "metrics": {"boxes", "errors", "types"},
    "evaluation": {
        "__init__",
        "atomic",
        "batches",
        "boxes",
        "config",
        "datasets",
        "draw",
        "errors",
        "images",
        "metrics",
        "parts",
        "pickled_arrays",
        "protocols",
        "registry",
        "summary",
        "types",
        "weights",
    },
    "export": {
        "atomic",
        "engines",
        "errors",
        "images",
        "quiet",
        "registry",
        "tfgraphs",
        "types",
        "weights",
    },
    "summary": {"engines", "errors", "mmlab", "registry", "tfgraphs", "weights"},
    "training": {
        "atomic",
        "boxes",
        "config",
        "d2",
        "datasets",
        "detectors",
        "draw",
        "engines",
        "errors",
        "images",
        "mean_shape",
        "memory",
        "metrics",
        "mmlab",
        "networks",
        "protocols",
        "quiet",
        "registry",
        "tfapi",
        "types",
        "weights",
    },
    "testing": {"atomic", "boxes", "errors", "images", "protocols", "registry", "types"},
    "__main__": {"cli"},
}
ANYTHING = {"cli", "__init__"}

HEAVY = {
    "ai_edge_litert",
    "detectron2",
    "jax",
    "lightning",
    "mmcv",
    "mmdet",
    "nncf",
    "onnx",
    "onnxruntime",
    "openvino",
    "tensorflow",
    "torch",
    "torchvision",
}
HEAVY_ROOMS = {
    "classifiers",
    "d2",
    "detectors",
    "engines",
    "export",
    "landmarkers",
    "mmlab",
    "networks",
    "summary",
    "tfapi",
    "tfgraphs",
    "training",
}

FILES = sorted(PACKAGE.rglob("*.py"))


def name_of(file: Path) -> str:
    return ".".join(file.relative_to(PACKAGE).with_suffix("").parts)


def room_of(file: Path) -> str:
    return file.relative_to(PACKAGE).with_suffix("").parts[0]


def imported(file: Path) -> Iterator[str]:
    """Every module that a file imports, at its top or later, and each name taken from one."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno}: imports are absolute"
            module = node.module or ""
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def rooms_imported(file: Path) -> set[str]:
    own = {name.split(".")[1] for name in imported(file) if name.startswith("facekit.")}
    # The package's own attributes, like ``from facekit import __version__``, are not rooms.
    known = {room_of(other) for other in FILES}
    return (own & known) - {room_of(file)}


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_rooms_import_only_those_below_them(file: Path) -> None:
    room = room_of(file)
    if room in ANYTHING:
        return
    assert room in ALLOWED, f"a new room, {room}: say here whom it may import"
    assert rooms_imported(file) <= ALLOWED[room]


def test_nothing_below_imports_the_command_line() -> None:
    importers = {room_of(file) for file in FILES if "cli" in rooms_imported(file)}
    assert importers <= {"__main__"}


def test_nothing_but_tests_imports_the_contract_suites() -> None:
    assert [name_of(file) for file in FILES if "testing" in rooms_imported(file)] == []


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_frameworks_stay_in_their_rooms(file: Path) -> None:
    heavy = {name.partition(".")[0] for name in imported(file)} & HEAVY
    assert not heavy or room_of(file) in HEAVY_ROOMS
    if room_of(file) in {f"{role}s" for role in ROLES}:
        assert len(heavy) <= 1, "one heavy package an adapter"


def adapters() -> list[Path]:
    folders = [PACKAGE / f"{role}s" for role in ROLES]
    return [
        file for folder in folders for file in sorted(folder.glob("*.py")) if file.stem[0] != "_"
    ]


@pytest.mark.parametrize("file", adapters(), ids=name_of)
def test_adapters_never_import_each_other(file: Path) -> None:
    others = {f"facekit.{name_of(other)}" for other in adapters()} - {f"facekit.{name_of(file)}"}
    assert not others & set(imported(file))
    assert not {"detectors", "landmarkers", "classifiers"} & rooms_imported(file)


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_has_a_folder_of_its_own(recipe: str) -> None:
    assert RECIPES[recipe].partition(":")[0] == f"facekit.training.{recipe}.recipe"


def test_recipes_never_import_each_other() -> None:
    rooms = {recipe: PACKAGE / "training" / recipe for recipe in RECIPES}
    for file in sorted((PACKAGE / "training").glob("*/*.py")):
        others = {f"facekit.training.{one}" for one in RECIPES if rooms[one] != file.parent}
        named = {".".join(name.split(".")[:3]) for name in imported(file)}
        assert not named & others, name_of(file)


@pytest.mark.parametrize("file", adapters(), ids=name_of)
def test_an_adapters_module_is_the_lazy_boundary(file: Path) -> None:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    later = [
        node.lineno
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert later == [], "an adapter imports its packages plainly, at the top"


def test_there_is_no_room_for_odds_and_ends() -> None:
    odd = {"common", "helper", "helpers", "misc", "util", "utils"}
    assert [name_of(file) for file in FILES if file.stem in odd] == []


BUILT_IN = [backend for backend in backends() if backend.owner == "facekit"]


@pytest.mark.parametrize("backend", BUILT_IN, ids=lambda backend: backend.name)
def test_one_word_for_a_backend(backend: Backend) -> None:
    module, _, _ = backend.target.partition(":")
    assert module == f"facekit.{backend.role}s.{backend.name}"
    assert (PACKAGE / f"{backend.role}s" / f"{backend.name}.py").is_file()
    assert list((TESTS / f"{backend.role}s").glob(f"test_{backend.name}*.py"))
    assert (TESTS / f"{backend.role}s" / f"test_{backend.name}_contract.py").is_file()


def test_every_adapter_is_registered() -> None:
    registered = {backend.target.partition(":")[0] for backend in BUILT_IN}
    assert {f"facekit.{name_of(file)}" for file in adapters()} == registered


@pytest.mark.skipif(not (ROOT / "pyproject.toml").is_file(), reason="not a checkout")
@pytest.mark.parametrize("backend", BUILT_IN, ids=lambda backend: backend.name)
def test_what_a_backend_needs_is_an_extra_of_its_name(backend: Backend) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    # A detector and a classifier of one name share the extra, which only one of them may need.
    needed = any(one.packages for one in BUILT_IN if one.name == backend.name)
    assert (backend.name in project["optional-dependencies"]) == needed
    if backend.packages:
        extra, _, framework = backend.install.partition(" && ")
        assert extra == f'pip install "facekit[{backend.name}]"'
        # What no package index has is installed after it.
        assert bool(framework) == (backend.name == "detectron2")


@pytest.mark.skipif(not (ROOT / "docs").is_dir(), reason="not a checkout")
@pytest.mark.parametrize("backend", BUILT_IN, ids=lambda backend: backend.name)
def test_every_backend_has_its_page(backend: Backend) -> None:
    assert (ROOT / "docs" / "backends" / f"{backend.name}.md").is_file()
