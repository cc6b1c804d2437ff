"""The SDK's own ConsumerWorker shares, hands over and takes over shards against the SLS emulator."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sls_siem.emulator.loggroups import make_group
from sls_siem.emulator.sls import Heartbeat, SlsEmulator
from tests.contract.sls_consumer import make_worker
from tests.contract.sls_support import DOMAIN, KEY_ID, LOGSTORE, PROJECT, SECRET, cursor, loopback_names, wait_for

pytestmark = pytest.mark.contract
GROUP = "group"


class Seen:
    """The logs that consumers of this process got."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.logs: list[tuple[int, int]] = []

    def take(self, shard: int, seq: int) -> None:
        with self._lock:
            self.logs.append((shard, seq))

    def seqs(self) -> set[int]:
        with self._lock:
            return {seq for _, seq in self.logs}


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlsEmulator]:
    loopback_names(monkeypatch)
    with SlsEmulator(shards=4) as running:
        running.add_key(KEY_ID, SECRET)
        yield running


@pytest.fixture
def workers(emulator: SlsEmulator) -> Iterator[Any]:
    """Start consumers in this process, and end them."""
    started = []

    def start(name: str, seen: Seen, *, saving: threading.Event | None = None, in_order: bool = False) -> Any:
        if saving is None:
            saving = threading.Event()
            saving.set()
        endpoint = f"http://{DOMAIN}:{emulator.port}"
        worker = make_worker(endpoint, GROUP, name, seen.take, saving=saving, in_order=in_order)
        worker.start()
        started.append(worker)
        return worker

    yield start
    for worker in started:
        worker.shutdown()
    for worker in started:
        worker.join(20)
        worker.heart_beat.join(20)
        worker.consumer_client.mclient._session.close()


@pytest.fixture
def process(emulator: SlsEmulator) -> Iterator[subprocess.Popen[str]]:
    """A consumer `two` in a process of its own, which reaches the emulator through http_proxy."""
    environment = {name: value for name, value in os.environ.items() if name.lower() not in ("no_proxy", "http_proxy")}
    script = Path(__file__).with_name("sls_consumer.py")
    child = subprocess.Popen(
        [sys.executable, "-W", "ignore", str(script), "http://anything.test", GROUP, "two"],
        env={**environment, "http_proxy": emulator.url},
        stdout=subprocess.PIPE,
        text=True,
    )
    yield child
    child.kill()
    child.wait(10)
    child.stdout.close()


def append(emulator: SlsEmulator, seqs: range, shard: int | None = None) -> None:
    for seq in seqs:
        emulator.store.append(shard, [make_group([{"seq": str(seq)}], time=1_700_000_000)])


def holdings(emulator: SlsEmulator) -> dict[str, int]:
    if GROUP not in emulator.store.consumer_groups:
        return {}
    with emulator.store.lock:
        return {name: len(shards) for name, shards in emulator.store.group(GROUP).consumers().items()}


def test_two_consumers_share_the_shards_and_one_takes_over_when_the_other_is_killed(
    emulator: SlsEmulator, workers: Any, process: subprocess.Popen[str]
) -> None:
    seen, printed = Seen(), Seen()
    reader = threading.Thread(target=lambda: [printed.take(*map(int, line.split())) for line in process.stdout])
    reader.start()
    append(emulator, range(100))
    workers("one", seen)
    wait_for(lambda: holdings(emulator) == {"one": 2, "two": 2}, what="two shards each")
    append(emulator, range(100, 200))
    wait_for(lambda: printed.seqs() | seen.seqs() >= set(range(200)), what="all logs with two consumers")
    process.kill()
    reader.join(10)
    append(emulator, range(200, 300))
    wait_for(lambda: holdings(emulator) == {"one": 4}, what="the takeover")
    wait_for(lambda: printed.seqs() | seen.seqs() >= set(range(300)), what="all logs after the takeover")

    assert seen.seqs() | printed.seqs() == set(range(300))
    assert min(printed.seqs(), default=300) < 200
    assert {shard for shard, seq in seen.logs if seq >= 200} == {0, 1, 2, 3}


def test_a_shard_that_changes_hands_while_both_live_is_never_held_by_both(emulator: SlsEmulator, workers: Any) -> None:
    first, second = Seen(), Seen()
    workers("one", first)
    wait_for(lambda: holdings(emulator) == {"one": 4}, what="one consumer with everything")
    append(emulator, range(50))
    wait_for(lambda: first.seqs() == set(range(50)), what="the first logs")
    workers("two", second)
    wait_for(lambda: holdings(emulator) == {"one": 2, "two": 2}, what="two shards each")
    append(emulator, range(50, 100))
    wait_for(lambda: first.seqs() | second.seqs() == set(range(100)), what="all logs")

    assert len(first.logs) + len(second.logs) == 100
    assert doubly_granted(emulator.history.heartbeats) == []


def doubly_granted(beats: list[Heartbeat]) -> list[Heartbeat]:
    """Find answers that give a consumer what another one works on."""
    works_on: dict[str, set[int]] = {}
    found = []
    for beat in beats:
        others = set().union(*(shards for name, shards in works_on.items() if name != beat.consumer))
        if others & set(beat.answered):
            found.append(beat)
        works_on[beat.consumer] = set(beat.reported) | set(beat.answered)
    return found


def test_logs_of_a_split_shard_and_of_its_children_all_arrive(emulator: SlsEmulator, workers: Any) -> None:
    emulator.create_logstore(PROJECT, LOGSTORE, shards=1)
    seen = Seen()
    workers("one", seen)
    append(emulator, range(40), shard=0)
    left, right = emulator.store.split(0)
    append(emulator, range(40, 80), shard=0)
    wait_for(lambda: seen.seqs() == set(range(80)), what="all logs")
    wait_for(lambda: emulator.store.group(GROUP).owner(0) is None, what="the end of the parent")

    assert {shard for shard, seq in seen.logs if seq >= 40} == {left, right}
    assert {shard for shard, seq in seen.logs if seq < 40} == {0}


def test_in_order_a_child_waits_for_its_parent(emulator: SlsEmulator, workers: Any) -> None:
    emulator.create_logstore(PROJECT, LOGSTORE, shards=1)
    seen, saving = Seen(), threading.Event()
    append(emulator, range(20), shard=0)
    children = set(emulator.store.split(0))
    append(emulator, range(20, 40), shard=0)
    workers("one", seen, saving=saving, in_order=True)
    wait_for(lambda: seen.seqs() == set(range(20)), what="the parent's logs")
    before = {shard for beat in emulator.history.heartbeats for shard in beat.answered}
    parent = emulator.store.shard(0)
    emulator.store.set_checkpoint(GROUP, 0, cursor(parent.end))
    wait_for(lambda: seen.seqs() == set(range(40)), what="the children's logs")

    assert before == {0}
    assert {shard for shard, seq in seen.logs if seq >= 20} == children
