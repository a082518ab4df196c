"""The shims on the real API: only when asked, only what is needed, and they say so."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from typing import Any

import pytest

from facekit.errors import MissingDependencyError
from facekit.tfapi import shims

NAMES = [
    "legacy_keras",
    "protos",
    "estimator",
    "control_flow_ops",
    "lvis",
    "tensorflow_io",
    "official",
]

PROVIDE = """
import json, logging, os, sys
from facekit.tfapi import shims
before = {"tensorflow", "object_detection", "google.protobuf", "lvis"} & sys.modules.keys()
said = []
handler = logging.Handler()
handler.emit = lambda record: said.append(record.getMessage())
logging.getLogger("facekit.tfapi").addHandler(handler)
logging.getLogger("facekit.tfapi").setLevel(logging.INFO)
applied = [shim.name for shim in shims.provide()]
again = [shim.name for shim in shims.provide()]
from object_detection import exporter_lib_v2, export_tflite_graph_lib_tf2, model_lib_v2
from object_detection.protos import pipeline_pb2
from lvis import lvis
refused = {}
for name, use in {
    "lvis": lambda: lvis.LVIS("x.json"),
    "official": lambda: sys.modules["official"].nlp,
    "estimator": lambda: sys.modules["tensorflow.compat.v1.estimator"].Estimator,
}.items():
    try:
        use()
    except (AttributeError, NotImplementedError) as error:
        refused[name] = str(error)
message = pipeline_pb2.TrainEvalPipelineConfig()
message.model.ssd.num_classes = 3
print(json.dumps({
    "before": sorted(before), "applied": applied, "again": again, "said": said,
    "refused": refused, "classes": message.SerializeToString().hex(),
}))
"""


@pytest.fixture
def require_api() -> None:
    """Skip where the API is not installed; fail if FACEKIT_REQUIRE lists it."""
    if importlib.util.find_spec("object_detection") is not None:
        return
    if "object_detection" in os.environ.get("FACEKIT_REQUIRE", ""):
        pytest.fail("FACEKIT_REQUIRE lists object_detection, but it is not installed")
    pytest.skip("object_detection is not installed")


def answer(code: str) -> Any:
    """Run code in an interpreter of its own, as TensorFlow decides once which Keras it has."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment.pop("TF_USE_LEGACY_KERAS", None)
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.usefixtures("require_api")
def test_what_the_api_misses_is_there_when_asked_for() -> None:
    found = answer(PROVIDE)
    assert found["before"] == [], "importing the room applies nothing"
    assert found["applied"] == NAMES
    assert found["again"] == []
    assert [line.split()[1].rstrip(":") for line in found["said"]] == NAMES
    assert "install the package" in found["refused"]["lvis"]
    assert "without 'nlp'" in found["refused"]["official"]
    assert "without 'Estimator'" in found["refused"]["estimator"]
    assert bytes.fromhex(found["classes"]) == b"\n\x04\x12\x02\x08\x03"


@pytest.mark.usefixtures("require_api")
def test_a_process_that_has_keras_3_already_is_told_so() -> None:
    code = """
import json, tensorflow as tf
tf.keras.layers.Layer
from facekit.errors import BackendError
from facekit.tfapi import shims
try:
    shims.provide()
except BackendError as error:
    print(json.dumps(str(error)))
"""
    assert "set TF_USE_LEGACY_KERAS=1 before it" in answer(code)


def test_without_the_api_its_install_line_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingDependencyError) as caught:
        shims.provide()
    assert "tf-models-research-object-detection==2.8.0.post1" in str(caught.value)


def test_every_shim_has_a_row_in_the_rooms_table() -> None:
    assert [shim.name for shim in shims.SHIMS] == NAMES
    assert shims.__doc__ is not None
    for name in NAMES:
        assert f"\n``{name}``" in shims.__doc__
