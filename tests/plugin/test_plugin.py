"""A third party's package, really installed: found, built by name, and under the contracts."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

PACKAGE = Path(__file__).parent / "package"

Require = Callable[[str], ModuleType]

BROKEN = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "{name}"
version = "0.1"

[project.entry-points."facekit.detectors"]
{entry} = "{module}:Adapter"

[tool.hatch.build.targets.wheel]
packages = ["{module}"]
"""


def install(project: Path, target: Path) -> None:
    """Install a project as pip does, offline and into a folder of its own."""
    options = ["--no-deps", "--no-index", "--no-build-isolation", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "install", "-q", *options, "--target", str(target)]
    done = subprocess.run([*command, str(project)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def run(
    site: Path, *arguments: str, folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run this interpreter where the packages of a folder are installed too."""
    path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH", "")]))
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": path},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def broken(folder: Path, name: str, entry: str, code: str) -> Path:
    """Write a plug-in of one line."""
    module = name.replace("-", "_")
    (folder / name / module).mkdir(parents=True)
    (folder / name / module / "__init__.py").write_text(code)
    text = BROKEN.format(name=name, entry=entry, module=module)
    (folder / name / "pyproject.toml").write_text(text)
    return folder / name


@pytest.fixture(scope="module")
def site(require: Require, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the plug-in installed."""
    with warnings.catch_warnings():
        # setuptools, where PyTorch brings it, warns when pip comes after something with distutils.
        warnings.filterwarnings("ignore", "Setuptools is replacing distutils")
        require("pip")
    require("hatchling")
    folder = tmp_path_factory.mktemp("plugin")
    shutil.copytree(PACKAGE, folder / "project")
    install(folder / "project", folder / "site")
    return folder / "site"


def test_it_is_listed_with_its_owner(site: Path) -> None:
    program = (
        "import facekit, json, sys\n"
        "rows = [[b.role, b.name, b.owner] for b in facekit.backends()]\n"
        "print(json.dumps([rows, 'facekit_twice' in sys.modules]))"
    )
    rows, imported = json.loads(run(site, "-c", program).stdout)
    assert ["detector", "twice", "facekit-twice"] in rows
    assert ["classifier", "tone", "facekit-twice"] in rows
    assert not imported


def test_it_is_built_by_name_and_finds_the_face(site: Path, astronaut_path: Path) -> None:
    program = (
        "import facekit, sys\n"
        "detector = facekit.create_detector('twice', agreement=0.3)\n"
        "classifier = facekit.create_classifier('tone')\n"
        "found = detector.detect([sys.argv[1]])\n"
        "print(len(found[0]), classifier.classify([sys.argv[1]], found)[0].best())"
    )
    done = run(site, "-c", program, str(astronaut_path))
    assert done.stdout.strip() == "1 ['warm']", done.stderr


def test_its_options_are_checked_like_any_other(site: Path) -> None:
    program = "import facekit; facekit.create_detector('twice', agreemnt=0.5)"
    done = run(site, "-c", program)
    assert "ConfigError: detector 'twice': unknown option 'agreemnt', did you mean 'agreement'" in (
        done.stderr
    )


def test_its_empty_subclasses_pass_once_recorded(site: Path, tmp_path: Path) -> None:
    """As its author works: the suite fails for want of a record, names the command, then passes."""
    shutil.copytree(PACKAGE / "tests", tmp_path / "tests")
    pytest_command = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", "tests")
    first = run(site, *pytest_command, folder=tmp_path)
    assert first.returncode == pytest.ExitCode.TESTS_FAILED
    assert "2 failed" in first.stdout
    found = re.findall(r"Failed: no golden record; make it with: (python .*)", first.stdout)
    # Where CI is set, pytest's closing summary repeats the whole message.
    commands = list(dict.fromkeys(found))
    assert len(commands) == 2, first.stdout
    for command in commands:
        recorded = run(site, *command.split()[1:], folder=tmp_path)
        assert recorded.returncode == 0, recorded.stderr
    second = run(site, *pytest_command, folder=tmp_path)
    assert second.returncode == 0, second.stdout
    assert "skipped" not in second.stdout


def test_a_broken_plug_in_breaks_only_itself(site: Path, tmp_path: Path) -> None:
    both = tmp_path / "site"
    shutil.copytree(site, both)
    install(broken(tmp_path, "facekit-broken", "broken", "1 / 0"), both)
    program = (
        "import facekit\n"
        "facekit.create_detector('twice')\n"
        "try:\n"
        "    facekit.create_detector('broken')\n"
        "except facekit.FacekitError as error:\n"
        "    print(error)\n"
    )
    done = run(both, "-c", program)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == (
        "detector 'broken' of facekit-broken cannot be imported (facekit_broken:Adapter): "
        "ZeroDivisionError: division by zero"
    )


def test_two_packages_may_not_share_a_name(site: Path, tmp_path: Path) -> None:
    both = tmp_path / "site"
    shutil.copytree(site, both)
    install(broken(tmp_path, "facekit-rival", "twice", "class Adapter: ..."), both)
    done = run(both, "-c", "import facekit; facekit.create_detector('twice')")
    assert (
        "DuplicateNameError: detector 'twice' is registered more than once, "
        "by facekit-rival and facekit-twice: uninstall one of them"
    ) in done.stderr
