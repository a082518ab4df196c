"""What is told of an error of TensorFlow's trainers."""

from __future__ import annotations

import pytest

from facekit.errors import BackendError, ConfigError
from facekit.tfapi.failures import named

# As the framework nests them: traced code, in it a layer of Keras, in it traced code again.
NESTED = """in user code:

    File "base_trainer.py", line 391, in step_fn  *
        logs = task_train_step(

    ValueError: Exception encountered when calling layer 'net' (type Net).

    in user code:

        File "model.py", line 130, in call  *
            features = self.backbone(images)

        ValueError: Input 0 is incompatible: expected shape=(None, 224), found shape=(16, 256)


    Call arguments received by layer 'net' (type Net):
      - training=True
"""


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (NESTED, "Input 0 is incompatible: expected shape=(None, 224), found shape=(16, 256)"),
        ("in user code:\n    File a.py\n\n    tf.errors.NotFoundError: gone\n", "gone"),
        ("in user code:\n    File a.py\n    out of range\n", "out of range"),
        ("\nout of memory\n  ValueError: of no interest\n", "out of memory"),
        ("", ""),
    ],
)
def test_the_innermost_error_is_told(text: str, told: str) -> None:
    with pytest.raises(BackendError) as caught, named("training", "the trainer"):
        raise RuntimeError(text)
    assert str(caught.value) == f"the trainer, training: RuntimeError: {told}"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), BackendError("a"), ConfigError("b")])
def test_what_is_no_failure_of_theirs_goes_through(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, named("training"):
        raise error
    assert caught.value is error
