"""The pipe end to end: the agent as a process between the emulators, every id and every byte compared."""

from __future__ import annotations

import base64
import dataclasses
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from sls_siem.emulator.hec import HecEmulator, HecToken
from sls_siem.emulator.loggroups import make_group
from sls_siem.emulator.sls import Fault, Settings, SlsEmulator
from sls_siem.emulator.store import Comparison
from tests.e2e.harness import (
    GROUP,
    KEY_ID,
    KEY_SECRET,
    AgentProcess,
    Oracle,
    Trickle,
    assert_saves_are_honest,
    hec_tables,
    until,
)

pytestmark = pytest.mark.e2e


@pytest.fixture
def sls():
    with SlsEmulator(project="p", logstore="ls", shards=4) as emulator:
        emulator.add_key(KEY_ID, KEY_SECRET)
        yield emulator


def agent_for(
    agents, tmp_path: Path, sls, hec, token_file, /, *, instance: int = 1, arguments=(), environ=None, **changes
):
    agent = AgentProcess(
        tmp_path,
        hec_tables(sls, [hec.url], token_file, **changes),
        instance=instance,
        arguments=arguments,
        environ=environ,
    )
    agents.append(agent)
    return agent.start()


def fill(sls: SlsEmulator, groups: int, *, logs: int = 20, first: int = 0, shard: int | None = None) -> None:
    for number in range(first, first + groups):
        contents = [{"seq": f"{number}-{index}", "message": "x" * 200} for index in range(logs)]
        sls.store.append(shard, [make_group(contents, time=1700000000 + number, topic="t", source="10.0.0.1")])


def saved(sls: SlsEmulator, shard: int) -> int:
    """Position of the stored checkpoint; -1 without one."""
    stored = sls.store.group(GROUP).checkpoint(shard)
    return -1 if stored is None or not stored.cursor else int(base64.b64decode(stored.cursor))


def arrived(hec: HecEmulator, expected: dict[str, bytes]) -> bool:
    return len(hec.store) >= len(expected)


def test_every_log_arrives_once_with_the_bytes_that_the_encoder_makes_of_it(
    sls, hec, token_file, tmp_path, agents
) -> None:
    for profile in ("nginx", "actiontrail", "waf", "hostile"):
        sls.feed(sls.store, profile=profile, logs=2000, mb_per_s=None).join(30)
    agent = agent_for(agents, tmp_path, sls, hec, token_file)
    expected = Oracle(sls, agent.config_path).expected()
    assert 8000 == len(expected)
    until(lambda: arrived(hec, expected), 60, "the arrival of every log")

    assert 0 == agent.stop()
    assert Comparison() == hec.store.compare(expected)
    assert 0 == hec.counters.trapped_requests
    for shard in range(4):
        assert sls.store.shard(shard).end == saved(sls, shard)
    assert_saves_are_honest(sls, first_positions=4)


@pytest.mark.parametrize(
    "fault",
    [Fault("shorten"), Fault("garble"), Fault("rawsize", amount=1), Fault("rawsize", amount=-1), Fault("count")],
    ids=lambda fault: f"{fault.action}{fault.amount or ''}",
)
def test_answers_that_are_wrong_lose_nothing_and_repeat_nothing(sls, hec, token_file, tmp_path, agents, fault) -> None:
    """Some are found out only when a part of them has been sent."""
    sls.feed(sls.store, profile="waf", logs=3000, mb_per_s=None).join(30)
    struck = sls.faults.add(dataclasses.replace(fault, call="pull", times=6, struck=[], struck_calls=[]))
    agent = agent_for(agents, tmp_path, sls, hec, token_file, hec={"batch_bytes": 65536})
    expected = Oracle(sls, agent.config_path).expected()
    until(lambda: arrived(hec, expected), 60, "the arrival of every log")

    assert 0 == agent.stop()
    assert 6 == len(struck.struck)
    assert Comparison() == hec.store.compare(expected)
    assert_saves_are_honest(sls, first_positions=4)


@pytest.mark.alone
def test_a_log_arrives_within_a_second_when_the_shard_is_not_behind(sls, hec, token_file, tmp_path, agents) -> None:
    """At the 99th percentile on loopback; the vendor's consumer takes 4 to 5 s."""
    agent = agent_for(agents, tmp_path, sls, hec, token_file)
    until(lambda: sorted(agent.shards()) == [0, 1, 2, 3])
    appended: dict[str, float] = {}

    def append(number: int) -> None:
        place = sls.store.append(number % 4, [make_group([{"seq": str(number)}], time=int(time.time()))])
        appended[f"{place.shard}-{place.position}-0"] = time.monotonic()

    with Trickle(append, 0.04):
        until(lambda: len(appended) >= 250, 60)
    until(lambda: len(hec.store) >= len(appended), 10)
    taken = sorted(hec.store.arrivals(event_id)[0].at_s - at for event_id, at in appended.items())

    assert taken[int(len(taken) * 0.99)] <= 1.0, taken[-5:]


def test_three_agents_share_the_shards_and_survive_a_kill_and_a_stop(sls, hec, token_file, tmp_path, agents) -> None:
    """The stopped one's shards go on without a duplicate, the killed one's within group timeout + heartbeat."""
    team = [agent_for(agents, tmp_path, sls, hec, token_file, instance=number) for number in (1, 2, 3)]
    until(lambda: all(agent.shards() for agent in team), 40, "a shard for each of the three")
    until(lambda: sorted(shard for agent in team for shard in agent.shards()) == [0, 1, 2, 3], 30)
    oracle = Oracle(sls, team[0].config_path)

    with Trickle(lambda number: fill(sls, 4, first=4 * number), 0.02):
        time.sleep(1.5)
        killed, stopped, survivor = team
        lost_shards = {shard for shard in range(4) if sls.store.group(GROUP).owner(shard) == "consumer-1"}
        assert lost_shards
        killed.kill()
        killed_at = time.monotonic()
        until(lambda: not lost_shards & _owned_by(sls, "consumer-1"), 7, "the take-over of the killed one's shards")
        taken_over_after = time.monotonic() - killed_at
        # What the kill repeats has arrived once the successors have saved beyond where everything stood then.
        ends = {shard: sls.store.shard(shard).end for shard in lost_shards}
        until(lambda: all(saved(sls, shard) >= end for shard, end in ends.items()), 20)
        before_stop = len(hec.store.duplicates())
        assert 0 == stopped.stop()
        until(lambda: _owned_by(sls, "consumer-3") == {0, 1, 2, 3}, 10)
        time.sleep(1.0)
    expected = oracle.expected()
    until(lambda: arrived(hec, expected), 60, "the arrival of every log")
    duplicates_from_stop = len(hec.store.duplicates()) - before_stop
    assert 0 == survivor.stop()

    found = hec.store.compare(expected)
    assert not found.missing
    assert not found.unknown
    assert not found.altered
    assert 0 == duplicates_from_stop
    assert taken_over_after <= 5 + 1 + 0.5
    assert_saves_are_honest(sls, first_positions=4)


def _owned_by(sls: SlsEmulator, consumer: str) -> set[int]:
    return {shard for shard in range(4) if sls.store.group(GROUP).owner(shard) == consumer}


def test_nothing_after_the_groups_first_start_is_lost_when_the_first_agent_dies_at_once(
    sls, hec, token_file, tmp_path, agents
) -> None:
    """start = "end", SIGKILL before the first periodic checkpoint, a split while no agent runs."""
    fill(sls, 8)
    before = Oracle(sls, Path(_config(tmp_path, sls, hec, token_file))).ids()
    changes = {"sls": {"start": "end"}, "delivery": {"checkpoint_s": 60}}
    agent = agent_for(agents, tmp_path, sls, hec, token_file, **changes)
    until(lambda: len([save for save in sls.history.saves if save.forced]) == 4, 20, "the first positions")
    agent.kill()
    assert not [save for save in sls.history.saves if not save.forced]
    fill(sls, 8, first=100)
    sls.store.split(0)
    fill(sls, 12, first=200)
    successor = agent_for(agents, tmp_path, sls, hec, token_file, **changes)
    expected = {
        event_id: digest
        for event_id, digest in Oracle(sls, successor.config_path).expected().items()
        if event_id not in before
    }
    until(lambda: arrived(hec, expected), 60, "the arrival of every log")
    assert 0 == successor.stop()

    assert not hec.store.compare(expected).missing
    assert not [event_id for event_id in hec.store.ids() if event_id in before]


def _config(tmp_path: Path, sls, hec, token_file) -> Path:
    return AgentProcess(tmp_path, hec_tables(sls, [hec.url], token_file), name="only-config").config_path


def test_shards_split_and_merge_under_load_without_loss_or_duplicate(sls, hec, token_file, tmp_path, agents) -> None:
    agent = agent_for(agents, tmp_path, sls, hec, token_file)
    until(lambda: sorted(agent.shards()) == [0, 1, 2, 3])
    with Trickle(lambda number: fill(sls, 4, first=4 * number), 0.02):
        time.sleep(0.5)
        sls.store.split(0)
        time.sleep(1.5)
        sls.store.merge(2)
        time.sleep(1.5)
    expected = Oracle(sls, agent.config_path).expected()
    until(lambda: arrived(hec, expected), 60, "the arrival of every log")
    until(lambda: 0 not in agent.shards(), 20, "the release of the split shard")
    assert 0 == agent.stop()

    assert Comparison() == hec.store.compare(expected)


@pytest.mark.timeout(300)
@pytest.mark.slow
def test_a_siem_that_is_down_from_the_start_for_two_minutes_costs_nothing(
    sls, hec, token_file, tmp_path, agents
) -> None:
    hec.stop_listening()
    changes = {"delivery": {"window_bytes": 16 * 1024 * 1024}, "sls": {"heartbeat_s": 2, "group_timeout_s": 10}}
    agent = agent_for(agents, tmp_path, sls, hec, token_file, **changes)
    until(lambda: sorted(agent.shards()) == [0, 1, 2, 3])
    feed = sls.feed(sls.store, profile="nginx", logs=60_000, mb_per_s=None)
    feed.join(60)
    down_until = time.monotonic() + 120
    peak = 0
    while time.monotonic() < down_until:
        peak = max(peak, agent.resident_bytes())
        time.sleep(0.5)
    status = agent.status()

    assert "holding" == status["state"]
    assert any("hec" in why.lower() or "connect" in why.lower() for why in status["holding"].values()), status
    assert not status["siem"]["endpoints"][0]["up"]
    assert {"consumer-1"} == {sls.store.group(GROUP).owner(shard) for shard in range(4)}
    assert peak <= 16 * 1024 * 1024 + 80 * 1024 * 1024
    hec.listen_again()
    expected = Oracle(sls, agent.config_path).expected()
    until(lambda: arrived(hec, expected), 120, "the arrival of every log")
    until(lambda: agent.status()["state"] == "running", 60)
    assert 0 == agent.stop()
    assert Comparison() == hec.store.compare(expected)


def test_until_caught_up_ends_when_everything_that_was_there_is_saved(sls, hec, token_file, tmp_path, agents) -> None:
    fill(sls, 9, shard=1)
    agent = agent_for(agents, tmp_path, sls, hec, token_file, arguments=["--until-caught-up"])

    assert 0 == agent.wait(30)
    assert Comparison() == hec.store.compare(Oracle(sls, agent.config_path).expected())
    assert sls.store.shard(1).end == saved(sls, 1)


def test_a_second_sigterm_ends_at_once(sls, hec, token_file, tmp_path, agents) -> None:
    fill(sls, 50)
    hec.inject("black_hole", for_s=60)
    agent = agent_for(agents, tmp_path, sls, hec, token_file, delivery={"drain_s": 60})
    until(hec.strikes, 20)
    agent.signal(signal.SIGTERM)
    until(lambda: "draining" in agent.log())
    assert agent.running()
    agent.signal(signal.SIGTERM)
    asked = time.monotonic()

    assert 143 == agent.wait(5)
    assert time.monotonic() - asked < 3


def test_a_drain_ends_within_its_time_when_the_siem_does_not_answer_and_saves_only_what_is_settled(
    sls, hec, token_file, tmp_path, agents
) -> None:
    agent = agent_for(agents, tmp_path, sls, hec, token_file, delivery={"drain_s": 2})
    fill(sls, 8)
    # By the agent's own word: an answer that is still on its way would be lost with the connection.
    until(lambda: agent.status().get("totals", {}).get("delivered") == 160)
    hec.stop_listening()
    fill(sls, 8, first=100)
    until(lambda: agent.status().get("state") == "holding")
    started = time.monotonic()

    assert 0 == agent.stop()
    assert time.monotonic() - started < 2 + 10
    assert "not everything was settled when the shard was left" in agent.log()
    hec.listen_again()
    successor = agent_for(agents, tmp_path, sls, hec, token_file, instance=2)
    expected = Oracle(sls, successor.config_path).expected()
    until(lambda: arrived(hec, expected), 30)
    assert 0 == successor.stop()
    assert Comparison() == hec.store.compare(expected)


def test_a_process_that_was_stopped_beyond_its_lease_sends_nothing_when_it_goes_on(
    sls, hec, token_file, tmp_path, agents
) -> None:
    """Invariant 3, by the receiver's clock. To see it fail: let `Lease.valid` return True.

    Stopped until 80 % of the group's timeout are over and the timeout is not, and no heartbeat is answered at first
    when it goes on: the shards are still its own as far as it knows, and sends must wait for an answer all the same.
    """
    agent = agent_for(agents, tmp_path, sls, hec, token_file, sls={"group_timeout_s": 15, "heartbeat_s": 1})
    until(lambda: sorted(agent.shards()) == [0, 1, 2, 3])
    with Trickle(lambda number: fill(sls, 4, logs=200, first=4 * number), 0.02):
        until(lambda: len(hec.store) > 1000)
        agent.signal(signal.SIGSTOP)
        time.sleep(12.5)
        lost = sls.faults.add(Fault("lost_answer", call="heartbeat"))
        resumed_at = time.monotonic()
        agent.signal(signal.SIGCONT)
        time.sleep(1.5)
        sls.faults.remove(lost)
        answered_from = time.monotonic()
        until(lambda: [one for one in hec.requests() if one.at_s > answered_from], 30, "the next request")
    sends = [record.at_s for record in hec.requests() if record.at_s > resumed_at]

    # A request that was already on the way when the process was stopped may still end; none starts.
    assert not [at for at in sends if resumed_at + 0.3 < at < answered_from]
    expected = Oracle(sls, agent.config_path).expected()
    until(lambda: arrived(hec, expected), 60)
    found = hec.store.compare(expected)
    assert not found.missing
    assert not found.unknown


def test_a_second_process_under_the_same_consumer_name_is_noticed(sls, hec, token_file, tmp_path, agents) -> None:
    """A cloned host: one of the two says so and ends with 78."""
    changes = {"sls": {"consumer_name": "clone"}}
    first = agent_for(agents, tmp_path, sls, hec, token_file, instance=1, **changes)
    until(lambda: sorted(first.shards()) == [0, 1, 2, 3])
    with Trickle(lambda number: fill(sls, 4, first=4 * number), 0.05):
        second = agent_for(agents, tmp_path, sls, hec, token_file, instance=2, **changes)
        until(lambda: not (first.running() and second.running()), 90, "the end of one of the clones")
    ended = first if not first.running() else second

    assert 78 == ended.wait(5)
    assert "consumer_name" in ended.log()
    assert "clone" in ended.log()


def test_what_retention_removed_unread_is_counted_and_said(sls, hec, token_file, tmp_path, agents) -> None:
    fill(sls, 3, shard=0)
    agent = agent_for(agents, tmp_path, sls, hec, token_file)
    until(lambda: len(hec.store) == 60)
    assert 0 == agent.stop()
    fill(sls, 10, first=10, shard=0)
    sls.store.trim(0, before=sls.store.shard(0).end - 4)
    successor = agent_for(agents, tmp_path, sls, hec, token_file)
    until(lambda: len(hec.store) == 60 + 80)
    until(lambda: any("retention removed 6 log groups" in error for error in successor.status()["errors"]))
    assert 0 == successor.stop()

    assert f"position {sls.store.shard(0).end - 10}" in successor.log()


def test_an_expired_cursor_that_the_service_serves_from_begin_is_found_as_a_gap(
    sls, hec, token_file, tmp_path, agents
) -> None:
    sls.settings.expired_cursor = "begin"
    fill(sls, 3, shard=0)
    agent = agent_for(agents, tmp_path, sls, hec, token_file)
    until(lambda: len(hec.store) == 60)
    assert 0 == agent.stop()
    fill(sls, 10, first=10, shard=0)
    sls.store.trim(0, before=sls.store.shard(0).end - 4)
    successor = agent_for(agents, tmp_path, sls, hec, token_file)
    until(lambda: len(hec.store) == 60 + 80)
    until(lambda: any("retention removed 6 log groups" in error for error in successor.status()["errors"]))

    assert 0 == successor.stop()


def test_a_logstore_made_anew_is_read_from_its_oldest_log(sls, hec, token_file, tmp_path, agents) -> None:
    fill(sls, 3, shard=0)
    sls.store.create_group(GROUP, timeout_s=5, in_order=False, quota=30)
    sls.store.set_checkpoint(GROUP, 0, _cursor(sls.store.shard(0).end + 10_000))
    agent = agent_for(agents, tmp_path, sls, hec, token_file)
    until(lambda: len(hec.store) == 60)
    until(lambda: "made anew" in agent.log().replace("\\n", " "))

    assert 0 == agent.stop()


def _cursor(position: int) -> str:
    return base64.b64encode(str(position).encode()).decode()


def test_a_query_runs_on_the_service_and_filtered_logs_move_the_checkpoint(
    sls, hec, token_file, tmp_path, agents
) -> None:
    for number in range(30):
        logs = [{"seq": f"{number}-{i}", "level": "ERROR" if i == 0 and number % 3 == 0 else "INFO"} for i in range(5)]
        sls.store.append(0, [make_group(logs, time=1700000000)])
    changes = {"sls": {"query": "* | where level = 'ERROR'"}}
    agent = agent_for(agents, tmp_path, sls, hec, token_file, arguments=["--until-caught-up"], **changes)

    assert 0 == agent.wait(30)
    assert 10 == len(hec.store)
    assert all("-x" in event_id for event_id in hec.store.ids())
    assert sls.store.shard(0).end == saved(sls, 0)


def test_a_stored_processor_runs_on_the_service(sls, hec, token_file, tmp_path, agents) -> None:
    sls.store.processors["errors-only"] = "* | where level = 'ERROR'"
    sls.store.append(1, [make_group([{"level": "ERROR"}, {"level": "INFO"}], time=1700000000)])
    changes = {"sls": {"processor": "errors-only"}}
    agent = agent_for(agents, tmp_path, sls, hec, token_file, arguments=["--until-caught-up"], **changes)

    assert 0 == agent.wait(30)
    assert 1 == len(hec.store)


def test_the_speed_limit_holds_after_an_outage(sls, hec, token_file, tmp_path, agents) -> None:
    changes = {"delivery": {"max_events_per_s": 200}}
    hec.stop_listening()
    agent = agent_for(agents, tmp_path, sls, hec, token_file, **changes)
    fill(sls, 40)
    until(lambda: agent.status().get("state") == "holding", 20)
    hec.listen_again()
    until(lambda: len(hec.store) == 800, 30)
    arrivals = sorted(arrival.at_s for arrival in hec.store.all_arrivals())

    busiest = max(Counter(int(at) for at in arrivals).values())
    # One request may carry what its shard had saved up; the average must hold.
    assert arrivals[-1] - arrivals[0] >= (800 - 4 * 200) / 200
    assert (len(arrivals) - busiest) / 200 <= arrivals[-1] - arrivals[0] + 1


def test_signature_v1_is_used_when_no_region_can_be_known(sls, hec, token_file, tmp_path, agents) -> None:
    fill(sls, 2)
    tables = hec_tables(sls, [hec.url], token_file)
    del tables["sls"]["region"]
    agent = AgentProcess(tmp_path, tables, arguments=["--until-caught-up"])
    agents.append(agent)
    agent.start()

    assert 0 == agent.wait(30)
    assert 40 == len(hec.store)


def test_acknowledged_delivery_saves_only_what_is_indexed(sls, tmp_path, agents) -> None:
    with HecEmulator(tokens=(HecToken(use_ack=True),), index_delay_s=0.5) as hec:
        token_file = tmp_path / "token"
        token_file.write_text(hec.token)
        agent = agent_for(agents, tmp_path, sls, hec, token_file, hec={"acknowledge": True, "ack_timeout_s": 5})
        with Trickle(lambda number: fill(sls, 4, first=4 * number), 0.05):
            time.sleep(2)
            hec.crash()
            time.sleep(2)
        expected = Oracle(sls, agent.config_path).expected()
        until(lambda: arrived(hec, expected), 60)
        until(lambda: all(saved(sls, shard) == sls.store.shard(shard).end for shard in range(4)), 20)
        assert 0 == agent.stop()

        found = hec.store.compare(expected)
        assert not found.missing
        assert not found.unknown
        assert not found.altered


def test_the_service_can_be_away_for_a_while(sls, hec, token_file, tmp_path, agents) -> None:
    agent = agent_for(agents, tmp_path, sls, hec, token_file)
    fill(sls, 8)
    until(lambda: len(hec.store) == 160)
    sls.stop_listening()
    sls.disconnect()
    until(lambda: agent.status().get("state") == "holding", 20)
    time.sleep(6)
    sls.start_listening()
    fill(sls, 8, first=50)
    until(lambda: len(hec.store) == 320, 40)

    assert 0 == agent.stop()
    found = hec.store.compare(Oracle(sls, agent.config_path).expected())
    assert not found.missing


def test_settings_are_what_the_tests_believe() -> None:
    assert Settings().verify
