"""S3FD's two networks against their upstreams' own, with weights drawn by name.

``detectors/golden/s3fd_maps.npz`` has every eleventh cell of what upstream's code answers on a part
of the astronaut; ``detectors/golden/record_s3fd.py`` recorded it.
"""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from facekit.engines import create_engine
from facekit.errors import WeightsError

GOLDEN = Path(__file__).parents[1] / "detectors" / "golden"
CELLS = 11
MEAN = np.array([104, 117, 123], dtype=np.float32)


@pytest.fixture(scope="module")
def s3fd(require: Callable[[str], Any]) -> Any:
    require("torch")
    return require("facekit.networks.s3fd")


def seeded(network: Any) -> Any:
    import torch

    draw = runpy.run_path(str(GOLDEN / "s3fd_seeded.py"))["weights"]
    shapes = {name: tensor.shape for name, tensor in network.state_dict().items()}
    network.load_state_dict({name: torch.from_numpy(one) for name, one in draw(shapes).items()})
    return network.eval()


def answers(network: Any, image: npt.NDArray[np.float32]) -> list[npt.NDArray[np.float32]]:
    import torch

    with torch.inference_mode():
        return [one[0].numpy() for one in network(torch.from_numpy(image)[None])]


def bgr(astronaut: Any) -> npt.NDArray[np.float32]:
    part = astronaut[:97, 100:235, ::-1].astype(np.float32) - MEAN
    return np.ascontiguousarray(part.transpose(2, 0, 1))


def test_answers_are_clcarwins(s3fd: Any, astronaut: Any) -> None:
    golden = np.load(GOLDEN / "s3fd_maps.npz")
    logits, deltas = answers(seeded(s3fd.S3FD()), bgr(astronaut))
    assert len(logits) == len(deltas) == golden["cells"][0]
    np.testing.assert_allclose(logits[::CELLS], golden["logits"], atol=1e-4)
    np.testing.assert_allclose(deltas[::CELLS], golden["deltas"], atol=1e-4)


def test_answers_of_the_dilated_layout_are_its_upstreams(s3fd: Any, astronaut: Any) -> None:
    golden = np.load(GOLDEN / "s3fd_maps.npz")
    rgb = np.ascontiguousarray(bgr(astronaut)[::-1])
    logits, deltas = answers(seeded(s3fd.DilatedS3FD()), rgb)
    assert len(logits) == len(deltas) == golden["cells"][1]
    np.testing.assert_allclose(logits[::CELLS], golden["dilated_logits"], atol=1e-4)
    np.testing.assert_allclose(deltas[::CELLS], golden["dilated_deltas"], atol=1e-4)


def test_size_and_names_are_the_published_ones(s3fd: Any) -> None:
    network = s3fd.S3FD()
    assert sum(tensor.numel() for tensor in network.parameters()) == 22_459_110
    names = list(network.state_dict())
    assert len(names) == 65
    assert {"conv1_1.weight", "fc6.bias", "conv3_3_norm.weight", "fc7_mbox_conf.bias"} < {*names}
    assert {"conv5_3_norm_mbox_loc.weight", "conv7_2_mbox_conf.weight"} < {*names}


def test_layers_that_a_classifier_reads(s3fd: Any) -> None:
    import torch

    image = torch.zeros(2, 3, 256, 256)
    with torch.inference_mode():
        layers = s3fd.S3FD(1 / 64).features(image)
        dilated = s3fd.DilatedS3FD().features(image)
    rows = [tuple(layer.shape[2:]) for layer in layers]
    assert rows == [(64, 64), (32, 32), (16, 16), (12, 12), (6, 6), (3, 3)]
    assert [layer.shape[1] * 64 for layer in layers] == [256, 512, 512, 1024, 512, 256]
    assert layers._fields == s3fd.SOURCES
    # What facts of the two layouts differ in: the border of fc6.
    assert tuple(dilated.conv7_2.shape) == (2, 256, 2, 2)


def test_maps_are_the_answer_before_it_is_put_in_a_row(s3fd: Any) -> None:
    import torch

    network = s3fd.S3FD(1 / 64)
    image = torch.randn(2, 3, 70, 97) * 50
    with torch.inference_mode():
        maps = network.maps(image)
        logits, deltas = network(image)
    start = 0
    for one, (scores, boxes) in enumerate(maps):
        cells = scores.shape[2] * scores.shape[3]
        here = logits[:, start : start + cells]
        torch.testing.assert_close(here.permute(0, 2, 1).reshape(scores.shape), scores)
        assert boxes.shape == (2, 4, *scores.shape[2:]), one
        start += cells
    assert start == logits.shape[1] == deltas.shape[1]


@pytest.mark.parametrize("width", [1 / 64, 0.27, 0.5])
def test_a_state_dict_tells_its_width(s3fd: Any, width: float) -> None:
    narrow = s3fd.S3FD(width)
    found = s3fd.S3FD.for_state_dict(narrow.state_dict())
    found.load_state_dict(narrow.state_dict())
    assert found.width == narrow.width


def test_fresh_weights_expect_no_face(s3fd: Any) -> None:
    import torch

    torch.manual_seed(0)
    network = s3fd.S3FD(1 / 8)
    network.reset_parameters(face_prior=0.02)
    with torch.inference_mode():
        logits, _ = network(torch.randn(1, 3, 128, 128) * 60)
    assert float(logits.softmax(dim=2)[..., 1].mean()) == pytest.approx(0.02, abs=0.015)


def test_cells_without_any_signal_do_not_spoil_training(s3fd: Any) -> None:
    import torch

    norm = s3fd.S3FD(1 / 64).conv4_3_norm
    cells = torch.zeros(1, norm.weight.numel(), 2, 2, requires_grad=True)
    norm(cells).sum().backward()
    assert torch.isfinite(cells.grad).all()
    assert torch.isfinite(norm.weight.grad).all()


def test_the_engine_reads_both_layouts_and_any_width(
    s3fd: Any, require: Callable[[str], Any], tmp_path: Path
) -> None:
    import torch

    require("safetensors")
    for name, network, layout in (
        ("narrow", s3fd.S3FD(1 / 32), "s3fd"),
        ("dilated", s3fd.DilatedS3FD(), "dilated"),
    ):
        path = tmp_path / f"{name}.pth"
        torch.save(network.state_dict(), path)
        engine = engine_of(path)
        logits, deltas = engine(np.zeros((1, 3, 64, 96), dtype=np.float32))
        assert logits.shape[:2] == deltas.shape[:2]
        assert engine.metadata["facekit.layout"] == layout


def engine_of(path: Path) -> Any:
    return create_engine(
        path,
        engine=None,
        inputs=["image"],
        outputs=["logits", "deltas"],
        network="facekit.networks.s3fd:S3FD",
    )


def test_weights_of_another_network_are_told(
    s3fd: Any, require: Callable[[str], Any], tmp_path: Path
) -> None:
    import torch

    require("safetensors")
    state = s3fd.S3FD(1 / 64).state_dict()
    state["fc.weight"] = state.pop("conv7_2_mbox_loc.bias")
    path = tmp_path / "other.pth"
    torch.save(state, path)
    with pytest.raises(
        WeightsError,
        match=r"1 missing \(conv7_2_mbox_loc.bias\); 1 unexpected \(fc.weight\)",
    ):
        engine_of(path)
