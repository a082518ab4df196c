"""The classifier's network: its shapes are the tutorial's, its names the detector's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def torch(require: Callable[[str], Any]) -> Any:
    return require("torch")


def built(classes: int = 3, **options: Any) -> Any:
    from facekit.networks.s3fd_classifier import S3FDClassifier

    options = {"width": 1 / 32, "input_size": 96, **options}
    return S3FDClassifier(classes, **options).eval()


def test_the_tutorials_shapes() -> None:
    network = built(2, width=1, input_size=256)
    shapes = {name: tuple(value.shape) for name, value in network.new_tensors()}
    assert shapes == {"fc_1.weight": (2, 2304), "fc_1.bias": (2,)}
    assert network.input_shape == (3, 256, 256)


def test_conv7_2_of_256_px_has_nine_cells(torch: Any) -> None:
    network = built(input_size=256)
    described = network.describe(torch.randn(2, 3, 256, 256) * 60)
    assert described.shape == (2, 8 * 9)  # a 32nd of 256 channels
    assert torch.equal(network.judge(described), network.fc_1(described))


SOURCES = ("conv3_3", "conv4_3", "conv5_3", "fc7", "conv6_2", "conv7_2")
LAYERS = (*SOURCES, *(f"{source}_mbox" for source in SOURCES))
HEADS = ("linear", "convolution", "average", "maximum", "fired")


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("layer", LAYERS)
def test_every_head_stands_on_every_layer_of_the_detector(
    layer: str, head: str, torch: Any
) -> None:
    from facekit.networks.s3fd import S3FD

    network = built(layer=layer, head=head)
    with torch.no_grad():
        logits = network(torch.randn(2, 3, 96, 96) * 60)
    assert logits.shape == (2, 3)
    assert torch.isfinite(logits).all()
    detector, own = S3FD(1 / 32).state_dict(), network.state_dict()
    head_names = {name for name, _ in network.new_tensors()}
    assert head_names == {name for name in own if name not in detector}
    assert all(detector[name].shape == own[name].shape for name in own if name in detector)


@pytest.mark.parametrize("layer", ["conv3_3", "fc7", "conv7_2"])
def test_features_and_maps_are_the_detectors_own(layer: str, torch: Any) -> None:
    from facekit.networks.s3fd import S3FD, SOURCES

    detector, image = S3FD(1 / 32).eval(), torch.randn(1, 3, 96, 96) * 60
    detector.reset_parameters()
    place = SOURCES.index(layer)
    with torch.no_grad():
        features = detector.features(image)[place]
        offsets = detector.maps(image)[place][1]
        plain = built(layer=layer)
        plain.load_state_dict(detector.state_dict(), strict=False)
        described = plain.describe(image).view_as(features)
        if layer == "conv3_3":  # read after its norm, which keeps directions
            length = torch.linalg.vector_norm(features, dim=1, keepdim=True)
            assert torch.allclose(described / 10, features / (length + 1e-10), atol=1e-5)
        else:
            assert torch.allclose(described, features, atol=1e-5)
        predicted = built(layer=f"{layer}_mbox")
        predicted.load_state_dict(detector.state_dict(), strict=False)
        rows, columns = offsets.shape[2:]
        maps = predicted.describe(image).view(1, -1, rows, columns)
        assert torch.allclose(maps[:, -4:], offsets, atol=1e-5)


def test_fired_pools_the_cells_that_are_faces(torch: Any) -> None:
    network = built(layer="conv6_2", head="fired")
    features = torch.arange(12.0).view(1, 3, 2, 2)
    scores = torch.zeros(1, 2, 2, 2)
    scores[0, 1, 0, 1] = scores[0, 1, 1, 0] = 5
    pooled = network._pooled(features, scores)
    # Cells 1 and 2 of each channel's four.
    assert pooled.tolist() == [[1.5, 5.5, 9.5]]


def test_where_no_cell_fired_the_likeliest_counts(torch: Any) -> None:
    network = built(layer="conv6_2", head="fired")
    scores = torch.zeros(1, 2, 2, 2)
    scores[:, 0] = 5
    scores[0, 0, 1, 1] = 4
    assert network._pooled(torch.arange(4.0).view(1, 1, 2, 2), scores).tolist() == [[3.0]]


@pytest.mark.parametrize("head", ["linear", "convolution"])
def test_features_are_brought_to_one_spread(head: str, torch: Any) -> None:
    from facekit.networks.s3fd import S3FD

    detector = S3FD(1 / 32)
    detector.reset_parameters()
    network = built(layer="fc7", head=head, standardise=True)
    network.load_state_dict(detector.state_dict(), strict=False)
    images = torch.randn(12, 3, 96, 96) * 60
    with torch.no_grad():
        described = network.describe(images)
        network.standard_1.fit(described)
        standard = network.standard_1(described)
        axes = (0, 2, 3) if head == "convolution" else (0,)
        deviation, mean = torch.std_mean(standard, dim=axes, correction=0)
        assert mean.abs().max() < 1e-3
        assert deviation.max() == pytest.approx(1, abs=1e-3)
        assert torch.isfinite(network(images)).all()


def test_metadata_build_the_same_network_again() -> None:
    from facekit.networks.s3fd_classifier import S3FDClassifier

    first = built(
        layer="fc7_mbox", head="convolution", width=1 / 16, input_size=128, standardise=True
    )
    again = S3FDClassifier.from_metadata({**first.metadata, "facekit.labels": '["a", "b", "c"]'})
    shapes = [{name: value.shape for name, value in n.state_dict().items()} for n in (first, again)]
    assert shapes[0] == shapes[1]
    assert again.metadata == first.metadata


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({"facekit.labels": "[]"}, "names no labels"),
        ({"facekit.labels": "no list"}, "names no labels"),
        ({"facekit.head": "crown"}, "facekit.head: 'crown' is none of linear"),
        ({"facekit.layer": "conv9"}, "no layer is named 'conv9'"),
        ({"facekit.width": "wide"}, "facekit.width is not a positive number"),
        ({"facekit.input_size": "8"}, "crops of 8 px are too small"),
    ],
)
def test_metadata_that_build_nothing_are_told(metadata: dict[str, str], reason: str) -> None:
    from facekit.networks.s3fd_classifier import S3FDClassifier

    with pytest.raises(ValueError, match=reason):
        S3FDClassifier.from_metadata({"facekit.labels": '["a"]', **metadata})
