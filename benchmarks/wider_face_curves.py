"""Published precision-recall curves of WIDER FACE, integrated by facekit.

    git clone https://github.com/clcarwin/SFD_pytorch
    python benchmarks/wider_face_curves.py SFD_pytorch

The official tools keep a detector's curve in ``wider_pr_info_<detector>_<setting>.mat``; everything
under the folder that is one is read, and its AP printed. ``SFD_py`` there is S3FD in PyTorch, for
which 0.9307, 0.9182 and 0.8439 are reported. Needs scipy (``facekit[eval]``).
"""

from __future__ import annotations

import argparse
import re
from collections import defaultdict
from pathlib import Path

from scipy.io import loadmat

from facekit.metrics.curve import area_under_envelope
from facekit.metrics.wider_face import SETTINGS

NAME = re.compile(r"wider_pr_info_(?P<detector>.+)_(?P<setting>easy|medium|hard)(?P<part>_val)?")


def integrate(path: Path) -> str:
    """Return the AP of a curve, or why there is none."""
    try:
        curve = loadmat(path)["pr_cruve"]  # the official spelling
    except NotImplementedError:
        return "MATLAB 7.3"  # HDF5, which scipy does not read
    return f"{area_under_envelope(curve[:, 0], curve[:, 1]):.6f}"


def main() -> None:
    """Print one line a detector."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    rows: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for path in sorted(parser.parse_args().folder.rglob("wider_pr_info_*.mat")):
        if match := NAME.fullmatch(path.stem):
            part = "val" if match["part"] else "test"
            rows[match["detector"], part][match["setting"]] = integrate(path)
    print(f"{'detector':28} {'part':5} " + " ".join(f"{setting:>10}" for setting in SETTINGS))
    for (detector, part), values in rows.items():
        cells = " ".join(f"{values.get(setting, ''):>10}" for setting in SETTINGS)
        print(f"{detector:28} {part:5} {cells}")


if __name__ == "__main__":
    main()
