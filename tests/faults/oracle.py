"""The oracle: owns every log that was ever stored on SLS, looks at every save, and judges at the end.

It trusts nothing that the agent says: logs are counted when they are appended, arrivals when the receiver stores them.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from sls_siem.codec import make_encoder, make_reference_encoder, settings_from
from sls_siem.codec.model import Batch, Encoder, Payload
from sls_siem.config import load
from sls_siem.dead_letter import FILE_NAME
from sls_siem.emulator.hec_objects import find_id
from sls_siem.emulator.loggroups import count_logs, encode_list
from sls_siem.emulator.sls import SlsEmulator, StoredGroup
from sls_siem.emulator.sls.cursors import to_position
from sls_siem.emulator.sls.history import Save
from sls_siem.emulator.store import EventStore, event_digest
from tests.e2e.harness import GROUP

ASIDE = "aside"
NOTICE = b"sls_siem_notice"
LATE_S = 8.0 * float(os.environ.get("SLS_SIEM_TEST_PATIENCE", "1"))
REFERENCE_EVERY = 10
"""What arrived is held against the reference encoder in one group of so many, in the others against the compiled one,
where there is one: tests/contract holds the two against each other, and this took half of a schedule's CPU time."""


_BARE: dict[str, Callable[[bytes], bytes]] = {
    "none": lambda event: event,
    "lf": lambda event: event[:-1],
    "octet-counting": lambda event: event.split(b" ", 1)[1],
}


_position_of = lru_cache(maxsize=1000)(to_position)
"""Asked for every shard with every look at the world."""


@dataclass(frozen=True)
class Letter:
    """One dead letter as found in a file."""

    event_id: str
    reason: str
    record: dict[str, Any]


def letters_in(folder: Path) -> list[Letter]:
    """Read what is whole in an agent's dead letters, also while a fault has put them aside."""
    found = []
    for path in (folder / "state" / FILE_NAME, folder / "state" / ASIDE, folder / f"state-{ASIDE}" / FILE_NAME):
        try:
            lines = path.read_bytes().split(b"\n") if path.is_file() else []
        except OSError:
            continue
        for line in lines:
            with contextlib.suppress(ValueError):
                record = json.loads(line)
                found.append(Letter(record["id"], record["reason"], record))
    return found


class _Counts:
    """Logs of one shard by position: how many stand before each group."""

    def __init__(self, base: int) -> None:
        self.base = base
        self.before = [0]
        self.broken: set[int] = set()

    def logs_at(self, position: int) -> int:
        place = position - self.base
        return self.before[place + 1] - self.before[place]

    def since(self, position: int | None) -> int:
        place = 0 if position is None else max(0, min(position - self.base, len(self.before) - 1))
        return self.before[-1] - self.before[place]


class Obligations:
    """Holds every saved checkpoint against what the receiver has stored by then.

    Args:
        sls: the emulator whose saves are watched.
        store: the receiver's.
        folders: of the agents, for their dead letters.
        patient: bytes in the receiving host count as taken (plain syslog): what is missing at a save may come
            `LATE_S` later.
    """

    def __init__(self, sls: SlsEmulator, store: EventStore, folders: list[Path], *, patient: bool) -> None:
        self._sls = sls
        self._store = store
        self._folders = folders
        self._patient = patient
        self._shards: dict[int, _Counts] = {}
        self._checked: dict[int, int] = {}
        self._gone: set[tuple[int, int]] = set()
        self._late: list[tuple[float, str, Save]] = []
        self._lock = threading.Lock()
        self._encoders: tuple[Encoder, ...] = ()
        self._hec = False
        self.aliases: set[str] = set()
        self._encoded: set[tuple[int, int]] = set()
        self._digests: dict[str, bytes] = {}
        self._texts: dict[str, bytes] = {}
        self._bare_of = _BARE["none"]
        self.appended = 0
        self.saves = 0
        self.violations: list[str] = []
        self.missed: list[Save] = []
        record = sls.history.record_save

        def watched(save: Save) -> None:
            record(save)
            if not save.refused:
                self._saved(save)

        # The store's lock is held here, and the answer has not been sent: what is stored now was stored before.
        sls.history.record_save = watched  # type: ignore[method-assign]

    def configure(self, config_path: Path) -> None:
        """Learn from a configuration what is made of a log."""
        config = load(config_path, 1, {})
        settings = settings_from(config)
        self._encoders = (make_reference_encoder(settings), make_encoder(settings))
        self._hec = config.siem.output == "hec"
        self._bare_of = _BARE[config.syslog.framing if config.siem.output == "syslog" else "none"]

    # --- what is stored on SLS ---

    def append(
        self, shard: int | None, group: bytes, *, logs: int | None = None, broken: bool = False
    ) -> tuple[int, int]:
        """Store one log group and own its logs, which are counted unless said; returns shard and position."""
        if logs is None:
            logs = 1 if broken else count_logs(group)
        with self._sls.store.lock:
            place = self._sls.store.append(shard, [group])
            counts = self._counts(place.shard)
            counts.before.append(counts.before[-1] + logs)
            if broken:
                counts.broken.add(place.position)
            self.appended += logs
        return place.shard, place.position

    def _counts(self, shard: int) -> _Counts:
        if shard not in self._shards:
            self._shards[shard] = _Counts(self._sls.store.shard(shard).base)
        return self._shards[shard]

    def trim(self, shard: int, before: int) -> int:
        """Let retention remove groups; those without a checkpoint past them may be missing. Returns how many."""
        with self._sls.store.lock:
            saved = self._position(shard)
            first = max(self._sls.store.shard(shard).begin, saved or 0)
            self._gone.update((shard, position) for position in range(first, before))
            self._sls.store.trim(shard, before=before)
            return max(0, before - first)

    def _position(self, shard: int) -> int | None:
        group = self._sls.store.consumer_groups.get(GROUP)
        return None if group is None else _position_of(group.checkpoint(shard).cursor)

    def in_flight(self) -> int:
        """Logs that no saved checkpoint has passed."""
        with self._sls.store.lock:
            return sum(counts.since(self._position(shard)) for shard, counts in self._shards.items())

    def all_saved(self) -> bool:
        """Every shard's checkpoint stands at its end."""
        with self._sls.store.lock:
            return all(self._position(shard) == self._sls.store.shard(shard).end for shard in self._shards)

    @property
    def gone(self) -> set[str]:
        """Ids that retention may have removed unread."""
        return {event_id for shard, position in self._gone for event_id in self._ids_at(shard, position)}

    # --- at every save ---

    def _saved(self, save: Save) -> None:
        self.saves += 1
        if save.new is None:
            self.violations.append(f"a checkpoint that is no position: {save}")
            return
        counts = self._counts(save.shard)
        start = max(counts.base, self._checked.get(save.shard, counts.base))
        absent = self._store.missing(
            event_id
            for position in range(start, min(save.new, counts.base + len(counts.before) - 1))
            if (save.shard, position) not in self._gone
            for event_id in self._ids_at(save.shard, position)
        )
        self._checked[save.shard] = max(start, save.new)
        if absent:
            settled = set(self.dead()) | self.stripped(absent)
            for event_id in absent:
                if event_id not in settled:
                    self._miss(event_id, save)

    def _miss(self, event_id: str, save: Save) -> None:
        with self._lock:
            self._late.append((time.monotonic() + (LATE_S if self._patient else 0.0), event_id, save))

    def look(self, *, at_end: bool = False) -> None:
        """Turn what stayed missing into violations."""
        with self._lock:
            late, self._late = self._late, []
        now = time.monotonic()
        for until, event_id, save in late:
            if self._patient and event_id in self._store:
                continue
            if now < until and not at_end:
                self._late.append((until, event_id, save))
                continue
            self.missed.append(save)
            if len(self.violations) < 20:
                self.violations.append(
                    f"checkpoint {save.new} of shard {save.shard} was saved by {save.consumer} "
                    f"before {event_id} was stored"
                )

    def _ids_at(self, shard: int, position: int) -> list[str]:
        counts = self._shards[shard]
        if position in counts.broken:
            return [f"{shard}-{position}"]
        return [f"{shard}-{position}-{index}" for index in range(counts.logs_at(position))]

    def letters(self) -> list[Letter]:
        """All dead letters; an event that was pulled again may have several."""
        return [letter for folder in list(self._folders) for letter in letters_in(folder)]

    def dead(self) -> dict[str, Letter]:
        """The newest dead letter of each event that has one, by id."""
        return {letter.event_id: letter for letter in self.letters()}

    # --- at the end ---

    def ids(self) -> set[str]:
        """Ids of everything that is stored on SLS now."""
        groups = self._sls.store.stored()
        return {event_id for group in groups for event_id in self._ids_at(group.shard, group.position)}

    def expected(self) -> tuple[dict[str, bytes], dict[str, bytes]]:
        """What the encoders make of every log: digest as the receiver stores it, and exact bytes, by id."""
        for group in self._sls.store.stored():
            place = group.shard, group.position
            if place in self._encoded:
                continue
            self._encoded.add(place)
            if group.position in self._counts(group.shard).broken:
                self._digests[f"{group.shard}-{group.position}"] = b""
                continue
            for event_id, event in self._encode(group):
                self._digests[event_id], self._texts[event_id] = event_digest(event), event
        return self._digests, self._texts

    def _encode(self, group: StoredGroup) -> Iterator[tuple[str, bytes]]:
        reference, fastest = self._encoders
        encoder = reference if group.position % REFERENCE_EVERY == 0 else fastest
        batch = Batch(group.shard, group.position, group.position + 1, 1, encode_list([group.data]))
        ordinal = 0
        for encoded in encoder.encode(batch):
            assert isinstance(encoded, Payload)
            for event in reference.split(encoded.data):
                yield f"{group.shard}-{group.position}-{ordinal}", self._bare_of(event)
                ordinal += 1

    def stripped(self, event_ids: Iterable[str]) -> set[str]:
        """Those that arrived without the member `fields`: what code 15 is answered with.

        The receiver then knows them by no id, or by what a hostile log says that its id is (`self.aliases`).
        """
        wanted = set(event_ids) if self._hec else set()
        found = set()
        for shard, position in {tuple(map(int, event_id.split("-")[:2])) for event_id in wanted}:
            if position in self._counts(shard).broken:
                continue
            for group in self._sls.store.stored(shard, position, 1):
                for event_id, event in self._encode(group):
                    if event_id in wanted and self._came_as(without_fields(event)):
                        found.add(event_id)
        return found

    def _came_as(self, event: bytes) -> bool:
        alias, digest = find_id(json.loads(event)), event_digest(event)
        came = any(arrival.digest == digest for arrival in self._store.arrivals(alias))
        if came:
            self.aliases.add(alias)
        return came


def without_fields(event: bytes) -> bytes:
    """Cut `fields` out of an envelope."""
    return re.sub(rb',"fields":\{[^{}]*\}(?=\}$)', b"", event.rstrip(b"\n"))
