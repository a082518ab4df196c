"""A run's numbers on disk: one row an epoch as CSV, curves for TensorBoard."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from facekit.atomic import write_text
from facekit.training.folder import RunFolder

__all__ = ["Logs"]


class Logs:
    """The CSV file and TensorBoard's folder of a run."""

    def __init__(self, folder: RunFolder, step: int) -> None:
        """Go on after a step; what an undone rest of the run has logged is dropped.

        Args:
            folder: The run's.
            step: Steps that are over.
        """
        self._file = folder.log
        self._rows = [row for row in self._read() if float(row.get("step") or 0) <= step]
        self._writer: Any = SummaryWriter(
            str(folder.tensorboard), purge_step=step + 1 if step else None
        )

    def row(self, values: Mapping[str, float | int | str]) -> None:
        """Add an epoch.

        Args:
            values: Numbers by name, ``step`` among them.
        """
        self._rows.append({name: _short(value) for name, value in values.items()})
        names = list(dict.fromkeys(name for row in self._rows for name in row))
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self._rows)
        write_text(self._file, text.getvalue())

    def curves(self, room: str, values: Mapping[str, float], step: int) -> None:
        """Add a point to each of some curves.

        Args:
            room: What the curves are grouped under: ``train`` or ``validation``.
            values: Numbers by name.
            step: Steps that are over.
        """
        for name, value in values.items():
            self._writer.add_scalar(f"{room}/{name}", value, step)

    def close(self) -> None:
        """Write what is pending."""
        self._writer.close()

    def _read(self) -> list[dict[str, str]]:
        """Return the rows of an earlier process."""
        if not self._file.is_file():
            return []
        with self._file.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))


def _short(value: float | str) -> str:
    """Six digits are enough to look at."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
