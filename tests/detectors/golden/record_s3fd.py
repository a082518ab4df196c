"""Record what the upstreams of S3FD answer, with `s3fd_seeded`'s weights, on real photos.

    python record_s3fd.py CLCARWIN FACE_ALIGNMENT DILATED

The arguments are checkouts of clcarwin/SFD_pytorch (96fdfbe), 1adrianb/face-alignment (608505f) and
yxlijun/S3FD.pytorch (the layout of sfd_face.pth). Their code is read from there and run as it is,
but for what Python 3 and a machine without a GPU need: ``//`` for ``/``, no ``.cuda()``, and no
imports of what detection does not use. Needs torch, OpenCV and scikit-image.
"""

from __future__ import annotations

import re
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import skimage.data
import torch

HERE = Path(__file__).parent
CELLS = 11
"""Every so many cells of a map are kept."""

Array = npt.NDArray[Any]


def run(text: str, **names: Any) -> dict[str, Any]:
    """Run upstream's code; return what it defines."""
    space: dict[str, Any] = {
        "torch": torch,
        "nn": torch.nn,
        "F": torch.nn.functional,
        "np": np,
        "cv2": cv2,
        "Variable": lambda tensor, **_: tensor,
        **names,
    }
    exec(compile(text, "upstream", "exec"), space)  # noqa: S102 - the point of this script
    return space


def clcarwin(folder: Path) -> tuple[torch.nn.Module, Callable[[Array], Array], dict[str, Any]]:
    """Return the network, ``detect`` on RGB and the WIDER script's other functions."""
    network = run((folder / "net_s3fd.py").read_text())["s3fd"]()
    text = (folder / "wider_eval_pytorch.py").read_text()
    functions = text[text.index("def detect") : text.index("wider_face_mat =")]
    functions = functions.replace("len(olist)/2", "len(olist)//2").replace(".cuda()", "")
    functions = functions.replace("F.softmax(olist[i*2])", "F.softmax(olist[i*2], dim=1)")
    boxes = run((folder / "bbox.py").read_text())
    space = run(functions, **boxes)
    return network, lambda image: space["detect"](network, image[..., ::-1]), space


def face_alignment(folder: Path) -> tuple[torch.nn.Module, Callable[[Array], Array]]:
    """Return the network and ``SFDDetector.detect_from_image`` without its loading."""
    folder = folder / "face_alignment" / "detection" / "sfd"
    network = run((folder / "net_s3fd.py").read_text())["s3fd"]()
    text = re.sub(r"from \.+\S+ import .*", "", (folder / "detect.py").read_text())
    functions = text[: text.index("def flip_detect")]
    boxes = run((folder / "bbox.py").read_text())
    detect = run(functions, **boxes)["detect"]

    def filtered(image: Array) -> Array:
        found = detect(network, image, "cpu")[0]
        found = found[boxes["nms"](found, 0.3)]
        return np.array([row for row in found if row[-1] > 0.5])

    return network, filtered


def dilated(folder: Path) -> torch.nn.Module:
    """Return the network of ``sfd_face.pth``."""
    norm = (folder / "layers" / "modules" / "l2norm.py").read_text()
    text = (folder / "s3fd.py").read_text().replace("from layers import *", "")
    text = re.sub(r"self\.priorbox = .*|self\.priors = .*|from data.*", "self = self", text)
    text = text.replace("self = self\n", "cfg = None\n", 1).replace("self.priors", "None")
    norm = norm.replace("init.constant(", "init.constant_(")
    return run(text, **run(norm))["build_s3fd"]("train")


def main() -> None:
    torch.set_grad_enabled(mode=False)
    ours, theirs, other = (Path(argument) for argument in sys.argv[1:4])
    seeded = runpy.run_path(str(HERE / "s3fd_seeded.py"))["weights"]

    def fill(network: torch.nn.Module) -> None:
        shapes = {name: tensor.shape for name, tensor in network.state_dict().items()}
        drawn = {name: torch.from_numpy(array) for name, array in seeded(shapes).items()}
        network.load_state_dict(drawn)
        network.eval()

    whole: Array = skimage.data.astronaut()  # type: ignore[no-untyped-call]
    photo = whole[:384, 100:420]
    bgr = photo[:97, :135, ::-1] - np.array([104, 117, 123])
    tensor = torch.from_numpy(bgr.transpose(2, 0, 1)[None].copy()).float()
    network, detect, functions = clcarwin(ours)
    fill(network)
    maps = network(tensor)
    logits, deltas = (
        torch.cat([one[0].flatten(1).T for one in half]) for half in (maps[::2], maps[1::2])
    )
    layout = dilated(other)
    fill(layout)
    loc, conf, _ = layout(tensor.flip(1))
    np.savez_compressed(
        HERE / "s3fd_maps.npz",
        cells=np.array([len(logits), len(conf[0])]),
        logits=logits[::CELLS],
        deltas=deltas[::CELLS],
        dilated_logits=conf[0, ::CELLS],
        dilated_deltas=loc[0, ::CELLS],
    )
    first = detect(photo)
    first = first[functions["nms"](first, 0.3)]
    network, detect = face_alignment(theirs)
    fill(network)
    np.savez_compressed(
        HERE / "s3fd_astronaut.npz",
        clcarwin=first.astype(np.float32),
        face_alignment=detect(photo).astype(np.float32),
    )


if __name__ == "__main__":
    main()
