"""Dead letters: events that the SIEM will never take, kept on disk, one JSON line each.

A letter is durable (written whole and fsynced) before its event counts as settled. The file is shared with the
`dead-letter` commands through an advisory lock. It knows neither SLS nor the SIEM.
"""

from __future__ import annotations

import base64
import binascii
import calendar
import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Optional

from sls_siem.errors import AgentError

FILE_NAME = "dead-letters.jsonl"
LOCK_NAME = "dead-letters.lock"
ANSWER_TEXT = 1000


class DeadLetterError(AgentError):
    """The letter could not be made durable: the directory is full, read-only, or at its cap."""


@dataclass(frozen=True)
class DeadLetter:
    """One event that was given up.

    Args:
        event_id: as the interface defines it.
        shard: shard id.
        reason: short fixed word, such as `invalid-event`.
        answer: the receiver's words.
        event: the event as it would have been sent, or the raw log group when it could not be decoded.
        time: epoch seconds at which it was given up.
        raw: `event` is a raw log group (protobuf), not text.
        position: position of its group, where known.
    """

    event_id: str
    shard: int
    reason: str
    answer: str
    event: bytes
    time: float
    raw: bool = False
    position: Optional[int] = None

    def to_line(self) -> bytes:
        """Render as one JSON line; bytes that are no UTF-8 text go as base64."""
        record: dict[str, object] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.time)),
            "id": self.event_id,
            "shard": self.shard,
            "reason": self.reason,
            "answer": self.answer[:ANSWER_TEXT],
        }
        if self.position is not None:
            record["position"] = self.position
        text = None if self.raw else _as_text(self.event)
        if text is None:
            record["raw" if self.raw else "event_base64"] = base64.b64encode(self.event).decode("ascii")
        else:
            record["event"] = text
        return json.dumps(record, ensure_ascii=True, separators=(",", ":")).encode("ascii") + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> DeadLetter:
        """Read a line back.

        Raises:
            DeadLetterError: it is no dead letter.
        """
        try:
            record = json.loads(line)
            raw = "raw" in record
            if "event" in record:
                event = str(record["event"]).encode("utf-8")
            else:
                event = base64.b64decode(record["raw" if raw else "event_base64"], validate=True)
            return cls(
                event_id=str(record["id"]),
                shard=int(record["shard"]),
                reason=str(record["reason"]),
                answer=str(record.get("answer", "")),
                event=event,
                time=_epoch(str(record["time"])),
                raw=raw,
                position=record.get("position"),
            )
        except (ValueError, KeyError, TypeError, AttributeError, binascii.Error) as exc:
            raise DeadLetterError(f"not a dead letter: {line[:80]!r}: {exc}") from exc


def _letter_or_none(line: bytes) -> Optional[DeadLetter]:
    try:
        return DeadLetter.from_line(line)
    except DeadLetterError:
        return None


def _as_text(data: bytes) -> Optional[str]:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _epoch(text: str) -> float:
    return float(calendar.timegm(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ")))


class DeadLetters:
    """The dead letters of one instance.

    Args:
        directory: the instance's state directory; made when missing.
        max_bytes: the file never grows beyond that; who only reads and removes needs none.
    """

    def __init__(self, directory: Path, max_bytes: int = 0) -> None:
        self._directory = directory
        self._path = directory / FILE_NAME
        self._max_bytes = max_bytes
        self._directory_synced = False

    @property
    def path(self) -> Path:
        """Where the letters are."""
        return self._path

    def size(self) -> int:
        """Bytes on disk; 0 when there is none or it cannot be told."""
        try:
            return self._path.stat().st_size
        except OSError:
            return 0

    def append(self, letter: DeadLetter) -> None:
        """Write one letter; it is durable when this returns.

        Raises:
            DeadLetterError: it could not be made durable; nothing of it is left in the file.
        """
        line = letter.to_line()
        try:
            with self._locked():
                self._append_line(line)
        except OSError as exc:
            raise DeadLetterError(
                f"dead letter {letter.event_id} cannot be written to {self._path}: {exc.strerror or exc}. "
                "Make room or the directory writable; the agent holds until then"
            ) from exc

    def _append_line(self, line: bytes) -> None:
        if not self._path.exists():
            self._directory_synced = False
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            before = os.fstat(descriptor).st_size
            if before + len(line) > self._max_bytes:
                raise DeadLetterError(
                    f"{self._path} has reached delivery.dead_letter_max_bytes = {self._max_bytes}. See "
                    "`sls-siem dead-letter list`, then retry or purge them; the agent holds until then"
                )
            try:
                if before and not self._ends_a_line(before):
                    # The process died while it wrote the last one, which was not settled then.
                    _write_whole(descriptor, b"\n")
                _write_whole(descriptor, line)
                os.fsync(descriptor)
            except OSError:
                with contextlib.suppress(OSError):
                    os.ftruncate(descriptor, before)
                raise
        finally:
            os.close(descriptor)
        if not self._directory_synced:
            self._sync_directory()
            self._directory_synced = True

    def _ends_a_line(self, size: int) -> bool:
        with self._path.open("rb") as stream:
            stream.seek(size - 1)
            return stream.read(1) == b"\n"

    def letters(self) -> list[DeadLetter]:
        """Read every letter, oldest first; a line that is none is left out.

        Raises:
            DeadLetterError: the file cannot be read.
        """
        return [letter for letter, _ in self._read() if letter is not None]

    def _read(self) -> list[tuple[Optional[DeadLetter], bytes]]:
        try:
            lines = self._path.read_bytes().splitlines(keepends=True)
        except FileNotFoundError:
            return []
        except OSError as exc:
            raise DeadLetterError(f"{self._path} cannot be read: {exc.strerror or exc}") from exc
        return [(_letter_or_none(line), line) for line in lines]

    def remove(self, event_ids: set[str]) -> int:
        """Delete the letters with these ids; returns how many there were.

        Raises:
            DeadLetterError: the file cannot be replaced.
        """
        try:
            with self._locked():
                found = self._read()
                # A line that is no letter stays: whatever it is, nobody asked for its end.
                kept = [line for letter, line in found if letter is None or letter.event_id not in event_ids]
                self._replace(b"".join(kept))
                return len(found) - len(kept)
        except OSError as exc:
            raise DeadLetterError(f"{self._path} cannot be replaced: {exc.strerror or exc}") from exc

    def _replace(self, content: bytes) -> None:
        temporary = self._path.with_suffix(".tmp")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            _write_whole(descriptor, content)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(self._path)
        self._sync_directory()

    def _sync_directory(self) -> None:
        descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[IO[bytes]]:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self._directory / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "r+b") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield lock


def _write_whole(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
