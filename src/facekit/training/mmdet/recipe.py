"""The recipe ``mmdet``: MMDetection's own trainer on any dataset.

The config is MMDetection's, and so are pipeline, optimiser, schedule, loop and checkpoints;
facekit brings the data, the run's folder, and checkpoints that run nothing when they are read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Final

import mmengine.dist

from facekit import weights
from facekit.errors import ConfigError
from facekit.mmlab import checkpoints, configs, predictor
from facekit.training.data_source import DataSource
from facekit.training.foreign import Foreign, Job, Outcome
from facekit.training.mmdet.config import check, prepare, use_data
from facekit.training.mmdet.data import Faces
from facekit.training.mmdet.loop import Progress, Start, latest, prepare_processes, run
from facekit.training.mmdet.options import MMDetOptions

__all__ = ["MMDetOptions", "MMDetTraining"]

_CONFIG: Final = "detector.py"
"""The config to detect with, as it was trained, beside the checkpoints."""


class MMDetTraining(Foreign):
    """Train a model of MMDetection by mmengine's own Runner."""

    name: ClassVar[str] = "mmdet"
    Options: ClassVar = MMDetOptions

    def __init__(self, options: MMDetOptions) -> None:
        """Load config, data and weights, and build the model once to see that they fit.

        Raises:
            FacekitError: If any of it is missing, damaged, or does not fit the rest.
        """
        super().__init__(options)
        if options.load_from is not None and options.resume_from is not None:
            raise ConfigError("load_from begins anew and resume_from goes on: give one of them")
        self._config = configs.load(options.config, options.overrides)
        check(options.config, self._config, options.classes)
        prepare(
            self._config,
            epochs=options.epochs,
            batch_size=options.batch_size,
            workers=options.workers,
            lr=options.lr,
            schedule=options.schedule,
        )
        self._start = self._begin()
        self._train = self._read(options.data)
        self._validation = self._read(options.validation) if options.validation else None

    def _read(self, sources: tuple[DataSource, ...]) -> Faces:
        return Faces.read(sources, self.options.classes, self.options.min_size)

    def _begin(self) -> Start:
        """Return what the run begins from.

        Raises:
            WeightsError: If the weights are of another model.
            ConfigError: If nothing is left to be trained.
        """
        options = self.options
        model = predictor.build(options.config, self._config)
        if options.resume_from is not None:
            begin = Progress.read(options.resume_from)
            begin.check(self._config, "resume_from")
            predictor.fill(model, begin.state, options.resume_from, strict=True)
            return begin
        if options.load_from is None:
            return Start()
        path = weights.resolve(options.load_from, default=self.name)
        # The shipped tiny SSD is an ONNX file with the names that its checkpoints have.
        is_graph = path.suffix.lower() == ".onnx"
        state = _of_graph(path) if is_graph else checkpoints.read(path).state
        if not options.strict:
            own = model.state_dict()
            state = {key: one for key, one in state.items() if _shape(own.get(key)) == one.shape}
            if not state:
                message = f"load_from: {path}: nothing in it fits the model of {options.config}"
                raise ConfigError(message)
        else:
            predictor.fill(model, state, path, strict=True)
        return Start(state)

    def train(self, job: Job) -> Outcome:
        """Run mmengine's Runner; see :class:`facekit.training.foreign.Foreign`."""
        start = self._start
        if job.resume and (newest := latest(job.work)) is not None:
            start = Progress.read(newest)
            start.check(self._config, "--resume")
        config = self._config.copy()
        config.launcher = prepare_processes(config, self.options.launcher)
        folder = job.work / "data"
        if job.is_first:
            self._config.dump(str(job.work / _CONFIG))
            self._train.write(folder, "train")
            if self._validation is not None:
                self._validation.write(folder, "validation")
        mmengine.dist.barrier()
        if self._validation is not None:
            config.val_dataloader = config.get("val_dataloader") or config.test_dataloader
        measured = folder / "validation.json" if self._validation is not None else None
        use_data(config, folder / "train.json", measured, self.options.classes)
        config.work_dir = str(job.work)
        config.randomness = {"seed": job.seed}
        return run(config, start, job, freeze_norms=self.options.freeze_norms)


def _of_graph(path: Path) -> dict[str, Any]:
    """Return the weights of the tiny SSD's ONNX file.

    Raises:
        MissingDependencyError: If the package that reads it is not installed.
    """
    from facekit.training.detection import ssd_weights  # noqa: PLC0415 - onnx, for this alone

    return dict(ssd_weights.load(str(path)).state_dict())


def _shape(tensor: Any) -> Any:  # noqa: ANN401 - a tensor's, or none
    return getattr(tensor, "shape", None)
