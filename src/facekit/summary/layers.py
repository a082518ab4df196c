"""What a summary is made of."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

__all__ = ["Layer", "Summary"]


@dataclasses.dataclass(frozen=True)
class Layer:
    """One layer, for a batch of one.

    Attributes:
        name: As the weights call it.
        kind: Its type: an ONNX operator, or a torch module's class.
        output_shape: Shape of its output.
        parameters: Learned numbers, each counted where it is first used; the running statistics
            of batch norms are not learned.
        macs: Multiply-adds of its convolution or matrix product.
    """

    name: str
    kind: str
    output_shape: tuple[int, ...]
    parameters: int = 0
    macs: int = 0


@dataclasses.dataclass(frozen=True)
class Summary:
    """The layers of a network with their costs; ``str()`` is a table.

    Attributes:
        name: The backend.
        source: The weights file.
        input_shape: Shape of the input, a batch of one.
        layers: In the order of execution.
    """

    name: str
    source: str
    input_shape: tuple[int, ...]
    layers: tuple[Layer, ...]

    @property
    def parameters(self) -> int:
        """Learned numbers in all layers."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def macs(self) -> int:
        """Multiply-adds of one input in all layers."""
        return sum(layer.macs for layer in self.layers)

    @property
    def totals(self) -> str:
        """The totals in words."""
        return (
            f"{len(self.layers)} layers, {self.parameters / 1e6:.2f} M parameters, "
            f"{self.macs / 1e9:.3f} GMAC for one input of {shape_text(self.input_shape)}"
        )

    def rows(self) -> list[tuple[str, str, str, str, str]]:
        """Return the table's cells, a heading first; nothing is written for 0."""
        heading = ("layer", "type", "output shape", "parameters", "MACs")
        return [heading, *(_row(layer) for layer in self.layers)]

    def __str__(self) -> str:
        """Return an aligned table with the totals below it."""
        rows = self.rows()
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [_aligned(row, widths) for row in rows]
        rule = "  ".join("-" * width for width in widths)
        return "\n".join([f"{self.name} ({self.source})", lines[0], rule, *lines[1:], self.totals])


def shape_text(shape: Sequence[int]) -> str:
    """Write a shape as ``1 x 3 x 300 x 300``."""
    return " x ".join(map(str, shape))


def _row(layer: Layer) -> tuple[str, str, str, str, str]:
    numbers = [f"{number:,}" if number else "" for number in (layer.parameters, layer.macs)]
    return layer.name, layer.kind, shape_text(layer.output_shape), numbers[0], numbers[1]


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    """Pad a row's cells: words to the left, numbers to the right."""
    texts = [cell.ljust(width) for cell, width in zip(row[:3], widths[:3], strict=True)]
    numbers = [cell.rjust(width) for cell, width in zip(row[3:], widths[3:], strict=True)]
    return "  ".join([*texts, *numbers]).rstrip()
