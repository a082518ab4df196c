"""What any model of MMDetection costs; mmdet really installed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from facekit.errors import BackendError, ConfigError, WeightsError
from facekit.mmlab.migrate import migrate
from facekit.summary import summary

pytestmark = [
    pytest.mark.usefixtures("require_mmdet", "one_torch_thread"),
    # OpenMMLab's own, about itself.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore:torch.meshgrid"),
]

SMALL = """
_base_ = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'
test_dataloader = dict(dataset=dict(pipeline=[
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(160, 96), keep_ratio=True),
    dict(type='PackDetInputs', meta_keys=('img_shape', 'ori_shape', 'scale_factor'))]))
"""


@pytest.fixture
def new(old_mmdet_config: Path, tmp_path: Path) -> Path:
    migrate(old_mmdet_config, tmp_path / "new.py")
    return tmp_path / "new.py"


def test_the_tiny_ssd_is_the_one_that_facekit_counts_itself(
    new: Path, old_mmdet_checkpoint: Path
) -> None:
    found = summary("mmdet", config=new)
    assert (found.parameters, found.macs) == (1_033_668, 480_132_828)
    assert found.input_shape == (1, 3, 300, 300)
    assert found.source == str(new)
    own = summary("tiny_ssd", old_mmdet_checkpoint)
    costs, want = (
        Counter(layer.macs for layer in one.layers if layer.macs) for one in (found, own)
    )
    assert costs == want
    assert {"backbone.features.0.0", "bbox_head.cls_convs.0.3"} <= {
        layer.name for layer in found.layers
    }


def test_weights_are_seen_to_fit(
    new: Path, old_mmdet_checkpoint: Path, tmp_path: Path, require: Any
) -> None:
    found = summary("mmdet", old_mmdet_checkpoint, config=new)
    assert found.source == f"{new}, {old_mmdet_checkpoint}"
    torch = require("torch")
    torch.save({"conv.weight": torch.zeros(3, 3)}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match="weights of another model than the config's"):
        summary("mmdet", tmp_path / "other.pth", config=new)


def test_a_photo_goes_through_the_configs_own_pipeline(tmp_path: Path) -> None:
    config = tmp_path / "small.py"
    config.write_text(SMALL)
    wide, square = (summary("mmdet", config=config, photo_size=s) for s in ((60, 100), (9, 9)))
    # Padded to whole strides of 32.
    assert wide.input_shape == (1, 3, 96, 160)
    assert square.input_shape == (1, 3, 96, 96)
    # MMDetection's own list says 37.74 M, which leaves out what the config freezes.
    assert wide.parameters == square.parameters == 37_743_348 + 225_344
    # The smallest maps are rounded up to whole cells.
    assert wide.macs == pytest.approx(square.macs * 5 / 3, rel=0.01)
    # The head looks at five maps; its weights count once.
    shared = [layer for layer in wide.layers if layer.name == "bbox_head.retina_reg"]
    assert [bool(layer.parameters) for layer in shared] == [True, False, False, False, False]
    assert shared[0].macs > shared[4].macs > 0


def test_a_model_that_cannot_run_is_one_line(new: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    head = "model = dict(bbox_head=dict(in_channels=(99,)))"
    broken.write_text(f"_base_ = './{new.name}'\n{head}\n")
    with pytest.raises((BackendError, ConfigError), match=r"broken\.py: ") as caught:
        summary("mmdet", config=broken)
    assert "\n" not in str(caught.value)
