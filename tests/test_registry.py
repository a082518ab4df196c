"""Names to adapters: built-in ones, and plug-ins whose metadata is on the path."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import facekit
from facekit import registry
from facekit.errors import (
    BackendError,
    ConfigError,
    DuplicateNameError,
    MissingDependencyError,
    UnknownNameError,
    WeightsError,
)

ADAPTER = """
from facekit.protocols import DetectorOptions

class Adapter:
    Options = DetectorOptions
    name = "mine"

    def __init__(self, options):
        self.score_threshold = options.score_threshold
"""


class Site:
    """A folder on ``sys.path`` that holds distributions: their code and their metadata."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(
        self,
        distribution: str,
        code: str,
        name: str = "mine",
        role: str = "detector",
        requires: tuple[str, ...] = (),
    ) -> None:
        module = distribution.replace("-", "_")
        (self.folder / f"{module}.py").write_text(code)
        metadata = self.folder / f"{module}-1.0.dist-info"
        metadata.mkdir()
        lines = ["Metadata-Version: 2.1", f"Name: {distribution}", "Version: 1.0"]
        lines += [f"Requires-Dist: {requirement}" for requirement in requires]
        (metadata / "METADATA").write_text("\n".join(lines) + "\n")
        (metadata / "entry_points.txt").write_text(
            f"[facekit.{role}s]\n{name} = {module}:Adapter\n"
        )


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.syspath_prepend(tmp_path)
    yield Site(tmp_path)
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def test_built_in_names_come_first_and_each_once() -> None:
    names = [(backend.role, backend.name) for backend in registry.backends()]
    assert names[:9] == [
        ("detector", "tiny_ssd"),
        ("detector", "haar"),
        ("detector", "s3fd"),
        ("detector", "mask_rcnn"),
        ("detector", "detectron2"),
        ("detector", "mmdet"),
        ("detector", "tfod"),
        ("landmarker", "resnet18"),
        ("classifier", "s3fd"),
    ]
    assert len(set(names)) == len(names)


def test_backends_of_one_role() -> None:
    assert {backend.role for backend in facekit.backends("landmarker")} == {"landmarker"}
    assert facekit.backends("detector")[0].name == registry.DEFAULT_DETECTOR


@pytest.mark.parametrize("backend", registry.backends(), ids=lambda backend: backend.name)
def test_every_built_in_target_is_a_class_of_that_name(backend: registry.Backend) -> None:
    module_name, _, class_name = backend.target.partition(":")
    spec = importlib.util.find_spec(module_name)
    assert spec is not None
    assert spec.origin is not None
    assert f"class {class_name}" in Path(spec.origin).read_text(encoding="utf-8")
    assert backend.summary
    assert bool(backend.packages) == bool(backend.install)


def test_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="unknown detector 'har': did you mean 'haar'"):
        facekit.create_detector("har")
    with pytest.raises(UnknownNameError, match="unknown landmarker 'tiny_ssd'"):
        facekit.create_landmarker("tiny_ssd")
    with pytest.raises(UnknownNameError, match="unknown classifier"):
        facekit.create_classifier("nobody")


def test_plug_in_is_listed_without_being_imported(site: Site) -> None:
    site.add("broken-plug", "raise SystemExit('imported')")
    (found,) = [b for b in registry.backends("detector") if b.name == "mine"]
    assert found.owner == "broken-plug"
    assert found.summary == "plug-in of broken-plug"
    assert found.target == "broken_plug:Adapter"


def test_plug_in_is_built_with_its_options(site: Site) -> None:
    site.add("good-plug", ADAPTER)
    detector = facekit.create_detector("mine", score_threshold=0.25)
    assert type(detector).__name__ == "Adapter"
    assert detector.score_threshold == 0.25
    with pytest.raises(ConfigError, match="detector 'mine': unknown option 'scor_threshold'"):
        facekit.create_detector("mine", scor_threshold=0.25)


@pytest.mark.parametrize(
    ("role", "create"),
    [("landmarker", facekit.create_landmarker), ("classifier", facekit.create_classifier)],
)
def test_plug_ins_of_the_other_roles(role: str, create: object, site: Site) -> None:
    site.add(f"{role}-plug", ADAPTER, role=role)
    assert callable(create)
    assert type(create("mine")).__name__ == "Adapter"


def test_one_name_for_two_roles_is_fine(site: Site) -> None:
    site.add("mine-detector", ADAPTER)
    site.add("mine-classifier", ADAPTER, role="classifier")
    assert registry.find("detector", "mine").owner == "mine-detector"
    assert registry.find("classifier", "mine").owner == "mine-classifier"


def test_two_owners_of_a_name_raise_when_it_is_used(site: Site) -> None:
    site.add("one-plug", ADAPTER)
    site.add("two-plug", ADAPTER)
    assert len([b for b in registry.backends("detector") if b.name == "mine"]) == 2
    with pytest.raises(DuplicateNameError, match="by one-plug and two-plug"):
        facekit.create_detector("mine")
    assert registry.find("detector", "tiny_ssd").owner == "facekit"


def test_a_plug_in_may_not_take_a_built_in_name(site: Site) -> None:
    site.add("thief-plug", ADAPTER, name="haar")
    with pytest.raises(DuplicateNameError, match="by facekit and thief-plug"):
        registry.find("detector", "haar")


def test_declared_package_that_is_missing(site: Site) -> None:
    site.add(
        "vendor-plug", "import vendor_thing.deep", requires=("Vendor-Thing>=2; python_version>'3'",)
    )
    with pytest.raises(MissingDependencyError) as caught:
        facekit.create_detector("mine")
    assert caught.value.name == "vendor_thing"
    assert caught.value.install == "pip install --upgrade vendor-plug"
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import undeclared_thing", "ModuleNotFoundError: No module named 'undeclared_thing'"),
        ("from math import nothing", "ImportError: cannot import name 'nothing'"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("class Other: ...", "AttributeError: .*has no attribute 'Adapter'"),
        ("def broken(:", "SyntaxError: "),
    ],
)
def test_a_broken_plug_in_breaks_only_itself(code: str, reason: str, site: Site) -> None:
    site.add("broken-plug", code)
    with pytest.raises(BackendError, match="'mine' of broken-plug cannot be imported") as caught:
        facekit.create_detector("mine")
    assert caught.match(reason)
    assert caught.value.__cause__ is not None
    assert registry.find("detector", "tiny_ssd")


def test_errors_of_facekits_own_pass_through_an_import(site: Site) -> None:
    code = "from facekit.errors import MissingDependencyError\n"
    site.add(
        "own-plug", f"{code}raise MissingDependencyError('mine', 'vendor', 'pip install vendor')"
    )
    with pytest.raises(MissingDependencyError, match="run: pip install vendor"):
        facekit.create_detector("mine")


@pytest.mark.parametrize(
    ("body", "kind", "message"),
    [
        ("raise KeyError('layer')", BackendError, "'mine' cannot be built: KeyError: 'layer'"),
        (
            "from facekit.errors import WeightsError; raise WeightsError('w', 'bad')",
            WeightsError,
            "w: bad",
        ),
    ],
)
def test_errors_while_building(body: str, kind: type[Exception], message: str, site: Site) -> None:
    site.add(
        "building-plug", ADAPTER.replace("self.score_threshold = options.score_threshold", body)
    )
    with pytest.raises(kind, match=message):
        facekit.create_detector("mine")
