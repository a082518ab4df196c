"""What all commands share: help, version, errors, exit codes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from facekit import __version__
from facekit.cli.console import print_table
from facekit.cli.exits import GuardedGroup, exit_code, one_line
from facekit.errors import BackendError

Facekit = Callable[..., Result]
Start = Callable[..., "subprocess.Popen[str]"]


def test_version(facekit: Facekit) -> None:
    result = facekit("--version")
    assert (result.exit_code, result.stdout) == (0, f"facekit {__version__}\n")


def test_the_installed_command(tmp_path: Path) -> None:
    command = Path(sys.executable).with_name("facekit")
    if not command.exists():
        pytest.skip("facekit is not installed beside this Python")
    done = subprocess.run(
        [command, "--version"], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout == f"facekit {__version__}\n"


def test_bare_command_shows_help(facekit: Facekit) -> None:
    result = facekit()
    assert result.exit_code == 2
    assert "detect" in result.stdout
    assert result.stderr == ""


@pytest.mark.parametrize("command", ["detect", "backends", "weights", "summary", "export"])
def test_help(facekit: Facekit, command: str) -> None:
    assert command in facekit("--help").stdout
    result = facekit(command, "-h")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "Usage: facekit" in result.stdout.replace("root", "facekit")


def test_help_says_how_a_camera_ends(facekit: Facekit) -> None:
    words = " ".join(facekit("detect", "--help", env={"COLUMNS": "200"}).stdout.split())
    assert "facekit detect 0 -o out.mp4" in words
    assert "Ctrl-C" in words


@pytest.mark.parametrize(
    "arguments", [("--help",), ("--version",), ("detect", "--help"), ("nope",)]
)
def test_help_imports_no_heavy_package(arguments: tuple[str, ...]) -> None:
    code = (
        "import sys; from facekit.cli.app import app\n"
        f"try: app({list(arguments)})\n"
        "except SystemExit: pass\n"
        "print(sorted({'cv2', 'onnxruntime', 'PIL', 'pooch', 'yaml'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(("failed", "total", "code"), [(0, 0, 0), (0, 3, 0), (1, 3, 1), (3, 3, 2)])
def test_exit_codes(failed: int, total: int, code: int) -> None:
    assert exit_code(failed, total) == code


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("plain é 顔", "plain é 顔"),
        ("two\nlines", "two lines"),
        ("tab\tbell\x07", r"tab\tbell\x07"),
        ("\udce9", r"\udce9"),
    ],
)
def test_one_line(text: str, line: str) -> None:
    assert one_line(text) == line


def _failing(error: BaseException) -> typer.Typer:
    """Build an application whose command raises."""
    app = typer.Typer(cls=GuardedGroup, pretty_exceptions_enable=False)

    @app.command()
    def fail() -> None:
        raise error

    @app.callback()
    def _main() -> None:
        pass

    return app


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (BackendError("broken"), 2, "error: broken\n"),
        (KeyboardInterrupt(), 130, "interrupted: stopped by Ctrl-C\n"),
        (typer.Abort(), 130, ""),
        (typer.Exit(1), 1, ""),
        (typer.BadParameter("no such colour"), 2, None),
        (
            ZeroDivisionError("division"),
            2,
            (
                "error: unexpected ZeroDivisionError: division "
                "(a bug; FACEKIT_DEBUG=1 shows the traceback to report)\n"
            ),
        ),
    ],
)
def test_every_error_is_one_line(error: BaseException, code: int, message: str | None) -> None:
    result = CliRunner().invoke(_failing(error), ["fail"])
    assert result.exit_code == code
    if message is not None:
        assert result.stderr == message
    else:
        assert "no such colour" in result.stderr
        assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("value", ["", "0"])
def test_debugging_is_off(value: str) -> None:
    result = CliRunner().invoke(_failing(BackendError("x")), ["fail"], env={"FACEKIT_DEBUG": value})
    assert result.exit_code == 2


def test_debugging_lets_errors_through() -> None:
    error = BackendError("x")
    result = CliRunner().invoke(_failing(error), ["fail"], env={"FACEKIT_DEBUG": "1"})
    assert result.exception is error
    assert result.stderr == ""


def test_debugging_shows_the_traceback(start: Start, tmp_path: Path) -> None:
    run = start("detect", tmp_path / "missing.yaml", env={"FACEKIT_DEBUG": "1"})
    _, stderr = run.communicate()
    assert run.returncode == 2, "an input that fails is no error of the run"
    photo = tmp_path / "a.jpg"
    photo.touch()
    run = start("detect", photo, "--detector", "nobody", env={"FACEKIT_DEBUG": "1"})
    _, stderr = run.communicate()
    assert run.returncode == 1
    assert stderr.startswith("Traceback")
    assert stderr.splitlines()[-1].startswith("facekit.errors.UnknownNameError: unknown detector")


def test_a_table_s_text_is_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    rows: list[list[Any]] = [["[red]x[/red]", ":smile:"], ["a" * 300, ("b", "green")]]
    print_table(["name", ">number"], rows)
    header, first, second = capsys.readouterr().out.splitlines()
    assert header.split() == ["name", "number"]
    assert first.split() == ["[red]x[/red]", ":smile:"]
    assert second.split() == ["a" * 300, "b"]


@pytest.mark.skipif(sys.platform == "win32", reason="pipes are POSIX's")
def test_a_table_whose_reader_goes_away(start: Start) -> None:
    reading, writing = os.pipe()
    run = start("backends", stdout=writing)
    os.close(reading)
    os.close(writing)
    _, stderr = run.communicate()
    assert (run.returncode, stderr) == (141, "")
