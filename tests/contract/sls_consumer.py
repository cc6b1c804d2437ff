"""A consumer built from the SDK's own ConsumerWorker, in this process or, as a script, in one of its own.

As a script: `sls_consumer.py ENDPOINT GROUP NAME` prints `shard seq` for every log and ends when it is killed.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

from aliyun.log.consumer import ConsumerProcessorBase, ConsumerWorker, CursorPosition, LogHubConfig

PROJECT = "emulated-project"
LOGSTORE = "emulated-logstore"
KEY_ID, SECRET = "LTAI-test", "secret-of-the-test"


class Printer(ConsumerProcessorBase):
    """Hands every log to `take` and saves after each batch while `saving` is set."""

    def __init__(self, take: Callable[[int, int], None], saving: threading.Event) -> None:
        super().__init__()
        self._take = take
        self._saving = saving

    def process(self, log_groups: Any, check_point_tracker: Any) -> None:
        for group in log_groups.LogGroups:
            for log in group.Logs:
                self._take(self.shard_id, next(int(pair.Value) for pair in log.Contents if pair.Key == "seq"))
        if self._saving.is_set():
            check_point_tracker.save_check_point(True)

    def shutdown(self, check_point_tracker: Any) -> None:
        if self._saving.is_set():
            check_point_tracker.save_check_point(True)


def make_worker(
    endpoint: str,
    group: str,
    name: str,
    take: Callable[[int, int], None],
    *,
    saving: threading.Event,
    in_order: bool = False,
) -> ConsumerWorker:
    option = LogHubConfig(
        endpoint,
        KEY_ID,
        SECRET,
        PROJECT,
        LOGSTORE,
        group,
        name,
        cursor_position=CursorPosition.BEGIN_CURSOR,
        heartbeat_interval=1,
        data_fetch_interval=0.1,
        in_order=in_order,
        worker_pool_size=8,
        auth_version="v4",
        region="cn-hangzhou",
    )
    return ConsumerWorker(Printer, option, args=(take, saving))


def main() -> None:
    lock = threading.Lock()

    def tell(shard: int, seq: int) -> None:
        with lock:
            print(shard, seq, flush=True)

    saving = threading.Event()
    saving.set()
    make_worker(*sys.argv[1:4], tell, saving=saving).start(join=True)


if __name__ == "__main__":
    main()
