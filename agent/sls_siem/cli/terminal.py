"""Text for a terminal: made harmless, cut to a width, coloured where that is wanted, and a screen that is drawn again.

What is shown comes from files and from peers, so no control character of it may reach the terminal.
"""

from __future__ import annotations

import math
import os
import shutil
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Protocol, final

COLOURS = {"green": "32", "yellow": "33", "red": "31", "bold": "1", "dim": "2"}
BARS = "▁▂▃▄▅▆▇█"
PLAIN_BARS = "_.-=*#%@"
DEFAULT_SIZE = (80, 24)


class Terminal(Protocol):
    """What is written to: `sys.stdout`, say."""

    def write(self, text: str, /) -> int:
        """Write."""
        ...

    def flush(self) -> None:
        """Write now."""
        ...

    def isatty(self) -> bool:
        """Tell whether somebody looks at it."""
        ...


def printable(text: object) -> str:
    """Replace whatever a terminal might act upon or that would turn the line around (control and format characters)."""
    return "".join(char if char.isprintable() else "\ufffd" for char in str(text))


def width(text: str) -> int:
    """Count the columns that printable text takes."""
    return sum(_columns(char) for char in text)


def _columns(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def clip(text: str, columns: int) -> str:
    """Cut printable text to so many columns, with `…` where something is missing."""
    if width(text) <= columns:
        return text
    return f"{_start(text, columns - 1)}…" if columns > 0 else ""


def wrapped(text: str, columns: int, *, indent: int) -> list[str]:
    """Break printable text into lines, between words where that goes; nothing of it is left out.

    Args:
        text: of one line.
        columns: that a line takes at most; at least two more than the indent.
        indent: spaces before every line but the first.
    """
    lines, rest = [], text
    while len(head := _start(rest, columns)) < len(rest):
        # The space behind a word may be the first character that does not fit.
        end = rest.rfind(" ", 0, len(head) + 1)
        if not rest[: max(end, 0)].strip():
            end = len(head)
        lines.append(rest[:end].rstrip())
        rest = " " * indent + rest[end:].lstrip()
    return [*lines, rest]


def _start(text: str, columns: int) -> str:
    """Take as much of a printable text as fits."""
    room = columns
    for place, char in enumerate(text):
        room -= _columns(char)
        if room < 0:
            return text[:place]
    return text


def fitted(text: str, columns: int) -> str:
    """Cut printable text to so many columns, and set it to their right."""
    text = clip(text, columns)
    return " " * (columns - width(text)) + text


def sparkline(values: Sequence[float], most: float, *, bars: str = BARS) -> str:
    """Draw one character a value, on a scale from 0 to `most`; a value above 0 is never drawn as nothing."""
    steps = len(bars) - 1
    drawn = []
    for value in values:
        share = value / most if most > 0 and math.isfinite(value) else 0.0
        drawn.append(bars[0] if share <= 0 else bars[max(1, min(steps, round(share * steps)))])
    return "".join(drawn)


def wants_colour(out: Terminal) -> bool:
    """Tell whether colours may be used: on a terminal that has them and whose user has not set NO_COLOR."""
    return out.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb"


def bars_for(encoding: object) -> str:
    """Choose characters that the output can write."""
    try:
        BARS.encode(str(encoding or "ascii"))
    except (LookupError, UnicodeEncodeError):
        return PLAIN_BARS
    return BARS


def paint(text: str, colour: str, *, coloured: bool) -> str:
    """Colour a text; empty colours and outputs without colour leave it as it is."""
    return f"\x1b[{COLOURS[colour]}m{text}\x1b[0m" if coloured and colour else text


@final
class Screen:
    """A terminal that is drawn anew again and again; its former content comes back at the end.

    Args:
        out: the terminal; one that nobody looks at gets each picture after the other, without any control sequence.
    """

    def __init__(self, out: Terminal) -> None:
        self._out = out
        self._live = out.isatty()

    def __enter__(self) -> Screen:
        if self._live:
            self._out.write("\x1b[?1049h\x1b[?25l")
        return self

    def __exit__(self, *_exc: object) -> None:
        if self._live:
            self._out.write("\x1b[?25h\x1b[?1049l")
            self._out.flush()

    def size(self) -> tuple[int, int]:
        """Columns and lines there are."""
        return shutil.get_terminal_size(DEFAULT_SIZE) if self._live else (DEFAULT_SIZE[0], 0)

    def draw(self, lines: Iterable[str]) -> None:
        """Show these lines in place of the former ones, without flicker."""
        if self._live:
            lines = list(lines)[: self.size()[1]]
            self._out.write("\x1b[H" + "\x1b[K\r\n".join(lines) + "\x1b[K\x1b[J")
        else:
            self._out.write("\n".join([*lines, "", ""]))
        self._out.flush()
