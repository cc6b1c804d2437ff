"""One RELP session over one connection: opening, a window of unanswered messages, closing.

It never retries: whatever goes wrong ends the session with an `OSError`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Generic, Optional, TypeVar

from sls_siem.net.deadline import Deadline
from sls_siem.siem.hec_answers import printable
from sls_siem.siem.relp_frames import OFFERS, RelpAnswer, RelpBrokenError, RelpReader, next_txnr, relp_frame
from sls_siem.siem.stream import Stream

WINDOW = 128
"""Most messages without an answer, as in librelp."""

LOOK_S = 1.0
_GOOD = 200

OwnerT = TypeVar("OwnerT")


class RelpSession(Generic[OwnerT]):
    """A session; used by one thread.

    Args:
        stream: a fresh connection.
        clock: seconds of a monotonic clock.
        before_write: called before each write of messages; what it raises leaves a frame half written.
    """

    def __init__(
        self,
        stream: Stream,
        clock: Callable[[], float] = time.monotonic,
        *,
        before_write: Callable[[], None] = lambda: None,
    ) -> None:
        self._stream = stream
        self._clock = clock
        self._before_write = before_write
        self._reader = RelpReader()
        self._txnr = 0
        self._waiting: dict[int, Optional[OwnerT]] = {}
        self._out = memoryview(b"")
        self.moved_at = clock()
        self._first_at = clock()

    @property
    def unanswered(self) -> int:
        """Number of messages that were not answered yet."""
        return len(self._waiting)

    @property
    def unwritten(self) -> int:
        """Bytes that were queued and are not written yet."""
        return len(self._out)

    @property
    def waits_for_s(self) -> float:
        """How long the oldest message has been waiting for its answer."""
        return self._clock() - self._first_at if self._waiting else 0.0

    def open(self, timeout_s: float) -> None:
        """Agree on the session.

        Raises:
            RelpBrokenError: the receiver refuses, or is no RELP receiver.
            OSError: the connection broke, or no answer came in time.
        """
        deadline = Deadline(timeout_s)
        self._put([(b"open", OFFERS)])
        while True:
            self._write()
            for answer in self._read():
                if answer.command != b"rsp" or answer.txnr != self._txnr or answer.status != _GOOD:
                    raise RelpBrokenError(f"it refuses the RELP session: {printable(answer.data.decode('latin-1'))}")
                if b"syslog" not in answer.data:
                    raise RelpBrokenError("it offers no RELP command syslog")
                self._waiting.clear()
                return
            self._stream.wait_any(min(LOOK_S, deadline.remaining()), writing=bool(self._out))

    def put(self, messages: Iterable[bytes], owner: OwnerT) -> None:
        """Queue messages for writing; `exchange` gives their owner back once for each."""
        self._put(((b"syslog", message) for message in messages), owner)

    def exchange(self, wait_s: float) -> list[OwnerT]:
        """Write what is queued and read what is answered; returns the owners of the messages answered.

        Args:
            wait_s: wait so long for something to happen when nothing can be done at once.

        Raises:
            RelpBrokenError: a message was refused, or the session ended.
            OSError: the connection broke.
            Stopped: `before_write` said so.
        """
        wrote = self._write_messages()
        answered = self._answered(self._read())
        if not (wrote or answered) and wait_s > 0:
            self._stream.wait_any(wait_s, writing=bool(self._out))
            wrote = self._write_messages()
            answered = self._answered(self._read())
        if wrote or answered:
            self.moved_at = self._clock()
        return answered

    def close(self) -> None:
        """Say that nothing more comes, as far as that fits into the kernel's buffer.

        Raises:
            OSError: the connection broke.
        """
        if not self._out:
            self._put([(b"close", b"")])
            self._write()

    def _put(self, commands: Iterable[tuple[bytes, bytes]], owner: Optional[OwnerT] = None) -> None:
        if not self._waiting:
            self._first_at = self._clock()
        frames = [bytes(self._out)] if self._out else []
        for command, data in commands:
            self._txnr = next_txnr(self._txnr)
            frames.append(relp_frame(self._txnr, command, data))
            self._waiting[self._txnr] = owner
        self._out = memoryview(b"".join(frames))

    def _write_messages(self) -> int:
        return self._write(self._ask)

    def _ask(self) -> None:
        """Ask before a write; how long that takes is not the receiver's fault."""
        began = self._clock()
        self._before_write()
        self._first_at += self._clock() - began

    def _write(self, ask: Callable[[], None] = lambda: None) -> int:
        written = 0
        while self._out:
            ask()
            count = self._stream.write(self._out)
            if not count:
                break
            self._out = self._out[count:]
            written += count
        if not self._out:
            self._out = memoryview(b"")  # an empty slice would still hold all that was written
        return written

    def _read(self) -> list[RelpAnswer]:
        data = self._stream.read()
        if data is None:
            return []
        if not data:
            raise RelpBrokenError("the receiver closed the connection")
        return self._reader.feed(data)

    def _answered(self, answers: list[RelpAnswer]) -> list[OwnerT]:
        owners = []
        for answer in answers:
            if answer.command == b"serverclose":
                raise RelpBrokenError("the receiver ended the RELP session")
            if answer.command != b"rsp" or answer.txnr not in self._waiting:
                raise RelpBrokenError(f"the receiver answered RELP frame {answer.txnr}, which was not asked")
            if answer.status != _GOOD:
                words = printable(answer.data.decode("utf-8", "replace"))
                raise RelpBrokenError(f"the receiver refused a message: {words}")
            if answer.txnr == next(iter(self._waiting)):
                self._first_at = self._clock()
            owner = self._waiting.pop(answer.txnr)
            if owner is not None:
                owners.append(owner)
        return owners
