"""The reference encoder: walks a batch, has each log written and packed.

A group is all or nothing: either every wanted log of it can be walked, or none of it is yielded. To that end its
events are held back until the last one is written; when they take more than `HELD_BYTES`, the rest of the group is
walked for errors before the first of them is yielded, and then written.

It knows no format, no envelope, no frame and no size of payloads.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from typing import NamedTuple, Optional

from sls_siem.codec.event_id import hash_id
from sls_siem.codec.fastwalk import LogReader
from sls_siem.codec.model import Batch, Encoded, whole
from sls_siem.codec.packer import Packer
from sls_siem.codec.transform import Transform
from sls_siem.codec.wire import GroupMeta, Log, WireError, count_groups, walk_group, walk_list, walk_log
from sls_siem.codec.writers import GroupWriter, Writer, Written
from sls_siem.errors import CodecError

HELD_BYTES = 2 << 20


class _Group(NamedTuple):
    """The wanted logs of a group: `bounds` holds start and end of each; `first` is the place of the first of them."""

    number: int
    meta: GroupMeta
    bounds: array[int]
    first: int
    before: int


class ReferenceEncoder:
    """Encodes in plain Python; see `model.Encoder`.

    Args:
        writer: the output as configured.
        batch_bytes: most bytes in a payload.
        transform: what is left out and changed before anything is written; None: nothing.
    """

    def __init__(self, writer: Writer, batch_bytes: int, transform: Optional[Transform] = None) -> None:
        self._writer = writer
        self._transform = transform
        self._batch_bytes = batch_bytes
        self._reader = LogReader()

    def encode(self, batch: Batch) -> Iterator[Encoded]:
        """Yield the batch's events as payloads; see `model.Encoder`."""
        packer = Packer(batch, self._writer, self._batch_bytes)
        meta: Optional[GroupMeta] = None
        writer: Optional[GroupWriter] = None
        try:
            body = whole(batch.body)
            _check_count(batch, body)
            for group in _wanted_groups(batch, body):
                if writer is None or group.meta != meta:
                    meta, writer = group.meta, self._writer.open(self._shared(group.meta))
                packer.enter(group.number, group.before)
                place = group.first
                for written, raw in self._whole(batch, body, group, writer):
                    if packer.add(place, written, raw):
                        yield from packer.take()
                    place += 1
        except CodecError:
            yield from packer.finish()
            raise
        yield from packer.finish()

    def _shared(self, meta: GroupMeta) -> GroupMeta:
        return meta if self._transform is None else self._transform.group(meta)

    def split(self, data: bytes) -> list[bytes]:
        """Cut a payload's data back into its events; of syslog, into frames, of which a split event has several."""
        return self._writer.split(data)

    def event_id(self, batch: Batch, ordinal: int) -> str:
        """Name one event of the batch; see `model.Encoder`.

        Raises:
            CodecError: the batch cannot be walked.
            IndexError: it has no such event.
        """
        place, body = ordinal, whole(batch.body)
        for index, (start, end) in enumerate(walk_list(body)):
            with _Located(index):
                meta, bounds = walk_group(body, start, end)
                if 2 * place >= len(bounds):
                    place -= len(bounds) // 2
                elif batch.regrouped:
                    log = walk_log(body, bounds[2 * place], bounds[2 * place + 1])
                    return hash_id(batch.shard, meta, log).decode()
                else:
                    return f"{batch.shard}-{batch.position + index}-{place}"
        raise IndexError(f"the batch has no event {ordinal}")

    def _whole(self, batch: Batch, body: bytes, group: _Group, writer: GroupWriter) -> Iterator[tuple[Written, int]]:
        """Yield the events of a group with their size on the wire, none of them when one cannot be walked."""
        events = self._written(batch, body, group, writer)
        held: list[tuple[Written, int]] = []
        size = 0
        with _Located(group.number):
            for event in events:
                held.append(event)
                size += max(event[1], len(event[0] or b""))
                if size > HELD_BYTES:
                    self._walk(body, group.bounds[2 * len(held) :])
                    break
        # Let go of each as it is taken: a stalled receiver holds this generator for hours.
        held.reverse()
        while held:
            yield held.pop()
        yield from events

    def _written(self, batch: Batch, body: bytes, group: _Group, writer: GroupWriter) -> Iterator[tuple[Written, int]]:
        read = self._reader.read
        write = writer.write if self._transform is None else self._changing(self._transform, group.meta, writer)
        ends = iter(group.bounds)
        if batch.regrouped:
            for start, end in zip(ends, ends):
                log = read(body, start, end)
                yield write(log, hash_id(batch.shard, group.meta, log)), end - start
            return
        prefix = b"%d-%d-" % (batch.shard, batch.position + group.number)
        place = group.first
        for start, end in zip(ends, ends):
            yield write(read(body, start, end), b"%b%d" % (prefix, place)), end - start
            place += 1

    @staticmethod
    def _changing(transform: Transform, meta: GroupMeta, writer: GroupWriter) -> Callable[[Log, bytes], Written]:
        """Write logs as they are to be, and nothing of those that are left out."""

        def write(log: Log, ident: bytes) -> Written:
            return writer.write(transform.log(log), ident) if transform.keeps(meta, log) else None

        return write

    def _walk(self, body: bytes, bounds: array[int]) -> None:
        ends = iter(bounds)
        for start, end in zip(ends, ends):
            self._reader.read(body, start, end)


class _Located:
    """Turns an error of the walk into one that says in which group it happened."""

    def __init__(self, index: int) -> None:
        self._index = index

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: Optional[BaseException], _trace: object) -> None:
        if isinstance(error, WireError):
            raise CodecError(f"log group {self._index}: {error}", group_index=self._index) from error


def _wanted_groups(batch: Batch, body: bytes) -> Iterator[_Group]:
    """Yield the groups that have logs between `skip` and `limit`, with these logs only."""
    skip = batch.skip
    left = batch.limit
    before = 0
    for index, (start, end) in enumerate(walk_list(body)):
        if left == 0:
            return
        with _Located(index):
            meta, bounds = walk_group(body, start, end)
        logs = len(bounds) // 2
        first = min(skip, logs)
        wanted = logs - first if left is None else min(logs - first, left)
        if wanted:
            yield _Group(index, meta, bounds[2 * first : 2 * (first + wanted)], first, before)
        skip -= first
        before += logs
        if left is not None:
            left -= wanted


def _check_count(batch: Batch, body: bytes) -> None:
    """Refuse a batch whose groups are not those that were announced: no event's position would be known.

    A list that is cut off is reported later, when what comes before has been yielded.
    """
    if batch.regrouped:
        return
    groups = count_groups(body)
    if groups is not None and groups != batch.groups:
        raise CodecError(f"the body holds {groups} log groups, not {batch.groups} as announced")
