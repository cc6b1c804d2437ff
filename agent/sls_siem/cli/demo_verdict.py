"""Holds what arrived at the receiver against what the embedded SLS service stores: every id, and the bytes of each.

What should have arrived is worked out here, from the stored log groups, by the reference encoder, whichever codec the
agent uses; the agent's own idea of what it did plays no part.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sls_siem.codec import make_reference_encoder, settings_from
from sls_siem.codec.model import Batch, Encoder, Payload
from sls_siem.config import load
from sls_siem.emulator.loggroups import count_logs, encode_list
from sls_siem.emulator.sls import SlsControl
from sls_siem.emulator.store import event_digest
from sls_siem.errors import AgentError

GROUPS_PER_CALL = 500
SHOWN_IDS = 5


@dataclass(frozen=True)
class Verdict:
    """What was found, as event ids.

    Args:
        expected: number of logs that should have arrived.
        arrived: number of different ids that did.
        lost: never arrived.
        duplicated: arrived more than once.
        altered: arrived with other bytes than the encoder makes.
        unknown: arrived and stand for no log.
    """

    expected: int
    arrived: int
    lost: tuple[str, ...] = ()
    duplicated: tuple[str, ...] = ()
    altered: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    @property
    def flawless(self) -> bool:
        """Everything arrived once, unchanged, and nothing else did."""
        return not any(ids for _, ids in self.flaws())

    def flaws(self) -> list[tuple[str, tuple[str, ...]]]:
        """The four kinds with their ids."""
        kinds = ("lost", "duplicated", "altered", "unknown")
        return list(zip(kinds, (self.lost, self.duplicated, self.altered, self.unknown)))

    def complaints(self) -> list[str]:
        """A line for each kind that occurred, with the first few ids."""
        return [
            f"{kind}: {', '.join(ids[:SHOWN_IDS])}{' and more' if len(ids) > SHOWN_IDS else ''}"
            for kind, ids in self.flaws()
            if ids
        ]


def expected_events(control: SlsControl, config_path: Path) -> dict[str, bytes]:
    """Work out the digest of every event that should arrive, by event id.

    Args:
        control: of the service that stores the logs.
        config_path: the agent's configuration, to HEC or to syslog framed by LF.
    """
    config = load(config_path, 1, {})
    encoder = make_reference_encoder(settings_from(config))
    # The receiver stores a syslog frame without the LF that ends it.
    framing_bytes = 1 if config.siem.output == "syslog" else 0
    found: dict[str, bytes] = {}
    for shard, position, groups in _stored(control):
        batch = Batch(shard, position, position + len(groups), len(groups), encode_list(groups))
        # Counted and named by the emulator's own reader, not by the codec that is under test.
        ids = [
            f"{shard}-{number}-{index}"
            for number, group in enumerate(groups, position)
            for index in range(count_logs(group))
        ]
        events = [event_digest(event[: len(event) - framing_bytes]) for event in _events(encoder, batch)]
        if len(events) != len(ids):
            raise AgentError(f"the encoder makes {len(events)} events of {len(ids)} logs of shard {shard}: a bug")
        found.update(zip(ids, events))
    return found


def _stored(control: SlsControl) -> Iterator[tuple[int, int, list[bytes]]]:
    """Read back everything that is stored: shard, position of the first, some consecutive log groups."""
    for shard in control.get("shards"):
        number, position, end = shard["shard"], shard["base"], shard["end"]
        while position < end:
            rows = control.get("groups", shard=number, start=position, limit=min(GROUPS_PER_CALL, end - position))
            yield number, position, [base64.b64decode(row["data"]) for row in rows]
            position += len(rows)


def _events(encoder: Encoder, batch: Batch) -> Iterator[bytes]:
    for encoded in encoder.encode(batch):
        if isinstance(encoded, Payload):
            yield from encoder.split(encoded.data)


def compare(expected: Mapping[str, bytes], arrived: Mapping[str, tuple[bytes, int]]) -> Verdict:
    """Hold what arrived, given as id → (digest of the first copy, number of copies), against what should have."""
    return Verdict(
        expected=len(expected),
        arrived=len(arrived),
        lost=tuple(event_id for event_id in expected if event_id not in arrived),
        duplicated=tuple(event_id for event_id, (_, copies) in arrived.items() if copies > 1),
        altered=tuple(
            event_id
            for event_id, (digest, _) in arrived.items()
            if event_id in expected and digest != expected[event_id]
        ),
        unknown=tuple(event_id for event_id in arrived if event_id not in expected),
    )
