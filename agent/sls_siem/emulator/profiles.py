"""The kinds of logs that `generate` makes: web access, audit trail, firewall; `hostile` has its own file.

Sizes and shapes follow what the vendor's log services write: nginx access logs of about 570 bytes in 12 fields,
ActionTrail events of about 1.4 kB with one JSON value, WAF logs of about 4 kB with long values.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from typing import Optional, Protocol

from sls_siem.emulator.hostile import Hostile
from sls_siem.emulator.loggroups import Pair, encode_pair, field

Metadata = tuple[Optional[bytes], Optional[bytes], tuple[Pair, ...]]


class Profile(Protocol):
    """One kind of log."""

    @property
    def metadata(self) -> Sequence[Metadata]:
        """Topic, source and tags of log groups, used in turn."""
        ...

    def contents(self, seq: int, mixed: int) -> tuple[bytes, bytes]:
        """Encode a log's contents, and what follows them (Time_ns or nothing).

        Args:
            seq: sequence number.
            mixed: 64 bits that look random and follow from seed and number.
        """
        ...


def _pool(key: str, values: Sequence[str]) -> list[bytes]:
    return [encode_pair(2, key.encode(), value.encode()) for value in values]


def _content(key: bytes, value: bytes) -> bytes:
    return field(2, field(1, key) + field(2, value))


def seq_content(seq: int) -> bytes:
    return _content(b"seq", b"%d" % seq)


def _hosts(path: str, topic: bytes) -> list[Metadata]:
    tags = [
        (
            (b"__hostname__", b"web-%02d" % number),
            (b"__path__", path.encode()),
            (b"__pack_id__", b"5F1C%04X-1A" % number),
        )
        for number in range(8)
    ]
    return [(topic, b"10.24.3.%d" % (10 + number), pairs) for number, pairs in enumerate(tags)]


def _vocabulary(words: int) -> tuple[str, ...]:
    rng = random.Random("vocabulary")
    letters = "etaoinshrdlucmfwypvbgkqjxz"
    return tuple("".join(rng.choices(letters, k=rng.randint(3, 9))) for _ in range(words))


_VOCABULARY = _vocabulary(600)


def _words(rng: random.Random, count: int) -> str:
    return "-".join(rng.choices(_VOCABULARY, k=count))


def _hex(rng: random.Random, digits: int) -> str:
    return f"{rng.getrandbits(4 * digits):0{digits}x}"


def _address(rng: random.Random) -> str:
    return f"{rng.randint(1, 223)}.{rng.randint(0, 255)}.{rng.randint(0, 255)}.{rng.randint(1, 254)}"


_AGENTS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{0}.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS {0}_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
    "Mozilla/5.0 (X11; Linux x86_64; rv:{0}.0) Gecko/20100101 Firefox/{0}.0 (compatible; monitoring; synthetic client)",
)


class Nginx:
    """Access logs in 13 fields, about 570 bytes each."""

    def __init__(self, seed: int) -> None:
        rng = random.Random(f"nginx/{seed}")
        self.metadata = _hosts("/var/log/nginx/access.log", b"nginx_access_log")
        paths = [
            f"/api/v{rng.randint(1, 3)}/{_words(rng, 3)}/{_hex(rng, 12)}?p={rng.randint(1, 99)}&from={_words(rng, 4)}"
            for _ in range(1999)
        ]
        # The lengths share no factor, so that the combinations repeat only after a very long time.
        self._pools = (
            _pool("remote_addr", [_address(rng) for _ in range(1021)]),
            _pool("request_method", ["GET"] * 7 + ["POST"] * 3 + ["PUT"]),
            _pool("request_uri", paths),
            _pool("status", ["200"] * 17 + ["304", "404", "500", "302", "499", "200"]),
            _pool("body_bytes_sent", [str(rng.randint(80, 90_000)) for _ in range(509)]),
            _pool("request_time", [f"{rng.random() * 2:.3f}" for _ in range(251)]),
            _pool("http_referer", [f"https://www.{_words(rng, 1)}.example.com/{_words(rng, 3)}" for _ in range(383)]),
            _pool("http_user_agent", [agent.format(rng.randint(90, 131)) for _ in range(43) for agent in _AGENTS]),
            _pool("host", [f"{_words(rng, 1)}.shop.example.com" for _ in range(31)]),
            _pool("upstream_addr", [f"172.16.{rng.randint(0, 15)}.{rng.randint(2, 250)}:8080" for _ in range(61)]),
        )

    def contents(self, seq: int, mixed: int) -> tuple[bytes, bytes]:
        picked = [pool[mixed % len(pool)] for pool in self._pools]
        picked.append(b"\x12\x2e\x0a\x0a" + b"request_id" + b"\x12\x20%016x%016x" % (mixed, seq))
        picked.append(seq_content(seq))
        return b"".join(picked), b""


class ActionTrail:
    """Audit events: one field `event` with 1.2 kB of JSON."""

    def __init__(self, seed: int) -> None:
        rng = random.Random(f"actiontrail/{seed}")
        self.metadata: list[Metadata] = [(b"actiontrail_audit_event", b"actiontrail_internal", ())]
        self._events = [json.dumps(_audit_event(rng), separators=(",", ":")).encode() for _ in range(1021)]

    def contents(self, seq: int, mixed: int) -> tuple[bytes, bytes]:
        event = self._events[mixed % len(self._events)]
        unique = b'{"eventId":"%016x-%d",' % (mixed, seq) + event[1:]
        return _content(b"event", unique) + seq_content(seq), b""


def _audit_event(rng: random.Random) -> dict[str, object]:
    service = rng.choice(("Ecs", "Oss", "Ram", "Rds", "Slb", "Vpc"))
    region = rng.choice(("cn-hangzhou", "cn-shanghai", "ap-southeast-1", "eu-central-1"))
    return {
        "acsRegion": region,
        "additionalEventData": {"CallbackUrl": f"https://{service.lower()}.console.example.com/{_words(rng, 2)}"},
        "apiVersion": "2014-05-26",
        "eventCategory": "Management",
        "eventName": rng.choice(("Describe", "Create", "Delete", "Modify")) + service + _words(rng, 1).title(),
        "eventRW": rng.choice(("Read", "Write")),
        "eventSource": f"{service.lower()}.{region}.example.com",
        "eventTime": f"2026-11-{rng.randint(1, 30):02d}T{rng.randint(0, 23):02d}:{rng.randint(0, 59):02d}:07Z",
        "eventType": "ApiCall",
        "eventVersion": "1",
        "isGlobal": False,
        "referencedResources": {f"ACS::{service}::Instance": [f"i-{_hex(rng, 20)}" for _ in range(3)]},
        "requestId": _hex(rng, 32).upper(),
        "requestParameterJson": json.dumps(
            {
                "RegionId": region,
                "Token": _hex(rng, 40),
                "Name": _words(rng, 6),
                "Tags": [{"Key": _words(rng, 2), "Value": _words(rng, 2)} for _ in range(4)],
            }
        ),
        "responseElements": {"RequestId": _hex(rng, 32), "TotalCount": rng.randint(0, 99)},
        "serviceName": service,
        "sourceIpAddress": _address(rng),
        "userAgent": f"AlibabaCloud (linux; amd64) Java/1.8.0_{rng.randint(100, 400)} Core/4.5.{rng.randint(0, 30)}",
        "userIdentity": {
            "accessKeyId": f"LTAI{_hex(rng, 20)}",
            "accountId": str(rng.randint(10**15, 10**16)),
            "principalId": str(rng.randint(10**17, 10**18)),
            "type": "ram-user",
            "userName": f"{_words(rng, 1)}@example.com",
        },
    }


class Waf:
    """Firewall logs with long values, about 4 kB each, with nanoseconds."""

    def __init__(self, seed: int) -> None:
        rng = random.Random(f"waf/{seed}")
        self.metadata: list[Metadata] = [(b"waf_access_log", b"waf_access_log", ((b"__region__", b"cn"),))]
        rules = [f"{_words(rng, 2)}:{rng.randint(100000, 999999)}" for _ in range(97)]
        self._pools = (
            _pool("real_client_ip", [_address(rng) for _ in range(1021)]),
            _pool("matched_host", [f"{_words(rng, 1)}.example.com" for _ in range(31)]),
            _pool("request_path", [f"/{_words(rng, 4)}.php" for _ in range(509)]),
            _pool("querystring", [f"q={_words(rng, 130)}&sig={_hex(rng, 64)}" for _ in range(251)]),
            _pool("http_cookie", [f"session={_hex(rng, 64)}; track={_words(rng, 50)}" for _ in range(383)]),
            _pool("request_body", [json.dumps({"p": _words(rng, 270), "h": _hex(rng, 64)}) for _ in range(127)]),
            _pool("http_user_agent", [agent.format(rng.randint(90, 131)) for _ in range(43) for agent in _AGENTS]),
            _pool("final_plugin", ["waf", "acl", "cc", "dlp", "antiscan"]),
            _pool("final_action", ["block", "captcha", "js"]),
            _pool("final_rule_id", rules),
            _pool("status", ["405", "405", "200", "302", "405", "404", "405"]),
        )

    def contents(self, seq: int, mixed: int) -> tuple[bytes, bytes]:
        picked = [pool[mixed % len(pool)] for pool in self._pools]
        picked.append(_content(b"request_traceid", b"%016x%016x" % (mixed, seq)))
        picked.append(seq_content(seq))
        return b"".join(picked), b"\x25" + (mixed % 1_000_000_000).to_bytes(4, "little")


PROFILES: dict[str, Callable[[int], Profile]] = {
    "nginx": Nginx,
    "actiontrail": ActionTrail,
    "waf": Waf,
    "hostile": Hostile,
}
