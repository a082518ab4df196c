"""Sphinx configuration; the site is built with ``-W``: any warning fails."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from sphinx.application import Sphinx

import facekit

HERE = Path(__file__).parent

project = "facekit"
author = "The facekit developers"
copyright = "The facekit developers"
version = release = facekit.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]
exclude_patterns = ["_build", "reference/_commands.md"]
html_theme = "furo"
html_title = f"facekit {version}"

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

# One backend's module imports these, and the site is built without them.
autodoc_mock_imports = ["object_detection", "safetensors", "torch", "torchvision"]
autodoc_member_order = "bysource"
autodoc_default_options = {"exclude-members": "model_config"}
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

copybutton_prompt_text = "$ "


def write_commands(_app: Sphinx) -> None:
    """Write the command line's reference from the command line itself, so that it cannot drift."""
    target = HERE / "reference" / "_commands.md"
    # The one argument list of this file, all of it our own.
    command = [sys.executable, "-m", "typer", "facekit.cli.app", "utils", "docs"]
    subprocess.run([*command, "--name", "facekit", "--output", str(target)], check=True)  # noqa: S603


def setup(app: Sphinx) -> None:
    """Hook the generated page in before any source is read."""
    app.connect("builder-inited", write_commands)
