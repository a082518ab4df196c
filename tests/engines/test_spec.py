from __future__ import annotations

import importlib.util

import pytest

from facekit import registry
from facekit.engines.spec import NetworkSpec, find_spec
from facekit.errors import UnknownNameError
from facekit.registry import Backend


@pytest.mark.parametrize(("name", "role"), [("tiny_ssd", "detector"), ("resnet18", "landmarker")])
def test_a_backend_with_a_network_is_found_by_its_name(name: str, role: str) -> None:
    backend, spec = find_spec(name)
    assert (backend.name, backend.role) == (name, role)
    module, _, network = spec.network.partition(":")
    assert network.isidentifier()
    assert importlib.util.find_spec(module) is not None


def test_the_role_is_respected() -> None:
    backend, _ = find_spec("resnet18", "landmarker")
    assert backend.role == "landmarker"
    with pytest.raises(UnknownNameError, match="unknown detector 'resnet18'"):
        find_spec("resnet18", "detector")


def test_an_unknown_name_is_met_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="unknown backend 'tiny_sd': did you mean 'tiny_ssd"):
        find_spec("tiny_sd")


def test_a_backend_without_a_network_names_those_with_one(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Backend(role="detector", name="plain", target="collections:OrderedDict")
    broken = Backend(role="detector", name="broken", target="nowhere:Nothing")
    monkeypatch.setattr(registry, "_BUILT_IN", (*registry._BUILT_IN, plain, broken))
    with pytest.raises(UnknownNameError, match="network of a backend 'plain'") as caught:
        find_spec("plain")
    assert {"resnet18", "tiny_ssd"} <= set(caught.value.known)
    assert not {"plain", "broken", "haar"} & set(caught.value.known)


def test_specs_compare_by_value() -> None:
    spec = NetworkSpec("a:B", ("x",), ("y",), (3, 8, 8))
    assert spec == NetworkSpec("a:B", ("x",), ("y",), (3, 8, 8))
