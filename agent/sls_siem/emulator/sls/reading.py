"""The calls that read a shard: GetCursor, GetCursorTime, PullLogs. Source: SLS API reference, LogHub interfaces."""

from __future__ import annotations

import json
from typing import Optional

from sls_siem.emulator.sls import spl
from sls_siem.emulator.sls.answers import Answers, Prepared, choose_codec
from sls_siem.emulator.sls.clock import Clock
from sls_siem.emulator.sls.cursors import to_cursor, to_position
from sls_siem.emulator.sls.history import History, Pull
from sls_siem.emulator.sls.http1 import Answer, Request
from sls_siem.emulator.sls.quota import ReadQuota
from sls_siem.emulator.sls.refusal import RefusalError, parameter_invalid
from sls_siem.emulator.sls.settings import Settings
from sls_siem.emulator.sls.shard import Extent, Shard
from sls_siem.emulator.sls.store import Logstore

MAX_GROUPS = 1000


class Reading:
    """Serves the reading calls."""

    def __init__(self, settings: Settings, history: History, clock: Clock) -> None:
        self._settings = settings
        self._history = history
        self._clock = clock
        self._answers = Answers(settings)
        self._quota = ReadQuota(clock.monotonic)

    def cursor(self, store: Logstore, number: int, request: Request) -> Answer:
        """GetCursor: `begin`, `end`, or the first group received at a time (epoch seconds) or later."""
        wanted = request.query.get("from", "")
        with store.lock:
            shard = store.shard(number, missing_status=400)
            if wanted == "begin":
                position = shard.begin
            elif wanted == "end":
                position = shard.end
            elif wanted.isdigit():
                position = shard.position_at(int(wanted))
            else:
                raise parameter_invalid(f"from {wanted!r} is neither begin nor end nor a time")
        return json_answer({"cursor": to_cursor(position)})

    def cursor_time(self, store: Logstore, number: int, request: Request) -> Answer:
        """GetCursorTime: when the group at the cursor was received; at the end of the shard, the present time."""
        with store.lock:
            shard = store.shard(number, missing_status=400)
            position = self._position(shard, request.query.get("cursor", ""))
            at_end = position >= shard.end
            received = self._clock.wall() if at_end else shard.received_at(position)
        return json_answer({"cursor_time": int(received)})

    def pull(self, store: Logstore, number: int, request: Request) -> Answer:
        """PullLogs."""
        codec = choose_codec(request.headers.get("accept-encoding", ""))
        if codec is None:
            raise RefusalError(400, "InvalidCompressType", "no compression in Accept-Encoding is supported")
        query = self._query(store, request)
        with store.lock:
            shard = store.shard(number)
            limit = self._settings.read_bytes_per_s
            self._quota.admit(shard.base, reads_per_s=self._settings.reads_per_s, bytes_per_s=limit)
            extent = self._extent(shard, request)
            received = int(shard.received_at(extent.next_position - 1)) if extent.groups else None
            at_end = extent.next_position >= shard.end
        self._quota.charge(shard.base, raw_bytes=extent.raw_bytes, bytes_per_s=limit)
        prepared = self._answers.get(shard, extent, codec=codec, query=query) if extent.groups else Prepared(b"", 0, 0)
        self._record(store, number, request, extent, prepared)
        headers = _pull_headers(extent, prepared, codec=codec, received=received, at_end=at_end)
        if query is not None:
            headers.update(_query_headers(extent, prepared))
        return Answer(200, headers, prepared.body)

    def _extent(self, shard: Shard, request: Request) -> Extent:
        count = request.query.get("count", str(MAX_GROUPS))
        if not count.isdigit() or not 1 <= int(count) <= MAX_GROUPS:
            raise parameter_invalid(f"count {count!r} is not 1 to {MAX_GROUPS}")
        position = self._position(shard, request.query.get("cursor", ""))
        end = request.query.get("end_cursor")
        stop = shard.end if end is None else to_position(end)
        if stop is None:
            raise _invalid_cursor(end or "")
        return shard.extent(position, count=int(count), end=stop)

    def _position(self, shard: Shard, cursor: str) -> int:
        position = to_position(cursor)
        if position is None or not shard.base <= position <= shard.end:
            raise _invalid_cursor(cursor)
        if position < shard.begin and self._settings.expired_cursor == "invalid":
            raise _invalid_cursor(cursor)
        return max(position, shard.begin)

    def _query(self, store: Logstore, request: Request) -> Optional[spl.Filter]:
        query, processor = request.query.get("query"), request.query.get("processor")
        if query and processor:
            raise parameter_invalid("query and processor cannot be used together")
        if processor:
            if processor not in store.processors:
                raise parameter_invalid(f"consume processor {processor} does not exist")
            return spl.parse(store.processors[processor])
        if query:
            if request.query.get("pullMode") != "scan_on_stream":
                raise parameter_invalid("query needs pullMode=scan_on_stream")
            return spl.parse(query)
        return None

    def _record(self, store: Logstore, number: int, request: Request, extent: Extent, prepared: Prepared) -> None:
        self._history.record_pull(
            Pull(
                f"{store.project}/{store.name}",
                number,
                extent.position,
                extent.next_position,
                prepared.groups,
                prepared.raw_bytes,
                len(prepared.body),
                request.headers.get("user-agent", ""),
            )
        )


def json_answer(value: object) -> Answer:
    return Answer(200, {"Content-Type": "application/json"}, json.dumps(value).encode())


def _invalid_cursor(cursor: str) -> RefusalError:
    return RefusalError(400, "InvalidCursor", f"cursor {cursor!r} is invalid or expired")


def _pull_headers(
    extent: Extent, prepared: Prepared, *, codec: str, received: Optional[int], at_end: bool
) -> dict[str, str]:
    headers = {
        "Content-Type": "application/x-protobuf",
        "x-log-count": str(prepared.groups),
        "x-log-bodyrawsize": str(prepared.raw_bytes),
        "x-log-cursor": to_cursor(extent.next_position),
        "x-log-end-of-cursor": "1" if at_end else "0",
    }
    if codec and prepared.body:
        headers["x-log-compresstype"] = codec
    if received is not None:
        headers["x-log-cursor-time"] = str(received)
        headers["x-log-read-last-cursor"] = to_cursor(extent.next_position - 1)
    return headers


def _query_headers(extent: Extent, prepared: Prepared) -> dict[str, str]:
    return {
        "x-log-rawdatacount": str(extent.groups),
        "x-log-rawdatasize": str(extent.raw_bytes),
        "x-log-rawdatalines": str(max(0, prepared.read_logs)),
        "x-log-resultlines": str(max(0, prepared.kept_logs)),
        "x-log-failedlines": "0",
    }
