"""The agent as one object: everything made from the configuration, wired, started and drained.

It knows no signal and no systemd: that is the main loop's affair (`run.py`).
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Optional

from sls_siem.codec import codec_name, make_encoder, make_reference_encoder
from sls_siem.config import Config
from sls_siem.dead_letter import DeadLetters
from sls_siem.delivery.lag import Retention
from sls_siem.delivery.limits import RateLimit
from sls_siem.delivery.outlet import Outlet, Way
from sls_siem.delivery.pool import ShardPool
from sls_siem.delivery.shard import DeliverySettings, Shared
from sls_siem.delivery.turns import Turns
from sls_siem.delivery.window import Window
from sls_siem.health import Health, Pulse
from sls_siem.membership.lease import Lease
from sls_siem.membership.member import Member
from sls_siem.metrics import Metrics
from sls_siem.service.caught_up import CaughtUpWatch
from sls_siem.service.encoding import encoder_settings, without_transform
from sls_siem.service.places import state_directory
from sls_siem.service.status import Snapshot
from sls_siem.service.wake import Wake
from sls_siem.siem import make_output
from sls_siem.siem.output import EndpointState
from sls_siem.sls.client import SlsClient
from sls_siem.sls.credentials import credential_source
from sls_siem.sls.start import FINISH_S, FirstStart
from sls_siem.version import __version__

CALL_S = 30.0
LEAVE_S = 5.0
PREPARING = "preparing the consumer group"


class Agent:
    """One instance, from join to drain.

    Args:
        config: the configuration in force.
        health: threads, holds, errors.
        metrics: counters and gauges.
        until_caught_up: `caught_up` is set once every shard is read up to its present end.
    """

    def __init__(self, config: Config, *, health: Health, metrics: Metrics, until_caught_up: bool = False) -> None:
        self._config = config
        self._health = health
        self._metrics = metrics
        self.woken = Wake()
        self.caught_up = threading.Event()
        self.failure: Optional[BaseException] = None
        self.draining = False
        self._leaving = threading.Event()
        self._first_start: Optional[FirstStart] = None
        self.generation = 1
        self.config_read = time.time()
        self.needs_restart: tuple[str, ...] = ()
        self._state, self._since = "starting", time.time()
        self._credentials = credential_source(config.sls.credentials)
        self._client = SlsClient(config.sls, self._credentials)
        self._lease = Lease(config.sls.group_timeout_s)
        self._outlet = Outlet(self._way(config))
        self._pool = ShardPool(self._shared(), open_source=self._client.session, drain_s=config.delivery.drain_s)
        self._member = Member(
            self._client.session(),
            self._pool,
            self._lease,
            interval_s=config.sls.heartbeat_s,
            group_timeout_s=config.sls.group_timeout_s,
            prepare=self._prepare,
            health=health,
            metrics=metrics,
            fatal=self._fail,
        )
        self._pool.on_end(self._member.look)
        self._watch = self._make_watch() if until_caught_up else None
        metrics.build_info.labels(version=__version__, codec=codec_name()).set(1)

    def _shared(self) -> Shared:
        config = self._config
        return Shared(
            settings=DeliverySettings(
                consumer=config.sls.consumer_name,
                regrouped=bool(config.sls.query or config.sls.processor),
                checkpoint_s=config.delivery.checkpoint_s,
                unsettled_s=config.delivery.unsettled_s,
                batch_bytes=config.hec.batch_bytes,
                batch_age_s=config.hec.batch_age_s,
                host=socket.gethostname(),
            ),
            outlet=self._outlet,
            window=Window(config.delivery.window_bytes),
            turns=Turns(),
            lease=self._lease,
            health=self._health,
            metrics=self._metrics,
            retention=Retention(),
            fatal=self._fail,
        )

    def _way(self, config: Config) -> Way:
        """Make what a reload may replace."""
        settings, delivery = encoder_settings(config), config.delivery
        letters = self._letters_of(config)
        return Way(
            output=make_output(config),
            encoder=make_encoder(settings),
            reference=make_reference_encoder(settings),
            notices=make_encoder(without_transform(settings)),
            letters=None if delivery.on_reject == "hold" else letters,
            limits=(
                RateLimit(delivery.max_events_per_s, time.monotonic),
                RateLimit(delivery.max_bytes_per_s, time.monotonic),
            ),
        )

    @staticmethod
    def _letters_of(config: Config) -> DeadLetters:
        return DeadLetters(state_directory(config.instance), config.delivery.dead_letter_max_bytes)

    def _make_watch(self) -> CaughtUpWatch:
        def done() -> None:
            self.caught_up.set()
            self.woken.set()

        return CaughtUpWatch(self._client.session(), health=self._health, done=done, fatal=self._fail)

    def _fail(self, error: BaseException) -> None:
        if self.failure is None:
            self.failure = error
        self.woken.set()

    # --- life ---

    def start(self) -> None:
        """Start every thread; nothing here waits for SLS or the SIEM."""
        self._member.start()
        if self._watch is not None:
            self._watch.start()

    def _prepare(self, pulse: Pulse) -> Optional[float]:
        """Make or find the consumer group and its first positions (heartbeat thread)."""

        def wait(seconds: float) -> bool:
            pulse.waiting(seconds, PREPARING)
            return self._leaving.wait(seconds)

        if self._leaving.is_set() and not (self._first_start is not None and self._first_start.saving):
            return None
        if self._first_start is None:
            sls = self._config.sls
            self._first_start = FirstStart(
                # Each call by itself: how many there are depends on the shards.
                self._client.session(before_call=lambda: pulse.waiting(CALL_S, PREPARING)),
                start=sls.start,
                group_timeout_s=sls.group_timeout_s,
                in_order=sls.in_order,
                wait=wait,
            )
        report = self._first_start.prepare()
        return None if report is None else float(report.timeout_s)

    def reload(self, config: Config) -> None:
        """Put a new configuration in force, as far as that goes without a restart (`service/reload.py`).

        Secrets and TLS files are read again in any case.

        Args:
            config: differs in nothing that needs a restart to be read otherwise (`without_restart`).

        Raises:
            ConfigError: something that it names cannot be used; the old one stays in force.
        """
        way = self._way(config)
        self._client.reload()
        self._outlet.replace(way)
        self._metrics.forget_siem()
        self._credentials.reload()
        self._config = config
        self.generation += 1

    def drain(self, seconds: float) -> None:
        """Stop pulling, settle and save what is in hand, leave the group; returns after at most about `seconds`."""
        self.draining = True
        self._leaving.set()
        if self._watch is not None:
            self._watch.stop()
        self._member.leave()
        self._pool.hand_over_all(seconds)

    def drained(self) -> bool:
        """Every shard has been handed over."""
        return not self._pool.working() and not self._pool.ending()

    def leave(self) -> None:
        """Tell the service that nothing is held."""
        # Until its first answer the thread may still be saving first positions.
        self._member.stop(FINISH_S if self._member.last_answered is None else LEAVE_S)

    def abandon(self) -> None:
        """Send and save nothing more, at once."""
        self._leaving.set()
        self._pool.abandon_all()

    def close(self) -> None:
        """Release what the shards shared."""
        self._outlet.current()[1].output.close()

    # --- status ---

    def snapshot(self) -> Snapshot:
        """Tell how the process is."""
        shards = tuple(self._pool.status())
        holds = self._health.holds()
        self._note_state(holds)
        output = self._outlet.current()[1].output
        endpoints = output.endpoints()
        letter_bytes = self._letters_of(self._config).size()
        self._metrics.dead_letter_bytes.set(letter_bytes)
        self._measure(endpoints, output.certificate_ends(), len(holds))
        return Snapshot(
            version=__version__,
            instance=self._config.instance,
            consumer=self._config.sls.consumer_name,
            state=self._state,
            since=self._since,
            generation=self.generation,
            config_read=self.config_read,
            needs_restart=self.needs_restart,
            output=self._config.siem.output,
            endpoints=endpoints,
            shards=shards,
            totals=self._metrics.totals(),
            last_heartbeat=self._member.last_answered,
            holds=holds,
            errors=self._health.errors(),
            last_error_at=self._health.last_error_at,
            dead_letter_bytes=letter_bytes,
        )

    def _measure(self, endpoints: Sequence[EndpointState], certificate_ends: Mapping[str, float], holds: int) -> None:
        metrics = self._metrics
        metrics.holding.set(holds)
        for endpoint in endpoints:
            metrics.siem_up.labels(endpoint=endpoint.url).set(1 if endpoint.up else 0)
        for name, end in certificate_ends.items():
            metrics.certificate_end.labels(certificate=name).set(end)

    def _note_state(self, holds: dict[str, str]) -> None:
        if self.draining:
            state = "draining"
        elif holds:
            state = "holding"
        else:
            state = "running" if self._member.last_answered is not None else "starting"
        if state != self._state:
            self._state, self._since = state, time.time()
