"""What a replay reads: a range of positions of each shard, and the file in which it notes how far it has come.

To the reader of a shard it looks like the service with the range as its logs and the file as its checkpoints. Nothing
here can reach the consumer group: neither a heartbeat nor a save.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Optional, Union

from sls_siem.delivery.source import ReadOnlySource
from sls_siem.errors import AgentError, ConfigError
from sls_siem.sls.model import Checkpoint, Pulled

LOCK_NAME = "replay.lock"


@dataclass(frozen=True)
class ShardRange:
    """What is to be shipped of one shard.

    Args:
        start: position of the first log group.
        end: position of the first one that is not part of it.
        position: everything before it is settled.
    """

    start: int
    end: int
    position: int

    @property
    def done(self) -> bool:
        """All of it is settled."""
        return self.position >= self.end


class ResumeFile:
    """How far a replay has come; replaced atomically at each change; thread-safe.

    Args:
        directory: the instance's state directory; made when missing.
        span: begin and end of the time range, epoch seconds.
        origin: names the logstore, whose positions these are.

    Raises:
        AgentError: the directory cannot be used.
        ConfigError: another replay of this instance is at work.
    """

    def __init__(self, directory: Path, span: tuple[int, int], origin: str) -> None:
        self.path = directory / f"replay-{span[0]}-{span[1]}.json"
        self._origin = origin
        self._mutex = threading.Lock()
        self._lock = _lock(directory)
        try:
            self._ranges = self._read()
        except AgentError:
            self._lock.close()
            raise

    @property
    def ranges(self) -> dict[int, ShardRange]:
        """What is known of each shard."""
        with self._mutex:
            return dict(self._ranges)

    def add(self, shard: int, start: int, end: int) -> None:
        """Note a shard of which nothing is known yet."""
        with self._mutex:
            self._ranges[shard] = ShardRange(start, end, start)
            self._write()

    def note(self, shard: int, position: int) -> None:
        """Everything of the shard before `position` is settled.

        Raises:
            AgentError: the file cannot be written.
        """
        with self._mutex:
            self._ranges[shard] = dataclasses.replace(self._ranges[shard], position=position)
            self._write()

    def close(self) -> None:
        """Let go of the lock; a replay that is done leaves no file."""
        with self._mutex, contextlib.suppress(OSError):
            if all(found.done for found in self._ranges.values()):
                self.path.unlink(missing_ok=True)
        self._lock.close()

    def _read(self) -> dict[int, ShardRange]:
        try:
            document = json.loads(self.path.read_text(encoding="utf-8"))
            if document["origin"] != self._origin:
                return {}
            return {int(shard): ShardRange(**found) for shard, found in document["shards"].items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
            raise AgentError(f"{self.path} cannot be used to go on from: {exc}. Remove it to begin anew") from exc

    def _write(self) -> None:
        document = {
            "origin": self._origin,
            "shards": {str(shard): dataclasses.asdict(found) for shard, found in self._ranges.items()},
        }
        temporary = self.path.with_suffix(".tmp")
        try:
            with temporary.open("w", encoding="utf-8") as stream:
                json.dump(document, stream)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(self.path)
        except OSError as exc:
            raise AgentError(f"{self.path} cannot be written: {exc.strerror or exc}. Make room or it writable") from exc


class RangeSource:
    """Implements `delivery.source.Source` for a replay.

    Args:
        calls: a session of its own.
        resume: has the ranges, and takes the place of the checkpoints.
    """

    def __init__(self, calls: ReadOnlySource, resume: ResumeFile) -> None:
        self._calls = calls
        self._resume = resume
        self._ends = {shard: found.end for shard, found in resume.ranges.items()}

    def pull(
        self,
        shard: int,
        position: int,
        *,
        end_position: Optional[int] = None,
        count: int = 1000,
        whole: bool = True,
    ) -> Pulled:
        """PullLogs, up to the end of the range; there the shard seems to end."""
        end = self._ends[shard]
        if position >= end:
            return Pulled(position, position, 0, b"", end_of_cursor=True)
        stop = end if end_position is None else min(end, end_position)
        pulled = self._calls.pull(shard, position, end_position=stop, count=count, whole=whole)
        return pulled._replace(end_of_cursor=pulled.next_position >= end)

    def cursor(self, shard: int, at: Union[str, int]) -> int:
        """GetCursor."""
        return self._calls.cursor(shard, at)

    def cursor_time(self, shard: int, position: int) -> int:
        """GetCursorTime."""
        return self._calls.cursor_time(shard, position)

    def logstore_ttl_days(self) -> int:
        """GetLogStore."""
        return self._calls.logstore_ttl_days()

    def checkpoint(self, shard: int) -> Checkpoint:
        """Tell how far the shard has been replayed."""
        return Checkpoint(self._resume.ranges[shard].position)

    def save_checkpoint(self, shard: int, position: int, *, force: bool = False) -> None:  # noqa: ARG002
        """Note how far the shard has been replayed; the consumer group never hears of it."""
        self._resume.note(shard, position)

    def close(self) -> None:
        """Drop the connection."""
        self._calls.close()


def _lock(directory: Path) -> IO[str]:
    path = directory / LOCK_NAME
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = path.open("a", encoding="utf-8")
    except OSError as exc:
        raise AgentError(f"{path} cannot be written: {exc.strerror or exc}") from exc
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        lock.close()
        raise ConfigError([f"{path}: another replay of this instance is at work; wait for its end"]) from exc
    return lock
