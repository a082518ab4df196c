"""The API's generated protobuf modules, of an age that today's protobuf refuses, made loadable.

Its ``*_pb2.py`` files build every message by hand, with calls that protobuf dropped. Each also
holds the serialised description of its ``.proto`` file, which is all that today's runtime needs:
an import hook reads it from the source, without running that, and builds the module from it.
"""

from __future__ import annotations

import ast
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

__all__ = ["PACKAGE", "ProtoFinder", "description_of", "is_old"]

PACKAGE: Final = "object_detection.protos"
_OLD: Final = "_descriptor.FileDescriptor("


def is_old(source: str) -> bool:
    """Return whether a generated module is of the refused age.

    Args:
        source: Its text.
    """
    return _OLD in source


def description_of(source: str) -> bytes:
    """Return the serialised ``FileDescriptorProto`` that a generated module holds.

    Args:
        source: Its text, which is parsed and not run.

    Raises:
        ImportError: If there is none.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.keyword) and node.arg == "serialized_pb":
            value = node.value
            if isinstance(value, ast.Constant) and isinstance(value.value, bytes):
                return value.value
    raise ImportError("a generated module without its serialised description")


class ProtoFinder(importlib.abc.MetaPathFinder):
    """Finds the API's old generated modules, and leaves all else to Python."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: types.ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        """Return a spec for an old generated module of the API, or ``None``."""
        if not (fullname.startswith(f"{PACKAGE}.") and fullname.endswith("_pb2")):
            return None
        found = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if found is None or found.origin is None:
            return None
        source = Path(found.origin).read_text(encoding="utf-8")
        if not is_old(source):
            return None
        return importlib.util.spec_from_loader(fullname, _ProtoLoader(source), origin=found.origin)

    @classmethod
    def install(cls) -> None:
        """Put one in front of Python's own finders, unless one is there."""
        if not any(isinstance(finder, cls) for finder in sys.meta_path):
            sys.meta_path.insert(0, cls())


class _ProtoLoader(importlib.abc.Loader):
    """Builds a generated module from the description in its source."""

    def __init__(self, source: str) -> None:
        self._source = source

    def exec_module(self, module: types.ModuleType) -> None:
        """Fill a module with its messages, after those that they build on."""
        from google.protobuf import descriptor_pb2, descriptor_pool  # noqa: PLC0415 - comes with TF
        from google.protobuf.internal import builder  # noqa: PLC0415

        data = description_of(self._source)
        for needed in descriptor_pb2.FileDescriptorProto.FromString(data).dependency:
            importlib.import_module(needed.removesuffix(".proto").replace("/", ".") + "_pb2")
        described: Any = descriptor_pool.Default().AddSerializedFile(data)
        names = vars(module)
        names["DESCRIPTOR"] = described
        builder.BuildMessageAndEnumDescriptors(described, names)
        builder.BuildTopDescriptorsAndMessages(described, module.__name__, names)
