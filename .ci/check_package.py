"""What must hold of the built package, and of the environment that it was installed into.

    python .ci/check_package.py DIST DIRECT --max-wheel-mb 30 --max-environment-mb 450

DIST has the sdist and the wheel that was built from it, DIRECT the wheel built from the checkout.
Run it with the Python of an environment into which only the wheel was installed.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

PACKAGE = "facekit"
MEGABYTE = 1e6
# Metadata.License-File: the licences' own names below *.dist-info/licenses/.
LICENCES = ("LICENSE", "src/facekit/bundled/LICENSE-weights.md")
FORBIDDEN = ("torch", "tensorflow", "scipy", "matplotlib")


def contents(wheel: Path) -> dict[str, bytes]:
    """Return a wheel's files by name."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def only(folder: Path, pattern: str) -> Path:
    """Return the one file of a pattern."""
    found = list(folder.glob(pattern))
    assert len(found) == 1, f"expected one {pattern} in {folder}, found {found}"
    return found[0]


def check_wheel(files: dict[str, bytes]) -> None:
    """Check that the wheel has the code's marker, every bundled file and both licences."""
    assert f"{PACKAGE}/py.typed" in files, "no py.typed: users' type checkers see no types"
    catalogue = tomllib.loads(files[f"{PACKAGE}/bundled/weights.toml"].decode())
    bundled = [entry["file"] for entry in catalogue.values() if "file" in entry]
    assert bundled, "the catalogue names no bundled weights"
    absent = [name for name in bundled if f"{PACKAGE}/bundled/{name}" not in files]
    assert not absent, f"bundled weights that the wheel lacks: {absent}"
    licences = [name for name in files if ".dist-info/licenses/" in name]
    missing = [name for name in LICENCES if not any(have.endswith(name) for have in licences)]
    assert not missing, f"licence files that the wheel lacks: {missing}"
    cards = [name for name in files if name.startswith(f"{PACKAGE}/bundled/")]
    print(f"bundled: {', '.join(sorted(Path(name).name for name in cards))}")


def check_sdist(sdist: Path) -> None:
    """Check that the sdist can build, test and document itself."""
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for name in ("pyproject.toml", "README.md", "LICENSE", "tests/conftest.py", "docs/conf.py"):
        assert name in names, f"the sdist lacks {name}"


def environment_megabytes(root: Path) -> float:
    """Return the disk space of every file of an environment, links not followed."""
    files = (path for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    return sum(path.stat().st_blocks * 512 for path in files) / MEGABYTE


def main() -> None:
    """Check everything; an assertion names what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("dist", type=Path)
    parser.add_argument("direct", type=Path)
    parser.add_argument("--max-wheel-mb", type=float, required=True)
    parser.add_argument("--max-environment-mb", type=float, required=True)
    arguments = parser.parse_args()
    wheel, sdist = only(arguments.dist, "*.whl"), only(arguments.dist, "*.tar.gz")
    files = contents(wheel)
    check_wheel(files)
    check_sdist(sdist)
    assert files == contents(only(arguments.direct, "*.whl")), "sdist and checkout differ"
    size = wheel.stat().st_size / MEGABYTE
    print(f"wheel: {size:.1f} MB, {len(files)} files; sdist {sdist.stat().st_size / 1e6:.1f} MB")
    assert size <= arguments.max_wheel_mb, f"the wheel is over {arguments.max_wheel_mb} MB"
    licence = importlib.metadata.metadata(PACKAGE)["License-Expression"]
    print(f"licence: {licence}")
    heavy = [name for name in FORBIDDEN if importlib.util.find_spec(name) is not None]
    assert not heavy, f"the core brings in {heavy}"
    environment = environment_megabytes(Path(sys.prefix))
    print(f"core environment: {environment:.0f} MB on disk (limit {arguments.max_environment_mb})")
    assert environment <= arguments.max_environment_mb, "the core environment is too large"


if __name__ == "__main__":
    main()
