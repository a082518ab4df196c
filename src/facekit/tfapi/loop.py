"""The API's second training loop and its evaluation, on a folder that can be gone on with."""

from __future__ import annotations

import contextlib
import logging
import math
import re
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import tensorflow as tf

from facekit.tfapi import shims
from facekit.tfapi.checkpoints import last_step
from facekit.tfapi.failures import named

__all__ = ["evaluate", "train"]

_log = logging.getLogger("facekit.training")

_TOTAL: Final = "Loss/total_loss"
_LOSS: Final = re.compile(r"'([\w/]+)': (?:np\.\w+\()?([-+.\deinfa]+)")

_AT_ONCE: Final = 100
"""Steps that TensorFlow runs in one call at most, as the API's own default."""


def train(
    config: Path,
    folder: Path,
    *,
    steps: int,
    checkpoint_every: int,
    keep: int = 3,
    should_stop: Callable[[], bool] = lambda: False,
) -> bool:
    """Train until a step, from where the folder's newest checkpoint is.

    Args:
        config: The pipeline configuration.
        folder: Where checkpoints and summaries are, and will be.
        steps: The step to stop at.
        checkpoint_every: Steps between checkpoints; the last step has one, too.
        keep: How many checkpoints stay.
        should_stop: Asked after every few steps; if so the step is kept.

    Returns:
        Whether it was stopped before its end.

    Raises:
        BackendError: If the API fails.
    """
    shims.provide()
    from object_detection import model_lib_v2  # noqa: PLC0415 - after the shims

    done = last_step(folder) or 0
    # TensorFlow runs this many steps in one call, and the loop ends at a multiple of it only.
    at_once = math.gcd(steps - done, checkpoint_every, _AT_ONCE)
    with named("training"), _told(), _watched(model_lib_v2, should_stop) as manager:
        try:
            model_lib_v2.train_loop(
                pipeline_config_path=str(config),
                model_dir=str(folder),
                train_steps=steps,
                checkpoint_every_n=checkpoint_every,
                checkpoint_max_to_keep=keep,
                num_steps_per_iteration=at_once,
                record_summaries=False,
            )
        except _Stopped:
            manager[0].save()
            return True
        if last_step(folder) != steps:
            # The loop saves at multiples only.
            manager[0].save()
    return False


class _Told(logging.Handler):
    """Passes on what the API's loop says of its steps, and nothing else of it."""

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if text.startswith("Step "):
            _log.info("%s", text)
        elif _TOTAL in text:
            losses = {name.rpartition("/")[2]: value for name, value in _LOSS.findall(text)}
            _log.info("%s", ", ".join(f"{name} {value}" for name, value in losses.items()))


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Let the API's loop say how far it is."""
    logger, handler = tf.get_logger(), _Told()
    level, others = logger.level, [(one, one.level) for one in logger.handlers]
    logger.setLevel(logging.INFO)
    for one, _ in others:
        one.setLevel(logging.WARNING)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        for one, before in others:
            one.setLevel(before)


class _Stopped(BaseException):
    """Leaves the API's loop; no error, so that nothing on the way takes it for one."""


@contextlib.contextmanager
def _watched(module: Any, should_stop: Callable[[], bool]) -> Iterator[list[Any]]:  # noqa: ANN401 - the API's module
    """Look into the API's loop, which has no hooks: by the clock that it reads after its steps.

    Yields:
        The managers of checkpoints that the loop makes.
    """
    clock, kind = module.time, tf.compat.v2.train.CheckpointManager
    managers: list[Any] = []

    def tick() -> float:
        if should_stop():
            raise _Stopped
        return float(clock.time())

    def managed(*words: Any, **options: Any) -> Any:  # noqa: ANN401 - TensorFlow's own
        managers.append(kind(*words, **options))
        return managers[-1]

    module.time = types.SimpleNamespace(time=tick)
    tf.compat.v2.train.CheckpointManager = managed
    try:
        yield managers
    finally:
        module.time, tf.compat.v2.train.CheckpointManager = clock, kind


def evaluate(config: Path, folder: Path, *, sample_1_of: int = 1) -> dict[str, float]:
    """Measure the newest checkpoint with the API's own COCO metrics.

    Args:
        config: The pipeline configuration.
        folder: Where the checkpoints are; summaries go into its ``eval``.
        sample_1_of: Measure on every so many-th example only.

    Returns:
        The API's numbers, by its names.

    Raises:
        BackendError: If the API fails.
    """
    shims.provide()
    from object_detection import model_lib_v2  # noqa: PLC0415 - after the shims

    found: dict[str, float] = {}
    original = model_lib_v2.eager_eval_loop

    def kept(*words: Any, **options: Any) -> Any:  # noqa: ANN401 - the API's own
        numbers = original(*words, **options)
        found.update({name: float(value) for name, value in numbers.items()})
        return numbers

    model_lib_v2.eager_eval_loop = kept  # the caller of it throws the numbers away
    try:
        with named("evaluation"):
            model_lib_v2.eval_continuously(
                pipeline_config_path=str(config),
                model_dir=str(folder),
                checkpoint_dir=str(folder),
                sample_1_of_n_eval_examples=sample_1_of,
                wait_interval=0,
                timeout=0,
            )
    finally:
        model_lib_v2.eager_eval_loop = original
    return found
