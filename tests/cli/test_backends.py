"""``facekit backends``: what is installed, what is missing and the line that installs it."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import pytest
from typer.testing import Result

from facekit.cli.backends_listing import examine, examine_all, print_as_table
from facekit.registry import Backend, backends

Facekit = Callable[..., Result]
AddPlugIn = Callable[..., None]


@pytest.fixture
def plug_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AddPlugIn:
    """Install a distribution with one module and its entry points, as pip would lay it out."""

    def install(name: str, module: str, *, group: str = "facekit.detectors") -> None:
        site = tmp_path / "site"
        info = site / f"facekit_{name}-1.0.dist-info"
        info.mkdir(parents=True)
        metadata = f"Metadata-Version: 2.1\nName: facekit-{name}\nVersion: 1.0\n"
        (info / "METADATA").write_text(metadata + "Requires-Dist: absent-engine>=2\n")
        (info / "entry_points.txt").write_text(f"[{group}]\n{name} = plugin_{name}:Adapter\n")
        (site / f"plugin_{name}.py").write_text(module)
        monkeypatch.syspath_prepend(str(site))
        importlib.invalidate_caches()

    return install


def listed(facekit: Facekit) -> dict[str, dict[str, Any]]:
    result = facekit("backends", "--json")
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    return {record["name"]: record for record in json.loads(result.stdout)}


def test_the_table(facekit: Facekit) -> None:
    result = facekit("backends")
    assert (result.exit_code, result.stderr) == (0, "")
    headers, *rows = result.stdout.splitlines()
    assert headers.split()[:4] == ["role", "name", "status", "owner"]
    assert [row.split()[:2] for row in rows[:8]] == [
        ["detector", "tiny_ssd"],
        ["detector", "haar"],
        ["detector", "s3fd"],
        ["detector", "mask_rcnn"],
        ["detector", "detectron2"],
        ["detector", "mmdet"],
        ["detector", "tfod"],
        ["landmarker", "resnet18"],
    ]
    assert rows[0].split()[2] == "installed"


def test_every_built_in_is_listed_as_json(facekit: Facekit) -> None:
    found = listed(facekit)
    assert set(found) >= {backend.name for backend in backends() if backend.owner == "facekit"}
    assert found["tiny_ssd"]["default"] is True
    assert found["tiny_ssd"]["status"] == "installed"
    assert found["haar"]["default"] is False


def test_haar_says_which_opencv_it_needs(facekit: Facekit) -> None:
    haar = listed(facekit)["haar"]
    if hasattr(cv2, "CascadeClassifier"):
        assert (haar["status"], haar["install"]) == ("installed", "")
        return
    assert haar["status"] == "missing"
    assert haar["install"].startswith("pip install ")
    assert "opencv" in haar["reason"].lower()
    assert "run:" not in haar["reason"]
    lines = facekit("backends").stdout.splitlines()
    # Whole and on a line of its own: it is there to be copied.
    assert f"  {haar['install']}" in lines


def test_a_package_that_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    install = 'pip install "facekit[absent]"'
    backend = Backend("detector", "absent", "x:Y", "A summary", ("no_such_package",), install)
    state = examine(backend)
    assert (state.status, state.install) == ("missing", install)
    print_as_table([state])
    *_, reason, line = capsys.readouterr().out.splitlines()
    assert reason == "detector 'absent' needs 'no_such_package': not installed"
    assert line == f"  {install}"


def test_a_package_that_is_half_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    # `find_spec` raises ValueError for a module that is loaded but has no spec.
    broken = type(sys)("facekit_half_removed")
    broken.__spec__ = None
    monkeypatch.setitem(sys.modules, "facekit_half_removed", broken)
    backend = Backend("detector", "half", "x:Y", "", ("facekit_half_removed",), "pip install half")
    assert examine(backend).status == "missing"


def test_a_plug_in_that_works(facekit: Facekit, plug_in: AddPlugIn) -> None:
    plug_in("good", "class Adapter: pass\n")
    record = listed(facekit)["good"]
    assert (record["status"], record["owner"]) == ("installed", "facekit-good")
    assert "facekit-good" in facekit("backends").stdout


def test_a_broken_plug_in_breaks_only_itself(facekit: Facekit, plug_in: AddPlugIn) -> None:
    plug_in("bad", "raise RuntimeError('no [bold]engine[/bold]\\nhere')\n")
    found = listed(facekit)
    assert found["bad"]["status"] == "broken"
    assert "RuntimeError: no [bold]engine[/bold]" in found["bad"]["reason"]
    assert found["tiny_ssd"]["status"] == "installed"
    result = facekit("backends")
    assert "detector 'bad' of facekit-bad cannot be imported" in result.stdout
    assert "no [bold]engine[/bold] here" in result.stdout
    assert "  pip install --upgrade facekit-bad" in result.stdout.splitlines()


def test_a_plug_in_without_its_package(facekit: Facekit, plug_in: AddPlugIn) -> None:
    plug_in("needy", "import absent_engine\n")
    record = listed(facekit)["needy"]
    assert record["status"] == "missing"
    assert "absent_engine" in record["reason"]
    assert record["install"] == "pip install --upgrade facekit-needy"


def test_two_of_one_name_are_both_broken(plug_in: AddPlugIn) -> None:
    plug_in("tiny_ssd", "class Adapter: pass\n")
    states = [state for state in examine_all() if state.backend.name == "tiny_ssd"]
    assert [state.status for state in states] == ["broken", "broken"]
    assert all("facekit-tiny_ssd" in state.reason for state in states)


def test_no_framework_is_imported() -> None:
    code = (
        "import sys; from facekit.cli.app import app\n"
        "try: app(['backends'])\n"
        "except SystemExit as error: assert not error.code\n"
        "print(sorted({'torch', 'tensorflow', 'onnxruntime', 'openvino'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
