"""`sls-siem dead-letter` as a process between the emulators: what is sent again, what stays, and why."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from sls_siem.codec import make_encoder, settings_from
from sls_siem.codec.model import Batch, Oversize, Payload
from sls_siem.config import load
from sls_siem.dead_letter import DeadLetter, DeadLetters
from sls_siem.emulator.hec import HecToken
from sls_siem.emulator.loggroups import make_group
from sls_siem.emulator.store import event_digest
from sls_siem.emulator.syslog import SyslogEmulator
from sls_siem.service.retry_letters import Resender
from sls_siem.siem import make_output
from tests.e2e.harness import AgentProcess, Oracle, hec_tables, merged, syslog_tables, until

pytestmark = pytest.mark.e2e
WHEN = 1700000000.0
NOBODY = 65534


def dead_letter(agent: AgentProcess, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sls_siem", "dead-letter", *arguments, "--config", str(agent.config_path)]
    return subprocess.run(command, env=agent.environ(), capture_output=True, text=True, timeout=60, check=False)


def letters_of(agent: AgentProcess) -> DeadLetters:
    return DeadLetters(agent.folder / "state", 1 << 20)


def as_list(body: bytes) -> bytes:
    """One log group as a LogGroupList."""
    assert len(body) < 16384
    size = bytes([len(body)]) if len(body) < 128 else bytes([len(body) & 0x7F | 0x80, len(body) >> 7])
    return b"\x0a" + size + body


def encoded(agent: AgentProcess, sls, position: int):
    """What the agent's configuration makes of the one group of shard 0 at a position."""
    group = next(one for one in sls.store.stored() if (one.shard, one.position) == (0, position))
    batch = Batch(0, position, position + 1, 1, as_list(group.data))
    return list(make_encoder(settings_from(load(agent.config_path, 1, {}))).encode(batch))


def keep(agent: AgentProcess, event_id: str, event: bytes, reason: str = "invalid-event", **changes: object) -> None:
    letters_of(agent).append(DeadLetter(event_id, 0, reason, "no", event, WHEN, **changes))


def test_a_refused_event_is_sent_once_the_siem_takes_it_while_the_agent_runs(
    sls, hec, token_file, tmp_path, agents
) -> None:
    place = sls.store.append(0, [make_group([{"seq": str(n)} for n in range(5)], time=1700000000)])
    event_id = f"0-{place.position}-2"
    hec.poison(event_id)
    agent = AgentProcess(tmp_path, hec_tables(sls, [hec.url], token_file))
    agents.append(agent.start())
    until(lambda: len(hec.store) >= 4 and letters_of(agent).letters(), 20, "the dead letter")
    until(lambda: agent.status()["dead_letter_bytes"] == letters_of(agent).size() > 0, 20, "the letter in the status")
    listed = dead_letter(agent, "list")
    refused = dead_letter(agent, "retry", event_id)

    time, *rest, answer = listed.stdout.rstrip("\n").split("  ")
    (letter,) = letters_of(agent).letters()
    assert time.endswith("Z")
    assert [event_id, "invalid-event", str(len(letter.event))] == rest
    assert letter.answer == answer
    assert 69 == refused.returncode
    assert f"{event_id} stays: " in refused.stderr
    hec.heal(event_id)
    sent = dead_letter(agent, "retry", "--json")
    assert (0, {"sent": [event_id], "refused": {}, "kept": {}}) == (sent.returncode, json.loads(sent.stdout))
    assert [] == letters_of(agent).letters()
    until(lambda: agent.status()["dead_letter_bytes"] == 0, 20, "a status without letters")
    assert 1 == agent.status()["totals"]["dead_lettered"]
    assert 0 == agent.stop()
    assert Oracle(sls, agent.config_path).expected()[event_id] == hec.store.digest(event_id)
    assert 1 == hec.store.count(event_id)


def test_an_id_that_no_letter_has_is_named_and_the_others_are_sent(sls, hec, token_file, tmp_path) -> None:
    agent = AgentProcess(tmp_path, hec_tables(sls, [hec.url], token_file))
    keep(agent, "0-1-0", b'{"time":1,"event":"x","fields":{"sls_id":"0-1-0"}}')
    done = dead_letter(agent, "retry", "0-1-0", "0-1-7", "--json")
    again = dead_letter(agent, "retry", "0-1-0")

    why = "instance 1 has no such dead letter"
    assert {"sent": ["0-1-0"], "refused": {}, "kept": {"0-1-7": why}} == json.loads(done.stdout)
    assert [(78, f"0-1-7: {why}\n"), (78, f"0-1-0: {why}\n")] == [(one.returncode, one.stderr) for one in (done, again)]


def test_a_letter_stays_while_no_acknowledgement_confirms_it(sls, hec, token_file, tmp_path, agents) -> None:
    agent = AgentProcess(
        tmp_path, hec_tables(sls, [hec.url], token_file, hec={"acknowledge": True, "ack_timeout_s": 1})
    )
    keep(agent, "0-1-0", b'{"time":1,"event":{"a":"b"},"fields":{"sls_id":"0-1-0"}}')
    hec.set_token(HecToken(use_ack=True))
    hec.inject("ack_never", count=100)
    unconfirmed = dead_letter(agent, "retry")

    assert 69 == unconfirmed.returncode
    assert "0-1-0 stays: " in unconfirmed.stderr
    hec.clear_faults()
    assert 0 == dead_letter(agent, "retry").returncode
    assert [] == letters_of(agent).letters()


def test_nothing_is_sent_to_a_siem_that_is_down_or_refuses_the_token(sls, hec, token_file, tmp_path) -> None:
    agent = AgentProcess(tmp_path, hec_tables(sls, [hec.url], token_file))
    keep(agent, "0-1-0", b'{"time":1,"event":"x","fields":{"sls_id":"0-1-0"}}')
    token = token_file.read_text()
    token_file.write_text("00000000-dead-beef-0000-000000000000")
    refused = dead_letter(agent, "retry")
    token_file.write_text(token)
    hec.stop_listening()
    down = dead_letter(agent, "retry")

    assert [69, 69] == [refused.returncode, down.returncode]
    assert "token" in refused.stderr
    assert "dead-beef" not in refused.stderr
    assert "connection refused" in down.stderr
    assert ["0-1-0"] == [letter.event_id for letter in letters_of(agent).letters()]


def test_an_undecodable_group_is_decoded_again_or_says_why_not(sls, hec, token_file, tmp_path) -> None:
    agent = AgentProcess(tmp_path, hec_tables(sls, [hec.url], token_file))
    good = as_list(make_group([{"seq": "1"}, {"seq": "2"}], time=1700000000))
    keep(agent, "0-7", good, "undecodable", raw=True, position=7)
    keep(agent, "0-8", b"\x0a\x05\xff\xff\xff\xff\xff", "undecodable", raw=True, position=8)
    done = dead_letter(agent, "retry", "--json")
    said = json.loads(done.stdout)

    assert 78 == done.returncode
    assert ["0-7"] == said["sent"]
    assert "still cannot be decoded" in said["kept"]["0-8"]
    assert ["0-7-0", "0-7-1"] == sorted(hec.store.ids())
    assert ["0-8"] == [letter.event_id for letter in letters_of(agent).letters()]


def test_an_oversize_message_is_sent_once_the_configuration_allows_it(sls, tmp_path) -> None:
    place = sls.store.append(0, [make_group([{"seq": "0"}, {"long": "y" * 900}], time=1700000000)])
    event_id = f"0-{place.position}-1"
    with SyslogEmulator(framing="octet-counting", rfc="5424") as siem:
        strict = {"framing": "octet-counting", "oversize": "dead-letter", "max_bytes": 600}
        tables = syslog_tables(sls, siem.url, syslog=strict)
        agent = AgentProcess(tmp_path, tables)
        oversize = encoded(agent, sls, place.position)[1]
        assert isinstance(oversize, Oversize)
        keep(agent, event_id, oversize.event, "oversize")
        keep(agent, "0-99-0", b'<14>1 2023-11-14T22:13:20Z - - - - [sls@32473 id="0-99-0"] whole', "too-large")
        still = dead_letter(agent, "retry", event_id)
        agent.write_config(merged(tables, {"syslog": {"max_bytes": 8192}}))
        done = dead_letter(agent, "retry", "--json")
        payload = encoded(agent, sls, place.position)[0]
        assert isinstance(payload, Payload)
        frame = payload.data[payload.data.index(b"<", 5) :]

        assert 78 == still.returncode
        assert "syslog.max_bytes = 600" in still.stderr
        assert (0, {event_id, "0-99-0"}) == (done.returncode, set(json.loads(done.stdout)["sent"]))
        assert event_digest(frame) == siem.store.digest(event_id)
        assert {event_id, "0-99-0"} == set(siem.store.ids())
        assert not siem.malformed()


def test_an_oversize_message_of_another_logstore_is_never_mistaken_for_the_log_there(sls, tmp_path) -> None:
    place = sls.store.append(0, [make_group([{"long": "y" * 900}], time=1700000000)])
    with SyslogEmulator(framing="octet-counting", rfc="5424") as siem:
        agent = AgentProcess(tmp_path, syslog_tables(sls, siem.url, syslog={"framing": "octet-counting"}))
        keep(agent, f"0-{place.position}-0", b'{"another":"log"}', "oversize")
        done = dead_letter(agent, "retry")

        assert 78 == done.returncode
        assert "does not read the same" in done.stderr
        assert [] == siem.store.ids()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as somebody else")
def test_root_acts_as_the_owner_of_the_state_directory(sls, hec, token_file, tmp_path: Path) -> None:
    agent = AgentProcess(tmp_path, hec_tables(sls, [hec.url], token_file))
    for number in (1, 2):
        keep(agent, f"0-{number}-0", b'{"time":1,"event":"x","fields":{"sls_id":"0-%d-0"}}' % number)
    token_file.chmod(0o600)
    # Where somebody else may come by, which is not so of pytest's own folder.
    with tempfile.TemporaryDirectory() as outside:
        state = Path(outside) / "state"
        shutil.move(agent.folder / "state", state)
        for path in (Path(outside), state, *state.iterdir()):
            os.chown(path, NOBODY, NOBODY)
        agent.environ = lambda: {**AgentProcess.environ(agent), "STATE_DIRECTORY": str(state)}
        done = dead_letter(agent, "retry", "0-1-0")

        assert (0, "1 sent and removed\n") == (done.returncode, done.stdout), done.stderr
        assert {NOBODY} == {path.stat().st_uid for path in state.iterdir()}
        assert ["0-2-0"] == [letter.event_id for letter in DeadLetters(state, 1 << 20).letters()]


def test_a_siem_that_goes_away_ends_the_retry_when_patience_does(hec, sls, token_file, tmp_path: Path) -> None:
    agent = AgentProcess(tmp_path, hec_tables(sls, [hec.url], token_file))
    config = load(agent.config_path, 1, {})
    letters = [DeadLetter(f"0-{n}-0", 0, "invalid-event", "no", b'{"event":"x"}', WHEN) for n in (1, 2)]
    settled: set[str] = set()
    hec.inject("reset_before", skip=1)
    resender = Resender(config, make_output(config), lambda *_a, **_k: None, patience_s=1.0)
    attempts = resender.retry(letters, settled.update)

    assert {"0-1-0"} == settled
    assert [True, False] == [attempt.settled for attempt in attempts]
    assert hec.url in resender.trouble
