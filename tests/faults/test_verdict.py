"""What the oracle takes for a request without a lease, and what it sees of the processes that an agent starts."""

from __future__ import annotations

import os
import subprocess

from sls_siem.emulator.hec_records import RequestRecord
from tests.faults.verdict import late_requests
from tests.faults.world import told_to_children

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


def test_what_a_child_is_told_is_seen() -> None:
    with subprocess.Popen(["cat", "-"], env={"TOLD": "a-secret-of-3f1c"}, stdin=subprocess.PIPE) as child:
        try:
            told = told_to_children(os.getpid())
        finally:
            child.communicate()

    assert "TOLD=a-secret-of-3f1c\0" in told
    assert "cat\0-\0" in told
