"""Builds and reads log groups in protobuf wire form, so that the emulators need no protobuf library.

Source of the schema: aliyun-log-python-sdk, `log_logs.proto` (proto2): LogGroupList{LogGroup 1}, LogGroup{Log 1,
Reserved 2, Topic 3, Source 4, MachineUUID 5, LogTag 6}, Log{Time 1 varint, Content 2, Time_ns 4 fixed32},
Content and LogTag{Key 1, Value 2}. Keys and values are bytes here: the service does not promise UTF-8.

It must not know the agent's codec: what the tests compare against has to be read independently.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Optional, Union

Pair = tuple[bytes, bytes]
Text = Union[str, bytes]

_VARINT = 0
_FIXED64 = 1
_LEN = 2
_FIXED32 = 5


@dataclass(frozen=True)
class Log:
    """One log.

    Args:
        time: epoch seconds.
        contents: keys and values in wire order, duplicates kept.
        time_ns: nanoseconds within the second; None when absent on the wire.
    """

    time: int
    contents: tuple[Pair, ...]
    time_ns: Optional[int] = None


@dataclass(frozen=True)
class LogGroup:
    """One log group; `topic`, `source` and `machine_uuid` are None when absent on the wire."""

    logs: tuple[Log, ...]
    topic: Optional[bytes] = None
    source: Optional[bytes] = None
    tags: tuple[Pair, ...] = ()
    machine_uuid: Optional[bytes] = None


# ------------------------------------------------------------------------------------------------------------ encoding


def varint(value: int) -> bytes:
    """Encode an unsigned integer of up to 64 bits."""
    if value < 0x80:
        return bytes((value,))
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(number: int, data: bytes) -> bytes:
    """Encode one length-delimited field."""
    return varint(number << 3 | _LEN) + varint(len(data)) + data


def encode_pair(number: int, key: bytes, value: bytes) -> bytes:
    """Encode a Content (field 2 of Log) or a LogTag (field 6 of LogGroup)."""
    return field(number, field(1, key) + field(2, value))


def encode_log(log: Log) -> bytes:
    """Encode the body of one Log."""
    contents = b"".join(encode_pair(2, key, value) for key, value in log.contents)
    nanoseconds = b"" if log.time_ns is None else b"\x25" + log.time_ns.to_bytes(4, "little")
    return b"\x08" + varint(log.time) + contents + nanoseconds


def join_group(encoded_logs: Iterable[bytes], trailer: bytes) -> bytes:
    """Make a LogGroup of encoded Log bodies and its encoded metadata (see `encode_metadata`)."""
    parts: list[bytes] = []
    for log in encoded_logs:
        parts.append(b"\x0a" + varint(len(log)))
        parts.append(log)
    parts.append(trailer)
    return b"".join(parts)


def encode_metadata(
    topic: Optional[bytes],
    source: Optional[bytes],
    tags: Iterable[Pair] = (),
    machine_uuid: Optional[bytes] = None,
) -> bytes:
    """Encode everything of a LogGroup but its logs."""
    texts = ((3, topic), (4, source), (5, machine_uuid))
    encoded = b"".join(field(number, text) for number, text in texts if text is not None)
    return encoded + b"".join(encode_pair(6, key, value) for key, value in tags)


def encode_group(group: LogGroup) -> bytes:
    """Encode the body of one LogGroup."""
    metadata = encode_metadata(group.topic, group.source, group.tags, group.machine_uuid)
    return join_group((encode_log(log) for log in group.logs), metadata)


def encode_list(groups: Iterable[bytes]) -> bytes:
    """Make a LogGroupList of encoded LogGroup bodies."""
    return b"".join(field(1, group) for group in groups)


def make_group(
    logs: Iterable[Mapping[str, Text]],
    *,
    time: int,
    topic: Optional[Text] = "",
    source: Optional[Text] = "10.0.0.1",
    tags: Optional[Mapping[str, Text]] = None,
    time_ns: Optional[int] = None,
) -> bytes:
    """Encode a LogGroup from plain mappings: the short way for tests.

    Args:
        logs: one mapping of keys to values per log.
        time: epoch seconds of every log.
        topic: None leaves it out of the wire form.
        source: None leaves it out of the wire form.
        tags: tag keys without the `__tag__:` prefix.
        time_ns: nanoseconds of every log; None leaves them out.
    """
    encoded = tuple(Log(time, _pairs(log), time_ns) for log in logs)
    group = LogGroup(encoded, _optional_bytes(topic), _optional_bytes(source), _pairs(tags or {}))
    return encode_group(group)


def _pairs(mapping: Mapping[str, Text]) -> tuple[Pair, ...]:
    return tuple((_bytes(key), _bytes(value)) for key, value in mapping.items())


def _bytes(text: Text) -> bytes:
    return text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text


def _optional_bytes(text: Optional[Text]) -> Optional[bytes]:
    return None if text is None else _bytes(text)


# ------------------------------------------------------------------------------------------------------------- reading


def fields(data: bytes) -> Iterator[tuple[int, Union[int, bytes]]]:
    """Walk one protobuf message: field numbers with an int (varint, fixed) or bytes (length-delimited).

    Raises:
        ValueError: the bytes are not a protobuf message.
    """
    place = 0
    while place < len(data):
        key, place = _read_varint(data, place)
        kind = key & 7
        if kind == _VARINT:
            value, place = _read_varint(data, place)
            yield key >> 3, value
            continue
        if kind == _LEN:
            size, place = _read_varint(data, place)
        elif kind in (_FIXED32, _FIXED64):
            size = 4 if kind == _FIXED32 else 8
        else:
            raise ValueError(f"wire type {kind} at byte {place}")
        if place + size > len(data):
            raise ValueError(f"a field at byte {place} ends beyond the message")
        raw = data[place : place + size]
        place += size
        yield key >> 3, raw if kind == _LEN else int.from_bytes(raw, "little")


def _read_varint(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if place >= len(data) or shift > 63:
            raise ValueError(f"a varint at byte {place} does not end")
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
        shift += 7


def split_list(data: bytes) -> list[bytes]:
    """Cut a LogGroupList into the bodies of its LogGroups."""
    return [value for number, value in fields(data) if number == 1 and isinstance(value, bytes)]


def split_group(data: bytes) -> tuple[list[bytes], bytes]:
    """Cut a LogGroup into the bodies of its Logs and its encoded metadata, which `join_group` takes."""
    logs: list[bytes] = []
    metadata: list[bytes] = []
    for number, value in fields(data):
        if not isinstance(value, bytes):
            raise ValueError(f"field {number} of a LogGroup is a number")  # noqa: TRY004 - it is a value of the peer
        if number == 1:
            logs.append(value)
        else:
            metadata.append(field(number, value))
    return logs, b"".join(metadata)


def count_logs(group: bytes) -> int:
    return sum(1 for number, _ in fields(group) if number == 1)


def decode_group(data: bytes) -> LogGroup:
    """Read a LogGroup; of a repeated single field the last counts.

    Raises:
        ValueError: the bytes are not a LogGroup.
    """
    logs: list[Log] = []
    tags: list[Pair] = []
    texts: dict[int, bytes] = {}
    for number, value in fields(data):
        if not isinstance(value, bytes):
            raise ValueError(f"field {number} of a LogGroup is a number")  # noqa: TRY004 - it is a value of the peer
        if number == 1:
            logs.append(decode_log(value))
        elif number == 6:
            tags.append(_decode_pair(value))
        else:
            texts[number] = value
    return LogGroup(tuple(logs), texts.get(3), texts.get(4), tuple(tags), texts.get(5))


def decode_log(data: bytes) -> Log:
    """Read a Log.

    Raises:
        ValueError: the bytes are not a Log.
    """
    contents: list[Pair] = []
    numbers: dict[int, int] = {}
    for number, value in fields(data):
        if isinstance(value, int):
            numbers[number] = value
        elif number == 2:
            contents.append(_decode_pair(value))
    if 1 not in numbers:
        raise ValueError("a Log has no Time")
    return Log(numbers[1], tuple(contents), numbers.get(4))


def _decode_pair(data: bytes) -> Pair:
    found = {number: value for number, value in fields(data) if isinstance(value, bytes)}
    if 1 not in found or 2 not in found:
        raise ValueError("a Content or LogTag has no Key or no Value")
    return found[1], found[2]
