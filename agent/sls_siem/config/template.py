"""Cut a template such as `sls:{__topic__}` into text and fields.

Pure syntax: it knows neither logs nor outputs, so that the configuration can refuse a broken template before the
codec fills in a good one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union


@dataclass(frozen=True)
class Text:
    """Text that stands for itself."""

    text: str


@dataclass(frozen=True)
class Field:
    """The value of the log's field `name`; empty when the log has none."""

    name: str


TemplatePart = Union[Text, Field]


class TemplateError(ValueError):
    """A brace without its partner, or a field without a name."""


def parse_template(text: str) -> tuple[TemplatePart, ...]:
    """Cut a template into its parts, in order.

    `{name}` is a field, whatever characters other than braces its name has; `{{` and `}}` are braces. Neighbouring
    text comes as one part; an empty template has no part.

    Raises:
        TemplateError: the text is not a template; the message says where, counting characters from 1.
    """
    parts: list[TemplatePart] = []
    literal: list[str] = []
    place = 0
    while place < len(text):
        char = text[place]
        if char in "{}" and text.startswith(char * 2, place):
            literal.append(char)
            place += 2
        elif char == "{":
            name, place = _field(text, place)
            _flush(literal, parts)
            parts.append(Field(name))
        elif char == "}":
            raise TemplateError(f"has a }} at character {place + 1} that closes nothing (}}}} is the brace itself)")
        else:
            literal.append(char)
            place += 1
    _flush(literal, parts)
    return tuple(parts)


def escape_template(text: str) -> str:
    """Write text so that, as a template, it stands for itself."""
    return text.replace("{", "{{").replace("}", "}}")


def _field(text: str, start: int) -> tuple[str, int]:
    end = text.find("}", start)
    name = text[start + 1 : end]
    if end < 0 or "{" in name:
        raise TemplateError(f"has a {{ at character {start + 1} that is not closed ({{{{ is the brace itself)")
    if not name:
        raise TemplateError(f"has a field without a name at character {start + 1}")
    return name, end + 1


def _flush(literal: list[str], parts: list[TemplatePart]) -> None:
    if literal:
        parts.append(Text("".join(literal)))
        literal.clear()
