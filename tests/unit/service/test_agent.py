"""What a reload puts in force, and in which order."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from sls_siem.emulator.certificates import Certificates
from sls_siem.errors import ConfigError
from sls_siem.health import Health
from sls_siem.metrics import Metrics
from sls_siem.service.agent import Agent
from tests.unit.siem.support import hec_config


def test_a_reload_reads_the_ca_file_towards_sls_again_and_changes_nothing_when_it_cannot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    ca_file = tmp_path / "authorities.pem"
    ca_file.write_bytes(Certificates(tmp_path).ca_file.read_bytes())
    base = hec_config("http://127.0.0.1:9")
    config = dataclasses.replace(
        base, sls=dataclasses.replace(base.sls, endpoint="https://127.0.0.1:9", ca_file=str(ca_file))
    )
    agent = Agent(config, health=Health(), metrics=Metrics())
    agent.reload(config)
    ca_file.write_text("no certificate\n")
    with pytest.raises(ConfigError, match=r"authorities\.pem holds no CA certificate"):
        agent.reload(config)

    assert agent.generation == 2
