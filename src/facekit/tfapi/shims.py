"""What the API misses in today's packages; put there only when :func:`provide` is called.

========================  ======================================================================
shim                      why
========================  ======================================================================
``legacy_keras``          the API is written for Keras 2: ``tf.keras`` has to be ``tf_keras``
``protos``                its generated protobuf modules are refused by today's protobuf
``estimator``             ``tf.compat.v1.estimator`` is gone; training loop 2 reads its mode names
``control_flow_ops``      TensorFlow moved ``case``, ``cond``, ``while_loop`` to other modules
``lvis``                  imported for LVIS's own evaluation; a dead dependency elsewhere
``tensorflow_io``         imported for one architecture's colour space; no build for today's TF
``official``              two names of 3 GB of tf-models-official, of which TF's pin is older
========================  ======================================================================

Each is applied only where what it stands for is missing, and a name that a stand-in does not have
raises and says so. What the API exports loads without any of this.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.machinery
import importlib.util
import logging
import os
import sys
import types
from collections.abc import Callable, Mapping
from typing import Any, Final

from facekit.errors import BackendError, MissingDependencyError
from facekit.tfapi.protos import PACKAGE, ProtoFinder, is_old

__all__ = ["INSTALL", "SHIMS", "Shim", "provide"]

INSTALL: Final = (
    'pip install "facekit[tfod_train]" "tensorflow~=2.21.0" && pip install --no-deps '
    'tf-models-research-object-detection==2.8.0.post1 "tf-keras~=2.21.0" tf-slim==1.1.0'
)
_PACKAGES: Final = ("object_detection", "tensorflow", "tf_keras", "tf_slim")
_MOVED: Final = ("case", "cond", "while_loop")
_KERAS: Final = "TF_USE_LEGACY_KERAS"

_log = logging.getLogger("facekit.tfapi")


@dataclasses.dataclass(frozen=True)
class Shim:
    """One thing that the API misses.

    Attributes:
        name: A word for it.
        effect: What was done, said after it was.
        apply: Does it where it is needed; returns whether it was.
    """

    name: str
    effect: str
    apply: Callable[[], bool]


def provide() -> list[Shim]:
    """Make ``import object_detection`` work, and log what was done for it.

    Nothing is undone: the shims are this process's. A second call finds nothing to do.

    Returns:
        The shims that were needed.

    Raises:
        MissingDependencyError: If the API or a package that it needs is not installed.
        BackendError: If TensorFlow has given out Keras 3 already.
    """
    for package in _PACKAGES:
        if importlib.util.find_spec(package) is None:
            raise MissingDependencyError("the TF Object Detection API", package, INSTALL)
    applied = [shim for shim in SHIMS if shim.apply()]
    for shim in applied:
        _log.info("shim %s: %s", shim.name, shim.effect)
    return applied


def _legacy_keras() -> bool:
    """Ask for Keras 2, which TensorFlow decides when ``tf.keras`` is first used."""
    asked = os.environ.get(_KERAS) not in {"1", "true", "True"}
    if asked:
        os.environ[_KERAS] = "1"
    tensorflow = importlib.import_module("tensorflow")
    if not tensorflow.keras.layers.Layer.__module__.startswith("tf_keras"):
        raise BackendError(
            f"TensorFlow runs Keras 3 in this process already; set {_KERAS}=1 before it"
        )
    return asked


def _protos() -> bool:
    """Load old generated modules through today's protobuf."""
    if any(isinstance(finder, ProtoFinder) for finder in sys.meta_path):
        return False
    found = importlib.util.find_spec(f"{PACKAGE}.pipeline_pb2")
    loader = None if found is None else found.loader
    if not isinstance(loader, importlib.machinery.SourceFileLoader):
        return False
    if not is_old(loader.get_data(loader.path).decode()):
        return False
    ProtoFinder.install()
    return True


class _Names(types.ModuleType):
    """A module that stands in for a missing one, with the few names that are looked up."""

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - a module's attribute
        """Say which name the stand-in lacks.

        Raises:
            AttributeError: Always.
        """
        message = f"{self.__name__} is a stand-in of facekit.tfapi.shims, without {name!r}"
        raise AttributeError(message)


def _absent(name: str) -> type:
    """Return a class that cannot be used."""

    def refuse(_self: object, *_: object, **__: object) -> None:
        message = f"{name} is a stand-in of facekit.tfapi.shims: install the package it is of"
        raise NotImplementedError(message)

    return type(name.rpartition(".")[2], (), {"__init__": refuse})


def _stand_in(modules: Mapping[str, tuple[str, ...]]) -> bool:
    """Put modules of unusable classes where the package of the first is not installed.

    Args:
        modules: Module to the names that the API takes from it.
    """
    top = next(iter(modules)).partition(".")[0]
    if top in sys.modules or importlib.util.find_spec(top) is not None:
        return False
    for name, classes in modules.items():
        module = _Names(name, __doc__)
        # A path makes it a package, whose parts are imported one by one.
        module.__path__ = []
        module.__spec__ = importlib.machinery.ModuleSpec(name, None, is_package=True)
        vars(module).update({one: _absent(f"{name}.{one}") for one in classes})
        sys.modules[name] = module
        above, _, own = name.rpartition(".")
        if above:
            setattr(sys.modules[above], own, module)
    return True


def _estimator() -> bool:
    """Give back the names of the three modes."""
    v1: Any = importlib.import_module("tensorflow.compat.v1")
    if hasattr(v1, "estimator"):
        return False
    module: Any = _Names("tensorflow.compat.v1.estimator", __doc__)
    module.ModeKeys = types.SimpleNamespace(TRAIN="train", EVAL="eval", PREDICT="infer")
    # ``tf.compat.v1`` of the package and the module of that name are two objects.
    for owner in (v1, importlib.import_module("tensorflow").compat.v1):
        owner.estimator = module
    sys.modules[module.__name__] = module
    return True


def _control_flow_ops() -> bool:
    """Put the moved functions back where the API and tf-slim look for them."""
    ops = importlib.import_module("tensorflow.python.ops.control_flow_ops")
    v1: Any = importlib.import_module("tensorflow.compat.v1")
    gone = [name for name in _MOVED if not hasattr(ops, name)]
    for name in gone:
        setattr(ops, name, getattr(v1, name))
    return bool(gone)


_LVIS: Final = {
    "lvis": (),
    "lvis.results": ("LVISResults",),
    "lvis.eval": ("LVISEval",),
    "lvis.lvis": ("LVIS",),
}
_IMAGE_NETS: Final = "official.legacy.image_classification"
_OFFICIAL: Final = {
    "official": (),
    "official.legacy": (),
    _IMAGE_NETS: (),
    f"{_IMAGE_NETS}.efficientnet": (),
    f"{_IMAGE_NETS}.efficientnet.efficientnet_model": (),
    "official.modeling": (),
    "official.modeling.optimization": (),
    "official.modeling.optimization.ema_optimizer": (),
}

SHIMS: Final = (
    Shim("legacy_keras", f"tf.keras is tf_keras ({_KERAS}=1)", _legacy_keras),
    Shim("protos", "old generated messages are built by today's protobuf", _protos),
    Shim("estimator", "tf.compat.v1.estimator has ModeKeys, and nothing else", _estimator),
    Shim("control_flow_ops", f"has {', '.join(_MOVED)} again", _control_flow_ops),
    Shim("lvis", "a stand-in: no LVIS metrics", lambda: _stand_in(_LVIS)),
    Shim("tensorflow_io", "a stand-in: no DeepMAC", lambda: _stand_in({"tensorflow_io": ()})),
    Shim(
        "official",
        "a stand-in: no EfficientDet, no moving average of weights",
        lambda: _stand_in(_OFFICIAL),
    ),
)
"""In the order in which they are applied."""
