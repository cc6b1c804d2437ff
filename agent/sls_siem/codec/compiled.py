"""The compiled codec in the place of the reference: the same payloads from the distribution `sls-siem-codec`.

What the library is given has been checked and cut into pieces here, so that a mistake in the configuration is found
by the same code whichever codec is in use. It knows the library's interface and nothing of how it works.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from datetime import datetime, tzinfo
from functools import lru_cache
from typing import Optional, Protocol, Union, cast
from zoneinfo import ZoneInfo

from sls_siem.codec.model import Batch, Body, Encoded, Encoder, Oversize, Payload, Span
from sls_siem.codec.settings import EncoderSettings, SeverityBy, SyslogSettings, TransformSettings
from sls_siem.config.syslog_names import FACILITIES, SEVERITIES
from sls_siem.config.template import Field, parse_template
from sls_siem.errors import CodecError

_INTERFACE = 5
_FORMATS = ("json", "kv", "raw")
_DAY_S = 86_400
_LAST_TIME = (1 << 32) - 1

_Task = tuple[int, int, int, int, bool, int, Optional[int]]
_Found = tuple[Optional[str], bytes, int, int, int, int, int, list[int]]
_Pieces = list[tuple[bool, str]]


class _Encoding(Protocol):
    def next(self) -> Optional[_Found]: ...


class _Encoder(Protocol):
    def start(self, body: Body, batch: _Task) -> _Encoding: ...

    def event_id(self, body: Body, batch: _Task, ordinal: int) -> str: ...


class _Library(Protocol):
    """What the library offers to us."""

    __version__: str
    INTERFACE: int
    EncodeError: type[Exception]

    def Encoder(  # noqa: N802 - a class
        self, settings: Mapping[str, object], syslog: Optional[Mapping[str, object]]
    ) -> _Encoder: ...

    def count_groups(self, body: Body, *, packed: bool) -> Optional[int]: ...

    def group_sizes(self, body: Body) -> list[int]: ...

    def count_events(self, body: Body) -> int: ...

    def lz4_packed(self, data: bytes, size: int) -> Body: ...

    def lz4_decompress(self, data: bytes, size: int) -> Body: ...

    def zstd_decompress(self, data: bytes, size: int) -> Body: ...


@lru_cache(maxsize=1)
def load() -> Optional[Compiled]:
    """Find the compiled codec; None when it is not installed, does not start here, or has another interface."""
    try:
        library = cast("_Library", importlib.import_module("sls_siem_codec"))
    except ImportError:
        return None
    return Compiled(library) if getattr(library, "INTERFACE", None) == _INTERFACE else None


class Compiled:
    """The library, ready to be used.

    Args:
        library: the imported module.
    """

    def __init__(self, library: _Library) -> None:
        self._library = library
        self.version = library.__version__

    def make_encoder(self, settings: EncoderSettings, reference: Encoder) -> Optional[Encoder]:
        """Make an encoder; None when the library cannot do these settings.

        Args:
            settings: for which a reference encoder could be made.
            reference: that encoder.
        """
        if settings.format not in _FORMATS:
            return None
        syslog = _syslog_options(settings.syslog) if settings.output == "syslog" else None
        try:
            encoder = self._library.Encoder(_options(settings), syslog)
        except ValueError:
            return None
        return CompiledEncoder(self._library, encoder, reference)

    def count_groups(self, body: Body, *, packed: bool = False) -> Optional[int]:
        """Count the log groups; as `wire.count_groups`, but None also while they are compressed, unless `packed`."""
        return self._library.count_groups(body, packed=packed)

    def group_sizes(self, body: Body) -> list[int]:
        """Count the logs of each group; as `wire.group_sizes`."""
        try:
            return self._library.group_sizes(body)
        except self._library.EncodeError as exc:
            raise _codec_error(exc) from exc

    def count_events(self, body: Body) -> int:
        """Count the logs; as `wire.count_events`."""
        try:
            return self._library.count_events(body)
        except self._library.EncodeError as exc:
            raise _codec_error(exc) from exc

    def lz4_packed(self, data: bytes, size: int) -> Body:
        """Keep a raw block of lz4 that is said to hold `size` bytes, to be undone while it is encoded."""
        return self._library.lz4_packed(data, size)

    def lz4_decompress(self, data: bytes, size: int) -> Body:
        """Undo a raw block of lz4 that holds `size` bytes, into memory that other answers had before.

        Raises:
            ValueError: it cannot be undone, or holds another number of bytes.
        """
        return self._library.lz4_decompress(data, size)

    def zstd_decompress(self, data: bytes, size: int) -> Body:
        """Undo frames of zstd; as `lz4_decompress`."""
        return self._library.zstd_decompress(data, size)


class CompiledEncoder:
    """Encodes in compiled code; see `model.Encoder`. A fault of that code is a `CodecError` too.

    Args:
        library: the imported module.
        encoder: made by it.
        reference: for what needs no speed.
    """

    def __init__(self, library: _Library, encoder: _Encoder, reference: Encoder) -> None:
        self._error = library.EncodeError
        self._encoder = encoder
        self._reference = reference

    def encode(self, batch: Batch) -> Iterator[Encoded]:
        """Yield the batch's events as payloads; see `model.Encoder`."""
        try:
            encoding = self._encoder.start(batch.body, _task(batch))
            while (found := encoding.next()) is not None:
                event_id, data, start, end, skip, events, raw, omitted = found
                span = Span(start, end, skip, events)
                yield Payload(data, span, raw, tuple(omitted)) if event_id is None else Oversize(data, event_id, span)
        except self._error as exc:
            raise _codec_error(exc) from exc

    def split(self, data: bytes) -> list[bytes]:
        """Cut a payload's data back into its events; see `model.Encoder`."""
        return self._reference.split(data)

    def event_id(self, batch: Batch, ordinal: int) -> str:
        """Name one event of the batch; see `model.Encoder`.

        Raises:
            CodecError: the batch cannot be walked.
            IndexError: it has no such event.
        """
        try:
            return self._encoder.event_id(batch.body, _task(batch), ordinal)
        except self._error as exc:
            raise _codec_error(exc) from exc


def _codec_error(error: Exception) -> CodecError:
    message, group_index = error.args
    return CodecError(message, group_index=group_index)


def _task(batch: Batch) -> _Task:
    return (
        batch.shard,
        batch.position,
        batch.next_position,
        batch.groups,
        batch.regrouped,
        batch.skip,
        batch.limit,
    )


def _pieces(template: str) -> _Pieces:
    parts = parse_template(template)
    return [(True, part.name) if isinstance(part, Field) else (False, part.text) for part in parts]


def _options(settings: EncoderSettings) -> Mapping[str, object]:
    hec = settings.hec
    return {
        "output": settings.output,
        "logstore": settings.logstore,
        "format": settings.format,
        "json_fields": list(settings.json_fields),
        "raw_field": settings.raw_field,
        "event_id_field": settings.event_id_field,
        "batch_bytes": settings.batch_bytes,
        "replay": settings.replay,
        "hec": [_pieces(text) for text in (hec.host, hec.source, hec.sourcetype, hec.index)],
        "transform": None if settings.transform is None else _transform(settings.transform),
    }


def _transform(settings: TransformSettings) -> Mapping[str, object]:
    return {
        "keep": [(name, list(patterns)) for name, patterns in settings.keep],
        "drop_logs": [(name, list(patterns)) for name, patterns in settings.drop_logs],
        "drop": list(settings.drop),
        "redact": list(settings.redact),
        "hash": list(settings.hash),
        "truncate": list(settings.truncate),
        "rename": list(settings.rename),
        "hash_key": settings.hash_key,
    }


def _syslog_options(syslog: SyslogSettings) -> Mapping[str, object]:
    header = (syslog.hostname, syslog.app_name, syslog.procid, syslog.msgid if syslog.rfc == 5424 else "-")
    severity, by_field = _severity(syslog.severity)
    return {
        "rfc": syslog.rfc,
        "framing": syslog.framing,
        "facility": (syslog.facility, _pieces(syslog.facility)),
        "facilities": FACILITIES,
        "severity": (severity, _pieces(severity)),
        "severity_by": by_field,
        "severities": SEVERITIES,
        "header": [_pieces(text) for text in header],
        "structured_data": syslog.structured_data,
        "max_bytes": syslog.max_bytes,
        "oversize": syslog.oversize,
        "zone": zone_offsets(syslog.timezone) if syslog.rfc == 3164 else [],
    }


def _severity(
    severity: Union[str, SeverityBy],
) -> tuple[str, Optional[tuple[str, list[tuple[str, str]], str]]]:
    if isinstance(severity, str):
        return severity, None
    return "", (severity.field, list(severity.names.items()), severity.default)


@lru_cache(maxsize=8)
def zone_offsets(name: str) -> list[tuple[int, int]]:
    """List from when on which offset from UTC holds, for every time that a log can have.

    The zone is asked once for every day. No zone in the time zone database has two changes within two days since
    1970; a test looks at all of them.

    Args:
        name: IANA name that the system knows.
    """
    if name == "UTC":
        return []
    zone = ZoneInfo(name)
    known = offset = _offset(zone, 0)
    found = [(0, offset)]
    for day in range(_DAY_S, _LAST_TIME + _DAY_S, _DAY_S):
        last = min(day, _LAST_TIME)
        offset = _offset(zone, last)
        if offset != known:
            found.append((_change(zone, last - _DAY_S, last), offset))
            known = offset
    return found


def _change(zone: tzinfo, before: int, after: int) -> int:
    """Find the second from which on the offset is the one at `after`, no longer the one at `before`."""
    new = _offset(zone, after)
    while after - before > 1:
        middle = (before + after) // 2
        if _offset(zone, middle) == new:
            after = middle
        else:
            before = middle
    return after


def _offset(zone: tzinfo, time: int) -> int:
    offset = datetime.fromtimestamp(time, zone).utcoffset()
    return int(offset.total_seconds()) if offset is not None else 0
