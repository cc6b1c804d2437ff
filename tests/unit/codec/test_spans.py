"""Payloads are cut at the batch size, and a span names exactly the events of its payload, so that they can be pulled
and encoded again to the same bytes."""

from __future__ import annotations

import itertools
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from sls_siem.codec import EncoderSettings, SyslogSettings, count_events, make_encoder
from sls_siem.codec.model import Batch, Oversize
from tests.unit.codec.building import batch, batches, encode, events_of, group, log, pieces, wire

HEC = EncoderSettings("hec", "project", "store", batch_bytes=400)
TCP = EncoderSettings(
    "syslog", "project", "store", format="kv", batch_bytes=300, syslog=SyslogSettings(framing="lf", max_bytes=480)
)
SETTINGS = [
    HEC,
    replace(HEC, batch_bytes=1),
    replace(HEC, batch_bytes=1 << 20),
    TCP,
    replace(TCP, syslog=replace(TCP.syslog, oversize="split")),
    replace(TCP, syslog=replace(TCP.syslog, oversize="dead-letter")),
    replace(TCP, syslog=replace(TCP.syslog, framing="datagram")),
]


def data_of(one) -> bytes:
    return one.event if isinstance(one, Oversize) else one.data


def pull(built, span, *, position: int, regrouped: bool) -> Batch:
    """Pull a span again, as the reader would."""
    if regrouped:
        wanted = built
        return Batch(3, span.start, span.end, len(wanted), wire(wanted), True, span.skip, span.events)
    wanted = built[span.start - position : span.end - position]
    return Batch(3, span.start, span.end, len(wanted), wire(wanted), False, span.skip, span.events)


@given(batches, st.sampled_from(SETTINGS), st.booleans(), st.integers(0, 6), st.one_of(st.none(), st.integers(0, 6)))
def test_a_span_pulled_again_is_encoded_to_the_same_bytes(built, settings, regrouped, skip, limit):
    one = replace(batch(*built, regrouped=regrouped), skip=skip, limit=limit)
    encoder = make_encoder(settings)
    for found in encoder.encode(one):
        if events_of(found):
            again = pull(built, found.span, position=one.position, regrouped=regrouped)

            assert [data_of(same) for same in encoder.encode(again)] == [data_of(found)]
            assert [same.span for same in encoder.encode(again)] == [found.span]


def all_events(settings, one) -> list[bytes]:
    encoder = make_encoder(settings)
    return [
        event
        for found in encoder.encode(one)
        for event in ([found.event] if isinstance(found, Oversize) else encoder.split(found.data))
    ]


@given(batches, st.sampled_from(SETTINGS[:3]), st.integers(0, 12), st.one_of(st.none(), st.integers(0, 12)))
def test_skip_and_limit_take_a_slice_of_the_events(built, settings, skip, limit):
    one = batch(*built)
    stop = None if limit is None else skip + limit

    assert all_events(settings, replace(one, skip=skip, limit=limit)) == all_events(settings, one)[skip:stop]


@given(batches, st.sampled_from(SETTINGS), st.booleans())
def test_spans_follow_each_other_and_cover_every_event_once(built, settings, regrouped):
    one = batch(*built, regrouped=regrouped)
    ordinal_of_group = list(itertools.accumulate((len(found.logs) for found in built), initial=0))
    ordinal = 0
    for found in encode(settings, one):
        span = found.span
        first = span.skip if regrouped else ordinal_of_group[span.start - one.position] + span.skip
        assert first == ordinal
        ordinal += span.events
        if not regrouped:
            # The span starts in the group of its first event and ends with that of its last.
            assert span.skip < len(built[span.start - one.position].logs)
            if span.events:
                assert (
                    ordinal_of_group[span.end - one.position - 1] < ordinal <= ordinal_of_group[span.end - one.position]
                )
        else:
            assert (span.start, span.end) == (one.position, one.next_position)

    assert ordinal == count_events(one.body)


@given(batches, st.integers(1, 2000), st.booleans())
def test_payloads_are_as_full_as_the_batch_size_allows(built, size, tcp):
    settings = replace(TCP if tcp else HEC, batch_bytes=size)
    one = batch(*built)
    payloads = encode(settings, one)
    gap = 0 if tcp else 1

    for payload, after in itertools.zip_longest(payloads, payloads[1:]):
        assert len(payload.data) <= size or payload.events == 1
        if after is not None:
            first = make_encoder(settings).split(after.data)[0]
            assert len(payload.data) + gap + len(first) > size
    assert [event for payload in payloads for event in make_encoder(settings).split(payload.data)] == pieces(
        replace(settings, batch_bytes=1 << 30), one
    )


@given(batches)
def test_raw_bytes_add_up_to_the_logs_on_the_wire(built):
    one = batch(*built)
    total = sum(payload.raw_bytes for payload in encode(HEC, one))

    assert total <= len(one.body)
    assert (total == 0) == (count_events(one.body) == 0)


def test_payloads_come_before_later_groups_are_looked_at():
    whole = wire([group(*(log((b"k", b"v" * 100)) for _ in range(20)))])
    encoder = make_encoder(HEC)
    encoded = encoder.encode(Batch(0, 0, 2, 2, whole + b"\x0a\x02\x0a\x7f"))

    assert next(encoded).events > 0


def test_an_empty_batch_gives_nothing():
    assert encode(HEC, Batch(0, 5, 5, 0, b"")) == []


def test_groups_without_logs_count_as_positions():
    one = batch(group(), group(log((b"a", b"1"))), group(), group(log((b"a", b"2"))), group())
    (payload,) = encode(replace(HEC, batch_bytes=1 << 20), one)

    assert (payload.span.start, payload.span.end, payload.span.skip, payload.span.events) == (1001, 1004, 0, 2)


def test_a_big_group_is_yielded_before_it_is_encoded_to_its_end():
    entries = [log((b"k", b"\x01" * 10_000), time=number) for number in range(1000)]
    encoder = make_encoder(replace(HEC, batch_bytes=1 << 20))
    encoded = list(encoder.encode(batch(group(*entries))))

    assert sum(payload.events for payload in encoded) == 1000
    assert len(encoded) > 50
    assert all(len(payload.data) <= 1 << 20 for payload in encoded)
