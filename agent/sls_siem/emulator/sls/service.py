"""The SLS service: takes requests, checks who sent them, answers as the API describes, lets faults strike.

Sockets are `server`'s, reading a shard is `reading`'s. Source of calls and error codes: SLS API reference.
"""

from __future__ import annotations

import itertools
import json
import threading
import time
import zlib
from collections.abc import Callable
from email.utils import formatdate
from typing import Any, Optional

import lz4.block

from sls_siem.emulator.sls import mischief
from sls_siem.emulator.sls.calls import RAM_ACTIONS, classify, project_of
from sls_siem.emulator.sls.clock import Clock
from sls_siem.emulator.sls.consumer_group import ConsumerGroup
from sls_siem.emulator.sls.cursors import to_position
from sls_siem.emulator.sls.faults import Call, FaultPlan
from sls_siem.emulator.sls.history import Heartbeat, History, Save
from sls_siem.emulator.sls.http1 import Answer, Request
from sls_siem.emulator.sls.projects import Projects
from sls_siem.emulator.sls.reading import Reading, json_answer
from sls_siem.emulator.sls.refusal import RefusalError, parameter_invalid
from sls_siem.emulator.sls.settings import Settings
from sls_siem.emulator.sls.shard import Shard
from sls_siem.emulator.sls.signature import AccessKey, verify
from sls_siem.emulator.sls.store import Logstore, check_group
from sls_siem.emulator.sls.zstd import zstd_available, zstd_decompress

_Handler = Callable[[Logstore, Call, Request], Answer]


class SlsService:
    """Answers SLS requests.

    Args:
        projects: the logstores.
        settings: the switches.
        clock: the service's time, before `settings.skew_s`.
        stopping: set when the server ends, so that no delay holds it up.
    """

    def __init__(self, projects: Projects, settings: Settings, clock: Clock, stopping: threading.Event) -> None:
        self.projects = projects
        self.settings = settings
        self.keys: dict[str, AccessKey] = {}
        self.faults = FaultPlan()
        self.history = History()
        self._clock = clock
        self._stopping = stopping
        self._reading = Reading(settings, self.history, clock)
        self._request_ids = itertools.count(int(time.time() * 1000) << 24)
        self._handlers: dict[str, _Handler] = {
            "pull": lambda store, call, request: self._reading.pull(store, call.shard or 0, request),
            "cursor": lambda store, call, request: self._reading.cursor(store, call.shard or 0, request),
            "cursor_time": lambda store, call, request: self._reading.cursor_time(store, call.shard or 0, request),
            "list_shards": self._list_shards,
            "split_shard": self._split_shard,
            "merge_shard": self._merge_shard,
            "get_logstore": self._get_logstore,
            "put_logs": self._put_logs,
            "list_groups": self._list_groups,
            "create_group": self._create_group,
            "update_group": self._update_group,
            "delete_group": self._delete_group,
            "heartbeat": self._heartbeat,
            "save_checkpoint": self._save_checkpoint,
            "get_checkpoint": self._get_checkpoint,
        }

    # ------------------------------------------------------------------------------------------------------- dispatch

    def handle(self, request: Request) -> Answer:
        """Answer one request."""
        if request.method == "CONNECT":
            text = b"this is an SLS emulator, not a proxy for https: use an http endpoint\n"
            return Answer(405, {"Content-Type": "text/plain", "Connection": "close"}, text)
        self.history.count_call()
        call = classify(request)
        strikes = self.faults.strike(call)
        answer: Optional[Answer] = None
        for fault in strikes:
            answer = answer or mischief.before(fault, self._stopping)
        if answer is None:
            answer = self._execute(request, call)
        answer.headers.update(self._common_headers(sum(f.seconds for f in strikes if f.action == "date_skew")))
        for fault in strikes:
            answer = mischief.after(fault, answer)
        return answer

    def _common_headers(self, date_skew_s: float) -> dict[str, str]:
        return {
            "Server": "sls-emulator",
            "Date": formatdate(self._now() + date_skew_s, usegmt=True),
            "x-log-requestid": f"{next(self._request_ids):024X}",
        }

    def _now(self) -> float:
        return self._clock.wall() + self.settings.skew_s

    def _execute(self, request: Request, call: Call) -> Answer:
        try:
            return self._answer(request, call)
        except RefusalError as refusal:
            return Answer(refusal.status, {"Content-Type": "application/json"}, refusal.body())

    def _answer(self, request: Request, call: Call) -> Answer:
        project = project_of(request)
        if self.settings.verify:
            key = verify(request, self.keys, now=self._now(), region=self.settings.region)
            _check_permission(key, call, project)
        if call.kind == "list_logstores":
            names = self.projects.check(project)
            return json_answer({"count": len(names), "total": len(names), "logstores": names})
        if call.kind == "unknown":
            raise RefusalError(404, "NotFound", f"no such call: {request.method} {request.raw_path}")
        return self._handlers[call.kind](self.projects.find(project, call.logstore), call, request)

    # --------------------------------------------------------------------------------------------- logstore and shards

    def _get_logstore(self, store: Logstore, _call: Call, _request: Request) -> Answer:
        shards = store.shards()
        return json_answer(
            {
                "logstoreName": store.name,
                "ttl": store.ttl_days,
                "shardCount": sum(not shard.read_only for shard in shards),
                "enable_tracking": False,
                "appendMeta": False,
                "autoSplit": False,
                "maxSplitShard": 64,
                "createTime": shards[0].created if shards else 0,
                "lastModifyTime": shards[0].created if shards else 0,
                "mode": "standard",
                "telemetryType": "",
            }
        )

    def _list_shards(self, store: Logstore, _call: Call, _request: Request) -> Answer:
        return json_answer([_describe(shard) for shard in store.shards()])

    def _split_shard(self, store: Logstore, call: Call, request: Request) -> Answer:
        key = request.query.get("key", "")
        try:
            children = store.split(call.shard or 0, int(key, 16) if key else None)
        except ValueError as exc:
            raise parameter_invalid(f"key {key!r} is no hash key") from exc
        return json_answer([_describe(store.shard(number)) for number in (call.shard or 0, *children)])

    def _merge_shard(self, store: Logstore, call: Call, _request: Request) -> Answer:
        child = store.shard(store.merge(call.shard or 0))
        return json_answer([_describe(child), *(_describe(store.shard(number)) for number in child.parents)])

    def _put_logs(self, store: Logstore, _call: Call, request: Request) -> Answer:
        group = _decompress(request)
        check_group(group)
        if request.path.endswith("/route"):
            try:
                key = int(request.query.get("key", ""), 16)
            except ValueError as exc:
                raise parameter_invalid("key is no hash key") from exc
            store.append_by_key(key, [group])
        else:
            store.append(None, [group])
        return Answer()

    # ------------------------------------------------------------------------------------------------ consumer groups

    def _list_groups(self, store: Logstore, _call: Call, _request: Request) -> Answer:
        with store.lock:
            groups = sorted(store.consumer_groups.values(), key=lambda group: group.name)
        return json_answer([{"name": g.name, "timeout": g.timeout_s, "order": g.in_order} for g in groups])

    def _create_group(self, store: Logstore, _call: Call, request: Request) -> Answer:
        body = _json_object(request)
        name = body.get("consumerGroup")
        if not isinstance(name, str) or not name:
            raise parameter_invalid("consumerGroup is missing")
        store.create_group(
            name,
            timeout_s=_timeout(body.get("timeout")),
            in_order=body.get("order") is True,
            quota=self.settings.max_consumer_groups,
        )
        return Answer()

    def _update_group(self, store: Logstore, call: Call, request: Request) -> Answer:
        body = _json_object(request)
        with store.lock:
            group = store.group(call.group)
            if "timeout" in body:
                group.timeout_s = _timeout(body["timeout"])
            if "order" in body:
                group.in_order = body["order"] is True
        return Answer()

    def _delete_group(self, store: Logstore, call: Call, _request: Request) -> Answer:
        with store.lock:
            store.group(call.group)
            del store.consumer_groups[call.group]
        return Answer()

    def _heartbeat(self, store: Logstore, call: Call, request: Request) -> Answer:
        reported = _json(request)
        if not isinstance(reported, list) or not all(type(shard) is int for shard in reported) or not call.consumer:
            raise parameter_invalid("a heartbeat needs a consumer and a list of shards")
        answered: list[int] = []
        refused = ""
        with store.lock:
            try:
                answered = store.group(call.group).heartbeat(call.consumer, reported, store.shards())
            except RefusalError as refusal:
                refused = refusal.code
                raise
            finally:
                where = f"{store.project}/{store.name}"
                self.history.record_heartbeat(
                    Heartbeat(where, call.group, call.consumer, tuple(reported), tuple(answered), refused)
                )
        return json_answer(answered)

    def _get_checkpoint(self, store: Logstore, call: Call, _request: Request) -> Answer:
        with store.lock:
            group = store.group(call.group)
            shards = store.shards() if call.shard is None else [store.shard(call.shard)]
            return json_answer([_checkpoint(group, shard) for shard in shards])

    def _save_checkpoint(self, store: Logstore, call: Call, request: Request) -> Answer:
        body = _json_object(request)
        number, cursor = body.get("shard"), body.get("checkpoint")
        if type(number) is not int or not isinstance(cursor, str):
            raise RefusalError(400, "InvalidShardCheckPoint", "shard or checkpoint is missing")
        forced = request.query.get("forceSuccess", "").lower() == "true"
        refused = ""
        with store.lock:
            group = store.group(call.group)
            old, owner = group.checkpoint(number).position, group.owner(number)
            try:
                _check_saved(store.shard(number), cursor)
                if not forced:
                    group.check_owner(call.consumer, number)
                group.save(number, cursor, call.consumer)
            except RefusalError as refusal:
                refused = refusal.code
                raise
            finally:
                where, new = f"{store.project}/{store.name}", to_position(cursor)
                self.history.record_save(
                    Save(
                        where, call.group, number, old, new, call.consumer, forced, owner, refused, request.received_at
                    )
                )
        return Answer()


def _check_permission(key: AccessKey, call: Call, project: str) -> None:
    action = RAM_ACTIONS.get(call.kind, "")
    if action in key.denied:
        # The service answers 401 here and not 403: aliyun-log-go-sdk issue 38, kube-eventer issue 193.
        resource = f"acs:log:emulator:1234567890:project/{project}/logstore/{call.logstore}"
        raise RefusalError(401, "Unauthorized", f"denied by sts or ram, action: {action}, resource: {resource}")


def _check_saved(shard: Shard, cursor: str) -> None:
    position = to_position(cursor)
    if position is None or not shard.base <= position <= shard.end:
        raise RefusalError(400, "InvalidShardCheckPoint", f"{cursor!r} is no cursor of shard {shard.number}")


def _describe(shard: Shard) -> dict[str, Any]:
    return {
        "shardID": shard.number,
        "status": "readonly" if shard.read_only else "readwrite",
        "inclusiveBeginKey": f"{shard.keys.begin:032x}",
        "exclusiveEndKey": f"{shard.keys.end:032x}",
        "createTime": shard.created,
    }


def _checkpoint(group: ConsumerGroup, shard: Shard) -> dict[str, Any]:
    saved = group.checkpoint(shard.number)
    return {
        "shard": shard.number,
        "checkpoint": saved.cursor,
        "updateTime": saved.update_time,
        "consumer": saved.consumer,
    }


def _timeout(value: object) -> int:
    if type(value) is not int or value < 1:
        raise parameter_invalid(f"timeout {value!r} is no number of seconds")
    return value


def _json(request: Request) -> Any:
    try:
        return json.loads(request.body)
    except ValueError as exc:
        raise parameter_invalid("the body is not JSON") from exc


def _json_object(request: Request) -> dict[str, Any]:
    value = _json(request)
    if not isinstance(value, dict):
        raise parameter_invalid("the body is not a JSON object")
    return value


def _decompress(request: Request) -> bytes:
    size = request.headers.get("x-log-bodyrawsize", "")
    if not size.isdigit():
        raise RefusalError(400, "MissingBodyRawSize", "x-log-bodyrawsize is missing or no number")
    codec = request.headers.get("x-log-compresstype", "").lower()
    try:
        raw = _expand(codec, request.body, int(size))
    except (lz4.block.LZ4BlockError, zlib.error, ValueError) as exc:
        raise RefusalError(400, "PostBodyInvalid", f"the body cannot be decompressed: {exc}") from exc
    if len(raw) != int(size):
        raise RefusalError(400, "InvalidBodyRawSize", f"the body has {len(raw)} bytes, not {size}")
    return raw


def _expand(codec: str, body: bytes, size: int) -> bytes:
    if codec == "lz4":
        return bytes(lz4.block.decompress(body, uncompressed_size=size))
    if codec == "deflate":
        return zlib.decompress(body)
    if codec == "zstd" and zstd_available:
        return zstd_decompress(body)
    if codec:
        raise RefusalError(400, "InvalidCompressType", f"x-log-compresstype {codec} is unsupported")
    return body
