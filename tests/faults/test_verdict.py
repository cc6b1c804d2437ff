"""What the oracle takes for a request without a lease, a backward save, the end of a doubt; and what it sees."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from random import Random

import pytest

from sls_siem.emulator.hec import HecEmulator
from sls_siem.emulator.hec_records import RequestRecord
from sls_siem.emulator.sls.history import Save
from sls_siem.emulator.sls.shard import MAX_ANSWER_BYTES
from sls_siem.emulator.store import now_s
from sls_siem.emulator.syslog_inbox import ConnectionRecord
from tests.e2e.harness import AgentProcess, hec_tables, until
from tests.faults.kinds_sls import group_of
from tests.faults.oracle import Obligations, without_fields
from tests.faults.schedule import HEC, RELP, SYSLOG, Happening, Schedule
from tests.faults.verdict import (
    again_from,
    answered_once_s,
    arrivals,
    backwards,
    excuse,
    late_requests,
    longest_unread_s,
    owed_until_s,
    place_of,
    read_out_s,
    reloads_in_a_hold,
    second_sigterms,
)
from tests.faults.world import Agents, World, told_to_children

LONGEST_S = 3.5
BEATS = [10.0, 12.0]


def request(at_s: float, *, channel: str = "a", path: str = "/services/collector/event") -> RequestRecord:
    return RequestRecord(1, at_s, "POST", path, 200, 0, 1, 1, channel, "")


def late(*requests: RequestRecord, continued_s: tuple[float, ...] = ()) -> list[float]:
    return [record.at_s for record in late_requests(requests, BEATS, LONGEST_S, continued_s)]


def test_a_request_may_begin_until_the_lease_of_the_last_heartbeat_is_over() -> None:
    assert late(request(10.0), request(13.4), request(15.5)) == []
    assert late(request(9.9), request(15.6)) == [9.9, 15.6]


def test_only_requests_for_events_need_a_lease() -> None:
    assert late(request(20.0, path="/services/collector/ack")) == []


def test_a_process_that_was_stopped_sends_one_request_a_lane_that_was_on_its_way() -> None:
    assert late(request(18.0), request(18.1, channel="b"), continued_s=(18.0,)) == []
    assert late(request(18.0), request(18.1), continued_s=(18.0,)) == [18.1]


def test_what_begins_before_it_goes_on_or_a_while_after_is_late() -> None:
    assert late(request(17.9), request(18.4, channel="b"), continued_s=(18.0,)) == [17.9, 18.4]


def test_each_continuation_counts_by_itself() -> None:
    assert late(request(18.0), request(25.0), continued_s=(18.0, 25.0)) == []


def save(
    new: int, *, asked_at: float, shard: int = 0, refused: str = "", old: int | None = None, late_s: float = 0.0
) -> Save:
    return Save("p/ls", "g", shard, old, new, "c", False, "c", refused, asked_at, asked_at + late_s)


def test_a_save_goes_backwards_by_the_order_in_which_saves_were_asked_for() -> None:
    wrong, wrong_too = save(7, asked_at=3.0), save(4, asked_at=4.0)

    assert list(backwards([save(5, asked_at=1.0), save(9, asked_at=2.0), wrong, save(8, asked_at=1.5, shard=1)])) == [
        wrong
    ]
    # The service carried the first one out last, and the next consumer began there.
    assert list(backwards([save(9, asked_at=2.0), save(5, asked_at=1.0), save(6, asked_at=4.0)])) == []
    assert list(backwards([save(9, asked_at=2.0), save(5, asked_at=1.0), wrong_too])) == [wrong_too]
    assert list(backwards([save(9, asked_at=1.0), save(5, asked_at=2.0, refused="no"), save(9, asked_at=3.0)])) == []


def test_who_begins_before_a_late_save_is_carried_out_begins_before_it() -> None:
    """Schedule 401150: a predecessor's save was asked for before its end and carried out after the next one's start."""
    first, prompt = save(5, asked_at=1.0), save(9, asked_at=2.0, old=5)
    late_one = save(9, asked_at=2.0, old=5, late_s=0.9)

    assert list(backwards([first, late_one, save(6, asked_at=4.0)])) == []
    assert list(backwards([first, prompt, wrong := save(6, asked_at=4.0)])) == [wrong]
    assert list(backwards([first, late_one, wrong := save(4, asked_at=4.0)])) == [wrong]


def test_two_saves_may_come_late_one_behind_the_other() -> None:
    """Schedule 501280: a save whose connection broke was asked for again, and both were carried out after the next."""
    before = [save(5, asked_at=1.0), save(9, asked_at=2.0, old=5)]
    late_ones = [save(7, asked_at=1.8, old=9, late_s=0.5), save(7, asked_at=1.9, old=7, late_s=0.5)]

    assert list(backwards([*before, *late_ones, save(8, asked_at=2.5, old=7)])) == []
    assert list(backwards([*before, *late_ones, wrong := save(6, asked_at=2.5, old=7)])) == [wrong]


@pytest.mark.parametrize("size", [300_000, MAX_ANSWER_BYTES])
def test_the_largest_group_has_exactly_that_size(size: int) -> None:
    assert size == len(group_of(size, Random(7)))


def test_ack_ids_are_doubtful_until_each_channel_of_before_was_answered_once() -> None:
    before = [request(1.0), request(1.5, channel="b")]

    assert answered_once_s(before, 2.0) == 2.0
    assert answered_once_s([*before, request(3.0), request(3.5), request(9.0, channel="new")], 2.0) == 3.0
    assert answered_once_s([*before, request(8.0, channel="b"), request(3.0)], 2.0) == 8.0
    assert answered_once_s([*before, request(3.0, path="/services/collector/ack")], 2.0) == 2.0


def test_an_agent_says_from_where_on_logs_may_come_again() -> None:
    left = "WARNING shard {}: not everything was settled when the shard was left: what was sent from position {} on\n"
    gone = "ERROR   shard 0: retention removed 4 log groups: asked for position 30, the oldest there is 34. Raise\n"

    assert again_from([left.format(1, 70) + gone, left.format(1, 60), "INFO    draining\n"]) == {0: 34, 1: 60}


@pytest.mark.parametrize("event_id", ["x", "", "a-b-c", "7-", "0-x85949786c121e92e9541c60eee06ce49"])
def test_an_id_that_a_hostile_log_claims_names_no_place(event_id: str) -> None:
    """Schedule 600380: an event that was sent without its fields came twice."""
    assert (place_of(event_id), place_of("3-1447306975637874010-2")) == (None, (3, 1447306975637874010))


def test_what_came_without_its_fields_was_not_removed_by_retention(tmp_path: Path) -> None:
    refused = Happening(0, "hec-fields-refused", 0.0)
    world = World(Schedule(0, HEC, 0, 1, 2, "invalid", "lz4", (refused,)), tmp_path)
    assert isinstance(world.siem, HecEmulator)
    with world.sls, world.siem:
        world.agents = Agents(tmp_path, {}, seconds=1.0)
        world.obligations = Obligations(world.sls, world.siem.store, [], patient=False)
        token_file = tmp_path / "token"
        token_file.write_text(world.siem.token)
        tables = hec_tables(world.sls, [world.siem.url], token_file)
        world.obligations.configure(AgentProcess(tmp_path, tables).config_path)
        shard, position = world.append(1, 0)
        world.obligations.trim(shard, position + 1)

        assert [text.split(" logs")[1] for text in arrivals(world)] == [" removed by retention, and no agent said so"]

        (event,) = world.obligations.expected()[1].values()
        world.siem.store.add([("", without_fields(event))], request=1, at_s=now_s())

        assert list(arrivals(world)) == []


def test_only_a_loss_over_plain_syslog_may_be_nobodys_fault(tmp_path: Path) -> None:
    loss = ["after 9.0 s:; 3 missing, ['a'], 0 not saved", "checkpoint 4 of shard 0 was saved by c before a was stored"]

    def verdict(output: str, reasons: list[str], stalls: list[tuple[float, float]]) -> str:
        world = World(Schedule(0, output, 0, 1, 2, "invalid", "lz4", ()), tmp_path)
        world.stalls = stalls
        with world.sls, world.siem:
            return excuse(world, reasons)

    assert verdict(SYSLOG, loss, []) == ""
    assert verdict(SYSLOG, loss, [(1.0, 9.0)]).startswith("lost, but the machine stood still for 8.0 s")
    assert verdict(SYSLOG, ["3 logs lost: ['a']"], [(1.0, 9.0)]) != ""
    assert verdict(SYSLOG, [*loss, "the secret is in a log"], [(1.0, 9.0)]) == ""
    assert verdict(RELP, loss, [(1.0, 9.0)]) == verdict(HEC, loss, [(1.0, 9.0)]) == ""


def test_a_sigterm_that_meets_a_drain_may_end_it() -> None:
    """Schedule 401401."""
    faults = [
        Happening(number, kind, 0.0, struck_s=at_s)
        for number, (kind, at_s) in enumerate((("sigterm-all", 5.0), ("rst", 5.1), ("sigterm", 1.0), ("sigterm", 5.06)))
    ]

    assert second_sigterms(faults) == [faults[0], faults[3]]
    assert second_sigterms(faults[1:3]) == []


def test_only_a_reload_while_letters_cannot_be_written_meets_a_held_event() -> None:
    faults = [
        Happening(number, kind, 0.0, struck_s=struck_s, ended_s=struck_s + 1.0)
        for number, (kind, struck_s) in enumerate(
            (("reload", 0.5), ("disk-full", 2.0), ("reload", 2.9), ("reload", 3.1), ("hec-413", 3.2))
        )
    ]

    assert reloads_in_a_hold(faults) == [faults[2]]
    assert reloads_in_a_hold([faults[2], faults[4]]) == []


def test_acknowledgements_that_never_come_are_owed_for_longer_while_letters_cannot_be_written() -> None:
    """Seed 909681: what stood behind a held event arrived after the hold, and again 3 s later."""
    never = Happening(0, "hec-ack-never", 0.0, struck_s=10.0, ended_s=11.0)
    before, beside, after = (
        Happening(number, "disk-full", 0.0, struck_s=struck_s, ended_s=struck_s + 1.5)
        for number, struck_s in enumerate((8.0, 10.9, 11.5), start=1)
    )

    assert owed_until_s([never, before, after], never) == 11.0
    assert owed_until_s([never, before, beside], never) == 12.4 + 5.0 + 3.0


def connection(at_s: float, ended_s: float, *, end: str = "peer-fin", caught_up_s: float = 0.0) -> ConnectionRecord:
    return ConnectionRecord(1, "", 0, 0, end, b"", at_s, ended_s, caught_up_s)


def test_only_a_receiver_that_threw_bytes_away_was_behind() -> None:
    late, good = connection(1.0, 9.0, caught_up_s=3.0), connection(1.0, 9.0, end="rst", caught_up_s=8.5)

    assert longest_unread_s([]) == longest_unread_s([late]) == 0.0
    assert longest_unread_s([late, good]) == 0.5


def test_a_dead_process_explains_what_a_receiver_reads_out_of_its_connections() -> None:
    assert read_out_s([], 10.0) == 10.0
    assert read_out_s([connection(9.0, 11.5), connection(8.0, 10.5)], 10.0) == 11.5
    # Those of before, those of after, and those of processes that live on.
    assert read_out_s([connection(8.0, 9.0), connection(10.1, 11.0), connection(9.0, 30.0)], 10.0) == 10.0


def test_what_a_child_is_told_is_seen() -> None:
    with subprocess.Popen(["cat", "-"], env={"TOLD": "a-secret-of-3f1c"}, stdin=subprocess.PIPE) as child:
        try:
            # The kernel shows the command line a moment after the child has begun to run.
            until(lambda: {"TOLD=a-secret-of-3f1c\0", "cat\0-\0"} <= told_to_children(os.getpid()), 20)
        finally:
            child.communicate()
