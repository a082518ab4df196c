"""What an adapter declares of its network, for engines, export and summary alike."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facekit.engines import Engine, create_engine
from facekit.errors import FacekitError, UnknownNameError
from facekit.registry import ROLES, Backend, Role, backends, find, load_class

if TYPE_CHECKING:
    from facekit.protocols import EngineName, Precision

__all__ = ["NetworkSpec", "find_spec", "sized"]


@dataclasses.dataclass(frozen=True)
class NetworkSpec:
    """The door of a network: where its torch module is, and what goes in and comes out.

    An adapter's module holds one as its constant ``SPEC``.

    Attributes:
        network: ``"module:Class"`` of the torch module, which is built without arguments.
        inputs: Names of the graph's inputs, in the order of the module's arguments.
        outputs: Names of the graph's outputs, in the order of the module's results.
        input_shape: Shape of one input without its batch axis, channels first.
        free_axes: Axes of ``input_shape`` that may have any length; exports keep them free.
        input_scale: How large inputs are; what exports are compared on is scaled by it.
        suppression: The module whose ``graph`` turns the outputs into boxes, for exports that shall
            have it inside; see :mod:`facekit.export.suppression`.
    """

    network: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    input_shape: tuple[int, ...]
    free_axes: tuple[int, ...] = ()
    input_scale: float = 1.0
    suppression: str | None = None

    def load(
        self,
        path: Path,
        *,
        engine: EngineName | None = None,
        threads: int = 0,
        precision: Precision = "f32",
        fast: bool = False,
    ) -> Engine:
        """Load weights of this network; see :func:`facekit.engines.create_engine`.

        Args:
            path: The weights file.
            engine: Overrides what the suffix says.
            threads: CPU threads of one call; 0 leaves it to the engine.
            precision: What the network computes in.
            fast: Whether to take more memory, and sums that are rounded otherwise, for speed.

        Raises:
            ConfigError: If the engine does not compute in that precision, or has nothing faster.
            WeightsError: If the file is missing, damaged or of another network.
            MissingDependencyError: If the engine's package is not installed.
        """
        return create_engine(
            path,
            engine=engine,
            inputs=self.inputs,
            outputs=self.outputs,
            network=self.network,
            threads=threads,
            precision=precision,
            fast=fast,
        )


def sized(spec: NetworkSpec, engine: Any) -> NetworkSpec:  # noqa: ANN401 - engines have no common base
    """Return a network's door with the input shape of loaded weights, where those have their own.

    Args:
        spec: What the backend declares.
        engine: Torch's engine, whose module may have an ``input_shape``, or any other.
    """
    shape = getattr(getattr(engine, "network", None), "input_shape", None)
    return spec if shape is None else dataclasses.replace(spec, input_shape=tuple(shape))


def find_spec(name: str, role: Role | None = None) -> tuple[Backend, NetworkSpec]:
    """Return what a backend declares of its network.

    Args:
        name: A name of ``facekit backends``.
        role: Which backend is meant, where several roles have one of that name; by default the
            first of detector, landmarker, classifier.

    Raises:
        UnknownNameError: If there is no such backend, or it has no network of facekit's kind.
        MissingDependencyError: If a package that the backend declares is not installed.
        BackendError: If the backend's module is broken.
    """
    roles = [one for one in ROLES if role in {None, one}]
    owning = next((one for one in roles if any(b.name == name for b in backends(one))), None)
    if owning is None:
        known = {backend.name for one in roles for backend in backends(one)}
        raise UnknownNameError(role or "backend", name, known)
    backend = find(owning, name)
    spec = _spec_of(backend)
    if spec is None:
        raise UnknownNameError("network of a backend", name, _names_with_spec())
    return backend, spec


def _spec_of(backend: Backend) -> NetworkSpec | None:
    module = importlib.import_module(load_class(backend).__module__)
    spec = getattr(module, "SPEC", None)
    return spec if isinstance(spec, NetworkSpec) else None


def _names_with_spec() -> set[str]:
    """Return the backends that have a network and can be imported here, for messages."""
    names = set()
    for backend in backends():
        with contextlib.suppress(FacekitError):
            if _spec_of(backend) is not None:
                names.add(backend.name)
    return names
