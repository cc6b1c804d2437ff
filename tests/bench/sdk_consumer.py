"""What an agent is compared with: a consumer built on the SDK's own worker, as the vendor's guide shows it.

    sdk_consumer.py one|batched ENDPOINT PROJECT LOGSTORE GROUP HEC_URL

It flattens each pull to dicts with the SDK, makes HEC events as the guide does (the log as JSON text within JSON) and
posts them over one kept connection: one request per log, or, `batched`, requests of up to one megabyte. The access key
and the HEC token come from the environment: SLS_AK_ID, SLS_AK_KEY, HEC_TOKEN. Ends when it is killed.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import requests
from aliyun.log.consumer import ConsumerProcessorBase, ConsumerWorker, CursorPosition, LogHubConfig
from aliyun.log.pulllog_response import PullLogResponse

BATCH_BYTES = 1_000_000


class Poster(ConsumerProcessorBase):
    """Posts every log of a shard, then saves the checkpoint.

    Args:
        url: of the collector.
        token: for it.
        batched: several events in a request.
    """

    def __init__(self, url: str, token: str, batched: bool) -> None:
        super().__init__()
        self._url = f"{url}/services/collector"
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Splunk {token}"
        self._batched = batched

    def process(self, log_groups: Any, check_point_tracker: Any) -> None:
        logs = PullLogResponse.loggroups_to_flattern_list(log_groups, time_as_str=True, decode_bytes=True)
        events = (self._event(log) for log in logs)
        for body in _bodies(events) if self._batched else events:
            answer = self._session.post(self._url, data=body.encode(), timeout=120)
            answer.raise_for_status()
        check_point_tracker.save_check_point(force=True)

    @staticmethod
    def _event(log: dict[str, Any]) -> str:
        event = {"event": json.dumps(log), "sourcetype": "aliyun:sls", "time": log["__time__"]}
        return json.dumps(event, sort_keys=True)


def _bodies(events: Iterable[str]) -> Iterator[str]:
    body: list[str] = []
    size = 0
    for event in events:
        if size + len(event) > BATCH_BYTES and body:
            yield "".join(body)
            body, size = [], 0
        body.append(event)
        size += len(event)
    if body:
        yield "".join(body)


def resolve_here() -> None:
    """Let `<project>.127.0.0.1`, which the SDK makes of project and endpoint, resolve: there is no DNS to ask."""
    real = socket.getaddrinfo

    def resolve(host: Any, *arguments: Any, **options: Any) -> Any:
        return real("127.0.0.1" if str(host).endswith(".127.0.0.1") else host, *arguments, **options)

    socket.getaddrinfo = resolve


def main() -> None:
    resolve_here()
    mode, endpoint, project, logstore, group, url = sys.argv[1:]
    option = LogHubConfig(
        endpoint,
        os.environ["SLS_AK_ID"],
        os.environ["SLS_AK_KEY"],
        project,
        logstore,
        group,
        "baseline",
        cursor_position=CursorPosition.BEGIN_CURSOR,
        heartbeat_interval=5,
        data_fetch_interval=1,
        auth_version="v4",
        region="cn-demo",
    )
    ConsumerWorker(Poster, option, args=(url, os.environ["HEC_TOKEN"], mode == "batched")).start(join=True)


if __name__ == "__main__":
    main()
