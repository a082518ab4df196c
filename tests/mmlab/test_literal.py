"""Configs read from their syntax tree: what they assign, and what in them would run."""

from __future__ import annotations

import pytest

from facekit.mmlab.literal import NotLiteralError, code_in, code_in_data, read


def test_values_are_those_that_python_assigns() -> None:
    text = """
'''A title.'''
size = 300
width = .75
norm = dict(mean=[0, 0, 0], to_rgb=True)
root = 'data/' + 'faces/'
data = dict
data = dict(size=(size, size), channels=(int(width * 480),), steps=[dict(type='N', **norm)],
            files=[root + 'train.txt'], first=norm['mean'][0], rate=0.5 * 1e-1, ratio=1.0 / 3,
            low=-1, none=None, **{'a b': not size})
"""
    namespace: dict[str, object] = {}
    exec(text, namespace)  # noqa: S102 - the text above
    assert read(text)["data"] == namespace["data"]
    assert list(read(text)) == ["size", "width", "norm", "root", "data"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import os", "line 1: a Python Import"),
        ("a = 1\nb = open('x')", "line 2: a Python Call"),
        ("a = __import__('os').getcwd()", "line 1: a Python Call"),
        ("a = b", "line 1: a Python Name"),
        ("a = [i for i in (1, 2)]", "line 1: a Python ListComp"),
        ("a = dict(b=1)['c']", "line 1: KeyError: 'c'"),
        ("a = 1 / 0", "line 1: ZeroDivisionError: division by zero"),
        ("a = 'x' * 2 ** 70", "line 1: a Python BinOp"),
        ("a, b = 1, 2", "line 1: a Python Assign"),
        ("if True:\n    a = 1", "line 1: a Python If"),
        ("print 'x'", "line 1: not Python of today"),
    ],
)
def test_what_would_have_to_run_is_named(text: str, message: str) -> None:
    with pytest.raises(NotLiteralError) as caught:
        read(text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "text",
    [
        "_base_ = ['../_base_/a.py']\nmodel = dict(type='SSD', sizes=[(1, 2)], f=-1 / 3)",
        "_base_ = 'a.py'\nx = _base_.model.neck\ny = {{_base_.model.head}}\nz = _base_.a['b'].c",
        "a = dict(b=1)\na['b'] = f'{a}/x'\nroot = {{ fileDirname }}",
        "custom_imports = dict(imports=['facekit.mmlab.legacy'], allow_failed_imports=False)",
    ],
)
def test_plain_configs_run_nothing(text: str) -> None:
    assert code_in(text) == []


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("import os", "an import"),
        ("from mmengine.config import read_base", "an import"),
        ("a = open('x')", "a call of open"),
        ("a = _base_.pop('x')", "a call"),
        ("a = ().__class__", "the attribute __class__"),
        ("a = _base_.__class__", "the attribute __class__"),
        ("dict = eval", "the name eval"),
        ("dict = 1", "a new meaning of dict"),
        ("a = dict(b=lambda: 1)", "a Python Lambda"),
        ("a = [b for b in (1, 2)]", "a Python ListComp"),
        ("def f(): pass", "a Python FunctionDef"),
        ("custom_imports = dict(imports=['mine'])", "custom_imports"),
        ("custom_imports = dict(imports=['facekit.' + 'x'])", "custom_imports"),
        ("a = dict(imports=['mine'])\ncustom_imports = a", "custom_imports"),
        ("custom_imports, a = dict(imports=['mine']), 1", "an assignment to several names"),
        ("a = custom_imports = dict(imports=['mine'])", "an assignment to several names"),
        ("a = {{ $HOME:x }}", "not plain Python"),
    ],
)
def test_configs_that_run_something(text: str, what: str) -> None:
    assert what in [one.what for one in code_in(text)]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ('{"model": {"type": "SSD"}}', 0),
        ('{"custom_imports": {"imports": ["facekit.mmlab.legacy"]}}', 0),
        ('{"custom_imports": {"imports": ["mine"]}}', 1),
        ("custom_imports:\n  imports: mine\n", 1),
        ("custom_imports: [3]", 1),
        ("[1, 2]", 0),
        ("a: [", 0),
    ],
)
def test_configs_in_json_and_yaml(text: str, count: int) -> None:
    assert len(code_in_data(text)) == count


def test_the_line_is_told() -> None:
    assert code_in("a = 1\n\nimport os\n") == [(3, "an import")]
