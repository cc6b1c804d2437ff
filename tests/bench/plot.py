"""Draws a comparison as bars, in an SVG that needs no library and no font of its own."""

from __future__ import annotations

import math
from typing import Any
from xml.sax.saxutils import escape

_ROW, _LEFT, _WIDTH, _TOP = 26, 250, 560, 64
_COLOURS = {"baseline": "#9a9a9a", "reference": "#7fa7d6", "compiled": "#2266aa"}
_TICKS = (0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


def svg(found: dict[str, Any]) -> str:
    """Draw medians as bars and the spread as lines, on a logarithmic scale."""
    rows = found["results"]
    height = _TOP + _ROW * len(rows) + 40
    most = max(row["raw_mb_per_cpu_s"]["highest"] for row in rows)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_LEFT + _WIDTH + 90} {height}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="100%" height="{height}" fill="white"/>',
        '<text x="12" y="24" font-size="15">Raw megabytes shipped per second of CPU time</text>',
        f'<text x="12" y="44" fill="#555">{escape(_subtitle(found))}</text>',
    ]
    for tick in _TICKS:
        if tick <= most * 1.2:
            x = _place(tick, most)
            parts.append(f'<path d="M{x:.1f} {_TOP - 6}V{height - 34}" stroke="#ddd"/>')
            parts.append(f'<text x="{x:.1f}" y="{height - 16}" text-anchor="middle" fill="#555">{tick:g}</text>')
    for number, row in enumerate(rows):
        parts += _bar(row, _TOP + number * _ROW, most)
    return "\n".join([*parts, "</svg>", ""])


def _bar(row: dict[str, Any], y: int, most: float) -> list[str]:
    spread = row["raw_mb_per_cpu_s"]
    median, low, high = (_place(spread[name], most) for name in ("median", "lowest", "highest"))
    middle = y + _ROW / 2
    kind = "baseline" if row["case"].startswith("SDK") else row["codec"] or "compiled"
    return [
        f'<text x="{_LEFT - 8}" y="{middle + 4:.0f}" text-anchor="end">{escape(row["case"])}</text>',
        f'<rect x="{_LEFT}" y="{y + 5}" width="{median - _LEFT:.1f}" height="{_ROW - 10}" fill="{_COLOURS[kind]}"/>',
        f'<path d="M{low:.1f} {middle:.0f}H{high:.1f}" stroke="#222" stroke-width="2"/>',
        f'<text x="{high + 6:.1f}" y="{middle + 4:.0f}">{spread["median"]:.3g}</text>',
    ]


def _place(value: float, most: float) -> float:
    low, high = math.log(_TICKS[0] / 1.5), math.log(most * 1.2)
    return _LEFT + _WIDTH * max(0.0, math.log(max(value, 0.01)) - low) / (high - low)


def _subtitle(found: dict[str, Any]) -> str:
    plan, machine = found["plan"], found["machine"]
    return (
        f"sls-siem {found['version']}, Python {found['python']}, {machine['model']}; "
        f"bars: median of {plan['runs']} runs of {plan['seconds']:g} s, lines: lowest to highest; logarithmic"
    )
