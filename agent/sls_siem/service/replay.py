"""`replay`: ships past time ranges again with the machinery of delivery, without a consumer group.

Each shard has a worker as in `run`; what differs is the source (`replay_range.py`), a lease that never ends, and that
each event is marked. It knows no terminal: `cli/replay.py` asks and shows.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Optional

from sls_siem.codec import make_encoder, make_reference_encoder
from sls_siem.config import Config
from sls_siem.dead_letter import DeadLetters
from sls_siem.delivery.lag import Retention
from sls_siem.delivery.limits import RateLimit
from sls_siem.delivery.outlet import Outlet, Way
from sls_siem.delivery.pool import ShardPool
from sls_siem.delivery.shard import DeliverySettings, Shared
from sls_siem.delivery.turns import Turns
from sls_siem.delivery.window import Window
from sls_siem.errors import ConfigError
from sls_siem.health import Health
from sls_siem.metrics import Metrics, counted
from sls_siem.service.encoding import encoder_settings, without_transform
from sls_siem.service.places import state_directory
from sls_siem.service.replay_range import RangeSource, ResumeFile
from sls_siem.siem.output import Output
from sls_siem.sls.client import SlsClient
from sls_siem.sls.session import Session

PATIENCE_S = 120.0
"""So long may nothing be settled while a shard is held up before the replay gives up."""
SAMPLE_GROUPS = 50


@dataclass(frozen=True)
class Estimate:
    """What is left to be shipped of one shard.

    Args:
        shard: shard id.
        groups: log groups; with a query or processor, before it runs.
        raw_bytes: decompressed bytes, judged by a sample.
    """

    shard: int
    groups: int
    raw_bytes: int


@dataclass(frozen=True)
class State:
    """How far the replay is.

    Args:
        groups: log groups to be shipped in all, those of an earlier run included.
        settled: of these.
        events: delivered by this process.
        size: bytes of them as sent.
        dead_letters: events that the SIEM refused for good.
        expired: log groups that retention removed before they were read.
        holding: what is waited for; empty while it goes on.
    """

    groups: int
    settled: int
    events: int
    size: int
    dead_letters: int
    expired: int
    holding: str


def resolve(session: Session, resume: ResumeFile, span: tuple[int, int], wanted: Optional[Iterable[int]]) -> list[int]:
    """Find out which positions the time range has in each shard, as far as that is not known from an earlier run.

    Args:
        session: to ask with.
        resume: gets what was not known.
        span: begin and end of the time range of receipt, epoch seconds.
        wanted: shard ids; None for all.

    Returns:
        The shards to be shipped.

    Raises:
        ConfigError: there is no such shard.
        SourceError: a call failed.
    """
    there = sorted(shard.shard for shard in session.list_shards())
    shards = there if wanted is None else sorted(set(wanted))
    strange = sorted(set(shards) - set(there))
    if strange:
        raise ConfigError([f"--shard: the logstore has no shard {strange[0]}, there are {', '.join(map(str, there))}"])
    for shard in shards:
        if shard not in resume.ranges:
            start = session.cursor(shard, span[0])
            resume.add(shard, start, max(start, session.cursor(shard, span[1])))
    return shards


def estimate(session: Session, resume: ResumeFile, shards: Iterable[int]) -> list[Estimate]:
    """Judge by cursors and a sample of each shard how much is left to be shipped.

    Raises:
        SourceError: a call failed.
    """
    found = []
    for shard in shards:
        left = resume.ranges[shard]
        groups = max(0, left.end - left.position)
        raw_bytes = 0
        if groups:
            sample = session.pull(shard, left.position, end_position=left.end, count=SAMPLE_GROUPS)
            seen = max(1, sample.next_position - left.position)
            raw_bytes = len(sample.body) * groups // seen
        found.append(Estimate(shard, groups, raw_bytes))
    return found


class _Always:
    """A lease on what needs none: replaying twice at once would only repeat events."""

    def valid(self) -> bool:
        """See `LeaseView`."""
        return True


class Replay:
    """One replay, from its start to its end.

    Args:
        config: the configuration.
        client: opens a session for each shard.
        output: the SIEM.
        resume: what is to be shipped, and how far that is.
        shards: those to be shipped now.
        patience_s: so long may nothing be settled while a shard is held up.
    """

    def __init__(
        self,
        config: Config,
        client: SlsClient,
        output: Output,
        *,
        resume: ResumeFile,
        shards: Iterable[int],
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._config = config
        self._resume = resume
        self._shards = tuple(shards)
        self._patience_s = patience_s
        self._health = Health()
        self._metrics = Metrics()
        self.failure: Optional[BaseException] = None
        self._changed = threading.Event()
        self._open = {shard for shard in self._shards if not resume.ranges[shard].done}
        self._moved_at = time.monotonic()
        self._marks: tuple[int, int] = (-1, -1)
        self._pool = ShardPool(
            self._shared(output),
            open_source=lambda: RangeSource(client.session(), resume),
            drain_s=config.delivery.drain_s,
        )
        self._pool.on_end(self._changed.set)

    def start(self) -> None:
        """Start to ship every shard that is not done."""
        for shard in sorted(self._open):
            self._pool.take(shard)

    def look(self, seconds: float) -> bool:
        """Wait up to `seconds`, let go of the shards that are done; True while there is something left to do."""
        self._changed.wait(seconds)
        self._changed.clear()
        for row in self._pool.status():
            reached = row.position is not None and row.position >= self._resume.ranges[row.shard].end
            if reached and row.shard in self._open:
                self._open.discard(row.shard)
                self._pool.hand_over(row.shard)
        return self.failure is None and bool(self._pool.working())

    def stuck(self) -> str:
        """Why nothing has been settled for too long; empty while that is not so."""
        state = self.state()
        marks = (state.settled, state.events)
        if marks != self._marks or not state.holding:
            self._marks, self._moved_at = marks, time.monotonic()
        return state.holding if time.monotonic() - self._moved_at > self._patience_s else ""

    def stop(self, seconds: float) -> None:
        """Settle what is in hand for at most `seconds`, and note how far it came."""
        self._pool.hand_over_all(seconds)
        self._pool.join(seconds + 5.0)

    def abandon(self) -> None:
        """Send nothing more."""
        self._pool.abandon_all()
        self._pool.join(5.0)

    def done(self) -> bool:
        """Everything is settled."""
        return all(self._resume.ranges[shard].done for shard in self._shards)

    def state(self) -> State:
        """Tell how far it is."""
        positions = {row.shard: row.position for row in self._pool.status() if row.position is not None}
        groups = settled = 0
        for shard in self._shards:
            known = self._resume.ranges[shard]
            groups += known.end - known.start
            settled += min(known.end, max(known.position, positions.get(shard, 0))) - known.start
        totals = self._metrics.totals()
        holds = self._health.holds()
        return State(
            groups=groups,
            settled=settled,
            events=totals["delivered"],
            size=counted(self._metrics.delivered_bytes),
            dead_letters=totals["dead_lettered"],
            expired=counted(self._metrics.expired_groups),
            holding="; ".join(f"{who}: {why}" for who, why in holds.items()),
        )

    def _shared(self, output: Output) -> Shared:
        config = self._config
        return Shared(
            settings=DeliverySettings(
                consumer="",
                regrouped=bool(config.sls.query or config.sls.processor),
                checkpoint_s=config.delivery.checkpoint_s,
                unsettled_s=config.delivery.unsettled_s,
                batch_bytes=config.hec.batch_bytes,
                batch_age_s=config.hec.batch_age_s,
                host=socket.gethostname(),
            ),
            outlet=Outlet(_way(config, output)),
            window=Window(config.delivery.window_bytes),
            turns=Turns(),
            lease=_Always(),
            health=self._health,
            metrics=self._metrics,
            retention=Retention(),
            fatal=self._fail,
        )

    def _fail(self, error: BaseException) -> None:
        if self.failure is None:
            self.failure = error
        self._changed.set()


def _way(config: Config, output: Output) -> Way:
    settings, delivery = encoder_settings(config, replay=True), config.delivery
    letters = DeadLetters(state_directory(config.instance), delivery.dead_letter_max_bytes)
    return Way(
        output=output,
        encoder=make_encoder(settings),
        reference=make_reference_encoder(settings),
        notices=make_encoder(without_transform(settings)),
        letters=None if delivery.on_reject == "hold" else letters,
        limits=(
            RateLimit(delivery.max_events_per_s, time.monotonic),
            RateLimit(delivery.max_bytes_per_s, time.monotonic),
        ),
    )
