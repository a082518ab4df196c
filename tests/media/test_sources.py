from __future__ import annotations

from pathlib import Path

import pytest

from facekit.errors import FacekitError, ImageError
from facekit.media import Source, expand


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in (
        "b.png",
        "a.JPG",
        "notes.txt",
        ".hidden.png",
        "clip.MP4",
        "sub/c.webp",
        "sub/deep/d.tiff",
        ".cache/e.png",
    ):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x")
    return tmp_path


def names(sources: list[Source], root: Path) -> list[str]:
    return [
        source.path.relative_to(root).as_posix() if source.path is not None else source.name
        for source in sources
    ]


def test_a_folder_gives_its_images_and_those_of_subfolders_in_order(tree: Path) -> None:
    assert names(expand(tree), tree) == ["a.JPG", "b.png", "sub/c.webp", "sub/deep/d.tiff"]


def test_a_file_is_an_image_or_a_video_by_its_suffix(tree: Path) -> None:
    kinds = [source.kind for source in expand([tree / "b.png", str(tree / "clip.MP4")])]
    assert kinds == ["image", "video"]


def test_a_file_named_by_the_user_may_have_any_suffix(tree: Path) -> None:
    (source,) = expand(tree / "notes.txt")
    assert (source.kind, source.path) == ("image", tree / "notes.txt")


def test_a_glob_gives_images_and_videos_in_order(tree: Path) -> None:
    assert names(expand(f"{tree}/*"), tree) == ["a.JPG", "b.png", "clip.MP4"]
    assert names(expand(f"{tree}/**/*.[wt]*"), tree) == ["sub/c.webp", "sub/deep/d.tiff"]


def test_a_relative_glob_is_of_the_working_folder(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tree)
    assert [source.path for source in expand("sub/?.webp")] == [Path("sub/c.webp")]


def test_what_exists_is_a_file_whatever_its_characters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = tmp_path / "photo[1].png"
    odd.touch()
    assert [source.path for source in expand(odd)] == [odd]
    (tmp_path / "0").touch()
    monkeypatch.chdir(tmp_path)
    assert [source.kind for source in expand("0")] == ["image"]


def test_digits_and_numbers_are_cameras(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = expand(["0", 2])
    assert [(source.kind, source.camera, source.name) for source in found] == [
        ("camera", 0, "camera 0"),
        ("camera", 2, "camera 2"),
    ]


def test_sources_keep_the_order_given_and_repeats(tree: Path) -> None:
    found = expand([tree / "b.png", tree / "a.JPG", tree / "b.png"])
    assert names(found, tree) == ["b.png", "a.JPG", "b.png"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("missing.jpg", "no such file"),
        ("empty", "no image in this folder"),
        ("*.bmp", "no image or video matches"),
        ("*.txt", "no image or video matches"),
        ("x" * 300 + ".jpg", "cannot be read: File name too long"),
    ],
)
def test_what_gives_nothing_is_named(tree: Path, name: str, reason: str) -> None:
    (tree / "empty").mkdir()
    with pytest.raises(ImageError) as caught:
        expand(tree / name)
    assert str(tree / name) in str(caught.value)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_with_on_error_the_rest_goes_on(tree: Path) -> None:
    seen: list[tuple[Path | None, FacekitError]] = []
    found = expand(
        [str(tree / "nope.png"), tree / "b.png", f"{tree}/*.bmp"],
        on_error=lambda path, error: seen.append((path, error)),
    )
    assert names(found, tree) == ["b.png"]
    assert [path for path, _ in seen] == [tree / "nope.png", tree / "*.bmp"]
    assert all(isinstance(error, ImageError) for _, error in seen)


@pytest.mark.usefixtures("require_permissions")
def test_a_folder_that_may_not_be_read_is_named(tree: Path) -> None:
    locked = tree / "sub"
    locked.chmod(0)
    try:
        with pytest.raises(ImageError, match=r"sub: the folder cannot be read"):
            expand(tree)
    finally:
        locked.chmod(0o755)


def test_an_image_that_came_as_an_array_has_no_name() -> None:
    assert Source("image").name == "<image>"
