"""The consumer group is prepared within waits that are announced call by call, so that a hang is found in time."""

from __future__ import annotations

from pathlib import Path

import pytest

from sls_siem.config import load
from sls_siem.emulator.sls import SlsEmulator
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


def test_each_call_is_announced_by_itself_however_many_shards_there_are(
    sls: SlsEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    for name, text in (("sls-access-key-id", "id"), ("sls-access-key-secret", "secret"), ("hec-token", "t")):
        (tmp_path / name).write_text(text)
    (tmp_path / "agent.toml").write_text(
        f'[sls]\nendpoint = "{sls.url}"\nregion = "cn-test"\nproject = "p"\nlogstore = "ls"\nconsumer_group = "g"\n'
        '[siem]\noutput = "hec"\n[hec]\nurls = ["http://127.0.0.1:9"]\n'
    )
    agent = Agent(load(tmp_path / "agent.toml", 1, {}), health=Health(), metrics=Metrics())
    pulse = Announced()
    timeout_s = agent._prepare(pulse)
    agent._first_start._calls.close()
    calls = sls.stats()["calls"]

    assert 40.0 == timeout_s
    # For every shard: where it starts, whether a position is stored, and the position.
    assert 3 * SHARDS < calls
    assert calls <= pulse.waits.count((CALL_S, PREPARING))
    assert (CALL_S, PREPARING) == max(pulse.waits)
