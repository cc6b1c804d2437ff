"""A configuration on its way: what each key was given and where, what it came to, and every problem found.

It knows how a problem is worded and that secrets are not shown; it knows no rule.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

_LONGEST_SHOWN = 80
_USER_IN_URL = re.compile(r"(?<=//)[^/@\s\"]+@")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")

# Tokens, keys and their like: a UUID, or a long run of letters and digits mixed.
_LOOKS_SECRET = re.compile(
    r"[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-|(?=[A-Za-z+=]*\d)(?=[\d+=]*[A-Za-z])[A-Za-z0-9+=]{16,}",
)
_SECRETS = ("secret", "token", "password", "credential")
_SECRET_WORD = re.compile(r"key|secret|token|passw|credential", re.IGNORECASE)


@dataclass(frozen=True)
class Given:
    """What a key was given.

    Args:
        value: as TOML or the environment gave it.
        where: the file, or `environment`.
        label: the key as it is called there.
    """

    value: object
    where: str
    label: str


@dataclass
class Draft:
    """A configuration on its way.

    Args:
        file: the main file, blamed for what no file gave.
        given: by dotted key; a later layer has replaced an earlier one.
        presets: by dotted key; what a profile or a map says of keys that are not given, as a file would give it.
        values: by dotted key; parsed, or the default.
        unusable: dotted keys whose value is only a stand-in, because a problem was reported.
        problems: one line each.
    """

    file: str
    given: dict[str, Given] = field(default_factory=dict)
    presets: dict[str, Any] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    unusable: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)

    def report(self, key: str, wrong: str, right: str, *, hide: bool = False) -> None:
        """Note a problem of a key: what is wrong with it and what would be right."""
        given = self.given.get(key)
        if given is not None:
            self.problems.append(problem(given.where, given.label, wrong, show(given.value, hide=hide), right))
        else:
            value = self.values.get(key)
            shown = "nothing given" if value is None or value == () else f"{show(value, hide=hide)} by default"
            self.problems.append(problem(self.file, key, wrong, shown, right))
        self.unusable.add(key)


def problem(where: str, key: str, wrong: str, shown: str, right: str) -> str:
    """Word a problem as every one is worded."""
    return f"{where}: {show_key(key)}: {wrong}, {shown}, {right}"


def show(value: object, *, hide: bool = False) -> str:
    """Write a value as TOML would, bounded, and without what may be a secret."""
    if hide and not isinstance(value, Mapping):
        return "(value not shown)"
    text = _as_toml(value)
    if _LOOKS_SECRET.search(text):
        return "(value not shown)"
    text = _USER_IN_URL.sub("***@", text)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 1]}…"


def show_key(key: str) -> str:
    """Write a key bounded and on one line, whatever characters it has."""
    key = key if _BARE_KEY.fullmatch(key) else _printable(json.dumps(key, ensure_ascii=False))
    return key if len(key) <= _LONGEST_SHOWN else f"{key[: _LONGEST_SHOWN - 1]}…"


def suspicious(key: str) -> bool:
    """Tell whether somebody may have written a secret under a key of this name, were it misspelt."""
    return bool(_SECRET_WORD.search(key) or get_close_matches(key.rpartition(".")[2].lower(), _SECRETS, cutoff=0.75))


def _as_toml(value: object) -> str:
    if isinstance(value, Mapping):
        return "a table"  # what it holds is not looked at, so it is not shown
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _printable(json.dumps(value[: _LONGEST_SHOWN * 2], ensure_ascii=False))
    if isinstance(value, Sequence):
        return f"[{', '.join(_as_toml(item) for item in value[:8])}{', …' if len(value) > 8 else ''}]"
    return _number(value)


def _number(value: object) -> str:
    try:
        return str(value)
    except ValueError:  # Python refuses to write out integers of thousands of digits
        return "a very long number"


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in text)
