"""How the status of instances is laid out: a row of 80 columns each, what is wrong below, and for `--watch` shards.

A status file may be of another version or damaged: whatever it says is shown as far as it goes. It reads no file.
"""

from __future__ import annotations

import math
import re
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sls_siem.cli.terminal import BARS, DEFAULT_SIZE, clip, fitted, paint, printable, sparkline, wrapped

COLUMNS = ("INST", "STATE", "SHARDS", "MB/s", "LAG", "UNSETTLED", "DELIVERED", "DEAD", "HEARTBEAT")
WIDTHS = (4, 9, 6, 7, 8, 9, 12, 6, 9)
WATCH_COLUMNS = ("INST", "STATE", "SHARDS", "MB/s", "LAG", "DEAD")
WATCH_WIDTHS = (4, 9, 6, 7, 6, 6)
SHARD_COLUMNS = ("SHARD", "INST", "MB/s", "LAG", "UNSETTLED")
SHARD_WIDTHS = (5, 4, 7, 6, 9)
LEAST_COLUMNS = 40
HANGING = 9
SAMPLES = 60
_STATE_COLOURS = {"running": "green", "starting": "dim", "holding": "yellow", "draining": "yellow", "stopped": "red"}
LONG_LAG_S = 300.0
_SHARD = re.compile(r"shard (?P<number>[0-9]{1,19})(?P<what>| reading)")

Document = Mapping[str, object]


@dataclass
class History:
    """Throughput seen so far, by instance and by instance and shard; the newest last."""

    samples: dict[tuple[str, ...], deque[float]] = field(default_factory=dict)

    def note(self, documents: Sequence[Document]) -> None:
        """Take one look at everything; what is no longer there is forgotten."""
        seen: dict[tuple[str, ...], float] = {}
        for document in documents:
            name = _name(document)
            seen[name,] = _rate(document)
            for row in _shards(document):
                seen[name, printable(row.get("shard", "?"))] = _number(row.get("mb_per_s"))
        for key in set(self.samples) - set(seen):
            del self.samples[key]
        for key, value in seen.items():
            self.samples.setdefault(key, deque(maxlen=SAMPLES)).append(value)

    def line(self, key: tuple[str, ...], columns: int, bars: str) -> str:
        """Draw the newest samples, on one scale for all of its kind."""
        alike = [max(kept, default=0.0) for other, kept in self.samples.items() if len(other) == len(key)]
        newest = list(self.samples.get(key, ()))[-columns:] if columns > 0 else []
        return sparkline(newest, max(alike, default=0.0), bars=bars).rjust(max(0, columns))


def table(documents: Sequence[Document], *, columns: int = DEFAULT_SIZE[0], coloured: bool = False) -> list[str]:
    """Lay the instances out in 80 columns, with a sum where there are several and what is wrong below each.

    Args:
        documents: of the instances.
        columns: of the terminal; what is wrong is broken into lines of that length, and none of it is cut off.
        coloured: whether to colour.
    """

    def whole(texts: Iterable[str], colour: str) -> list[str]:
        lines = [line for text in texts for line in wrapped(text, max(LEAST_COLUMNS, columns), indent=HANGING)]
        return [paint(line, colour, coloured=coloured) for line in lines]

    lines = [_row(COLUMNS, WIDTHS)]
    for document in documents:
        lines.append(_coloured_row(_cells(document), WIDTHS, document, coloured=coloured))
        lines += whole(_held(document), "yellow")
        lines += whole(_last_error(document), "dim")
    if len(documents) > 1:
        lines.append(paint(_row(_sum(documents), WIDTHS), "bold", coloured=coloured))
    return lines + whole(_down(documents), "yellow")


def watched(
    documents: Sequence[Document],
    history: History,
    *,
    size: tuple[int, int],
    coloured: bool = False,
    bars: str = BARS,
) -> list[str]:
    """Lay out one picture of `--watch`: instances, what is wrong, then as many shards as fit, the slowest first.

    Args:
        documents: of the instances.
        history: for the throughput lines; has these documents already.
        size: columns and lines of the terminal; 0 lines: no limit.
        coloured: whether to colour.
        bars: characters of the throughput lines, the lowest first.
    """
    columns = max(LEAST_COLUMNS, size[0])

    def cut(texts: Iterable[str]) -> list[str]:
        return [paint(clip(text, columns), "yellow", coloured=coloured) for text in texts]

    width = columns - sum(WATCH_WIDTHS) - len(WATCH_WIDTHS)
    title = clip(_headline(documents), columns - 9)
    lines = [paint(title, "bold", coloured=coloured) + time.strftime("%H:%M:%S").rjust(columns - len(title)), ""]
    lines.append(_row(WATCH_COLUMNS, WATCH_WIDTHS) + " " + "THROUGHPUT".rjust(width))
    for document in documents:
        row = _coloured_row(_watch_cells(document), WATCH_WIDTHS, document, coloured=coloured)
        lines.append(f"{row} {history.line((_name(document),), width, bars)}")
        lines += cut(_held(document))
    lines += cut(_down(documents))
    lines += ["", *_shard_lines(documents, history, columns, bars)]
    return lines[: size[1]] if size[1] else lines


def _headline(documents: Sequence[Document]) -> str:
    shards = sum(len(_shards(document)) for document in documents)
    rate = sum(map(_rate, documents))
    lag = max((lag for document in documents for lag in _lags(document)), default=0.0)
    many = "" if len(documents) == 1 else "s"
    return f"{len(documents)} instance{many}, {shards} shards, {rate:.1f} MB/s, lag {duration(lag)}"


def _shard_lines(documents: Sequence[Document], history: History, columns: int, bars: str) -> Iterator[str]:
    width = columns - sum(SHARD_WIDTHS) - len(SHARD_WIDTHS)
    rows = [(_name(document), row) for document in documents for row in _shards(document)]
    rows.sort(key=lambda one: (-_number(one[1].get("lag_s")), _number(one[1].get("shard"))))
    yield _row(SHARD_COLUMNS, SHARD_WIDTHS) + " " + "THROUGHPUT".rjust(width)
    for name, row in rows:
        shard = printable(row.get("shard", "?"))
        cells = (
            shard,
            name,
            f"{_number(row.get('mb_per_s')):.1f}",
            duration(_number(row.get("lag_s"))) if row.get("lag_s") is not None else "-",
            size(_number(row.get("unsettled_bytes"))),
        )
        yield f"{_row(cells, SHARD_WIDTHS)} {history.line((name, shard), width, bars)}"


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    return " ".join(fitted(cell, width) for cell, width in zip(cells, widths)).rstrip()


def _coloured_row(cells: Sequence[str], widths: Sequence[int], document: Document, *, coloured: bool) -> str:
    texts = [fitted(cell, width) for cell, width in zip(cells, widths)]
    texts[1] = paint(texts[1], _STATE_COLOURS.get(_state(document), ""), coloured=coloured)
    if max(_lags(document), default=0.0) >= LONG_LAG_S:
        texts[4] = paint(texts[4], "yellow", coloured=coloured)
    return " ".join(texts).rstrip()


def _cells(document: Document) -> tuple[str, ...]:
    lags, totals, beat = _lags(document), _totals(document), document.get("last_heartbeat")
    return (
        _name(document),
        _state(document),
        str(len(_shards(document))),
        f"{_rate(document):.1f}",
        duration(max(lags)) if lags else "-",
        size(_unsettled(document)),
        printable(totals.get("delivered", 0)),
        _dead(document),
        f"{duration(time.time() - beat)} ago" if isinstance(beat, (int, float)) else "never",
    )


def _watch_cells(document: Document) -> tuple[str, ...]:
    cells = _cells(document)
    return (*cells[:5], cells[7])


def _sum(documents: Sequence[Document]) -> tuple[str, ...]:
    lags = [lag for document in documents for lag in _lags(document)]
    return (
        "all",
        "",
        str(sum(len(_shards(document)) for document in documents)),
        f"{sum(map(_rate, documents)):.1f}",
        duration(max(lags)) if lags else "-",
        size(sum(map(_unsettled, documents))),
        f"{sum(_number(_totals(document).get('delivered')) for document in documents):.0f}",
        size(sum(_number(document.get("dead_letter_bytes")) for document in documents)),
    )


def _held(document: Document) -> Iterator[str]:
    """Say what it waits for, each reason once, and which changed keys wait for a restart."""
    holding = document.get("holding")
    waiting: dict[str, list[str]] = {}
    for who, why in holding.items() if isinstance(holding, dict) else ():
        waiting.setdefault(printable(why), []).append(printable(who))
    for why, names in waiting.items():
        yield f"     {_together(names)}: {why}"
    keys = document.get("needs_restart")
    if isinstance(keys, list) and keys:
        command = f"systemctl restart sls-siem@{_name(document)}"
        yield f"     not in force until `{command}`: {', '.join(map(printable, keys))}"


def _last_error(document: Document) -> Iterator[str]:
    """Say what went wrong last, unless it is what is waited for; it may have been mended since."""
    errors, holding, at = document.get("errors"), document.get("holding"), document.get("last_error_at")
    held = list(holding.values()) if isinstance(holding, dict) else []
    if isinstance(errors, list) and errors and errors[-1] not in held:
        ago = f", {duration(time.time() - at)} ago" if isinstance(at, (int, float)) else ""
        yield f"     last error{ago}: {printable(errors[-1])}"


def _together(names: Sequence[str]) -> str:
    """Name several that wait for the same: `heartbeat, shards 0-3, 7, shards 0-1 reading`."""
    alike: dict[str, list[int]] = {}
    said = []
    for name in names:
        shard = _SHARD.fullmatch(name)
        if shard is None:
            said.append(name)
        else:
            alike.setdefault(shard["what"], []).append(int(shard["number"]))
    for what, numbers in alike.items():
        said.append(f"shard{'s' if len(numbers) > 1 else ''} {_ranges(numbers)}{what}")
    return ", ".join(said)


def _ranges(numbers: Iterable[int]) -> str:
    """Write 0, 1, 2, 7 as `0-2, 7`."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def _down(documents: Sequence[Document]) -> list[str]:
    """Name the addresses of the SIEM that do not work, each once, with the instances that say so."""
    said: dict[str, list[str]] = {}
    for document in documents:
        siem = document.get("siem")
        endpoints = siem.get("endpoints") if isinstance(siem, dict) else None
        for endpoint in endpoints if isinstance(endpoints, list) else ():
            if isinstance(endpoint, dict) and endpoint.get("up") is False:
                text = f"{printable(endpoint.get('url', '?'))}: {printable(endpoint.get('last_error', ''))}"
                said.setdefault(text, []).append(_name(document))
    return [f"down for {_names(names, len(documents))}: {text}" for text, names in said.items()]


def _names(names: Sequence[str], all_of_them: int) -> str:
    return "all" if len(names) == all_of_them else ", ".join(names)


def _name(document: Document) -> str:
    return printable(document.get("instance", "?"))


def _state(document: Document) -> str:
    return "stopped" if document.get("stale") else printable(document.get("state", "?"))


def _shards(document: Document) -> list[dict[str, object]]:
    rows = document.get("shards")
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _dead(document: Document) -> str:
    """How many bytes of dead letters wait on disk; a version that does not say had only counted what it wrote."""
    waiting = document.get("dead_letter_bytes")
    return "-" if waiting is None else size(_number(waiting))


def _totals(document: Document) -> dict[str, object]:
    totals = document.get("totals")
    return totals if isinstance(totals, dict) else {}


def _lags(document: Document) -> list[float]:
    return [_number(row["lag_s"]) for row in _shards(document) if row.get("lag_s") is not None]


def _rate(document: Document) -> float:
    """Throughput; an instance that has stopped has none, whatever it last said."""
    return 0.0 if document.get("stale") else sum(_number(row.get("mb_per_s")) for row in _shards(document))


def _unsettled(document: Document) -> float:
    return sum(_number(row.get("unsettled_bytes")) for row in _shards(document))


def _number(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else 0.0


def duration(seconds: float) -> str:
    """Write a duration in at most six characters, as long as it is less than a century."""
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f}{unit}"
    return f"{max(0.0, seconds):.0f}s"


def size(amount: float) -> str:
    """Write a number of bytes in at most seven characters."""
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f}{unit}"
        amount /= 1000
    return f"{amount:.1f}TB"
