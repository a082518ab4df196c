"""Protobuf's text format without protobuf."""

from __future__ import annotations

import pytest

from facekit.errors import ConfigError
from facekit.tfapi.textproto import Message, parse, quoted

TEXT = """
# a comment
model { ssd { num_classes: 90, anchors: [1.0, -2e-5]; anchors: 3 } }
readers < path: "a\\"b" 'c' > readers: { path: 'd' }
kind: RELU_6 # another
shuffle: false empty { }
"""


def test_fields_of_every_spelling() -> None:
    message = parse(TEXT, "x.config")
    assert message.get("model.ssd.num_classes") == "90"
    assert message.all("model.ssd.anchors") == ["1.0", "-2e-5", "3"]
    assert message.get("readers.path") == '"a\\"b" \'c\''
    assert [str(one) for one in message.all("readers")][1] == "path: 'd'\n"
    assert (message.get("kind"), message.get("shuffle")) == ("RELU_6", "false")
    empty = message.get("empty")
    assert isinstance(empty, Message)
    assert empty.fields == []


def test_what_is_written_is_read_back() -> None:
    message = parse(TEXT, "x.config")
    assert str(parse(str(message), "again")) == str(message)


def test_set_replaces_in_place_makes_messages_and_clears() -> None:
    message = parse("a: 1 b { c: 2 d: 3 c: 4 } e: 5", "x")
    message.set("b.c", "7", "8")
    message.set("new.one", quoted('say "so"\n'))
    assert message.clear("a")
    assert not message.clear("a")
    assert not message.clear("e.f"), "a scalar has no fields"
    expected = 'b {\n  c: 7\n  c: 8\n  d: 3\n}\ne: 5\nnew {\n  one: "say \\"so\\"\\n"\n}\n'
    assert str(message) == expected
    assert message.all("e.f") == []


@pytest.mark.parametrize(
    ("text", "line", "shown"),
    [
        ("a {\n b: 1\n", 3, "the text ends"),
        ("a: 1\n}", 2, "got '}'"),
        ("a: \n\n]", 3, "got ']'"),
        ("a 1", 1, "got '1'"),
        ("a: [1 2]", 1, "got '2]'"),
        ("a: 1\nb: @", 2, "got '@'"),
        ('a: "open', 1, "got '\"open'"),
        ("7: 1", 1, "got '7: 1'"),
        ("a:", 1, "the text ends"),
    ],
)
def test_malformed_text_is_named_with_its_line(text: str, line: int, shown: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text, "my.config")
    assert str(caught.value) == f"my.config:{line}: not protobuf's text format: {shown}"
