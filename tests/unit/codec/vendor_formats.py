r"""Strict parsers of CEF and LEEF, written from the vendors' rules; they refuse what the rules do not allow.

CEF: ArcSight, CEF implementation standard: the header has seven fields between pipes, of which the last is followed by
the extension; in the header only `\|` and `\\` are escapes, in the extension `\\`, `\=`, `\n`, `\r`. A key is one
alphanumeric word (`__truncated__` and `sls_replay` are allowed on top) and pairs have one space between them.

LEEF: IBM, DSM configuration guide: five fields each followed by a pipe, in version 2.0 one more, the delimiter as a
character or as x or 0x and up to four hexadecimal digits. No escapes. A key comes once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_KEY = re.compile(r"(?:[A-Za-z0-9]+|__truncated__|sls_replay)")
_SEVERITIES = {*map(str, range(11)), "Unknown", "Low", "Medium", "High", "Very-High"}


@dataclass(frozen=True)
class Event:
    header: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]

    @property
    def fields(self) -> dict[str, str]:
        assert len(dict(self.pairs)) == len(self.pairs)
        return dict(self.pairs)


def _tokens(text: str, escapes: dict[str, str], special: str) -> list[tuple[str, bool]]:
    """Cut text into runs of characters, each with whether it is special (one character, not escaped)."""
    found = []
    for token in re.findall(r"\\.?|[= ]|[^\\= ]+", text, re.DOTALL):
        if token[0] == "\\":
            assert token[1:] in escapes, text
            found.append((escapes[token[1:]], False))
        else:
            found.append((token, token in special))
    return found


def parse_cef(message: bytes) -> Event:
    text = message.decode("utf-8")
    assert text.startswith("CEF:0|"), text
    assert "\r" not in text
    assert "\n" not in text
    parts = re.split(r"(?<!\\)((?:\\\\)*)\|", text[len("CEF:0|") :], maxsplit=6)
    assert len(parts) == 13, text
    header = [
        "".join(char for char, _ in _tokens(parts[i] + parts[i + 1], {"\\": "\\", "|": "|"}, ""))
        for i in range(0, 12, 2)
    ]
    limits = (63, 63, 31, 1023, 512)
    assert all(header), header
    assert all(len(field) <= limit for field, limit in zip(header, limits))
    assert header[5] in _SEVERITIES, header
    return Event(tuple(header), tuple(_extension(parts[12])))


def _extension(text: str) -> list[tuple[str, str]]:
    tokens = _tokens(text, {"\\": "\\", "=": "=", "n": "\n", "r": "\r"}, "= ")
    equals = [place for place, token in enumerate(tokens) if token == ("=", True)]
    assert equals, text
    pairs = []
    start = 0
    for place, after in zip(equals, [*equals[1:], None]):
        key = "".join(char for char, _ in tokens[start:place])
        assert _KEY.fullmatch(key), (key, text)
        if after is None:
            stop = len(tokens)
        else:
            # The last space before the next `=` ends the value.
            stop = max(index for index in range(place, after) if tokens[index] == (" ", True))
        pairs.append((key, "".join(char for char, _ in tokens[place + 1 : stop])))
        start = stop + 1
    return pairs


def parse_leef(message: bytes) -> Event:
    text = message.decode("utf-8")
    assert "\r" not in text
    assert "\n" not in text
    version = re.match(r"LEEF:(1\.0|2\.0)\|", text)
    assert version, text
    *header, rest = text.split("|", 5)[1:]
    assert all(header)
    assert not re.search(r"[\t^]", "".join(header))
    assert len(header[3]) <= 255
    delimiter = "\t"
    if version[1] == "2.0":
        written, _, rest = rest.partition("|")
        number = re.fullmatch(r"(?:0x|x)([0-9A-Fa-f]{1,4})", written)
        assert number or len(written) == 1, written
        delimiter = chr(int(number[1], 16)) if number else written
    pairs = []
    for part in rest.split(delimiter):
        key, equals, value = part.partition("=")
        assert equals, part
        assert key
        assert not re.search(r"[|^\x00-\x1f]", key), key
        pairs.append((key, value))
    assert len(dict(pairs)) == len(pairs), pairs
    return Event((version[1], *header), tuple(pairs))
