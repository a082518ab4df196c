"""What TensorFlow is told before its first operation."""

from __future__ import annotations

import logging

__all__ = ["prepare"]

_log = logging.getLogger("facekit.training")


def prepare(seed: int, threads: int) -> None:
    """Seed TensorFlow, and bound its threads, which it allows before its first operation only.

    Args:
        seed: Of every random choice.
        threads: CPU threads; 0 leaves it to TensorFlow.
    """
    # Not before it is called: the shims of the Object Detection API come first.
    import tensorflow as tf  # noqa: PLC0415
    import tf_keras  # noqa: PLC0415

    tf_keras.utils.set_random_seed(seed)
    if not threads:
        return
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    except RuntimeError:
        _log.warning("threads: TensorFlow runs already in this process and keeps its own number")
