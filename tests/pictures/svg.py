"""Draws what `tmux capture-pane -e` gives as an SVG: characters in cells, the colours that the command line uses."""

from __future__ import annotations

import re
from html import escape

from sls_siem.cli.terminal import width

CELL = (8.4, 18)
MARGIN = 12
STYLES = {
    "1": "font-weight:bold",
    "2": "fill:#888",
    "31": "fill:#ff6b68",
    "32": "fill:#6ac46a",
    "33": "fill:#e5c07b",
}
_SGR = re.compile(r"\x1b\[([\d;]*)m")


def picture(screen: str, columns: int) -> str:
    """Make the SVG.

    Args:
        screen: lines of text with SGR sequences.
        columns: of the terminal.
    """
    lines = screen.rstrip("\n").split("\n")
    size = (columns * CELL[0] + 2 * MARGIN, len(lines) * CELL[1] + 2 * MARGIN)
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{size[0]:.0f}" height="{size[1]:.0f}">',
        "<style>text{font-family:'DejaVu Sans Mono',monospace;font-size:14px;fill:#ddd;white-space:pre}</style>",
        '<rect width="100%" height="100%" rx="6" fill="#1e1e1e"/>',
    ]
    for number, line in enumerate(lines):
        drawn += _line(line, MARGIN + (number + 0.8) * CELL[1])
    return "\n".join([*drawn, "</svg>", ""])


def _line(line: str, y: float) -> list[str]:
    drawn, column, style = [], 0, ""
    for number, part in enumerate(_SGR.split(line)):
        if number % 2:
            style = ";".join(STYLES[code] for code in part.split(";") if code in STYLES)
        elif part:
            x = MARGIN + column * CELL[0]
            length = width(part) * CELL[0]
            drawn.append(
                f'<text x="{x:.1f}" y="{y:.1f}" textLength="{length:.1f}" style="{style}">{escape(part)}</text>'
            )
            column += width(part)
    return drawn
