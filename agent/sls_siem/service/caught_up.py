"""`run --until-caught-up`: end once every shard has been read and saved up to the end it had at the start."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Protocol, Union

from sls_siem.errors import SourceError
from sls_siem.health import Health, Pulse
from sls_siem.sls.model import Checkpoint, Shard

LOG = logging.getLogger(__name__)
LOOK_S = 0.5
CALL_S = 30.0
LOOKING = "looking whether all is read"


class ListingCalls(Protocol):
    """The calls that this module needs of an SLS session."""

    def list_shards(self) -> tuple[Shard, ...]:
        """ListShards."""
        ...

    def cursor(self, shard: int, at: Union[str, int]) -> int:
        """GetCursor."""
        ...

    def checkpoints(self) -> dict[int, Checkpoint]:
        """GetCheckPoint of all shards."""
        ...


class CaughtUpWatch:
    """A thread that looks until every shard, whoever owns it, has been saved up to its end at the start.

    Args:
        calls: session used by this thread only.
        health: knows the thread.
        done: called once everything has been read and saved.
        fatal: told of an error that must end the process.
    """

    def __init__(
        self,
        calls: ListingCalls,
        *,
        health: Health,
        done: Callable[[], None],
        fatal: Callable[[BaseException], None],
    ) -> None:
        self._calls = calls
        self._health = health
        self._done = done
        self._fatal = fatal
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="caught-up", daemon=True)

    def start(self) -> None:
        """Note the ends, then watch."""
        self._thread.start()

    def stop(self) -> None:
        """End without an answer."""
        self._stop.set()

    def _run(self) -> None:
        pulse = self._health.pulse(self._thread.name)
        try:
            ends: dict[int, int] = {}
            noted = False
            while not self._stop.is_set():
                pulse.waiting(CALL_S, LOOKING)
                try:
                    if not noted:
                        ends = self._ends(pulse)
                        noted = True
                        pulse.waiting(CALL_S, LOOKING)
                    if self._all_saved(ends):
                        LOG.info("every shard has been read and saved up to the end it had at the start")
                        self._done()
                        return
                except SourceError as exc:
                    LOG.debug("still not known whether all is read: %s", exc)
                self._stop.wait(LOOK_S)
        except BaseException as exc:  # noqa: BLE001 - top of a thread: the process must not live on without it
            self._fatal(exc)
        finally:
            self._health.ended(pulse)

    def _ends(self, pulse: Pulse) -> dict[int, int]:
        """End of each shard that holds anything."""
        ends = {}
        for shard in self._calls.list_shards():
            pulse.waiting(CALL_S, LOOKING)
            end = self._calls.cursor(shard.shard, "end")
            pulse.waiting(CALL_S, LOOKING)
            if self._calls.cursor(shard.shard, "begin") < end:
                ends[shard.shard] = end
        return ends

    def _all_saved(self, ends: dict[int, int]) -> bool:
        stored = self._calls.checkpoints()
        for shard, end in ends.items():
            position = stored[shard].position if shard in stored else None
            if position is None or position < end:
                return False
        return True
