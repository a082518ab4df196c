"""The layers of a torch module, seen while it runs once; PyTorch's own counter counts."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from facekit.engines.spec import NetworkSpec
from facekit.summary.layers import Layer

__all__ = ["called_layers", "torch_layers"]


def torch_layers(network: nn.Module, spec: NetworkSpec) -> tuple[Layer, ...]:
    """Return the layers of a module, in the order of their calls.

    Args:
        network: In evaluation mode.
        spec: What goes in.
    """
    return called_layers(
        network, lambda: network(*(torch.zeros(1, *spec.input_shape) for _ in spec.inputs))
    )


def called_layers(network: nn.Module, call: Callable[[], object]) -> tuple[Layer, ...]:
    """Return the layers that a call runs, in their order.

    A layer is a module without children, or one that multiplies or reads parameters itself, as
    attention does. A module that is called again is listed again; its parameters count once, and
    only if something reads them.

    Args:
        network: In evaluation mode.
        call: Runs the network once.
    """
    with torch.no_grad(), _plain_attention(), FlopCounterMode(display=False) as counter:
        recorder = _Recorder(network, counter)
        with recorder, _hooked(network, recorder):
            call()
    return tuple(recorder.layers)


@dataclasses.dataclass
class _Call:
    """A module's call that is not over yet.

    Attributes:
        before: FLOPs until it began.
        within: FLOPs of the calls inside.
        parameters: Learned numbers that it was the first to read, itself.
    """

    before: int
    within: int = 0
    parameters: int = 0


class _Recorder(TorchDispatchMode):  # type: ignore[misc, unused-ignore]
    """Counts what happens between the beginning and the end of each module's call."""

    def __init__(self, network: nn.Module, counter: FlopCounterMode) -> None:
        super().__init__()
        self.layers: list[Layer] = []
        self._counter = counter
        self._names = {module: name for name, module in network.named_modules()}
        self._unread = {id(one): one.numel() for one in network.parameters()}
        self._calls: list[_Call] = []

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401 - an operator
        types: Any,  # noqa: ANN401 - tensors' classes
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - whatever the operator gives
        """Note which parameters an operator reads."""
        kwargs = kwargs or {}
        if self._calls:
            for tensor in _tensors((args, kwargs)):
                self._calls[-1].parameters += self._unread.pop(id(tensor), 0)
        return func(*args, **kwargs)

    def begin(self, _module: nn.Module, _inputs: object) -> None:
        """Note that a module is called."""
        self._calls.append(_Call(self._counter.get_total_flops()))

    def end(self, module: nn.Module, _inputs: object, output: object) -> None:
        """Note that its call is over, and what it cost."""
        call = self._calls.pop()
        flops = self._counter.get_total_flops() - call.before
        if self._calls:
            self._calls[-1].within += flops
        # A multiply-add is two operations.
        macs = (flops - call.within) // 2
        if macs or call.parameters or not any(module.children()):
            shape = next((tuple(one.shape) for one in _tensors(output)), ())
            kind = type(module).__name__
            name = self._names.get(module) or kind
            self.layers.append(Layer(name, kind, shape, call.parameters, macs))


@contextlib.contextmanager
def _plain_attention() -> Iterator[None]:
    """Let attention multiply step by step: PyTorch's counter does not know its fused operator."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


@contextlib.contextmanager
def _hooked(network: nn.Module, recorder: _Recorder) -> Iterator[None]:
    """Let a recorder hear of the calls of all modules."""
    handles = []
    for module in network.modules():
        handles.append(module.register_forward_pre_hook(recorder.begin))
        handles.append(module.register_forward_hook(recorder.end))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _tensors(value: object) -> Iterator[torch.Tensor]:
    """Yield the tensors in lists, tuples and mappings."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _tensors(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _tensors(one)
