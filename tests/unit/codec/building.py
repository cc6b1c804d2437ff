"""Builds batches with protobuf's own library, and reads events back, independently of the codec."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

from hypothesis import strategies as st

from sls_siem.codec import EncoderSettings, make_encoder
from sls_siem.codec.model import Batch, Oversize, Payload
from sls_siem.emulator.loggroups import varint
from tests.unit.codec.schema import LogGroupList

Pair = tuple[bytes, bytes]


@dataclass(frozen=True)
class L:
    """A log to build."""

    time: int = 1433188255
    ns: Optional[int] = None
    contents: tuple[Pair, ...] = ()


@dataclass(frozen=True)
class G:
    """A log group to build."""

    logs: tuple[L, ...]
    topic: Optional[bytes] = None
    source: Optional[bytes] = None
    tags: tuple[Pair, ...] = field(default=())


def log(*contents: Pair, time: int = 1433188255, ns: Optional[int] = None) -> L:
    return L(time, ns, contents)


def group(*logs: L, topic: Optional[bytes] = None, source: Optional[bytes] = None, tags: Sequence[Pair] = ()) -> G:
    return G(logs, topic, source, tuple(tags))


def wire(groups: Sequence[G]) -> bytes:
    message = LogGroupList()
    for one in groups:
        built = message.LogGroups.add()
        if one.topic is not None:
            built.Topic = one.topic
        if one.source is not None:
            built.Source = one.source
        for key, value in one.tags:
            built.LogTags.add(Key=key, Value=value)
        for entry in one.logs:
            added = built.Logs.add(Time=entry.time)
            if entry.ns is not None:
                added.Time_ns = entry.ns
            for key, value in entry.contents:
                added.Contents.add(Key=key, Value=value)
    return message.SerializeToString()


def group_list(*sizes: int) -> bytes:
    """A LogGroupList whose groups have so many bytes, all zero: it can be walked, its groups cannot."""
    return b"".join(b"\x0a" + varint(size) + bytes(size) for size in sizes)


def batch(*groups: G, shard: int = 3, position: int = 1000, regrouped: bool = False) -> Batch:
    return Batch(shard, position, position + len(groups), len(groups), wire(groups), regrouped=regrouped)


def encode(settings: EncoderSettings, one: Batch) -> list[Any]:
    return list(make_encoder(settings).encode(one))


def pieces(settings: EncoderSettings, one: Batch) -> list[bytes]:
    """Encode and cut back into events (or frames)."""
    encoder = make_encoder(settings)
    found: list[bytes] = []
    for payload in encoder.encode(one):
        assert isinstance(payload, Payload)
        found += encoder.split(payload.data)
    return found


def one_piece(settings: EncoderSettings, *groups: G) -> bytes:
    (piece,) = pieces(settings, batch(*groups))
    return piece


def text(raw: bytes) -> str:
    """Write bytes as the codec has to, in the words of Python's own codec."""
    return raw.decode("utf-8", "backslashreplace")


def unique(names: Sequence[str], taken: Sequence[str] = ()) -> list[str]:
    """Name members by the rule, the slow way."""
    used = set(taken)
    found = []
    for name in names:
        chosen, number = name, 2
        while chosen in used:
            chosen, number = f"{name}_{number}", number + 1
        used.add(chosen)
        found.append(chosen)
    return found


def members(one: G, entry: L, *, marks: Sequence[tuple[str, str]] = ()) -> list[tuple[str, Any]]:
    """List what an event has to hold, in order."""
    found: list[tuple[str, Any]] = [("__time__", entry.time)]
    if entry.ns is not None:
        found.append(("__time_ns_part__", entry.ns))
    if one.topic is not None:
        found.append(("__topic__", text(one.topic)))
    if one.source is not None:
        found.append(("__source__", text(one.source)))
    found += [("__tag__:" + text(key), text(value)) for key, value in one.tags]
    found += marks
    found += [(text(key), text(value)) for key, value in entry.contents]
    return list(zip(unique([name for name, _ in found]), [value for _, value in found]))


def events_of(one: Any) -> int:
    return 1 if isinstance(one, Oversize) else one.events


# ------------------------------------------------------------------------------------------------------- strategies

HOSTILE = [
    b"",
    b"\x00",
    b"\r\n",
    b'"',
    b"\\",
    b"\\\\",
    b"]",
    b"||",
    b"|",
    b"=",
    b"%b%d%",
    b"{x}",
    b"\x12",
    b"\x12\x05\n\x01a\x12\x00",
    "😀".encode(),
    "\u2028\x7f\u00e9".encode(),
    b"\xff",
    b"\\xff",
    b"\xed\xa0\x80",
    b"\xc0\xaf",
    b"\xf4\x90\x80\x80",
    b"\xe2\x82",
    b'{"a":1}',
    b'[1,\n"\\ud800"]',
    b"__truncated__",
]
KEYS = [
    b"a",
    b"a",
    b"a_2",
    b"x",
    b"x_2",
    b"",
    b"event",
    b"content",
    b"sls_id",
    b"sls_replay",
    b"__time__",
    b"__time_ns_part__",
    b"__topic__",
    b"__source__",
    b"__tag__:k",
    b"__truncated__",
]

values = st.one_of(
    st.sampled_from(HOSTILE),
    st.text(max_size=20).map(lambda found: found.encode("utf-8", "replace")),
    st.binary(max_size=20),
    st.lists(st.sampled_from(HOSTILE), max_size=4).map(b"".join),
)
keys = st.one_of(st.sampled_from(KEYS), values)
nanoseconds = st.one_of(st.none(), st.integers(0, 999_999_999), st.integers(0, 2**32 - 1))
logs = st.builds(L, st.integers(0, 2**32 - 1), nanoseconds, st.lists(st.tuples(keys, values), max_size=6).map(tuple))
optional = st.one_of(st.none(), values)
groups = st.builds(
    G,
    st.lists(logs, max_size=4).map(tuple),
    optional,
    optional,
    st.lists(st.tuples(st.one_of(st.just(b"k"), values), values), max_size=3).map(tuple),
)
batches = st.lists(groups, min_size=1, max_size=4)
