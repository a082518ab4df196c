"""The documents' snippets do what they say: each is run as it stands."""

from __future__ import annotations

import dataclasses
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy.typing as npt
import pytest
import yaml

from facekit import write_image
from facekit.config import RunConfig

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    # What starts with an underscore is written when the site is built.
    *sorted((ROOT / "docs").rglob("[!_]*.md")),
]
CONFIGURATION = ROOT / "docs" / "configuration.md"

_FENCE = re.compile(
    r"^(?:<!-- needs: (?P<needs>\w+) -->\n)?```(?P<language>\w+)\n(?P<code>.*?)^```$",
    flags=re.MULTILINE | re.DOTALL,
)


@dataclasses.dataclass(frozen=True)
class Snippet:
    """One fenced block."""

    document: Path
    line: int
    language: str
    needs: str
    code: str

    def __str__(self) -> str:
        return f"{self.document.relative_to(ROOT)}:{self.line}"


def snippets(document: Path, language: str) -> list[Snippet]:
    text = document.read_text(encoding="utf-8")
    return [
        Snippet(
            document,
            text.count("\n", 0, match.start("code")) + 1,
            language,
            match["needs"] or "",
            match["code"],
        )
        for match in _FENCE.finditer(text)
        if match["language"] == language
    ]


PYTHON = {document: snippets(document, "python") for document in DOCUMENTS}
WITH_PLAIN = [d for d, found in PYTHON.items() if any(not snippet.needs for snippet in found)]
WITH_NEEDS = [snippet for found in PYTHON.values() for snippet in found if snippet.needs]


@pytest.fixture
def desk(tmp_path: Path, astronaut: npt.NDArray[Any], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the files that the snippets name."""
    (tmp_path / "photos").mkdir()
    write_image(tmp_path / "photo.jpg", astronaut)
    shutil.copy(tmp_path / "photo.jpg", tmp_path / "photos" / "one.jpg")
    (configuration,) = snippets(CONFIGURATION, "yaml")
    (tmp_path / "facekit.yaml").write_text(configuration.code)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(snippet: Snippet, namespace: dict[str, Any]) -> None:
    # Blank lines in front make a traceback name the document's own line.
    code = "\n" * (snippet.line - 1) + snippet.code
    exec(compile(code, str(snippet.document), "exec"), namespace)  # noqa: S102 - our own documents


def test_the_documents_have_snippets() -> None:
    assert ROOT / "README.md" in WITH_PLAIN
    assert ROOT / "docs" / "quick-start.md" in WITH_PLAIN


@pytest.mark.parametrize("document", WITH_PLAIN, ids=lambda path: str(path.relative_to(ROOT)))
@pytest.mark.usefixtures("desk")
def test_python_snippets_of_a_document_run_in_order(document: Path) -> None:
    namespace: dict[str, Any] = {"__name__": "snippets"}
    for snippet in PYTHON[document]:
        if not snippet.needs:
            run(snippet, namespace)


def ask_for(needs: str, request: pytest.FixtureRequest) -> None:
    if needs == "haar":
        request.getfixturevalue("require_cascades")
    elif needs:
        request.getfixturevalue("require")(needs)


@pytest.mark.parametrize("snippet", WITH_NEEDS, ids=str)
@pytest.mark.usefixtures("desk")
def test_python_snippet_that_needs_an_extra_runs(
    snippet: Snippet, request: pytest.FixtureRequest
) -> None:
    ask_for(snippet.needs, request)
    run(snippet, {"__name__": "snippets"})


def test_configurations_are_valid() -> None:
    texts = snippets(CONFIGURATION, "yaml") + snippets(CONFIGURATION, "toml")
    assert {snippet.language for snippet in texts} == {"yaml", "toml"}
    for snippet in texts:
        parse = yaml.safe_load if snippet.language == "yaml" else tomllib.loads
        RunConfig.from_mapping(parse(snippet.code), source=str(snippet))


@pytest.mark.parametrize(
    "snippet", [one for document in DOCUMENTS for one in snippets(document, "console")], ids=str
)
def test_command_lines_of_a_snippet_run_in_order(
    snippet: Snippet, desk: Path, request: pytest.FixtureRequest
) -> None:
    ask_for(snippet.needs, request)
    for folder in ("drawn", "crops"):
        (desk / folder).mkdir()
    lines = [line.removeprefix("$ ") for line in snippet.code.splitlines() if line[:2] == "$ "]
    assert lines, "a console block shows at least one command"
    for line in lines:
        program, *arguments = shlex.split(line)
        assert program == "facekit"
        command = [sys.executable, "-m", program, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{line}: {done.stderr}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", text)
    missing = [link for link in links if not (document.parent / link).exists()]
    assert not missing, f"{document.relative_to(ROOT)}: {missing}"
