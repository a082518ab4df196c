"""``facekit dataset``: check, count, see, filter and split datasets of any format."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facekit.cli.convert import Images, Reader, Split

__all__ = ["app"]

app = typer.Typer(help="Check, count, see, filter and split face datasets of any format.")

_Source = Annotated[
    str, typer.Argument(metavar="SRC", help="FORMAT:PATH; see 'facekit dataset formats'.")
]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_Seed = Annotated[int, typer.Option("--seed", metavar="N", help="Another seed, another choice.")]


@app.command("formats")
def formats(*, json: _Json = False) -> None:
    """List every format, what it can hold, and whether it is read or written."""
    from facekit.cli import dataset_formats  # noqa: PLC0415 - rich, every format

    dataset_formats.run(json=json)


@app.command("check")
def check(
    source: _Source,
    *,
    fix: Annotated[
        str | None,
        typer.Option(
            "--fix",
            metavar="DST",
            help="Write a repaired copy to FORMAT:PATH, and the list of repairs beside it as "
            "PATH.repairs.jsonl.",
        ),
    ] = None,
    drop_missing: Annotated[
        bool,
        typer.Option(
            "--drop-missing", help="With --fix: leave out images whose files are missing."
        ),
    ] = False,
    look: Annotated[
        bool,
        typer.Option("--look/--no-look", help="Look for image files and read their headers."),
    ] = True,
    contents: Annotated[
        bool, typer.Option("--contents", help="Read images whole, to find equal ones.")
    ] = False,
    tiny: Annotated[
        float,
        typer.Option("--tiny", metavar="PX", min=0.0, help="Faces with a shorter side are tiny."),
    ] = 10.0,
    all_: Annotated[
        bool, typer.Option("--all", help="Print every finding; by default 10 of a kind.")
    ] = False,
    json: _Json = False,
    split: Split = None,
    images: Images = None,
    read: Reader = None,
) -> None:
    """Name every quirk of a dataset, with file and line.

    The exit code is 1 where there are errors (warnings and notes are none),
    unless they are mended by --fix.
    """
    from facekit.cli import dataset_check as run  # noqa: PLC0415 - OpenCV, Pillow, rich

    malformed = run.Malformed()
    going_on = malformed if fix is None else None
    start = run.source(source, split=split, images=images, read=read or (), on_malformed=going_on)
    if fix is not None:
        run.fix(start, fix, drop_missing=drop_missing, json=json)
        return
    findings = run.findings(source, start, malformed, look=look, contents=contents, tiny=tiny)
    raise typer.Exit(run.show(findings, json=json, limit=None if all_ else run.SHOWN))


@app.command("fetch")
def fetch(
    name: Annotated[str, typer.Argument(metavar="wider_face|ibug300w", help="The set.")],
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where its folders go.")],
    *,
    accept_licence: Annotated[
        bool, typer.Option("--accept-licence", help="Say that you accept the licence shown.")
    ] = False,
) -> None:
    """Fetch a set that has a public address, once its licence is accepted.

    A download that was cut off goes on, and what is there is not fetched again.
    """
    from facekit.cli import dataset_fetch  # noqa: PLC0415 - rich

    dataset_fetch.run(name, folder, accepted=accept_licence)


@app.command("images")
def images_(
    source: _Source,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where the images go.")],
    *,
    reencode: Annotated[
        bool,
        typer.Option(
            "--reencode",
            help="Write each image anew as RGB, in the format of its name; with --read "
            "names=number as face_0.jpeg, face_1.jpeg, ...",
        ),
    ] = False,
    listing: Annotated[
        Path | None,
        typer.Option("--report", metavar="FILE", help="Write what became of each URL, .jsonl."),
    ] = None,
    workers: Annotated[
        int, typer.Option("--workers", metavar="N", min=1, help="Requests at a time.")
    ] = 8,
    attempts: Annotated[
        int, typer.Option("--attempts", metavar="N", min=1, help="Requests of an image at most.")
    ] = 4,
    timeout: Annotated[
        float,
        typer.Option("--timeout", metavar="S", min=0.1, help="Longest silence of a server."),
    ] = 20.0,
    max_mb: Annotated[
        float, typer.Option("--max-mb", metavar="MB", min=0.0, help="The largest image.")
    ] = 50.0,
    allow_private: Annotated[
        bool,
        typer.Option("--allow-private", help="Also ask hosts of the local network."),
    ] = False,
    read: Reader = None,
) -> None:
    """Fetch the images that a dataset names by URL, such as dataturks:FILE.

    What is there is not fetched again, so that a killed run goes on where it was. The exit code
    is 1 where some images did not come.
    """
    from facekit.cli import dataset_images as run  # noqa: PLC0415 - OpenCV, Pillow, rich

    start = run.source(source, read or ())
    limits = run.Limits(
        attempts=attempts,
        timeout=timeout,
        max_bytes=int(max_mb * 1e6),
        allow_private=allow_private,
    )
    code = run.run(
        start, folder, reencode=reencode, workers=workers, limits=limits, listing=listing
    )
    raise typer.Exit(code)


@app.command("stats")
def stats(
    source: _Source,
    *,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="PICTURE", help="Draw the histograms, .png."),
    ] = None,
    json: _Json = False,
    split: Split = None,
    images: Images = None,
    read: Reader = None,
) -> None:
    """Count images, faces, sizes, labels and attributes."""
    from facekit.cli import dataset_look  # noqa: PLC0415 - OpenCV, Pillow, rich

    start = dataset_look.source(source, split=split, images=images, read=read or ())
    dataset_look.stats(start, title=source, output=output, json=json)


@app.command("preview")
def preview(
    source: _Source,
    *,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="PICTURE", help="The sheet, .jpg or .png.")
    ],
    count: Annotated[
        int, typer.Option("--count", metavar="N", min=1, help="How many images.")
    ] = 16,
    columns: Annotated[
        int, typer.Option("--columns", metavar="N", min=1, help="Images in a row.")
    ] = 4,
    cell: Annotated[
        int, typer.Option("--cell", metavar="PX", min=1, help="The side of an image's cell.")
    ] = 320,
    seed: _Seed = 0,
    split: Split = None,
    images: Images = None,
    read: Reader = None,
) -> None:
    """Draw a sample of images with their boxes and landmarks; ignored faces are dashed and grey."""
    from facekit.cli import dataset_look  # noqa: PLC0415 - OpenCV, Pillow, rich

    start = dataset_look.source(source, split=split, images=images, read=read or ())
    code = dataset_look.preview(start, output, count=count, columns=columns, cell=cell, seed=seed)
    raise typer.Exit(code)


@app.command("split")
def split_(
    source: _Source,
    targets: Annotated[
        list[str], typer.Argument(metavar="DST_A DST_B...", help="FORMAT:PATH of each part.")
    ],
    *,
    fraction: Annotated[
        list[float] | None,
        typer.Option(
            "--fraction",
            metavar="F",
            help="A part's share of the images, in the order of the parts; the last one's may be "
            "left out. By default 0.95 of two.",
        ),
    ] = None,
    by: Annotated[
        str,
        typer.Option(
            "--by",
            metavar="photo|person|stem|REGEX",
            help="What stays together: one photo and its mirrored twin, one person (the name "
            "without its number), one file-name stem, or what a regular expression finds.",
        ),
    ] = "photo",
    seed: _Seed = 0,
    split: Split = None,
    images: Images = None,
    read: Reader = None,
) -> None:
    """Write a dataset in parts that share no photo, person or stem, with faces of like sizes."""
    from facekit.cli import dataset_parts  # noqa: PLC0415 - yaml

    start = dataset_parts.source(source, split=split, images=images, read=read or ())
    dataset_parts.split(start, targets, fractions=fraction or (), by=by, seed=seed)


@app.command("filter")
def filter_(
    source: _Source,
    target: Annotated[str, typer.Argument(metavar="DST", help="FORMAT:PATH.")],
    *,
    preset: Annotated[
        str | None,
        typer.Option(
            "--preset",
            metavar="tfod",
            help="tfod: leave out invalid faces and those below 25 x 30 pixels. Other options "
            "override it.",
        ),
    ] = None,
    min_size: Annotated[
        float | None,
        typer.Option("--min-size", metavar="PX", help="The least width and height."),
    ] = None,
    min_width: Annotated[
        float | None, typer.Option("--min-width", metavar="PX", help="The least width.")
    ] = None,
    min_height: Annotated[
        float | None, typer.Option("--min-height", metavar="PX", help="The least height.")
    ] = None,
    invalid: Annotated[
        bool | None,
        typer.Option("--keep-invalid/--no-invalid", help="Keep or leave out invalid faces."),
    ] = None,
    ignored: Annotated[
        bool | None,
        typer.Option("--keep-ignored/--no-ignored", help="Keep or leave out ignored faces."),
    ] = None,
    max_blur: Annotated[
        int | None, typer.Option("--max-blur", metavar="N", help="The largest blur.")
    ] = None,
    max_occlusion: Annotated[
        int | None, typer.Option("--max-occlusion", metavar="N", help="The largest occlusion.")
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option("--label", metavar="NAME", help="Keep this label; may be repeated."),
    ] = None,
    clamp: Annotated[
        float | None,
        typer.Option(
            "--clamp",
            metavar="F",
            help="Bring boxes into the image without this fraction of it on each side; 0.005 as "
            "the preset's script, 0 to clip.",
        ),
    ] = None,
    mark: Annotated[
        bool, typer.Option("--mark", help="Mark faces as ignored instead of leaving them out.")
    ] = False,
    drop_empty: Annotated[
        bool, typer.Option("--drop-empty", help="Leave out images without faces.")
    ] = False,
    split: Split = None,
    images: Images = None,
    read: Reader = None,
) -> None:
    """Leave out faces by size and quality."""
    from facekit.cli import dataset_parts  # noqa: PLC0415 - yaml

    start = dataset_parts.source(source, split=split, images=images, read=read or ())
    rules = dataset_parts.rules(
        preset,
        min_width=min_width if min_width is not None else min_size,
        min_height=min_height if min_height is not None else min_size,
        invalid=invalid,
        ignored=ignored,
        max_blur=max_blur,
        max_occlusion=max_occlusion,
        labels=frozenset(label) if label else None,
        margin=clamp,
        mark=mark or None,
        empty_images=False if drop_empty else None,
    )
    dataset_parts.filter_(start, target, rules)
