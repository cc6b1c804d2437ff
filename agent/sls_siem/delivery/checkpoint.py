"""Saving one shard's checkpoint: when it is due, what was saved, and whether somebody else moved it.

A save is never forced and never goes backwards. An answer that got lost leaves it open whether the save took effect,
so every position ever tried counts as our own when the stored one is compared.

A process that died, or a worker of this one that was dropped, may have left saves on the way, which the service carries
out when it gets to them. They come together, while another process that lives saves again and again: the name is in
use elsewhere only when a save that is not ours comes `LATE_S` or longer after the first one.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import Optional, Protocol

from sls_siem.errors import AgentError
from sls_siem.sls.model import Checkpoint

LOG = logging.getLogger(__name__)
REMEMBERED = 4096
LATE_S = 15.0
"""Saves on the way are carried out within this time of each other: how long one call may take (`sls/session.py`)."""
SUSPECT_S = 60.0
"""How long a save that is not ours calls for a closer look."""


class CheckpointMovedError(AgentError):
    """Somebody else saves checkpoints for this shard under our own consumer name."""


class CheckpointCalls(Protocol):
    """The two calls that this module needs of an SLS session."""

    def checkpoint(self, shard: int) -> Checkpoint:
        """Read the stored checkpoint."""
        ...

    def save_checkpoint(self, shard: int, position: int, *, force: bool = False) -> None:
        """Store a checkpoint."""
        ...


class CheckpointSaver:
    """The stored position of one held shard.

    Args:
        calls: session of the thread that saves.
        shard: shard id.
        consumer: our own consumer name.
        every_s: shortest time between two saves.
        clock: seconds of a monotonic clock.
    """

    def __init__(
        self,
        calls: CheckpointCalls,
        shard: int,
        *,
        consumer: str,
        every_s: float,
        clock: Callable[[], float],
    ) -> None:
        self._calls = calls
        self._shard = shard
        self._consumer = consumer
        self._every_s = every_s
        self._clock = clock
        self._tried: deque[int] = deque(maxlen=REMEMBERED)
        self._next_at = clock()
        self._foreign_at: Optional[float] = None
        self.saved: Optional[int] = None
        self.saved_at: Optional[float] = None

    def load(self) -> Optional[int]:
        """Read the stored position; None when the shard never had one."""
        stored = self._calls.checkpoint(self._shard)
        if stored.unreadable:
            LOG.error("shard %d: the stored checkpoint is no position: %r", self._shard, stored.unreadable[:80])
        self.saved = stored.position
        if self.saved is not None:
            self._tried.append(self.saved)
        return self.saved

    def pending(self, position: int) -> bool:
        """There is something to save."""
        return self.saved is None or position > self.saved

    def due_in(self, position: int) -> Optional[float]:
        """Seconds until a save is due; None when there is nothing to save."""
        return max(0.0, self._next_at - self._clock()) if self.pending(position) else None

    def save(self, position: int) -> None:
        """Store the position now.

        Raises:
            SourceError: the service refused or could not be asked; the next try is due after `every_s`.
        """
        self._next_at = self._clock() + self._every_s
        if not self._tried or self._tried[-1] != position:
            self._tried.append(position)
        self._calls.save_checkpoint(self._shard, position)
        self.saved = position
        self.saved_at = self._clock()

    def restart(self, position: int) -> None:
        """The shard's positions mean something else now: a lower one may be saved."""
        self.saved = None
        self._tried.append(position)

    @property
    def suspicious(self) -> bool:
        """A save that is not ours was seen lately: compare often, whether another one follows."""
        return self._foreign_at is not None and self._clock() < self._foreign_at + SUSPECT_S

    def compare(self) -> None:
        """Look whether the stored checkpoint is one of ours; where an older save came late, save again.

        Raises:
            CheckpointMovedError: our own name goes on saving positions that this process never saved.
            SourceError: the service could not be asked.
        """
        stored = self._calls.checkpoint(self._shard)
        if stored.position is None or stored.consumer != self._consumer:
            return
        if stored.position not in self._tried:
            self._note_foreign(stored.position)
        if self.saved is not None and stored.position < self.saved:
            LOG.info(
                "shard %d: an older save came late and put the checkpoint back to %d; saving again",
                *(self._shard, stored.position),
            )
            self.saved = stored.position

    def _note_foreign(self, position: int) -> None:
        now = self._clock()
        if self._foreign_at is None:
            self._foreign_at = now
        elif now >= self._foreign_at + LATE_S:
            raise CheckpointMovedError(
                f"shard {self._shard}: the stored checkpoint {position} was saved under this consumer's name "
                f"{self._consumer!r}, but not by this process (last saved here: {self.saved}), and was not the first. "
                "Another process uses the same consumer_name, such as on a cloned host, or the checkpoint is reset "
                "while the agent runs. Give every instance a name of its own (sls.consumer_name), then start this one "
                "again"
            )
        self._tried.append(position)
        LOG.warning(
            "shard %d: checkpoint %d was saved under our name %r, but not by this process: a late save of its "
            "predecessor, or another process under the same sls.consumer_name; another such save will tell",
            *(self._shard, position, self._consumer),
        )
