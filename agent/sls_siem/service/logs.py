"""Log lines to stderr: one line each, never waited for, nothing in them that a terminal or the journal would obey.

Under systemd each line carries its priority as `<N>` (sd-daemon(3)), or goes to the journal with its shard as a field;
elsewhere it carries the local time. A full pipe behind stderr blocks only this module's own thread; what does not fit
the queue is dropped and counted.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import re
import sys
import threading
import time
import traceback
from collections.abc import Iterable
from typing import IO, Callable, NamedTuple, Optional

from sls_siem.service.journal import Journal, journal_behind

QUEUED_LINES = 1000
LINE_LENGTH = 4000
STACK_LINES = 40
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_PRIORITIES = ((logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6), (logging.NOTSET, 7))
_SHARD = re.compile(r"shard[ -](\d+)\b")
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def printable(text: str) -> str:
    """Replace every control character by its escape, so that the text stays one line."""
    return _UNPRINTABLE.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


class _Line(NamedTuple):
    """A finished line: with what it starts on a stream, and what it is to the journal."""

    text: str
    start: str
    priority: int
    shard: str

    def for_stream(self) -> str:
        return f"{self.start}{self.text}\n"

    def fields(self) -> dict[str, str]:
        return {"SLS_SHARD": self.shard} if self.shard else {}


class LineHandler(logging.Handler):
    """Hands finished lines to a thread of its own.

    Args:
        stream: where lines go.
        journal: lines carry `<N>` instead of a time.
        redact: takes known secrets out of a line, as the last step.
        dropped: called for each line that did not fit.
        fields: the journal, when lines can go there directly; the stream takes what it does not.
    """

    def __init__(
        self,
        stream: IO[str],
        *,
        journal: bool,
        redact: Callable[[str], str],
        dropped: Callable[[], None],
        fields: Optional[Journal] = None,
    ) -> None:
        super().__init__()
        self._fields = fields
        self._stream = stream
        self._journal = journal
        self._redact = redact
        self._dropped = dropped
        self._lines: queue.Queue[Optional[_Line]] = queue.Queue(QUEUED_LINES)
        self._thread = threading.Thread(target=self._write, name="log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Queue the record's line; never waits, never raises."""
        try:
            for line in self._format_lines(record):
                self._lines.put_nowait(line)
        except queue.Full:
            self._dropped()
        except (TypeError, ValueError, KeyError, IndexError):
            # A message that does not fit its arguments must not take the thread down.
            with contextlib.suppress(queue.Full):
                self._lines.put_nowait(_Line(f"unformattable log record of {record.name}", "<4>", 4, ""))

    def _format_lines(self, record: logging.LogRecord) -> Iterable[_Line]:
        text = record.getMessage()
        shard = _SHARD.match(text) or _SHARD.match(record.threadName or "")
        number = shard[1] if shard else ""
        yield self._line(record.levelno, text, number)
        if record.exc_info and record.exc_info[1] is not None:
            stack = "".join(traceback.format_exception(*record.exc_info)).splitlines()
            for line in stack[-STACK_LINES:]:
                yield self._line(record.levelno, line, number)

    def _line(self, level: int, text: str, shard: str) -> _Line:
        safe = printable(self._redact(text))[:LINE_LENGTH]
        priority = next(number for least, number in _PRIORITIES if level >= least)
        if self._journal:
            return _Line(safe, f"<{priority}>", priority, shard)
        return _Line(safe, f"{time.strftime('%H:%M:%S')} {logging.getLevelName(level):7} ", priority, shard)

    def _write(self) -> None:
        while (line := self._lines.get()) is not None:
            if self._fields is not None and self._fields.send(line.text, line.priority, line.fields()):
                continue
            try:
                self._stream.write(line.for_stream())
                if self._lines.empty():
                    self._stream.flush()
            except (OSError, ValueError):
                self._dropped()

    def close(self) -> None:
        """Write what is queued, as far as that does not block for longer than a moment."""
        with contextlib.suppress(queue.Full):
            self._lines.put_nowait(None)
        self._thread.join(1.0)
        if self._fields is not None and not self._thread.is_alive():
            self._fields.close()
        super().close()


def set_up(
    level: str, *, redact: Callable[[str], str], dropped: Callable[[], None], identifier: str = "sls-siem"
) -> LineHandler:
    """Send the log of this package to stderr; other libraries only from warnings on."""
    logging.raiseExceptions = False
    handler = LineHandler(
        sys.stderr,
        journal=bool(os.environ.get("JOURNAL_STREAM")),
        redact=redact,
        dropped=dropped,
        fields=journal_behind(2, identifier),
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    set_level(level)
    return handler


def set_level(level: str) -> None:
    """Apply `log.level`."""
    logging.getLogger("sls_siem").setLevel(LEVELS.get(level, logging.INFO))
