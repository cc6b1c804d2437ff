"""Templates: text and fields, and what is neither."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sls_siem.config.template import Field, TemplateError, Text, escape_template, parse_template


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ()),
        ("plain", (Text("plain"),)),
        ("{a}", (Field("a"),)),
        ("x{a}y{b}", (Text("x"), Field("a"), Text("y"), Field("b"))),
        ("{a}{b}", (Field("a"), Field("b"))),
        ("{__tag__:__path__}", (Field("__tag__:__path__"),)),
        ("{ä b.c}", (Field("ä b.c"),)),
        ("{{a}}", (Text("{a}"),)),
        ("{{{a}}}", (Text("{"), Field("a"), Text("}"))),
        ("}}{{", (Text("}{"),)),
    ],
)
def test_a_template_is_cut_into_text_and_fields(text: str, parts: object) -> None:
    assert parse_template(text) == parts


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a{b", "has a { at character 2 that is not closed"),
        ("{a{b}", "has a { at character 1 that is not closed"),
        ("ab}", "has a } at character 3 that closes nothing"),
        ("{a}}", "has a } at character 4 that closes nothing"),
        ("x{}", "has a field without a name at character 2"),
    ],
)
def test_a_broken_template_says_where(text: str, message: str) -> None:
    with pytest.raises(TemplateError) as caught:
        parse_template(text)

    assert str(caught.value).startswith(message)


@given(st.lists(st.one_of(st.text(min_size=1).map(Text), st.text("abc:_ä ", min_size=1).map(Field))))
def test_what_is_written_is_read_again(parts: list[object]) -> None:
    written = "".join(escape_template(p.text) if isinstance(p, Text) else f"{{{p.name}}}" for p in parts)

    read = parse_template(written)

    assert _flat(read) == _flat(parts)


@given(st.text("{}a"))
def test_any_text_is_a_template_or_an_error_that_says_where(text: str) -> None:
    message = ""
    try:
        parts = parse_template(text)
    except TemplateError as exc:
        message = str(exc)

    assert "character" in message or all(isinstance(part, (Text, Field)) for part in parts)


def _flat(parts: object) -> list[object]:
    """Join neighbouring texts."""
    flat: list[object] = []
    for part in parts:
        if flat and isinstance(part, Text) and isinstance(flat[-1], Text):
            flat[-1] = Text(flat[-1].text + part.text)
        else:
            flat.append(part)
    return flat
