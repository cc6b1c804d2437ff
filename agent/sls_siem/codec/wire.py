"""Walk LogGroupList, LogGroup and Log in protobuf wire form; the specification of how malformed input is treated.

Schema (proto2, log_logs.proto of the Aliyun Log SDK):

    LogGroupList { repeated LogGroup LogGroups = 1 }
    LogGroup     { repeated Log Logs = 1; optional string Reserved = 2, Topic = 3, Source = 4, MachineUUID = 5;
                   repeated LogTag LogTags = 6 }
    Log          { required uint32 Time = 1; repeated Content Contents = 2; optional fixed32 Time_ns = 4 }
    Content      { required string Key = 1, Value = 2 }        LogTag likewise

Rules, over and above the protobuf encoding:

- Strings are bytes; nothing here looks at their UTF-8.
- Of a singular field that comes several times the last one counts, as in every protobuf parser.
- An absent `Time` is 0, an absent `Key` or `Value` is empty: a log that can be read is not given up for it.
- A known field with another wire type is an error, not an unknown field: skipping it would lose a log silently.
- Unknown fields are skipped, groups (wire types 3 and 4) included, nested up to 100 deep.
- A varint has at most ten bytes and 64 bits; of `Time` the low 32 bits count. Needless continuation bytes are legal.
- A length may not reach beyond the end of the message around it.

It knows nothing of formats, positions and outputs.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Optional

from sls_siem.errors import CodecError

_VARINT, _FIXED64, _LENGTH, _START_GROUP, _END_GROUP, _FIXED32 = range(6)
_DEEPEST = 100


class WireError(ValueError):
    """The bytes are no message of the schema; turned into `CodecError` where the group's index is known."""


@dataclass(frozen=True)
class GroupMeta:
    """What the logs of a group share, as bytes from the wire; None: absent."""

    topic: Optional[bytes]
    source: Optional[bytes]
    tags: tuple[tuple[bytes, bytes], ...]


class Log(NamedTuple):
    """One log, as bytes from the wire; `keys` and `values` are its contents in order."""

    time: int
    ns: Optional[int]
    keys: tuple[bytes, ...]
    values: tuple[bytes, ...]


def read_varint(body: bytes, pos: int, end: int) -> tuple[int, int]:
    """Read a varint that starts at `pos` and return it with the position after it."""
    value = shift = 0
    while pos < end:
        byte = body[pos]
        pos += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >> 64:
                break
            return value, pos
        shift += 7
        if shift == 70:
            break
    else:
        raise WireError(f"a number is cut off at byte {pos}")
    raise WireError(f"a number before byte {pos} has more than 64 bits")


def _read_length(body: bytes, pos: int, end: int) -> tuple[int, int]:
    """Read a length, mostly of one or two bytes, and return start and end of what it measures."""
    if pos + 1 < end and body[pos] < 0x80:
        size, start = body[pos], pos + 1
    elif pos + 1 < end and body[pos + 1] < 0x80:
        size, start = body[pos] & 0x7F | body[pos + 1] << 7, pos + 2
    else:
        size, start = read_varint(body, pos, end)
    if size > end - start:
        raise WireError(f"a length of {size} at byte {pos} reaches beyond the end at byte {end}")
    return start, start + size


def _skip(body: bytes, pos: int, end: int, tag: int, depth: int = 0) -> int:
    """Skip the value of a field whose tag has just been read."""
    kind = tag & 7
    if tag >> 3 == 0 or tag >> 32:
        raise WireError(f"tag {tag} before byte {pos} has no valid field number")
    if kind == _VARINT:
        return read_varint(body, pos, end)[1]
    if kind == _LENGTH:
        return _read_length(body, pos, end)[1]
    if kind in (_FIXED64, _FIXED32):
        pos += 8 if kind == _FIXED64 else 4
        if pos > end:
            raise WireError(f"a fixed-size field is cut off at byte {end}")
        return pos
    if kind == _START_GROUP:
        return _skip_group(body, pos, end, tag, depth)
    raise WireError(f"wire type {kind} at byte {pos} is not one, or ends a group that was not started")


def _skip_group(body: bytes, pos: int, end: int, tag: int, depth: int) -> int:
    if depth == _DEEPEST:
        raise WireError(f"groups are nested more than {_DEEPEST} deep at byte {pos}")
    while pos < end:
        inner, pos = read_varint(body, pos, end)
        if inner == tag - _START_GROUP + _END_GROUP:
            return pos
        pos = _skip(body, pos, end, inner, depth + 1)
    raise WireError(f"a group is not closed before byte {end}")


def _known(tag: int, wanted: int) -> bool:
    """Tell whether the tag is the wanted one.

    Raises:
        WireError: the field number is the wanted one but the wire type is not.
    """
    if tag == wanted:
        return True
    if tag >> 3 == wanted >> 3:
        raise WireError(f"field {tag >> 3} has wire type {tag & 7}, not {wanted & 7}")
    return False


def walk_list(body: bytes) -> Iterator[tuple[int, int]]:
    """Yield start and end of every log group, in order.

    Raises:
        CodecError: `group_index` is that of the group that is cut off, -1 when the list around the groups is broken.
    """
    pos, end, index = 0, len(body), 0
    while pos < end:
        ours = False
        try:
            tag, pos = read_varint(body, pos, end)
            ours = _known(tag, 0x0A)
            if ours:
                start, pos = _read_length(body, pos, end)
            else:
                start, pos = 0, _skip(body, pos, end, tag)
        except WireError as exc:
            raise CodecError(f"log group list: {exc}", group_index=index if ours else -1) from exc
        if ours:
            yield start, pos
            index += 1


def walk_group(body: bytes, start: int, end: int) -> tuple[GroupMeta, array[int]]:
    """Read what the logs of a group share, and where they are: start and end of each log in turn, in one flat array."""
    topic: Optional[bytes] = None
    source: Optional[bytes] = None
    tags: list[tuple[bytes, bytes]] = []
    logs = array("I")
    add = logs.append
    pos = start
    while pos < end:
        tag = body[pos]
        pos += 1
        if tag >= 0x80:
            tag, pos = read_varint(body, pos - 1, end)
        if tag == 0x0A:
            first, pos = _read_length(body, pos, end)
            add(first)
            add(pos)
        elif _known(tag, 0x1A):
            first, pos = _read_length(body, pos, end)
            topic = body[first:pos]
        elif _known(tag, 0x22):
            first, pos = _read_length(body, pos, end)
            source = body[first:pos]
        elif _known(tag, 0x32):
            first, pos = _read_length(body, pos, end)
            tags.append(read_pair(body, first, pos))
        else:
            _known(tag, 0x0A)
            pos = _skip(body, pos, end, tag)
    return GroupMeta(topic, source, tuple(tags)), logs


def walk_log(body: bytes, start: int, end: int) -> Log:
    """Read one log."""
    time = 0
    ns: Optional[int] = None
    keys: list[bytes] = []
    values: list[bytes] = []
    pos = start
    while pos < end:
        tag, pos = read_varint(body, pos, end)
        if tag == 0x12:
            first, pos = _read_length(body, pos, end)
            key, value = read_pair(body, first, pos)
            keys.append(key)
            values.append(value)
        elif _known(tag, 0x08):
            time, pos = read_varint(body, pos, end)
        elif _known(tag, 0x25):
            first, pos = pos, _skip(body, pos, end, tag)
            ns = int.from_bytes(body[first:pos], "little")
        else:
            _known(tag, 0x12)
            pos = _skip(body, pos, end, tag)
    return Log(time & 0xFFFFFFFF, ns, tuple(keys), tuple(values))


def read_pair(body: bytes, start: int, end: int) -> tuple[bytes, bytes]:
    """Read a Content or a LogTag: its key and its value."""
    key = value = b""
    pos = start
    while pos < end:
        tag, pos = read_varint(body, pos, end)
        if _known(tag, 0x0A):
            first, pos = _read_length(body, pos, end)
            key = body[first:pos]
        elif _known(tag, 0x12):
            first, pos = _read_length(body, pos, end)
            value = body[first:pos]
        else:
            pos = _skip(body, pos, end, tag)
    return key, value


def count_groups(body: bytes) -> Optional[int]:
    """Count the log groups of a LogGroupList, without looking into them; None when it cannot be walked.

    Args:
        body: LogGroupList in wire form, decompressed.
    """
    position, end, count = 0, len(body), 0
    while position < end:
        # A length of up to four bytes, which all have that the service sends; anything else goes the long way.
        if body[position] != 0x0A or position + 5 > end:
            return _count_slowly(body)
        size = body[position + 1]
        position += 2
        shift = 7
        while size >> shift and shift < 28:
            size = size - (1 << shift) + (body[position] << shift)
            position += 1
            shift += 7
        if size >> shift:
            return _count_slowly(body)
        position += size
        count += 1
    return count if position == end else None


def _count_slowly(body: bytes) -> Optional[int]:
    try:
        return sum(1 for _ in walk_list(body))
    except CodecError:
        return None


def group_sizes(body: bytes) -> list[int]:
    """Count the logs of each group of a LogGroupList, without looking into the logs.

    Args:
        body: LogGroupList in wire form, decompressed.

    Raises:
        CodecError: a group, or the list, cannot be walked.
    """
    sizes = []
    for index, (start, end) in enumerate(walk_list(body)):
        try:
            sizes.append(len(walk_group(body, start, end)[1]) // 2)
        except WireError as exc:
            raise CodecError(f"log group {index}: {exc}", group_index=index) from exc
    return sizes


def count_events(body: bytes) -> int:
    """Count the logs of a LogGroupList; as `group_sizes`."""
    return sum(group_sizes(body))
