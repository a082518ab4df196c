"""Build an adapter in a fresh interpreter in which its packages cannot be imported."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import re
import subprocess
import sys
from collections.abc import Mapping
from typing import Any, Final

from facekit.registry import Backend

__all__ = ["Report", "build_without_packages"]

# Frameworks that no adapter may need without declaring them.
_FRAMEWORKS: Final = (
    "ai_edge_litert",
    "detectron2",
    "jax",
    "mmcv",
    "mmdet",
    "mmengine",
    "onnx",
    "openvino",
    "safetensors",
    "tensorflow",
    "torch",
    "torchvision",
)

_PROGRAM: Final = """
import json, sys
job = json.loads(sys.stdin.read())
sys.path[:] = job["path"]

class Blocked:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top.lower() in job["blocked"]:
            raise ModuleNotFoundError(f"No module named {top!r}", name=top)

sys.meta_path.insert(0, Blocked())
from facekit import registry
try:
    registry.create(job["role"], job["name"], job["options"])
    report = {"outcome": "built", "message": "", "install": ""}
except BaseException as error:
    report = {
        "outcome": type(error).__name__,
        "message": f"{type(error).__name__}: {error}",
        "install": str(getattr(error, "install", "")),
    }
print("\\n" + json.dumps(report))
"""


@dataclasses.dataclass(frozen=True)
class Report:
    """How building without packages ended.

    Attributes:
        outcome: ``"built"``, or the class of the error.
        message: The error's class and message.
        install: The error's install command.
    """

    outcome: str
    message: str
    install: str


def build_without_packages(backend: Backend, options: Mapping[str, Any]) -> Report:
    """Build an adapter where the packages that it declares are missing.

    So are the large frameworks, declared or not: an adapter that declares none must do without.

    Args:
        backend: The registered adapter.
        options: Its options.

    Returns:
        How it ended.

    Raises:
        RuntimeError: If the interpreter itself fails.
    """
    blocked = {*backend.packages, *_FRAMEWORKS} - _core_packages()
    job = {
        "path": sys.path,
        "blocked": sorted(name.lower() for name in blocked),
        "role": backend.role,
        "name": backend.name,
        "options": dict(options),
    }
    done = subprocess.run(  # noqa: S603 - this interpreter and a fixed program
        [sys.executable, "-c", _PROGRAM],
        input=json.dumps(job, default=str),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        message = f"the isolated interpreter failed: {done.stderr}"
        raise RuntimeError(message)
    return Report(**json.loads(done.stdout.splitlines()[-1]))


def _core_packages() -> set[str]:
    """Return what facekit cannot be imported without, as import names where they agree."""
    core = {"facekit"}
    try:
        requirements = importlib.metadata.requires("facekit") or []
    except importlib.metadata.PackageNotFoundError:
        # A checkout on the path, not installed.
        requirements = []
    for requirement in requirements:
        name = re.match(r"[\w.-]+", requirement)
        if name and "extra ==" not in requirement:
            core.add(name[0].replace("-", "_").lower())
    return core
