"""What SLS answers, as typed values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Optional

from sls_siem.codec.model import Body


@dataclass(frozen=True)
class Shard:
    """One shard of the logstore.

    Args:
        shard: its id.
        read_only: split or merged; nothing is appended any more.
        begin_key: inclusive first hash key, 32 hex digits.
        end_key: exclusive last hash key, 32 hex digits.
        create_time: epoch seconds.
    """

    shard: int
    read_only: bool
    begin_key: str = ""
    end_key: str = ""
    create_time: int = 0


@dataclass(frozen=True)
class Checkpoint:
    """A stored checkpoint.

    Args:
        position: None when nothing has been saved for the shard yet.
        consumer: who saved it last, empty when unknown.
        update_time: epoch microseconds.
        unreadable: what is stored when it is no position (`position` is None then): somebody else's mistake.
    """

    position: Optional[int]
    consumer: str = ""
    update_time: int = 0
    unreadable: str = ""


@dataclass(frozen=True)
class ConsumerGroup:
    """A consumer group of the logstore; `timeout_s` is the time without a heartbeat after which shards move."""

    name: str
    timeout_s: int
    in_order: bool


class Pulled(NamedTuple):
    """One answer of PullLogs.

    Args:
        asked: the position that was asked for.
        next_position: the position to ask for next (`x-log-cursor`).
        groups: number of log groups in `body` (`x-log-count`).
        body: LogGroupList; empty without groups.
        wire_bytes: size of the body on the wire.
        raw_groups: groups read before a query or processor ran, when the service tells.
        raw_bytes: bytes read before a query or processor ran, when the service tells.
        cursor_time: epoch seconds of receipt of the last group read, when the service tells.
        end_of_cursor: the service says that this was the end of the shard for now, when it tells.
        checked: see `Batch`.
    """

    asked: int
    next_position: int
    groups: int
    body: Body
    wire_bytes: int = 0
    raw_groups: Optional[int] = None
    raw_bytes: Optional[int] = None
    cursor_time: Optional[int] = None
    end_of_cursor: Optional[bool] = None
    checked: bool = True
