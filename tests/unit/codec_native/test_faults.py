"""A fault of the compiled codec is an error of one group: nothing before it is lost, nothing after it is wrong."""

from __future__ import annotations

import gc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import settings as with_settings
from hypothesis import strategies as st

from sls_siem.codec import EncoderSettings, SyslogSettings
from sls_siem.codec.compiled import _options, _task
from sls_siem.codec.model import Batch
from sls_siem.errors import CodecError
from tests.unit.codec.building import batch, group, log, wire
from tests.unit.codec_native.compare import both, library

HEC = EncoderSettings("hec", "project", "store")
BIG = 300


@pytest.fixture(autouse=True)
def _library():
    library()


def with_panic(settings: EncoderSettings, one: Batch, at: int):
    """Encode with the library's own hook for tests, which panics at an event."""
    module = library()._library
    encoding = module.Encoder(_options(settings), None, panic_at=at).start(one.body, _task(one))
    found = []
    try:
        while (item := encoding.next()) is not None:
            found.append(item)
    except module.EncodeError as exc:
        assert encoding.next() is None
        return found, exc.args
    return found, None


def test_a_panic_is_an_error_of_its_group_after_the_groups_before_it():
    one = batch(*(group(log((b"a", b"1")), log((b"a", b"2"))) for _ in range(4)))

    found, error = with_panic(HEC, one, at=5)

    assert error[0].startswith("the compiled codec failed: a test asked for it at src")
    assert error[1] == 2
    (whole,) = both(HEC)[0].encode(replace(one, limit=4))
    assert [item[1] for item in found] == [whole.data]


def test_a_panic_in_a_group_of_which_a_part_was_taken_yields_no_half_payload():
    one = batch(group(*(log((b"k", b"v" * 10_000), time=number) for number in range(BIG))))
    settings = replace(HEC, batch_bytes=100_000)

    found, error = with_panic(settings, one, at=BIG - 1)
    whole = list(both(settings)[0].encode(one))

    assert error[1] == 0
    assert len(found) > 1
    assert [item[1] for item in found] == [payload.data for payload in whole][: len(found)]


def test_an_encoder_works_on_after_a_panic(capfd):
    module = library()._library
    encoder = module.Encoder(_options(HEC), None, panic_at=0)
    one = batch(group(log((b"a", b"1")), log((b"a", b"2"))))
    with pytest.raises(module.EncodeError):
        encoder.start(one.body, _task(one)).next()

    found = encoder.start(one.body, _task(replace(one, skip=1))).next()

    assert b'"a":"2"' in found[1]
    assert capfd.readouterr() == ("", "")


def test_a_broken_group_takes_its_share_of_a_payload_back():
    good = wire([group(log((b"a", b"1")), log((b"a", b"2")))])
    bad = wire([group(log((b"a", b"3")))]) + b"\x0a\x08\x0a\x02\x08\x01\x0a\x02\x08\x80"
    encoder = both(HEC)[1]
    found = []

    with pytest.raises(CodecError) as caught:
        for payload in encoder.encode(Batch(0, 0, 3, 3, good + bad)):
            found.append(payload)

    assert caught.value.group_index == 2
    assert [payload.events for payload in found] == [3]


def test_a_big_group_with_an_error_at_its_end_yields_nothing():
    inside = b"".join(b"\x0a\x92\x4e\x08\x01\x12\x8d\x4e\x0a\x01a\x12\x87\x4e" + b"x" * 9991 for _ in range(BIG))
    inside += b"\x0a\x01\x08"
    size = len(inside)
    body = b"\x0a" + bytes([size & 0x7F | 0x80, size >> 7 & 0x7F | 0x80, size >> 14 & 0x7F | 0x80, size >> 21]) + inside
    for encoder in both(replace(HEC, batch_bytes=100_000)):
        with pytest.raises(CodecError, match="log group 0: a number is cut off"):
            next(encoder.encode(Batch(0, 0, 1, 1, body)))


def test_an_encoding_that_is_given_up_leaves_the_encoder_as_it_was():
    settings = replace(HEC, batch_bytes=200)
    one = batch(*(group(log((b"a", b"%d" % number * 50))) for number in range(9)))
    reference, compiled = both(settings)
    for taken in range(4):
        begun = compiled.encode(one)
        for _ in range(taken):
            next(begun)
        del begun
        gc.collect()

        assert list(compiled.encode(one)) == list(reference.encode(one))


def test_batches_may_be_encoded_in_turns():
    settings = replace(HEC, batch_bytes=200)
    reference, compiled = both(settings)
    ones = [batch(*(group(log((b"k%d" % kind, b"v" * number))) for number in range(30))) for kind in range(7)]

    in_turns = list(zip(*(compiled.encode(one) for one in ones)))

    assert in_turns == list(zip(*(reference.encode(one) for one in ones)))


@with_settings(max_examples=5)
@given(st.integers(2, 8), st.sampled_from(["json", "kv"]))
def test_threads_share_an_encoder(threads, form):
    settings = replace(
        HEC, format=form, output="syslog", batch_bytes=5000, syslog=SyslogSettings(max_bytes=480, hostname="{k3}")
    )
    reference, compiled = both(settings)
    ones = [
        batch(group(*(log((b"k%d" % (number % kind), b"v\xff" * number)) for number in range(300)), topic=b"%d" % kind))
        for kind in range(1, 9)
    ]
    alone = [list(reference.encode(one)) for one in ones]

    with ThreadPoolExecutor(threads) as pool:
        for _ in range(3):
            assert list(pool.map(lambda one: list(compiled.encode(one)), ones)) == alone


def test_very_many_kinds_of_logs_are_written_alike():
    logs = (log((b"k%d" % number, b"v"), (b"x" * (number % 50), b"w")) for number in range(6000))
    one = batch(group(*logs), *(group(log((b"a", b"1")), tags=[(b"t%d" % number, b"v")]) for number in range(3000)))
    reference, compiled = both(HEC)
    for _ in range(2):
        assert list(compiled.encode(one)) == list(reference.encode(one))


@pytest.mark.parametrize("unit", [b"\x01", b"\xff", b'"', b"\x12", "é".encode(), b"{"])
@pytest.mark.parametrize("form", ["json", "kv"])
def test_a_megabyte_of_hostile_bytes_is_written_alike(unit, form):
    one = batch(group(log((b"event", unit * 1_000_000), (b"a", b"after"))))
    reference, compiled = both(replace(HEC, format=form, json_fields=("event",)))

    assert list(compiled.encode(one)) == list(reference.encode(one))
