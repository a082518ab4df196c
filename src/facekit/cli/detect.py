"""``facekit detect``: the faces of photos, folders, videos and cameras."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["DEFAULT_BATCH_SIZE", "Request", "detect"]

DEFAULT_BATCH_SIZE = 4
"""On a CPU, 16 photos together took as long as one by one, and with 24 megapixels each 4.4 GB."""

_INPUT, _OUTPUT, _MODEL = "Input", "Output", "Model"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What the user asked for, as typed.

    Attributes:
        inputs: Images, folders, globs, videos and camera indices.
        output: Where faces are drawn.
        json: Where results are written, ``.json`` or ``.jsonl``.
        crops: The folder of face crops.
        detector: The detector's name.
        landmarker: The landmarker's name, or ``"none"``.
        weights: The detector's weights.
        score_threshold: The detector's.
        config: A run configuration, which the other options override.
        engine: The detector's.
        options: ``KEY=VALUE`` words.
        batch_size: Images that the networks see together.
        max_frames: Of each video and camera.
        max_pixels: Larger images are refused.
    """

    inputs: tuple[str, ...]
    output: Path | None = None
    json: Path | None = None
    crops: Path | None = None
    detector: str | None = None
    landmarker: str | None = None
    weights: str | None = None
    score_threshold: float | None = None
    config: Path | None = None
    engine: str | None = None
    options: tuple[str, ...] = ()
    batch_size: int = DEFAULT_BATCH_SIZE
    max_frames: int | None = None
    max_pixels: int | None = None


def detect(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE|FOLDER|GLOB|VIDEO|CAMERA",
            help="Image files, folders (with their subfolders), quoted globs, video files, or the "
            "index of one camera, such as 0.",
            show_default=False,
        ),
    ],
    *,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help="Draw the faces: a picture for one image, a video for a video or a camera, a "
            "folder for many inputs. 'facekit detect 0 -o out.mp4' films until Ctrl-C or "
            "--max-frames.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    json: Annotated[
        Path | None,
        typer.Option(
            "--json",
            metavar="FILE",
            help="Write boxes, scores and landmarks: .json is one document, written at the end; "
            ".jsonl is a line an image, kept in FILE.part as the run goes on and renamed at its "
            "end, so that even a killed run leaves what it did. Ctrl-C ends both in order.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    crops: Annotated[
        Path | None,
        typer.Option(
            "--crops",
            metavar="FOLDER",
            help="Write each face as FOLDER/<image>_<index>.jpg: aligned to 112 x 112 where there "
            "are landmarks, else its box.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    detector: Annotated[
        str | None,
        typer.Option(
            "--detector",
            metavar="NAME",
            help="A name of 'facekit backends'. By default tiny_ssd.",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    landmarker: Annotated[
        str | None,
        typer.Option(
            "--landmarker",
            metavar="NAME|none",
            help="A name of 'facekit backends', or none for boxes alone. By default resnet18.",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            "--weights",
            metavar="FILE|NAME",
            help="The detector's weights: a file, or a name of 'facekit weights list'.",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    score_threshold: Annotated[
        float | None,
        typer.Option(
            "--score-threshold",
            metavar="T",
            min=0.0,
            max=1.0,
            help="Leave out faces below this score. By default the detector's own.",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE",
            help="A .yaml, .toml or .json file with detector, landmarker and classifiers; the "
            "options here override it.",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(
            "--engine",
            metavar="E",
            help="What runs the detector: torch, onnxruntime or openvino. By default the weights' "
            "suffix decides.",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--option",
            metavar="KEY=VALUE",
            help="Any other option of the detector, or with landmarker.KEY=VALUE of the "
            "landmarker; may be repeated.",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    batch_size: Annotated[
        int,
        typer.Option(
            "--batch-size",
            metavar="N",
            min=1,
            help="Images that are read ahead and that the networks see together: more of them "
            "take more memory, and on a CPU save no time.",
            rich_help_panel=_MODEL,
        ),
    ] = DEFAULT_BATCH_SIZE,
    max_frames: Annotated[
        int | None,
        typer.Option(
            "--max-frames",
            metavar="N",
            min=1,
            help="Read at most N frames of each video or camera.",
            rich_help_panel=_INPUT,
        ),
    ] = None,
    max_pixels: Annotated[
        int | None,
        typer.Option(
            "--max-pixels",
            metavar="N",
            min=1,
            # The name is facekit.images.MAX_PIXELS_VARIABLE, whose module imports OpenCV.
            help="Refuse images of more than N pixels; FACEKIT_MAX_PIXELS sets it for good. By "
            "default 100 million.",
            rich_help_panel=_INPUT,
        ),
    ] = None,
) -> None:
    """Find the faces of images, folders, videos or a camera.

    Without an output option it prints what it found. An input that cannot
    be read is reported in one line, the rest goes on, and the exit code is
    1 (2 when nothing could be read).
    """
    request = Request(
        inputs=tuple(inputs),
        output=output,
        json=json,
        crops=crops,
        detector=detector,
        landmarker=landmarker,
        weights=weights,
        score_threshold=score_threshold,
        config=config,
        engine=engine,
        options=tuple(option or ()),
        batch_size=batch_size,
        max_frames=max_frames,
        max_pixels=max_pixels,
    )
    from facekit.cli.detect_run import run  # noqa: PLC0415 - OpenCV, Pillow, pydantic

    raise typer.Exit(run(request))
