"""A run's folder: what lies where in it, and who may write into it."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import yaml

from facekit.atomic import write_text
from facekit.errors import OutputError
from facekit.training.config import ForeignConfig, RecipeConfig

__all__ = ["RunFolder"]


@dataclasses.dataclass(frozen=True)
class RunFolder:
    """The paths of a run.

    Attributes:
        path: The folder.
    """

    path: Path

    @property
    def config(self) -> Path:
        """The configuration as resolved."""
        return self.path / "config.yaml"

    @property
    def state(self) -> Path:
        """What a resumed run needs."""
        return self.path / "state.safetensors"

    @property
    def last(self) -> Path:
        """The newest weights."""
        return self.path / "last.safetensors"

    @property
    def best(self) -> Path:
        """The weights of the best validation."""
        return self.path / "best.safetensors"

    @property
    def log(self) -> Path:
        """One row an epoch."""
        return self.path / "log.csv"

    @property
    def tensorboard(self) -> Path:
        """TensorBoard's folder."""
        return self.path / "tensorboard"

    @property
    def work(self) -> Path:
        """Where another framework's trainer writes what it writes."""
        return self.path / "work"

    def sheet(self, epoch: int) -> Path:
        """Return where the sheet of an epoch lies.

        Args:
            epoch: Counted from 1.
        """
        return self.path / "sheets" / f"epoch_{epoch:03d}.jpg"

    def kept(self, epoch: int) -> Path:
        """Return where the weights of an epoch that stay lie.

        Args:
            epoch: Counted from 1.
        """
        return self.path / "kept" / f"epoch_{epoch:03d}.safetensors"

    def check(self, *, resume: bool, overwrite: bool, is_first: bool = True) -> None:
        """Refuse a folder that a run may not be written into, before any work is done.

        Args:
            resume: Whether a run that is there may be gone on with.
            overwrite: Whether a run that is there may be thrown away.
            is_first: Whether this is the first of the run's processes.

        Raises:
            OutputError: If a run is there and neither is wanted, or if something else is there.
        """
        # Further processes of a run start when the first has opened its folder.
        if not is_first or not self.path.exists():
            return
        if not self.path.is_dir():
            message = f"{self.path}: is no folder; choose another place by --out"
            raise OutputError(message)
        if self.config.is_file():
            if not resume and not overwrite:
                message = (
                    f"{self.path}: holds a run already; go on with it by --resume, replace it by "
                    "--overwrite, or choose another folder by --out"
                )
                raise OutputError(message)
        elif any(self.path.iterdir()):
            message = f"{self.path}: is not empty and holds no run; choose another folder by --out"
            raise OutputError(message)

    def open(self, config: RecipeConfig, *, keep: bool) -> None:
        """Make the folder ready to be written, and keep the configuration in it.

        Args:
            config: The run.
            keep: Whether the run that is there goes on; else it is thrown away.

        Raises:
            OutputError: If the folder cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            if not keep:
                self._clear()
            own = self.work if isinstance(config, ForeignConfig) else self.path / "sheets"
            own.mkdir(exist_ok=True)
        except OSError as error:
            message = f"{self.path}: cannot be a run's folder: {error.strerror or error}"
            raise OutputError(message) from error
        write_text(self.config, yaml.safe_dump(config.to_mapping(), sort_keys=False))

    def _clear(self) -> None:
        """Remove what a run writes, and nothing else."""
        for weights in (self.last, self.best):
            weights.unlink(missing_ok=True)
            weights.with_suffix(".json").unlink(missing_ok=True)
        for file in (self.state, self.log):
            file.unlink(missing_ok=True)
        for folder in (self.tensorboard, self.path / "sheets", self.path / "kept", self.work):
            shutil.rmtree(folder, ignore_errors=True)
