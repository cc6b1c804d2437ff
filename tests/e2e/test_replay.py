"""`sls-siem replay` as a process between the emulators: what it ships, what it never touches, how it goes on."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
import time
from datetime import datetime, timezone
from pathlib import Path

import pytest

from sls_siem.config import load
from sls_siem.emulator.hec import HecEmulator
from sls_siem.emulator.loggroups import make_group
from sls_siem.emulator.sls import SlsEmulator
from sls_siem.service.replay import Replay, resolve
from sls_siem.service.replay_range import ResumeFile
from sls_siem.siem import make_output
from sls_siem.sls.client import SlsClient
from sls_siem.sls.credentials import credential_source
from tests.e2e.harness import AgentProcess, Oracle, hec_tables, until

pytestmark = pytest.mark.e2e
NOON = 1700000000 // 3600 * 3600


@pytest.fixture
def hec():
    with HecEmulator(keep_bytes=True) as emulator:
        yield emulator


def at(seconds: int) -> str:
    return datetime.fromtimestamp(NOON + seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def fill(sls: SlsEmulator, received: int, groups: int = 4, logs: int = 5) -> None:
    """Append groups to both shards in turn that were received so many seconds after noon."""
    for number in range(groups):
        contents = [{"seq": f"{received}-{number}-{index}", "message": "x" * 100} for index in range(logs)]
        sls.store.append(number % 2, [make_group(contents, time=NOON + received)], received=NOON + received)


def command(agent: AgentProcess, *arguments: str, since: int = 100, until_s: int = 200) -> list[str]:
    given = ["--from", at(since), "--to", at(until_s), *arguments]
    return [sys.executable, "-m", "sls_siem", "replay", "--config", str(agent.config_path), *given]


def replay(agent: AgentProcess, *arguments: str, **span: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(agent, *arguments, **span),
        env=agent.environ(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


def ids_received(sls: SlsEmulator, agent: AgentProcess, *received: int, shards: tuple[int, ...] = (0, 1)) -> set[str]:
    """Ids of the events whose `seq` says that they were received then."""
    places = {
        (group.shard, group.position)
        for group in sls.store.stored()
        if group.shard in shards and any(b"%d-" % moment in group.data for moment in received)
    }
    ids = Oracle(sls, agent.config_path).ids()
    return {one for one in ids if tuple(int(part) for part in one.split("-")[:2]) in places}


def resume_files(agent: AgentProcess) -> list[Path]:
    return list((agent.folder / "state").glob("replay-*.json"))


def test_ships_a_time_range_once_more_marked_and_under_the_same_ids(sls, hec, token_file, tmp_path) -> None:
    """Nothing of the consumer group is touched: no heartbeat, no save, not even the group is made."""
    for received in (10, 100, 150, 199, 200, 300):
        fill(sls, received)
    agent = AgentProcess(tmp_path, hec_tables(sls, [hec.url], token_file))
    done = replay(agent, "--yes")

    assert 0 == done.returncode, done.stderr
    assert ids_received(sls, agent, 100, 150, 199) == set(hec.store.ids())
    assert 60 == hec.store.total
    for event_id in hec.store.ids():
        assert {"sls_id": event_id, "sls_replay": "1"} == json.loads(hec.store.data(event_id))["fields"]
    assert "shard 0: 6 log groups, about" in done.stderr
    assert "in all: 12 log groups" in done.stderr
    assert "done: 60 events" in done.stderr
    assert [] == sls.history.saves
    assert [] == sls.history.heartbeats
    assert [] == resume_files(agent)


def test_ships_only_the_shards_that_were_named(sls, hec, token_file, tmp_path) -> None:
    fill(sls, 150)
    agent = AgentProcess(tmp_path, hec_tables(sls, [hec.url], token_file))

    assert 0 == replay(agent, "--yes", "--shard", "1").returncode
    assert ids_received(sls, agent, 150, shards=(1,)) == set(hec.store.ids())
    wrong = replay(agent, "--yes", "--shard", "7")
    assert 78 == wrong.returncode
    assert "no shard 7, there are 0, 1" in wrong.stderr


def test_a_killed_replay_goes_on_where_it_was_and_keeps_to_the_speed_limit(sls, hec, token_file, tmp_path) -> None:
    """Each request of 64 KiB holds 5 groups of 100 logs; at most 2,000 events a second."""
    fill(sls, 150, groups=80, logs=100)
    limits = {"max_events_per_s": 2000, "checkpoint_s": 0.1}
    tables = hec_tables(sls, [hec.url], token_file, delivery=limits, hec={"batch_bytes": 65536})
    agent = AgentProcess(tmp_path, tables)
    began = time.monotonic()
    with subprocess.Popen(command(agent, "--yes"), env=agent.environ(), stdin=subprocess.DEVNULL) as process:
        until(lambda: len(hec.store) >= 1500, 20, "part of the events")
        process.kill()
    first = len(hec.store)
    assert first <= 2000 * (time.monotonic() - began)
    noted = json.loads(resume_files(agent)[0].read_text())["shards"]
    pulls_before = len(sls.history.pulls)
    done = replay(agent, "--yes")

    assert 0 == done.returncode, done.stderr
    assert "going on after an interruption" in done.stderr
    assert ids_received(sls, agent, 150) == set(hec.store.ids())
    assert any(noted[shard]["position"] > noted[shard]["start"] for shard in noted)
    for pull in sls.history.pulls[pulls_before:]:
        assert pull.position >= noted[str(pull.shard)]["position"]
    assert sum(hec.store.duplicates().values()) < first
    assert [] == resume_files(agent)


def test_an_interrupted_replay_repeats_at_most_one_request_a_shard(sls, hec, token_file, tmp_path) -> None:
    """And the part of a group of 100 logs before it: positions are those of groups."""
    fill(sls, 150, groups=80, logs=100)
    limits = {"max_events_per_s": 2000, "drain_s": 1}
    tables = hec_tables(sls, [hec.url], token_file, delivery=limits, hec={"batch_bytes": 65536})
    agent = AgentProcess(tmp_path, tables)
    pipe = {"stdin": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command(agent, "--yes"), env=agent.environ(), **pipe) as process:
        until(lambda: len(hec.store) >= 1000, 20, "part of the events")
        process.terminate()
        said = process.communicate(timeout=30)[1]

    assert 130 == process.returncode
    assert "the same command goes on where it stopped" in said
    assert 0 == replay(agent, "--yes").returncode
    assert ids_received(sls, agent, 150) == set(hec.store.ids())
    most = max(request.events for request in hec.requests())
    assert len(hec.store.duplicates()) <= 2 * (most + 100)


def test_without_a_terminal_it_wants_to_be_told_yes(sls, hec, token_file, tmp_path) -> None:
    fill(sls, 150)
    agent = AgentProcess(tmp_path, hec_tables(sls, [hec.url], token_file))
    done = replay(agent)

    assert (2, "replay: nobody is there to be asked: give --yes\n") == (done.returncode, done.stderr)
    assert [] == hec.store.ids()


@pytest.mark.parametrize(("answer", "status"), [("y\n", 0), ("n\n", 2)])
def test_on_a_terminal_it_asks_and_shows_a_bar(sls, hec, token_file, tmp_path, answer, status) -> None:
    fill(sls, 150)
    agent = AgentProcess(tmp_path, hec_tables(sls, [hec.url], token_file))
    master, slave = pty.openpty()
    with subprocess.Popen(command(agent), env=agent.environ(), stdin=slave, stderr=slave) as process:
        os.close(slave)
        os.write(master, answer.encode())
        said = b""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and select.select([master], [], [], 30)[0]:
            try:
                said += os.read(master, 4096)
            except OSError:  # the other side was closed
                break
        os.close(master)

    assert status == process.returncode
    assert b"Send it? [y/N]" in said
    assert (status == 0) == (b"[####################] 100%" in said)
    assert (20 if status == 0 else 0) == hec.store.total


def test_names_what_stands_in_the_way(sls, hec, token_file, tmp_path) -> None:
    fill(sls, 150)
    agent = AgentProcess(tmp_path, hec_tables(sls, [hec.url], token_file))
    keyless = AgentProcess(tmp_path, hec_tables(sls, [hec.url], token_file), environ={"SLS_AK_KEY": ""}, name="keyless")
    backwards = replay(agent, "--yes", since=200, until_s=100)
    no_key = replay(keyless, "--yes")
    sls.remove_key("test-key-id")
    refused = replay(agent, "--yes")
    hec.stop_listening()
    down = replay(agent, "--yes")

    assert (78, 78, 69, 69) == tuple(one.returncode for one in (backwards, no_key, refused, down))
    assert "--to: does not lie after --from" in backwards.stderr
    assert "no access key for SLS" in no_key.stderr
    assert "401" in refused.stderr
    assert "connection refused" in down.stderr
    assert [] == hec.store.ids()


def test_a_siem_that_goes_away_ends_the_replay_when_patience_does(sls, hec, token_file, tmp_path, monkeypatch) -> None:
    fill(sls, 150)
    agent = AgentProcess(tmp_path, hec_tables(sls, [hec.url], token_file))
    for name, value in agent.environ().items():
        monkeypatch.setenv(name, value)
    config = load(agent.config_path, 1, os.environ)
    client = SlsClient(config.sls, credential_source(config.sls.credentials))
    session = client.session()
    resume = ResumeFile(agent.folder / "state", (NOON + 100, NOON + 200), "here")
    shards = resolve(session, resume, (NOON + 100, NOON + 200), None)
    hec.stop_listening()
    run = Replay(config, client, make_output(config), resume=resume, shards=shards, patience_s=1.0)
    run.start()
    until(lambda: run.look(0.05) and run.stuck(), 20, "the end of patience")
    why = run.stuck()
    run.stop(0.0)

    assert "connection refused" in why
    assert not run.done()
    hec.listen_again()
    run = Replay(config, client, make_output(config), resume=resume, shards=shards)
    run.start()
    until(lambda: not run.look(0.05), 20, "the end of the replay")
    assert run.done()
    assert (4, 4, 20) == (run.state().groups, run.state().settled, run.state().events)
    resume.close()
    session.close()
