"""PyTorch and TensorFlow in one process, in whatever order they are imported.

Both carry a copy of LLVM: TensorFlow in its own library, PyTorch's CUDA builds in that of triton,
which torchvision imports. Loaded after TensorFlow, triton's copy finds TensorFlow's symbols in the
place of its own, registers LLVM's options a second time, and the process aborts; no exception can
be caught. Loaded first, or told to look among its own symbols first, it does no harm.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import sys
import threading
from collections.abc import Iterator
from typing import Final

__all__ = ["make_peace"]

_LIBRARY: Final = "triton._C.libtriton"

_lock = threading.Lock()


def make_peace() -> bool:
    """Load triton's library so that it can live with TensorFlow's, loaded already or later.

    To be called before TensorFlow is imported, and before PyTorch's packages are where TensorFlow
    may be imported already. Without triton there is nothing to do.

    Returns:
        Whether triton's library is loaded now.
    """
    with _lock:
        if _LIBRARY in sys.modules:
            return True
        if importlib.util.find_spec("triton") is None:
            return False
        own_first = _own_symbols_first if "tensorflow" in sys.modules else contextlib.nullcontext
        # A triton that cannot be loaded does not abort either; whoever needs it says so.
        with own_first(), contextlib.suppress(ImportError):
            importlib.import_module(_LIBRARY)
        return _LIBRARY in sys.modules


@contextlib.contextmanager
def _own_symbols_first() -> Iterator[None]:
    """Have libraries that are loaded meanwhile prefer their own symbols, where the system can."""
    deep_bind = getattr(os, "RTLD_DEEPBIND", None)
    if deep_bind is None:
        yield
        return
    flags = sys.getdlopenflags()
    sys.setdlopenflags(os.RTLD_NOW | deep_bind)
    try:
        yield
    finally:
        sys.setdlopenflags(flags)
