"""What the end-to-end tests share: the emulators, and agents that end with the test."""

from __future__ import annotations

from pathlib import Path

import pytest

from sls_siem.emulator.hec import HecEmulator
from sls_siem.emulator.sls import SlsEmulator
from tests.e2e.harness import KEY_ID, KEY_SECRET, AgentProcess


@pytest.fixture
def sls():
    with SlsEmulator(project="p", logstore="ls", shards=2) as emulator:
        emulator.add_key(KEY_ID, KEY_SECRET)
        yield emulator


@pytest.fixture
def hec():
    with HecEmulator() as emulator:
        yield emulator


@pytest.fixture
def token_file(tmp_path: Path, hec: HecEmulator) -> Path:
    path = tmp_path / "hec-token"
    path.write_text(hec.token + "\n")
    return path


@pytest.fixture
def agents():
    """Makes agents and ends them with the test; shows their logs when it failed."""
    made: list[AgentProcess] = []
    yield made
    for agent in made:
        agent.kill()
        print(f"--- {agent.folder.name} ---\n{agent.log()[-4000:]}")
