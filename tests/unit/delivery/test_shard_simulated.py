"""A shard's reader and sender against a simulated service and SIEM: no checkpoint passes a log that has not arrived,
none is sent again after it was settled, and in the end all have arrived.

Each seed has its own kinds of trouble (`Weather`), and repeats exactly.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace
from functools import lru_cache
from random import Random
from types import SimpleNamespace
from typing import Optional
from unittest import mock

import pytest

from sls_siem.codec import (
    EncoderSettings,
    HecSettings,
    SyslogSettings,
    TransformSettings,
    make_encoder,
    make_reference_encoder,
)
from sls_siem.codec.model import Encoder
from sls_siem.delivery.checkpoint import CheckpointSaver
from sls_siem.delivery.gate import ShardGate
from sls_siem.delivery.lag import Retention
from sls_siem.delivery.limits import RateLimit
from sls_siem.delivery.outlet import Outlet, Way
from sls_siem.delivery.pacing import Pacer
from sls_siem.delivery.progress import Progress
from sls_siem.delivery.reader import LARGEST_ANSWER, Reader, ReaderSettings
from sls_siem.delivery.rejects import RejectPolicy
from sls_siem.delivery.sender import Sender
from sls_siem.delivery.stop import Stop
from sls_siem.delivery.turns import Turns
from sls_siem.delivery.window import Window
from sls_siem.errors import Rerouted, TransientSourceError
from sls_siem.health import Health
from sls_siem.metrics import Metrics
from tests.unit.delivery.simulated_shard import OUT, Shard, SimulatedLane, Weather
from tests.unit.seeds import wrong_in

SEEDS, AT_ONCE = 1000, 250
MOST_STEPS = 3000
WINDOW_BYTES = 3 * LARGEST_ANSWER
KINDS = ("at once", "acknowledged", "stream")


class Process:
    """One life of a worker: a reader and a sender, from the stored checkpoint on."""

    def __init__(self, shard: Shard, random: Random) -> None:
        self.shard = shard
        self._random = random
        self._encoders = random.choice(ways())
        self._busy: set[str] = set()
        self.window = Window(WINDOW_BYTES)
        self.stop, self.health, self.metrics = Stop(), Health(), metrics()
        self.pulse = self.health.pulse("one")
        position = shard.begin_again()
        self.progress = Progress(position, give_back=self.window.give_back, clock=time.monotonic)
        self.progress._for_reader.wait = self.progress._for_sender.wait = lambda _timeout=None: True
        self.outlet = Outlet(self._way())
        self.saver = CheckpointSaver(shard, 0, consumer="me", every_s=0.0, clock=time.monotonic)
        self.saver.saved = position
        self.saver._tried.append(position)
        lease = SimpleNamespace(valid=lambda: True)
        self.reader = Reader(
            0,
            shard,
            self.saver,
            self.progress,
            window=self.window,
            pacer=Pacer(1 << 20, 1.0),
            turns=Turns(),
            settings=ReaderSettings(shard.regrouped, 600.0),
            lease=lease,
            stop=self.stop,
            pulse=self.pulse,
            health=self.health,
            metrics=self.metrics,
            retention=Retention(),
            random=random,
            sleep=lambda _seconds: None,
        )
        self.sender = Sender(
            0,
            self.progress,
            outlet=self.outlet,
            open_lane=self._open_lane,
            stop=self.stop,
            pulse=self.pulse,
            metrics=self.metrics,
            host="host-1",
            wall=lambda: 1_700_000_000.0,
        )

    def _way(self) -> Way:
        encoder, reference = self._encoders
        no_limits = (RateLimit(0, time.monotonic), RateLimit(0, time.monotonic))
        return Way(SimpleNamespace(close=lambda: None), encoder, reference, self.shard, no_limits)

    def _open_lane(self, sender: Sender, way: Way) -> tuple[SimulatedLane, ShardGate, RejectPolicy]:
        pause = SimpleNamespace(wait=self._no_wait, wait_unasked=self._no_wait, leave=lambda: None)
        common = {"pause": pause, "pulse": self.pulse, "health": self.health, "metrics": self.metrics}
        lease = SimpleNamespace(valid=lambda: True)
        gate = ShardGate("shard 0", lease=lease, stop=self.stop, rejects=sender, **common)
        policy = RejectPolicy(way.letters, who="shard 0", written=sender.written, **common)
        return SimulatedLane(self._random.choice(KINDS), self.shard, gate), gate, policy

    @staticmethod
    def _no_wait(_seconds: float) -> None:
        raise AssertionError("nothing is waited for here")

    def read(self) -> None:
        """Do one thing that a reader does."""
        if "reader" in self._busy:
            return
        self._busy.add("reader")
        try:
            if self._random.random() < 0.1:
                with contextlib.suppress(TransientSourceError):
                    self.saver.compare()
            if self._random.random() < 0.3:
                self.reader._keeper.save_if_due(at_once=True)
            job = self.progress.next_job()
            if job is not None and self.window.reserve(LARGEST_ANSWER, 0, shard=0):
                self.reader._fetch(job)
        finally:
            self._busy.discard("reader")

    def send(self) -> None:
        """Do one thing that a sender does."""
        if "sender" in self._busy:
            return
        self._busy.add("sender")
        try:
            if self.shard.chance(self.shard.weather.rerouted):
                self.outlet.replace(self._way())
            self.sender._step()
        except Rerouted:
            self.sender._change_way(torn=True)
        finally:
            self._busy.discard("sender")

    def meanwhile(self) -> None:
        """Let the other one run while one waits."""
        while self.shard.chance(self.shard.weather.meanwhile):
            self._random.choice((self.read, self.send, self.shard.write if self.shard.end < 560 else self.read))()

    def drain(self) -> None:
        """End in good order."""
        self.stop.drain(60.0)
        self.sender.run()
        self.reader.run(lambda: True)
        self.look_at_window()

    def look_at_window(self) -> None:
        """Nothing is held any more: all that was reserved was given back."""
        if self.window.used:
            self.shard.wrong.append(f"the window still counts {self.window.used} bytes")


@lru_cache(maxsize=1)
def ways() -> list[tuple[Encoder, Encoder]]:
    """Make the encoders of several outputs, each with the plain Python one beside it."""
    transform = TransformSettings(drop_logs=(("left", (OUT,)),))
    common = EncoderSettings("hec", "p", "ls", batch_bytes=600, transform=transform)
    # Without a filter, the compiled codec undoes an answer while it encodes it.
    outputs = [replace(common, hec=HecSettings()), replace(common, hec=HecSettings(), transform=None)]
    for oversize in ("dead-letter", "truncate"):
        syslog = SyslogSettings(framing="lf", max_bytes=400, oversize=oversize)
        outputs.append(replace(common, output="syslog", syslog=syslog))
    return [(make_encoder(settings), make_reference_encoder(settings)) for settings in outputs]


@lru_cache(maxsize=1)
def metrics() -> Metrics:
    """Make what takes long to make."""
    return Metrics()


def run_seed(seed: int) -> list[str]:
    """Run a seed; returns what is wrong."""
    random = Random(seed)
    with mock.patch("sls_siem.delivery.sender.COUNT_AFTER_S", random.choice((0.0, 60.0))):
        return _run(random)


def _run(random: Random) -> list[str]:
    process: Optional[Process] = None

    def meanwhile() -> None:
        if process is not None:
            process.meanwhile()

    shard = Shard(random, Weather.drawn(random), regrouped=random.random() < 0.2, meanwhile=meanwhile)
    for _ in range(random.randint(1, 30)):
        shard.write()
    lives, steps = random.choice((1, 1, 2, 4)), 0
    for life in range(lives):
        process = None
        process = Process(shard, random)
        for _ in range(random.randint(5, 80)):
            random.choice((process.read, process.send))()
        if life < lives - 1 and random.random() < 0.5:
            process.drain()
    shard.weather = Weather()
    while shard.checkpoint_at < shard.end and not shard.wrong:
        steps += 1
        if steps > MOST_STEPS:
            shard.wrong.append(f"the checkpoint stays at {shard.checkpoint_at} of {shard.end}")
        process.read()
        process.send()
    process.look_at_window()
    return shard.wrong


@pytest.mark.parametrize("first", range(0, SEEDS, AT_ONCE))
def test_no_checkpoint_passes_what_has_not_arrived_and_all_arrives(first: int) -> None:
    """To see it fail: let `Progress.put` take an answer that cannot be counted (`held`) for one without events."""
    assert dict(wrong_in(range(first, first + AT_ONCE), run_seed)) == {}
