"""Which SLS call a request is: by method, path and `type` or `action`, as section "Calls" of the API has them."""

from __future__ import annotations

import ipaddress
import re

from sls_siem.emulator.sls.faults import Call
from sls_siem.emulator.sls.http1 import Request

_STORE = re.compile(r"/logstores/([^/]+)(?:/(.*))?")
_SHARD = re.compile(r"shards/(\d+)")
_GROUP = re.compile(r"consumergroups/([^/]+)")

# The permission that each call needs. Source: SLS, RAM action list.
RAM_ACTIONS = {
    "pull": "log:GetCursorOrData",
    "cursor": "log:GetCursorOrData",
    "cursor_time": "log:GetCursorOrData",
    "list_shards": "log:ListShards",
    "split_shard": "log:SplitShard",
    "merge_shard": "log:MergeShards",
    "get_logstore": "log:GetLogStore",
    "list_logstores": "log:ListLogStores",
    "put_logs": "log:PostLogStoreLogs",
    "list_groups": "log:ListConsumerGroup",
    "create_group": "log:CreateConsumerGroup",
    "update_group": "log:UpdateConsumerGroup",
    "delete_group": "log:DeleteConsumerGroup",
    "heartbeat": "log:ConsumerGroupHeartBeat",
    "save_checkpoint": "log:ConsumerGroupUpdateCheckPoint",
    "get_checkpoint": "log:GetConsumerGroupCheckPoint",
}
_STORE_CALLS = {
    ("GET", ""): "get_logstore",
    ("GET", "shards"): "list_shards",
    ("POST", "shards/lb"): "put_logs",
    ("POST", "shards/route"): "put_logs",
    ("GET", "consumergroups"): "list_groups",
    ("POST", "consumergroups"): "create_group",
}
_SHARD_CALLS = {
    ("GET", "log"): "pull",
    ("GET", "cursor"): "cursor",
    ("GET", "cursor_time"): "cursor_time",
    ("POST", "split"): "split_shard",
    ("POST", "merge"): "merge_shard",
}
_GROUP_CALLS = {
    ("POST", "heartbeat"): "heartbeat",
    ("POST", "checkpoint"): "save_checkpoint",
    ("GET", ""): "get_checkpoint",
    ("PUT", ""): "update_group",
    ("DELETE", ""): "delete_group",
}


def project_of(request: Request) -> str:
    """Take the project from the Host header's first label; empty when it is a bare address or a bare name."""
    host = request.headers.get("host", "")
    bare = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    try:
        ipaddress.ip_address(bare.strip("[]"))
    except ValueError:
        label, dot, _ = bare.partition(".")
        return label if dot else ""
    return ""


def classify(request: Request) -> Call:
    """Name the call; `unknown` when the API has no such thing."""
    path = request.path.rstrip("/")
    if path == "/logstores":
        return Call("list_logstores" if request.method == "GET" else "unknown")
    found = _STORE.fullmatch(path)
    if not found:
        return Call("unknown")
    logstore, rest = found.group(1), found.group(2) or ""
    shard, group = _SHARD.fullmatch(rest), _GROUP.fullmatch(rest)
    if shard:
        kind = _SHARD_CALLS.get((request.method, request.query.get("type") or request.query.get("action", "")))
        return Call(kind or "unknown", logstore, int(shard.group(1)))
    if group:
        return _classify_group(request, logstore, group.group(1))
    return Call(_STORE_CALLS.get((request.method, rest), "unknown"), logstore)


def _classify_group(request: Request, logstore: str, group: str) -> Call:
    kind = _GROUP_CALLS.get((request.method, request.query.get("type", "")), "unknown")
    shard = request.query.get("shard", "") or _shard_in_body(request, kind)
    return Call(
        kind, logstore, int(shard) if shard.isdigit() else None, group=group, consumer=request.query.get("consumer", "")
    )


def _shard_in_body(request: Request, kind: str) -> str:
    if kind != "save_checkpoint":
        return ""
    found = re.search(rb'"shard"\s*:\s*(\d+)', request.body)
    return found.group(1).decode() if found else ""
