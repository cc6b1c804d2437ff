"""The consumer group is prepared within waits that are announced call by call, so that a hang is found in time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sls_siem.config import load
from sls_siem.emulator.sls import Fault, SlsEmulator
from sls_siem.health import Health
from sls_siem.metrics import Metrics
from sls_siem.service.agent import CALL_S, PREPARING, Agent
from tests.unit.announced import Announced

SHARDS = 20


@pytest.fixture
def sls():
    with SlsEmulator(project="p", logstore="ls", shards=SHARDS) as emulator:
        emulator.add_key("id", "secret")
        yield emulator


@pytest.fixture
def agent(sls: SlsEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Agent]:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    for name, text in (("sls-access-key-id", "id"), ("sls-access-key-secret", "secret"), ("hec-token", "t")):
        (tmp_path / name).write_text(text)
    (tmp_path / "agent.toml").write_text(
        f'[sls]\nendpoint = "{sls.url}"\nregion = "cn-test"\nproject = "p"\nlogstore = "ls"\nconsumer_group = "g"\n'
        '[siem]\noutput = "hec"\n[hec]\nurls = ["http://127.0.0.1:9"]\n'
    )
    agent = Agent(load(tmp_path / "agent.toml", 1, {}), health=Health(), metrics=Metrics())
    yield agent
    agent._first_start._calls.close()
    agent._member._calls.close()
    agent.close()


def test_each_call_is_announced_by_itself_however_many_shards_there_are(sls: SlsEmulator, agent: Agent) -> None:
    pulse = Announced()
    timeout_s = agent._prepare(pulse)
    calls = sls.stats()["calls"]

    assert 40.0 == timeout_s
    # For every shard: where it starts, whether a position is stored, and the position.
    assert 3 * SHARDS < calls
    assert calls <= pulse.waits.count((CALL_S, PREPARING))
    assert (CALL_S, PREPARING) == max(pulse.waits)


def until_a_call_failed(agent: Agent) -> None:
    deadline = time.monotonic() + 20
    while agent._member._failures < 1:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def saved(sls: SlsEmulator) -> int:
    return sum(not save.refused for save in sls.history.saves)


def test_first_positions_that_cannot_be_saved_just_before_a_stop_are_tried_within_it(
    sls: SlsEmulator, agent: Agent
) -> None:
    """What came until the next start would be skipped: with `start = "end"` it begins where the logs end by then."""
    refused = sls.faults.add(Fault("status", call="save_checkpoint", skip=2))
    agent.start()
    until_a_call_failed(agent)
    back = threading.Timer(1.0, sls.faults.remove, (refused,))
    back.start()
    agent.drain(5.0)
    agent.leave()
    back.join()

    assert SHARDS == saved(sls)
    assert not agent._member._thread.is_alive()


def test_a_stop_does_not_try_again_what_was_not_begun(sls: SlsEmulator, agent: Agent) -> None:
    sls.faults.add(Fault("status", call="create_group"))
    agent.start()
    until_a_call_failed(agent)
    stopped_at = time.monotonic()
    agent.drain(5.0)
    agent.leave()

    assert not agent._member._thread.is_alive()
    assert time.monotonic() - stopped_at < 5
