"""The calls of the service that the agent makes, one method each, typed.

Source: SLS API reference, LogHub interfaces and consumer groups; what the SDKs send. A session holds one connection
and belongs to one thread. Positions go in and come out as numbers (see `cursors`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Optional, Union

from sls_siem.config import SlsConfig
from sls_siem.errors import SourceError, TransientSourceError
from sls_siem.net.http import HttpAnswer
from sls_siem.sls.cursors import to_cursor, to_position
from sls_siem.sls.exchange import Call, Exchanger
from sls_siem.sls.model import Checkpoint, ConsumerGroup, Pulled, Shard
from sls_siem.sls.pulled import LARGEST_WIRE_BYTES, WrongAnswerError, read_pulled

CALL_S = 15.0
PULL_S = 30.0
HEARTBEAT_S = 5.0
MOST_GROUPS = 1000

_JSON = {"Content-Type": "application/json"}
_READ = "log:GetCursorOrData"

Json = Union[dict[str, "Json"], list["Json"], str, int, float, bool, None]


class Session:
    """Calls on one logstore and one consumer group, for one thread.

    Every method raises `SourceError`, in the class that says what to do; `TransientSourceError` also stands for no
    answer, no connection, and an answer that makes no sense. `timeout_s` bounds the whole call.

    Args:
        config: table `[sls]`.
        exchanger: makes the calls.
    """

    def __init__(self, config: SlsConfig, exchanger: Exchanger) -> None:
        self._exchanger = exchanger
        self._logstore = f"/logstores/{config.logstore}"
        self._groups = f"{self._logstore}/consumergroups"
        self._group_name = config.consumer_group
        self._group = f"{self._groups}/{config.consumer_group}"
        self._consumer = config.consumer_name
        self._pull_headers = {"Accept": "application/x-protobuf", "Accept-Encoding": config.compression}
        self._last_pull: Optional[tuple[object, Call]] = None
        self._pull_query: dict[str, str] = {}
        if config.query:
            self._pull_query = {"pullMode": "scan_on_stream", "query": config.query}
        elif config.processor:
            self._pull_query = {"processor": config.processor}

    @property
    def consumer_group(self) -> str:
        """Name of our consumer group."""
        return self._group_name

    @property
    def server_time_skew_s(self) -> Optional[float]:
        """How far the service's clock is ahead of ours by its last answer, to about a second; None when not known."""
        return self._exchanger.server_time_skew_s

    def close(self) -> None:
        """Drop the connection; the next call opens another."""
        self._exchanger.close()

    # --- the logstore ---

    def list_shards(self, *, timeout_s: float = CALL_S) -> tuple[Shard, ...]:
        """ListShards: every shard of the logstore, read-only ones included."""
        call = _get("ListShards", "log:ListShards", f"{self._logstore}/shards")
        return tuple(_shard(call, entry) for entry in _objects(call, self._json(call, timeout_s)))

    def logstore_ttl_days(self, *, timeout_s: float = CALL_S) -> int:
        """GetLogStore: for how many days logs are kept; 3650 means for ever."""
        call = _get("GetLogStore", "log:GetLogStore", self._logstore)
        return _integer(call, _object(call, self._json(call, timeout_s)), "ttl")

    # --- reading a shard ---

    def cursor(self, shard: int, at: Union[str, int], *, timeout_s: float = CALL_S) -> int:
        """GetCursor: a position by place or time.

        Args:
            shard: shard id.
            at: "begin" (the oldest log group there is), "end" (where the next one will stand), or epoch seconds (the
                first one received then or later).
            timeout_s: for the whole call.
        """
        call = self._shard_call(f"GetCursor {at} of shard {shard}", shard, {"type": "cursor", "from": str(at)})
        return _position(call, _object(call, self._json(call, timeout_s)).get("cursor"))

    def cursor_time(self, shard: int, position: int, *, timeout_s: float = CALL_S) -> int:
        """GetCursorTime: epoch seconds of receipt of the log group at a position."""
        query = {"type": "cursor_time", "cursor": to_cursor(position)}
        call = self._shard_call(f"GetCursorTime of shard {shard} at {position}", shard, query)
        return _integer(call, _object(call, self._json(call, timeout_s)), "cursor_time")

    def pull(
        self,
        shard: int,
        position: int,
        *,
        end_position: Optional[int] = None,
        count: int = MOST_GROUPS,
        whole: bool = True,
        timeout_s: float = PULL_S,
    ) -> Pulled:
        """PullLogs.

        Args:
            shard: shard id.
            position: of the first log group wanted.
            end_position: of the first one not wanted any more; None for as many as fit.
            count: at most so many log groups, 1 to 1000.
            whole: see `read_pulled`.
            timeout_s: for the whole call.
        """
        asked = (shard, position, end_position, count)
        if self._last_pull is None or asked != self._last_pull[0]:
            self._last_pull = asked, self._pull_call(*asked)
        call = self._last_pull[1]
        answer = self._exchanger.call(call, timeout_s=timeout_s, max_body=LARGEST_WIRE_BYTES)
        try:
            return read_pulled(answer, position, whole=whole)
        except WrongAnswerError as exc:
            raise _nonsense(call, answer, str(exc)) from exc

    # --- the consumer group ---

    def list_consumer_groups(self, *, timeout_s: float = CALL_S) -> tuple[ConsumerGroup, ...]:
        """ListConsumerGroup: every consumer group of the logstore."""
        call = _get("ListConsumerGroup", "log:ListConsumerGroup", self._groups)
        return tuple(_consumer_group(call, entry) for entry in _objects(call, self._json(call, timeout_s)))

    def create_consumer_group(self, timeout_s: int, in_order: bool, *, call_timeout_s: float = CALL_S) -> bool:
        """CreateConsumerGroup: False when there is one of that name already.

        Args:
            timeout_s: after so many seconds without a heartbeat a consumer's shards are given away.
            in_order: shards born by a split or merge wait for their parents.
            call_timeout_s: for the whole call.
        """
        body = {"consumerGroup": self._group_name, "timeout": timeout_s, "order": in_order}
        call = Call(
            f"CreateConsumerGroup {self._group_name}",
            "log:CreateConsumerGroup",
            "POST",
            self._groups,
            {},
            _JSON,
            _dumps(body),
            # Asked twice, it would say that somebody else made the group.
            repeatable=False,
        )
        try:
            self._exchanger.call(call, timeout_s=call_timeout_s)
        except SourceError as exc:
            if exc.code.lower() in {"consumergroupalreadyexist", "groupalreadyexist"}:
                return False
            raise
        return True

    def heartbeat(self, shards: Iterable[int], *, timeout_s: float = HEARTBEAT_S) -> tuple[int, ...]:
        """HeartBeat: tell which shards are held, learn which should be.

        Args:
            shards: that are worked on.
            timeout_s: for the whole call.
        """
        call = Call(
            "HeartBeat",
            "log:ConsumerGroupHeartBeat",
            "POST",
            self._group,
            {"type": "heartbeat", "consumer": self._consumer},
            _JSON,
            _dumps(list(shards)),
        )
        assigned = self._json(call, timeout_s)
        if not isinstance(assigned, list) or not all(type(shard) is int and shard >= 0 for shard in assigned):
            raise TransientSourceError(f"{call.text}: answered something else than a list of shards")
        return tuple(shard for shard in assigned if isinstance(shard, int))

    def checkpoints(self, *, timeout_s: float = CALL_S) -> dict[int, Checkpoint]:
        """GetCheckPoint of all shards that the service lists, by shard id."""
        call = self._checkpoint_call("GetCheckPoint of all shards", {})
        return dict(_checkpoint(call, entry) for entry in _objects(call, self._json(call, timeout_s)))

    def checkpoint(self, shard: int, *, timeout_s: float = CALL_S) -> Checkpoint:
        """GetCheckPoint of one shard."""
        call = self._checkpoint_call(f"GetCheckPoint of shard {shard}", {"shard": str(shard)})
        found = dict(_checkpoint(call, entry) for entry in _objects(call, self._json(call, timeout_s)))
        if found and shard not in found:
            raise TransientSourceError(f"{call.text}: answered for shards {sorted(found)}")
        return found.get(shard, Checkpoint(position=None))

    def save_checkpoint(
        self,
        shard: int,
        position: int,
        *,
        force: bool = False,
        consumer: Optional[str] = None,
        timeout_s: float = CALL_S,
    ) -> None:
        """UpdateCheckPoint.

        Args:
            shard: shard id.
            position: where reading goes on.
            force: save even though the consumer does not hold the shard.
            consumer: in whose name; None for our own.
            timeout_s: for the whole call.
        """
        query = {
            "type": "checkpoint",
            "consumer": self._consumer if consumer is None else consumer,
            "forceSuccess": "true" if force else "false",
        }
        call = Call(
            f"UpdateCheckPoint of shard {shard} to {position}",
            "log:ConsumerGroupUpdateCheckPoint",
            "POST",
            self._group,
            query,
            _JSON,
            _dumps({"shard": shard, "checkpoint": to_cursor(position)}),
        )
        self._exchanger.call(call, timeout_s=timeout_s)

    # --- helpers ---

    def _pull_call(self, shard: int, position: int, end_position: Optional[int], count: int) -> Call:
        query = {"type": "log", "cursor": to_cursor(position), "count": str(count), **self._pull_query}
        if end_position is not None:
            query["end_cursor"] = to_cursor(end_position)
        return self._shard_call(f"PullLogs of shard {shard} at {position}", shard, query, self._pull_headers)

    def _shard_call(
        self, text: str, shard: int, query: Mapping[str, str], headers: Optional[Mapping[str, str]] = None
    ) -> Call:
        return Call(text, _READ, "GET", f"{self._logstore}/shards/{shard}", query, {} if headers is None else headers)

    def _checkpoint_call(self, text: str, query: Mapping[str, str]) -> Call:
        return Call(text, "log:GetConsumerGroupCheckPoint", "GET", self._group, query, {})

    def _json(self, call: Call, timeout_s: float) -> Json:
        answer = self._exchanger.call(call, timeout_s=timeout_s)
        try:
            value: Json = json.loads(answer.body)
        except (ValueError, RecursionError) as exc:
            raise _nonsense(call, answer, "its body is no JSON") from exc
        return value


def _get(text: str, action: str, path: str) -> Call:
    return Call(text, action, "GET", path, {}, {})


def _dumps(value: object) -> bytes:
    return json.dumps(value).encode("ascii")


def _nonsense(call: Call, answer: HttpAnswer, why: str) -> TransientSourceError:
    request_id = answer.headers.get("x-log-requestid", "")[:64]
    return TransientSourceError(
        f"{call.text}: answered 200, but {why}{f' (request {request_id})' if request_id else ''}",
        status=answer.status,
        request_id=request_id,
    )


def _object(call: Call, value: Json) -> dict[str, Json]:
    if not isinstance(value, dict):
        raise TransientSourceError(f"{call.text}: answered something else than a JSON object")
    return value


def _objects(call: Call, value: Json) -> Sequence[dict[str, Json]]:
    if not isinstance(value, list):
        raise TransientSourceError(f"{call.text}: answered something else than a JSON list")
    return [_object(call, entry) for entry in value]


def _integer(call: Call, entry: dict[str, Json], name: str) -> int:
    value = entry.get(name)
    if type(value) is not int:
        raise TransientSourceError(f"{call.text}: answered without the number {name!r}")
    return value


def _text(entry: dict[str, Json], name: str) -> str:
    value = entry.get(name)
    return value if isinstance(value, str) else ""


def _position(call: Call, cursor: Json) -> int:
    position = to_position(cursor)
    if position is None:
        raise TransientSourceError(f"{call.text}: answered {str(cursor)[:40]!r}, which is no cursor")
    return position


def _shard(call: Call, entry: dict[str, Json]) -> Shard:
    created = entry.get("createTime")
    return Shard(
        shard=_integer(call, entry, "shardID"),
        read_only=_text(entry, "status").lower() == "readonly",
        begin_key=_text(entry, "inclusiveBeginKey"),
        end_key=_text(entry, "exclusiveEndKey"),
        create_time=created if type(created) is int else 0,
    )


def _consumer_group(call: Call, entry: dict[str, Json]) -> ConsumerGroup:
    return ConsumerGroup(
        name=_text(entry, "name"), timeout_s=_integer(call, entry, "timeout"), in_order=entry.get("order") is True
    )


def _checkpoint(call: Call, entry: dict[str, Json]) -> tuple[int, Checkpoint]:
    stored, updated = _text(entry, "checkpoint"), entry.get("updateTime")
    position = to_position(stored)
    return _integer(call, entry, "shard"), Checkpoint(
        position=position,
        consumer=_text(entry, "consumer"),
        update_time=updated if type(updated) is int else 0,
        unreadable="" if position is not None else stored,
    )
