"""Curves as pictures: precision over recall, and the cumulative distribution of errors.

Colours are Okabe and Ito's, which people with any colour vision can tell apart; lines differ by
their dashes too.
"""

from __future__ import annotations

import io
import itertools
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from facekit import atomic
from facekit.errors import MissingDependencyError
from facekit.evaluation.result import Curve

if TYPE_CHECKING:
    from facekit.evaluation.report import Report

__all__ = ["check", "save_curves"]

_INSTALL: Final = 'pip install "facekit[eval]"'
_COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_DASHES: Final = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
_MOST_PANELS: Final = 6
_COLUMNS: Final = 3


def save_curves(report: Report, path: Path) -> Path:
    """Draw every curve of a report, a panel each, a line for each backend.

    Args:
        report: The report; at least one result has a curve.
        path: The picture, in a format of its suffix.

    Returns:
        The path.

    Raises:
        MissingDependencyError: If matplotlib is not installed.
        OutputError: If the picture cannot be written.
    """
    figure_class = _figure()
    panels = list(dict.fromkeys(name for one in report.results for name in one.curves))
    panels = panels[:_MOST_PANELS]
    columns = min(_COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    figure = figure_class(figsize=(4.6 * columns + 0.6, 4.1 * rows + 1.1), layout="constrained")
    for number, panel in enumerate(panels, start=1):
        axes = figure.add_subplot(rows, columns, number)
        _panel(axes, panel, report)
    scales = "; ".join(
        f"{one.label}: {one.setting['scale']}" for one in report.results if "scale" in one.setting
    )
    width = 34 * columns + 20
    title = [*textwrap.wrap(report.subject, width), *textwrap.wrap(scales, width)]
    figure.suptitle("\n".join(title), fontsize=9)
    buffer = io.BytesIO()
    kind = path.suffix.lstrip(".") or "png"
    figure.savefig(
        buffer, format=kind, dpi=110, metadata={"Software": None} if kind == "png" else None
    )
    atomic.write_bytes(path, buffer.getvalue())
    return path


def check() -> None:
    """Check that plots can be drawn.

    Raises:
        MissingDependencyError: If matplotlib is not installed.
    """
    _figure()


def _figure() -> Any:  # noqa: ANN401 - matplotlib is optional
    """Return matplotlib's figure, drawn without a display and without pyplot's memory."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - optional
        from matplotlib.figure import Figure  # noqa: PLC0415 - optional
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "matplotlib":
            raise
        raise MissingDependencyError("plots", "matplotlib", _INSTALL) from error

    def make(**options: Any) -> Any:  # noqa: ANN401 - matplotlib's own
        figure = Figure(**options)
        FigureCanvasAgg(figure)
        return figure

    return make


def _panel(axes: Any, panel: str, report: Report) -> None:  # noqa: ANN401 - matplotlib's own
    """Draw the lines of one panel."""
    errors = panel.startswith("CED")
    looks = itertools.cycle(zip(_COLOURS, itertools.cycle(_DASHES), strict=False))
    for one, (colour, dashes) in zip(report.results, looks, strict=False):
        curve = one.curves.get(panel)
        if curve is None or not len(curve.x):
            continue
        shown = _in_per_cent(curve) if errors else curve.thinned()
        key = next((name for name in one.values if name.startswith("NME")), "") if errors else panel
        value = one.values.get(key)
        tail = "" if value is None else f"  {value:.2f} %" if errors else f"  AP {value:.3f}"
        axes.plot(
            shown.x, shown.y, color=colour, linestyle=dashes, linewidth=1.8, label=one.label + tail
        )
    axes.set_title(panel, fontsize=10)
    axes.grid(visible=True, color="#dddddd", linewidth=0.6)
    axes.set_ylim(0, 1.02)
    if errors:
        axes.set_xlabel("error, % of the normalising length")
        axes.set_ylabel("share of faces")
        axes.axvline(8, color="#888888", linewidth=0.8)
        axes.set_xlim(left=0)
    else:
        axes.set_xlabel("recall")
        axes.set_ylabel("precision")
        axes.set_xlim(0, 1.02)
    axes.legend(fontsize=7, loc="lower right" if errors else "best", framealpha=0.85)


def _in_per_cent(curve: Curve) -> Curve:
    """Return a curve over fractions as one over per cents."""
    thin = curve.thinned()
    return Curve(100 * thin.x, thin.y)
