"""The command line in this process and in one of its own, and inputs of every kind."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from typer.testing import CliRunner, Result

from facekit.cli.app import app
from facekit.images import write
from facekit.media import VideoWriter

Facekit = Callable[..., Result]
Start = Callable[..., "subprocess.Popen[str]"]
Photo = npt.NDArray[np.uint8]

VARIABLES = ("FACEKIT_CACHE", "FACEKIT_DEBUG", "FACEKIT_MAX_PIXELS", "FACEKIT_OFFLINE")


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def facekit() -> Facekit:
    """Run the command line in this process."""

    def run(*arguments: object, env: Mapping[str, str] | None = None) -> Result:
        return CliRunner().invoke(app, [str(argument) for argument in arguments], env=env)

    return run


@pytest.fixture
def start() -> Iterable[Start]:
    """Start the command line as a process of its own."""
    started: list[subprocess.Popen[str]] = []

    def run(
        *arguments: object, env: Mapping[str, str] | None = None, **options: object
    ) -> subprocess.Popen[str]:
        command: Sequence[str] = [sys.executable, "-m", "facekit", *map(str, arguments)]
        process = subprocess.Popen(  # type: ignore[call-overload]
            command,
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options},
            env={**os.environ, **(env or {})},
        )
        started.append(process)
        return process  # type: ignore[no-any-return]

    yield run
    for process in started:
        process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


@pytest.fixture
def photos(tmp_path: Path, astronaut_path: Path, astronaut: Photo) -> Path:
    """A folder of three photos with a face each, one of them in a subfolder of its own."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    shutil.copy(astronaut_path, folder / "a.png")
    write(folder / "b.jpg", astronaut[:300, 100:400])
    write(folder / "more" / "a.png", astronaut[:, ::-1])
    return folder


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory, astronaut: Photo) -> Path:
    """A video of 12 frames at 12.5 frames a second, a face in each."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    with VideoWriter(path, fps=12.5) as video:
        for shift in range(12):
            video.write(astronaut[:320, 60 + 2 * shift : 380 + 2 * shift])
    return path


@pytest.fixture(scope="session")
def long_clip(tmp_path_factory: pytest.TempPathFactory, astronaut: Photo) -> Path:
    """A video that takes a minute to read, for what is to be stopped on the way."""
    path = tmp_path_factory.mktemp("clip") / "long.avi"
    with VideoWriter(path, fps=25) as video:
        for shift in range(1000):
            video.write(astronaut[:320, shift % 50 : shift % 50 + 320])
    return path
