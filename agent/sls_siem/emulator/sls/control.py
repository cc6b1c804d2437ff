"""The control API: what tests and `demo` do to the emulator from another process, as JSON under `/_emulator/`.

`project` and `logstore` are arguments of each call; left out they mean the logstore that the emulator was started
with. Errors are 400 with `{"error": ...}`. Bytes are base64; in `logs` they are text with every byte that is not UTF-8
as a lone surrogate (`surrogateescape`), which JSON keeps.

GET, arguments in the query:
    health                              {"ok": true, "pid", "wall", "monotonic"}
    stats                               counts
    shards                              [{"shard", "base", "begin", "end", "read_only", "parents", "raw_bytes"}]
    groups [shard start limit]          [{"shard", "position", "received", "trimmed", "data"}], at most 10000
    logs [shard start limit]            one JSON line a log: {"shard", "position", "index", "received", "trimmed",
                                        "time", "time_ns", "topic", "source", "tags", "contents"}; limit counts groups
    consumers group                     {"consumers": {name: [shard]}, "timeout_s", "in_order",
                                        "checkpoints": {shard: {"cursor", "position", "consumer"}}}
    saves, heartbeats, pulls [after]    the records of `history`, those later than `after` (monotonic seconds)
    faults                              [{"fault", "action", "call", "shard", "struck": [monotonic seconds]}]
    feeds                               [{"feed", "first_seq", "appended", "appended_bytes", "running", "error", ...}]

POST, arguments in a JSON object:
    create-logstore shards ttl_days                      {"shards"}
    delete-logstore                                      {}
    append groups [shard received]                       {"shard", "position", "groups"}; groups are base64 LogGroups
    preload shard logs [profile logs_per_group seed repeat mb_per_s]  {"shard", "position", "groups", "raw_bytes"}
    feed [profile logs logs_per_group groups_per_append mb_per_s shard seed first_seq]  as in feeds
    stop-feed feed                                       as in feeds
    split shard [key]                                    {"children"}
    merge shard                                          {"child"}
    trim shard before | received_before | ttl            {"removed"}: before is a position, received_before epoch
                                                         seconds, ttl applies the logstore's retention
    remove-shard shard                                   {}
    processor name query                                 {}
    checkpoint group shard cursor                        {}: planted unchecked
    evict group consumer                                 {}
    fault action [call shard ...]                        {"fault"}: the members of `Fault`
    remove-fault fault                                   as in faults, for the last time
    clear-faults                                         {}
    settings ...                                         the members of `Settings`: all, after the change
    key key_id secret [token expires denied]             {}
    remove-key key_id                                    {}
    advance seconds                                      {}: receive times and group timeouts
    disconnect                                           {}: ends every connection, this one too
"""

from __future__ import annotations

import base64
import dataclasses
import json
import os
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Optional

from sls_siem.emulator.generate import LogSource
from sls_siem.emulator.loggroups import decode_group
from sls_siem.emulator.sls.cursors import to_position
from sls_siem.emulator.sls.faults import Fault
from sls_siem.emulator.sls.feed import FeedPlan
from sls_siem.emulator.sls.http1 import Answer, Request
from sls_siem.emulator.sls.refusal import RefusalError
from sls_siem.emulator.sls.shard import StoredGroup
from sls_siem.emulator.sls.store import Logstore

if TYPE_CHECKING:
    from sls_siem.emulator.sls.server import SlsEmulator

_Arguments = Mapping[str, Any]
_MAX_LISTED = 10_000


class Control:
    """Serves the control API of one emulator."""

    def __init__(self, emulator: SlsEmulator) -> None:
        self._emulator = emulator
        self._gets: dict[str, Callable[[_Arguments], object]] = {
            "health": self._health,
            "stats": lambda _: emulator.stats(),
            "shards": self._shards,
            "groups": self._groups,
            "consumers": self._consumers,
            "saves": lambda args: _later(emulator.history.saves, args),
            "heartbeats": lambda args: _later(emulator.history.heartbeats, args),
            "pulls": lambda args: _later(emulator.history.pulls, args),
            "faults": lambda _: [_describe_fault(fault) for fault in emulator.faults.all()],
            "feeds": lambda _: [feed.describe() for feed in emulator.feeds()],
        }
        self._posts: dict[str, Callable[[_Arguments], object]] = {
            "create-logstore": self._create_logstore,
            "delete-logstore": self._delete_logstore,
            "append": self._append,
            "preload": self._preload,
            "feed": self._feed,
            "stop-feed": self._stop_feed,
            "split": self._split,
            "merge": lambda args: {"child": self._store(args).merge(int(args["shard"]))},
            "trim": self._trim,
            "remove-shard": lambda args: self._store(args).remove_shard(int(args["shard"])),
            "processor": lambda args: self._store(args).processors.update({args["name"]: args["query"]}),
            "checkpoint": lambda args: self._store(args).set_checkpoint(
                args["group"], int(args["shard"]), args["cursor"]
            ),
            "evict": lambda args: self._store(args).group(args["group"]).evict(args["consumer"]),
            "fault": lambda args: {"fault": emulator.faults.add(Fault(**args)).number},
            "remove-fault": self._remove_fault,
            "clear-faults": lambda _: emulator.faults.clear(),
            "settings": self._settings,
            "key": self._key,
            "remove-key": lambda args: emulator.remove_key(args["key_id"]),
            "advance": lambda args: emulator.clock.advance(float(args["seconds"])),
            "disconnect": lambda _: emulator.disconnect(),
        }

    def handle(self, request: Request) -> Answer:
        """Answer one request under `/_emulator/`."""
        name = request.path.removeprefix("/_emulator/")
        try:
            if request.method == "GET" and name == "logs":
                return _answer(200, b"".join(self._logs(request.query)), "application/x-ndjson")
            table = self._gets if request.method == "GET" else self._posts
            if name not in table:
                return _json(404, {"error": f"no {request.method} {name}; there are {', '.join(table)}"})
            arguments = request.query if request.method == "GET" else _object(request.body)
            return _json(200, table[name](arguments) or {})
        except RefusalError as refusal:
            return _json(400, {"error": f"{refusal.code}: {refusal.message}"})
        except (KeyError, TypeError, ValueError) as exc:
            return _json(400, {"error": f"{name}: {type(exc).__name__}: {exc}"})

    def _store(self, args: _Arguments) -> Logstore:
        return self._emulator.logstore(args.get("project"), args.get("logstore"))

    # ----------------------------------------------------------------------------------------------------------- GETs

    def _health(self, _: _Arguments) -> object:
        clock = self._emulator.clock
        return {"ok": True, "pid": os.getpid(), "wall": clock.wall(), "monotonic": clock.monotonic()}

    def _shards(self, args: _Arguments) -> object:
        return [
            {
                "shard": shard.number,
                "base": shard.base,
                "begin": shard.begin,
                "end": shard.end,
                "read_only": shard.read_only,
                "parents": shard.parents,
                "raw_bytes": shard.raw_bytes,
            }
            for shard in self._store(args).shards()
        ]

    def _listing(self, args: _Arguments) -> Iterator[StoredGroup]:
        limit = min(_MAX_LISTED, _number(args, "limit") or _MAX_LISTED)
        return self._store(args).stored(_number(args, "shard"), _number(args, "start"), limit)

    def _groups(self, args: _Arguments) -> object:
        return [
            {
                "shard": group.shard,
                "position": group.position,
                "received": group.received,
                "trimmed": group.trimmed,
                "data": base64.b64encode(group.data).decode(),
            }
            for group in self._listing(args)
        ]

    def _logs(self, args: _Arguments) -> Iterator[bytes]:
        for stored in self._listing(args):
            group = decode_group(stored.data)
            common = {
                "shard": stored.shard,
                "position": stored.position,
                "received": stored.received,
                "trimmed": stored.trimmed,
                "topic": _text(group.topic),
                "source": _text(group.source),
                "tags": [[_text(key), _text(value)] for key, value in group.tags],
            }
            for index, log in enumerate(group.logs):
                contents = [[_text(key), _text(value)] for key, value in log.contents]
                own = {"index": index, "time": log.time, "time_ns": log.time_ns, "contents": contents}
                yield json.dumps({**common, **own}).encode() + b"\n"

    def _consumers(self, args: _Arguments) -> object:
        store = self._store(args)
        with store.lock:
            group = store.group(args["group"])
            saved = {shard.number: group.checkpoint(shard.number) for shard in store.shards()}
            return {
                "consumers": group.consumers(),
                "timeout_s": group.timeout_s,
                "in_order": group.in_order,
                "checkpoints": {
                    number: {"cursor": item.cursor, "position": to_position(item.cursor), "consumer": item.consumer}
                    for number, item in saved.items()
                },
            }

    # ---------------------------------------------------------------------------------------------------------- POSTs

    def _create_logstore(self, args: _Arguments) -> object:
        default = self._emulator.store
        made = self._emulator.create_logstore(
            args.get("project") or default.project,
            args.get("logstore") or default.name,
            shards=int(args.get("shards", 1)),
            ttl_days=int(args.get("ttl_days", 30)),
        )
        return {"shards": len(made.shards())}

    def _delete_logstore(self, args: _Arguments) -> None:
        store = self._store(args)
        self._emulator.projects.delete(store.project, store.name)

    def _append(self, args: _Arguments) -> object:
        groups = [base64.b64decode(group, validate=True) for group in args["groups"]]
        appended = self._store(args).append(_number(args, "shard"), groups, received=args.get("received"))
        return dataclasses.asdict(appended)

    def _preload(self, args: _Arguments) -> object:
        source = LogSource(args.get("profile", "nginx"), int(args.get("seed", 0)))
        logs, size = int(args["logs"]), int(args.get("logs_per_group", 100))
        groups = list(source.groups(logs, logs_per_group=size, time=int(self._emulator.clock.wall())))
        pace = float(args["mb_per_s"]) if args.get("mb_per_s") else None
        appended = self._store(args).preload(
            int(args["shard"]), groups, repeat=int(args.get("repeat", 1)), mb_per_s=pace
        )
        return {**dataclasses.asdict(appended), "raw_bytes": sum(map(len, groups))}

    def _feed(self, args: _Arguments) -> object:
        plan = {name: value for name, value in args.items() if name not in ("project", "logstore")}
        FeedPlan(**plan)  # wrong names are refused before anything starts
        return self._emulator.feed(self._store(args), **plan).describe()

    def _stop_feed(self, args: _Arguments) -> object:
        feed = next((feed for feed in self._emulator.feeds() if feed.number == args["feed"]), None)
        if feed is None:
            raise ValueError(f"no feed {args['feed']}")
        feed.stop()
        return feed.describe()

    def _remove_fault(self, args: _Arguments) -> object:
        fault = next((fault for fault in self._emulator.faults.all() if fault.number == args["fault"]), None)
        if fault is None:
            raise ValueError(f"no fault {args['fault']} is in force")
        self._emulator.faults.remove(fault)
        return _describe_fault(fault)

    def _split(self, args: _Arguments) -> object:
        key = args.get("key")
        return {"children": self._store(args).split(int(args["shard"]), int(key, 16) if key else None)}

    def _trim(self, args: _Arguments) -> object:
        store = self._store(args)
        if args.get("ttl"):
            return {"removed": store.apply_retention()}
        if "received_before" in args:
            return {"removed": store.trim_received(before=float(args["received_before"]))}
        return {"removed": store.trim(int(args["shard"]), before=int(args["before"]))}

    def _settings(self, args: _Arguments) -> object:
        settings = self._emulator.settings
        known = {member.name for member in dataclasses.fields(settings)}
        unknown = set(args) - known
        if unknown:
            raise ValueError(f"no setting {', '.join(sorted(unknown))}; there are {', '.join(sorted(known))}")
        for name, value in args.items():
            setattr(settings, name, value)
        return dataclasses.asdict(settings)

    def _key(self, args: _Arguments) -> None:
        self._emulator.add_key(
            args["key_id"],
            args["secret"],
            token=args.get("token"),
            expires=args.get("expires"),
            denied=frozenset(args.get("denied", ())),
        )


def _text(value: Optional[bytes]) -> Optional[str]:
    return None if value is None else value.decode("utf-8", "surrogateescape")


def _number(args: _Arguments, name: str) -> Optional[int]:
    return int(args[name]) if args.get(name) is not None else None


def _later(records: list[Any], args: _Arguments) -> object:
    after = float(args.get("after", 0))
    return [dataclasses.asdict(record) for record in records if record.at > after]


def _describe_fault(fault: Fault) -> dict[str, Any]:
    return {
        "fault": fault.number,
        "action": fault.action,
        "call": fault.call,
        "shard": fault.shard,
        "struck": list(fault.struck),
    }


def _object(body: bytes) -> _Arguments:
    value = json.loads(body or b"{}")
    if not isinstance(value, dict):
        raise TypeError("the body is no JSON object")
    return value


def _json(status: int, value: object) -> Answer:
    return _answer(status, json.dumps(value).encode(), "application/json")


def _answer(status: int, body: bytes, kind: str) -> Answer:
    return Answer(status, {"Content-Type": kind}, body)
