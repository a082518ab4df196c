"""What facekit writes as TFRecord, as the API's own decoder reads it."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from facekit import datasets
from facekit.datasets import FaceRecord, ImageRecord
from facekit.images import as_rgb

DECODE = """
import json, sys
import numpy as np
from facekit.tfapi import shims
shims.provide()
import tensorflow as tf
from object_detection.data_decoders.tf_example_decoder import TfExampleDecoder
decoder = TfExampleDecoder(label_map_proto_file=sys.argv[2])
found = []
for number, data in enumerate(tf.data.TFRecordDataset(sys.argv[1])):
    one = decoder.decode(data)
    np.save(f"{sys.argv[3]}/{number}.npy", one["image"].numpy())
    found.append({
        "boxes": one["groundtruth_boxes"].numpy().tolist(),
        "classes": one["groundtruth_classes"].numpy().tolist(),
        "weights": one["groundtruth_weights"].numpy().tolist(),
        "size": one["original_image_spatial_shape"].numpy().tolist(),
    })
print(json.dumps(found))
"""


def encoded(image: Image.Image, kind: str) -> bytes:
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def pictures(astronaut: npt.NDArray[Any]) -> dict[str, bytes]:
    photo = Image.fromarray(astronaut[:200, :300])
    turned = Image.Exif()
    turned[0x0112] = 6
    file = io.BytesIO()
    photo.save(file, "JPEG", exif=turned)
    return {
        "rgb.jpg": encoded(photo, "JPEG"),
        "rgb.png": encoded(photo, "PNG"),
        "grey.jpg": encoded(photo.convert("L"), "JPEG"),
        "grey.png": encoded(photo.convert("L"), "PNG"),
        "cmyk.jpg": encoded(photo.convert("CMYK"), "JPEG"),
        "turned.jpg": file.getvalue(),
    }


def test_the_apis_decoder_reads_what_is_written(
    require: Any, astronaut: npt.NDArray[Any], tmp_path: Path
) -> None:
    for name in ("google_crc32c", "object_detection"):
        require(name)
    files = pictures(astronaut)
    faces = (
        FaceRecord(box=(30.0, 20.0, 90.0, 100.0)),
        FaceRecord(box=(0.0, 0.0, 15.0, 20.0), ignore=True),
    )
    records = [
        ImageRecord(name=name, data=data, faces=() if name == "grey.png" else faces)
        for name, data in files.items()
    ]
    place = tmp_path / "train.record"
    datasets.write(records, f"tfrecord:{place}")
    command = (sys.executable, "-W", "ignore", "-c", DECODE)
    paths = (str(place), str(tmp_path / "label_map.pbtxt"), str(tmp_path))
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [*command, *paths], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr[-2000:]
    for number, (record, found) in enumerate(
        zip(records, json.loads(done.stdout.splitlines()[-1]), strict=True)
    ):
        own = as_rgb(Image.open(io.BytesIO(files[record.name])))
        image = np.load(tmp_path / f"{number}.npy")
        assert image.shape == own.shape, record.name
        # Decoders of JPEG round in their own ways, those of CMYK the more.
        difference = np.abs(image.astype(int) - own.astype(int)).mean()
        assert difference < (3.0 if record.name == "cmyk.jpg" else 1.5), record.name
        height, width = own.shape[:2]
        assert found["size"] == [height, width]
        expected = [[20 / height, 30 / width, 100 / height, 90 / width]]
        expected += [[0.0, 0.0, 20 / height, 15 / width]]
        expected = expected if record.faces else []
        np.testing.assert_allclose(
            np.reshape(found["boxes"], (-1, 4)), np.reshape(expected, (-1, 4)), atol=1e-6
        )
        assert found["classes"] == [1] * len(expected)
        assert found["weights"] == [1.0, 0.0][: len(expected)]
