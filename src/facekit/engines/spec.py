"""What an adapter declares of its network, for engines, export and summary alike."""

from __future__ import annotations

import dataclasses

__all__ = ["NetworkSpec"]


@dataclasses.dataclass(frozen=True)
class NetworkSpec:
    """The door of a network: where its torch module is, and what goes in and comes out.

    Attributes:
        network: ``"module:Class"`` of the torch module, which is built without arguments.
        inputs: Names of the graph's inputs, in the order of the module's arguments.
        outputs: Names of the graph's outputs, in the order of the module's results.
        input_shape: Shape of one input without its batch axis, channels first.
    """

    network: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    input_shape: tuple[int, ...]
