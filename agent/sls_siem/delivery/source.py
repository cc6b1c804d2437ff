"""What delivery needs of SLS: the calls of one session, used by one thread."""

from __future__ import annotations

from typing import Optional, Protocol, Union

from sls_siem.sls.model import Checkpoint, Pulled


class ReadOnlySource(Protocol):
    """The calls of an SLS session that read a shard and change nothing."""

    def pull(
        self,
        shard: int,
        position: int,
        *,
        end_position: Optional[int] = None,
        count: int = 1000,
        whole: bool = True,
    ) -> Pulled:
        """PullLogs; without `whole`, what is wrong with the body may be found only when it is encoded."""
        ...

    def cursor(self, shard: int, at: Union[str, int]) -> int:
        """GetCursor."""
        ...

    def cursor_time(self, shard: int, position: int) -> int:
        """GetCursorTime."""
        ...

    def logstore_ttl_days(self) -> int:
        """GetLogStore."""
        ...

    def close(self) -> None:
        """Drop the connection."""
        ...


class Source(ReadOnlySource, Protocol):
    """The calls of an SLS session that reading one shard needs."""

    def checkpoint(self, shard: int) -> Checkpoint:
        """GetCheckPoint."""
        ...

    def save_checkpoint(self, shard: int, position: int, *, force: bool = False) -> None:
        """UpdateCheckPoint."""
        ...
