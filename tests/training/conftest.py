"""A recipe that learns in seconds, and what the tests of training ask of the machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

Train = Callable[..., Any]
Difference = Callable[[Path, Path], float]

PACKAGES = ("torch", "torchvision", "lightning", "tensorboard", "safetensors")
TINY = "tiny_recipe:TinyRecipe"


@pytest.fixture
def training(require: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What training needs, or skip; one thread, so that small networks do not wait for others."""
    for package in PACKAGES:
        require(package)
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.syspath_prepend(Path(__file__).parent)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def difference(training: None) -> Difference:  # noqa: ARG001 - asks for the packages
    """The largest difference between the tensors of two files, which have the same names."""
    from safetensors.torch import load_file

    def compare(one: Path, other: Path) -> float:
        a, b = load_file(one), load_file(other)
        assert a.keys() == b.keys()
        return max(float((a[name].double() - b[name].double()).abs().max()) for name in a)

    return compare


@pytest.fixture
def tiny(training: None, tmp_path: Path) -> Train:  # noqa: ARG001 - asks for the packages
    """Train the tiny recipe in this process; keywords change the configuration."""

    def run(
        folder: str = "run",
        *,
        resume: bool = False,
        overwrite: bool = False,
        progress: bool = False,
        **changes: Any,
    ) -> Any:
        from facekit.training import train

        values = {"recipe": TINY, "epochs": 2, "batch_size": 8, "workers": 0, "ema": 0.9}
        values |= {"accelerator": "cpu", "sheets": False, "out": str(tmp_path / folder)}
        config = {**values, **changes}
        return train(config, resume=resume, overwrite=overwrite, progress=progress)

    return run
