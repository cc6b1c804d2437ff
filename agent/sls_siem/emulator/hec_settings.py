"""What a HEC emulator is told before it starts: tokens, limits, delays, edition. Values only."""

from __future__ import annotations

import base64
import binascii
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Optional

DEFAULT_TOKEN = "11111111-2222-4333-8444-555555555555"  # noqa: S105 - of the emulator, known to everyone
ENTERPRISE_BODY_BYTES = 838_860_800
CLOUD_BODY_BYTES = 5_242_881


@dataclass(frozen=True)
class HecToken:
    """One token of the collector.

    Args:
        value: what stands behind `Authorization: Splunk`.
        enabled: a disabled one is answered with code 1.
        use_ack: indexer acknowledgement is on.
        indexes: allowed indexes; empty allows every one.
        default_index: of events that name none.
    """

    value: str = DEFAULT_TOKEN
    enabled: bool = True
    use_ack: bool = False
    indexes: tuple[str, ...] = ()
    default_index: str = "main"


@dataclass(frozen=True)
class HecSettings:
    """How the collector behaves; every key may be changed while it runs (`HecEmulator.configure`).

    Args:
        tokens: what is let in.
        mode: "parse" checks and stores every event; "sink" counts bytes, requests and `sink_needle`s, stores nothing.
        edition: "enterprise" or "cloud" (413 becomes 400 code 6, code 10 becomes 28).
        max_content_length: uncompressed bytes per request; 0 takes the edition's.
        index_delay_s: an accepted event stays in memory that long before it is stored; a crash loses it until then.
        ack_delay_s: an acknowledgement becomes true that long after its events were stored.
        queue_capacity: events in memory from which on requests get code 26, and code 24 from 80 %; 0 for no limit.
        ack_capacity: unasked acknowledgements per channel from which on requests get 27, and 25 from 80 %.
        retry_after_s: `Retry-After` on the answers 429 and 503; None leaves it out.
        query_string_token: `?token=` is allowed (else code 16).
        ack_partial: a request taken in part draws an ackId and tells it (recorded with code 6 from Splunk 10.4.3).
        code7_ahead: code 7 names the object so many places after the refused one (recorded: 1).
        indexers: number of indexers behind one address, each with channels of its own; more than one sets and honours
            the sticky cookie `hec_indexer`.
        keep_bytes: keep the bytes of every event in the store.
        journal: file that every event is appended to when it is stored, before its acknowledgement can become true: a
            line each, id and digest, which outlive the process.
        sink_needle: what one event contains once, counted in plain bodies in sink mode; empty counts nothing.
        sink_trace: in sink mode, note when each request came and which ids its first and last event have.
        sink_inflate: in sink mode, decompress gzip bodies so that bytes and needles are those of the content.
    """

    tokens: tuple[HecToken, ...] = (HecToken(),)
    mode: str = "parse"
    edition: str = "enterprise"
    max_content_length: int = 0
    index_delay_s: float = 0.0
    ack_delay_s: float = 0.0
    queue_capacity: int = 0
    ack_capacity: int = 1_000_000
    retry_after_s: Optional[float] = None
    query_string_token: bool = False
    ack_partial: bool = True
    code7_ahead: int = 1
    indexers: int = 1
    keep_bytes: bool = False
    journal: str = ""
    sink_needle: str = '"sls_id"'
    sink_inflate: bool = False
    sink_trace: bool = False

    @property
    def body_limit(self) -> int:
        """Most uncompressed bytes of a request."""
        return self.max_content_length or (CLOUD_BODY_BYTES if self.edition == "cloud" else ENTERPRISE_BODY_BYTES)

    def token(self, value: str) -> Optional[HecToken]:
        """Find a token by its value."""
        return next((token for token in self.tokens if token.value == value), None)


def settings_from(values: Mapping[str, object], base: Optional[HecSettings] = None) -> HecSettings:
    """Apply JSON values, `tokens` as a list of objects, to settings.

    Raises:
        TypeError: a key is not one of `HecSettings` or `HecToken`.
    """
    changed = dict(values)
    tokens = changed.get("tokens")
    if isinstance(tokens, (list, tuple)):
        changed["tokens"] = tuple(token if isinstance(token, HecToken) else token_from(token) for token in tokens)
    return dataclasses.replace(base or HecSettings(), **changed)  # type: ignore[arg-type]


def token_from(values: Mapping[str, object]) -> HecToken:
    """Make a token of JSON values.

    Raises:
        TypeError: a key is not one of `HecToken`.
    """
    changed = dict(values)
    indexes = changed.get("indexes")
    if isinstance(indexes, list):
        changed["indexes"] = tuple(str(index) for index in indexes)
    return HecToken(**changed)  # type: ignore[arg-type]


def token_of(authorization: str) -> Optional[str]:
    """Find the token in `Splunk <token>` or in the password of `Basic`; None when it is neither."""
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() == "splunk" and value and " " not in value:
        return value
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[2] or None
        except (binascii.Error, UnicodeDecodeError):
            return None
    return None
