"""Configurations of the API's first generation, brought to its second.

That is the only one that runs on today's TensorFlow. Needs no TensorFlow.
"""

from __future__ import annotations

from typing import Final

from facekit.tfapi.textproto import Message, quoted

__all__ = ["modernised"]

_EXTRACTOR: Final = "model.ssd.feature_extractor.type"
_KERAS: Final = "_keras"
_OLD_FIELDS: Final = {
    "fine_tune_checkpoint": "checkpoints of TensorFlow 1 cannot be restored",
    "from_detection_checkpoint": "it is of such a checkpoint",
    "freeze_variables": "TensorFlow 2's names differ",
    "update_trainable_variables": "TensorFlow 2's names differ",
}


def modernised(message: Message) -> list[str]:
    """Bring a configuration of the API's first generation to its second, in place.

    Args:
        message: A pipeline configuration.

    Returns:
        What was changed, in words.
    """
    notes = []
    kind = message.get(_EXTRACTOR)
    if isinstance(kind, str) and not kind.strip("\"'").endswith(_KERAS):
        twin = kind.strip("\"'") + _KERAS
        message.set(_EXTRACTOR, quoted(twin))
        notes.append(f"feature extractor {kind} is {twin!r}: TensorFlow 2 runs no other")
    if message.clear("graph_rewriter"):
        notes.append(
            "graph_rewriter (quantisation-aware training) is left out: TensorFlow 2's loop has "
            "none; quantise after training"
        )
    old = dict(_OLD_FIELDS)
    if message.get("train_config.fine_tune_checkpoint_version") == "V2":
        old.pop("fine_tune_checkpoint")
    notes += [
        f"train_config.{field} is left out: {why}"
        for field, why in old.items()
        if message.clear(f"train_config.{field}")
    ]
    return notes
