"""What the reader and the sender of one shard hand each other by way of `Progress`: jobs, items, what settled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from sls_siem.codec.model import Batch
from sls_siem.delivery.ledger import Entry


@dataclass(frozen=True)
class Job:
    """What to pull next.

    Args:
        position: the position to ask for.
        end: the position to stop at; None means as far as there is.
        skip: events to leave out at the front.
        limit: events wanted; None means all.
        again: the lost entry that is being read again.
        generation: counts rewinds; an answer to a job of an older generation is thrown away.
        alone: ask for one log group only (its neighbours could not be decoded).
        whole: check all of the answer before anything of it is sent (one was found to be wrong while it was encoded).
    """

    position: int
    end: Optional[int] = None
    skip: int = 0
    limit: Optional[int] = None
    again: Optional[Entry] = None
    generation: int = 0
    alone: bool = False
    whole: bool = False


@dataclass
class Item:
    """A pulled batch on its way to the sender; `size` is what it takes of the window, `last` ends a lost entry,
    `skip_left` events of the next answer were handed over before. Only `last` may change."""

    batch: Batch
    job: Job
    size: int
    last: bool = True
    skip_left: int = 0


@dataclass(frozen=True)
class Settled:
    """What a report settled: events and bytes as they were sent."""

    events: int = 0
    size: int = 0
