"""Configs in Python: what would run in them, and their values without running them.

OpenMMLab's configs are Python files that mmengine executes. Most of them are plain assignments of
literals all the same: those are read here from their syntax tree, and the rest is named by its
line, so that nobody runs a stranger's code unawares.
"""

from __future__ import annotations

import ast
import builtins
import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import yaml

__all__ = ["Code", "NotLiteralError", "code_in", "code_in_data", "read"]

_CALLS: Final[Mapping[str, Callable[..., Any]]] = {
    one.__name__: one for one in (abs, bool, dict, float, int, len, list, max, min, round, tuple)
}
_CALLS_BY_NAME: Final = frozenset(_CALLS)

_BASE: Final = "_base_"
"""mmengine's name for what a config inherits."""

_PREDEFINED: Final = frozenset(
    {"fileBasename", "fileBasenameNoExtension", "fileDirname", "fileExtname"}
)
"""Words that mmengine replaces in double braces before anything else."""

_OWN_MODULES: Final = ("facekit.", "mmdet.")

_HARMLESS: Final = (
    ast.Attribute,
    ast.Expr,
    ast.Constant,
    ast.List,
    ast.Tuple,
    ast.Dict,
    ast.Set,
    ast.BinOp,
    ast.UnaryOp,
    ast.Subscript,
    ast.Slice,
    ast.Starred,
    ast.JoinedStr,
    ast.FormattedValue,
)

_BINARY: Final[Mapping[type[ast.operator], Callable[[Any, Any], Any]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_UNARY: Final[Mapping[type[ast.unaryop], Callable[[Any], Any]]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Not: operator.not_,
}


class Code(NamedTuple):
    """Something in a config that runs.

    Attributes:
        line: The line, from 1.
        what: A word for it.
    """

    line: int
    what: str


class NotLiteralError(ValueError):
    """A config that cannot be read without running it.

    Attributes:
        code: What would have to run.
    """

    def __init__(self, code: Code) -> None:
        """Keep what would have to run."""
        self.code = code
        super().__init__(f"line {code.line}: {code.what}")


def code_in(text: str) -> list[Code]:
    """List what mmengine would run of a config, beside assigning literals.

    Args:
        text: A config in Python.

    Returns:
        In the order of the lines; empty for a config that only assigns literals, names that it has
        assigned before, and arithmetic of them.
    """
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        # mmengine fills in its templates first; without one it cannot read the file either.
        return [Code(error.lineno or 1, "not plain Python")] if "{{" in text else []
    nodes = list(ast.walk(tree))
    bound = {
        one.id for one in nodes if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)
    }
    found = {Code(getattr(one, "lineno", 1), what) for one in nodes for what in _runs(one, bound)}
    return sorted(found)


def code_in_data(text: str) -> list[Code]:
    """List what mmengine would import of a config in JSON or YAML.

    Args:
        text: The config.
    """
    try:
        stored = yaml.safe_load(text)
    except yaml.YAMLError:
        return []
    imports = stored.get("custom_imports") if isinstance(stored, dict) else None
    names = imports.get("imports") if isinstance(imports, dict) else imports
    named = [names] if isinstance(names, str) else names or []
    known = all(isinstance(name, str) and name.startswith(_OWN_MODULES) for name in named)
    return [] if known else [Code(1, "custom_imports")]


def _runs(node: ast.AST, bound: set[str]) -> Iterator[str]:
    """Yield a word for a node that runs something."""
    match node:
        case ast.Assign():
            yield from _assigns(node)
        case ast.Name(id=name):
            if name not in bound | _CALLS_BY_NAME | _PREDEFINED | {_BASE}:
                yield f"the name {name}"
            if isinstance(node.ctx, ast.Store) and hasattr(builtins, name):
                yield f"a new meaning of {name}"
        case ast.Call(func=ast.Name(id=name)) if name in _CALLS:
            pass
        case ast.Call():
            yield f"a call of {node.func.id}" if isinstance(node.func, ast.Name) else "a call"
        case ast.Attribute() if not _is_of_base(node):
            yield f"the attribute {node.attr}"
        case ast.Import() | ast.ImportFrom():
            yield "an import"
        case ast.stmt() | ast.expr() if not isinstance(node, _HARMLESS):
            yield f"a Python {type(node).__name__}"


def _assigns(node: ast.Assign) -> Iterator[str]:
    """Yield a word for an assignment that hides what it assigns, or that imports."""
    match node.targets:
        case [ast.Name(id="custom_imports")]:
            if not _imports_only_known(node.value):
                yield "custom_imports"
        case [ast.Name() | ast.Subscript()]:
            pass
        case _:
            yield "an assignment to several names"


def _imports_only_known(value: ast.expr) -> bool:
    """Whether ``custom_imports`` is plain, and names modules of facekit and mmdet alone."""
    words: list[str] = []
    for one in ast.walk(value):
        match one:
            case ast.Constant(value=str() as word):
                words.append(word)
            case ast.Name(id="dict") | ast.Constant():
                pass
            case ast.Call() | ast.Dict() | ast.List() | ast.Tuple() | ast.keyword() | ast.Load():
                pass
            case _:
                return False
    names = [word for word in words if word not in {"imports", "allow_failed_imports"}]
    return all(name.startswith(_OWN_MODULES) for name in names)


def _is_of_base(node: ast.expr) -> bool:
    """Whether an attribute is one of ``_base_``, which holds values only."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_"):
            return False
        node = node.value
    return isinstance(node, ast.Name) and node.id == _BASE


def read(text: str) -> dict[str, Any]:
    """Return what a config assigns, without running it.

    Args:
        text: A config in Python that inherits nothing.

    Returns:
        Each name's last value.

    Raises:
        NotLiteralError: If it does anything else than assign literals and arithmetic of them.
    """
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        raise NotLiteralError(Code(error.lineno or 1, "not Python of today")) from error
    values: dict[str, Any] = {}
    for statement in tree.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                values[name] = _value(value, values)
            case ast.Expr(value=ast.Constant()):
                pass
            case _:
                what = f"a Python {type(statement).__name__}"
                raise NotLiteralError(Code(statement.lineno, what))
    return values


def _value(node: ast.expr, names: Mapping[str, Any]) -> Any:  # noqa: ANN401 - any literal
    """Return an expression's value.

    Raises:
        NotLiteralError: If it is no literal.
    """
    try:
        return _evaluated(node, names)
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        if isinstance(error, NotLiteralError):
            raise
        raise NotLiteralError(Code(node.lineno, f"{type(error).__name__}: {error}")) from error


def _evaluated(node: ast.expr, names: Mapping[str, Any]) -> Any:  # noqa: ANN401, PLR0911 - one case a kind of literal
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name) if name in names or name in _CALLS:
            return names[name] if name in names else _CALLS[name]
        case ast.List(elts=items):
            return [_value(item, names) for item in items]
        case ast.Tuple(elts=items):
            return tuple(_value(item, names) for item in items)
        case ast.Dict(keys=keys, values=items):
            return _mapping(zip(keys, items, strict=True), names)
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _UNARY:
            return _UNARY[type(op)](_value(operand, names))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            return _BINARY[type(op)](_value(left, names), _value(right, names))
        case ast.Subscript(value=value, slice=index):
            return _value(value, names)[_value(index, names)]
        case ast.Call(func=ast.Name(id=name), args=args, keywords=keywords) if name in _CALLS:
            given = _mapping(((_key(one), one.value) for one in keywords), names)
            return _CALLS[name](*(_value(one, names) for one in args), **given)
    raise NotLiteralError(Code(node.lineno, f"a Python {type(node).__name__}"))


def _key(keyword: ast.keyword) -> ast.expr | None:
    """Return a keyword's name as an expression; ``None`` for ``**mapping``."""
    return None if keyword.arg is None else ast.Constant(keyword.arg)


def _mapping(
    pairs: Iterator[tuple[ast.expr | None, ast.expr]] | Any,  # noqa: ANN401 - any iterable of them
    names: Mapping[str, Any],
) -> dict[Any, Any]:
    """Return a mapping's entries; one without a key is another mapping, taken over."""
    found: dict[Any, Any] = {}
    for key, item in pairs:
        if key is None:
            found |= _value(item, names)
        else:
            found[_value(key, names)] = _value(item, names)
    return found
