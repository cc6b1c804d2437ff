"""What decompression gives stays in memory of the compiled codec: it reads there what it reads in `bytes`, and nobody
finds another's bytes in memory that is used again."""

from __future__ import annotations

import threading
from dataclasses import replace

import lz4.block
import pytest
from hypothesis import given

from sls_siem.codec import EncoderSettings, count_events, count_groups, group_sizes, make_encoder
from sls_siem.codec.model import Body
from sls_siem.errors import CodecError
from tests.unit.codec.building import batch, batches, group, log, wire
from tests.unit.codec_native.compare import both, library, outcome

HEC = EncoderSettings("hec", "project", "store")
BIG = 3_000_000


def inflated(data: bytes) -> Body:
    """Pack and undo, as an answer is."""
    return library().lz4_decompress(lz4.block.compress(data, store_size=False), len(data))


@given(batches)
def test_it_is_encoded_counted_and_named_as_its_bytes_are(built):
    _, compiled = both(HEC)
    plain = batch(*built)
    body = inflated(plain.body)
    same = replace(plain, body=body)

    assert len(body) == len(plain.body)
    assert outcome(compiled, same) == outcome(compiled, plain)
    assert (count_groups(body), group_sizes(body), count_events(body)) == (
        count_groups(plain.body),
        group_sizes(plain.body),
        count_events(plain.body),
    )
    for ordinal in range(count_events(body)):
        assert compiled.event_id(same, ordinal) == compiled.event_id(plain, ordinal)
    # Once it has become bytes, nothing is otherwise.
    assert bytes(body) == plain.body
    assert outcome(compiled, same) == outcome(compiled, plain)
    assert len(body) == len(plain.body)


@pytest.mark.parametrize("form", ["json", "cef"])
def test_the_reference_codec_takes_it_too(form):
    built = [group(log((b"a", b"1")), log((b"a", b"2"))), group(log((b"a", b"3")))]
    plain = batch(*built)
    reference, _ = both(HEC)
    encoder = reference if form == "json" else make_encoder(replace(HEC, format="cef"))
    same = replace(plain, body=inflated(plain.body))

    assert outcome(encoder, same) == outcome(encoder, plain)
    assert encoder.event_id(same, 2) == encoder.event_id(plain, 2)


def test_its_bytes_are_made_once_so_that_it_is_not_in_memory_twice():
    body = inflated(b"x" * BIG)
    first, second = bytes(body), bytes(body)

    assert first is second


def test_damage_is_found_as_in_bytes():
    body = inflated(b"\x0a\x7fcut off")

    assert count_groups(body) is None
    with pytest.raises(CodecError, match="log group list"):
        group_sizes(body)


def test_memory_that_is_used_again_holds_nothing_of_what_was_there():
    for turn in range(20):
        kept = inflated(bytes([turn]) * BIG)
        for size in (BIG, BIG - turn, BIG // 2):
            other = inflated(bytes([turn + 100]) * size)
            assert bytes(other) == bytes([turn + 100]) * size
            with pytest.raises(ValueError, match="lz4"):
                library().lz4_decompress(lz4.block.compress(b"z" * size, store_size=False), size + 1)

        assert bytes(kept) == bytes([turn]) * BIG


def test_payloads_are_taken_from_it_although_nobody_else_has_it_any_more():
    built = [group(*(log((b"n", b"%d" % number), (b"v", b"x" * 1000)) for number in range(2000)))]
    _, compiled = both(replace(HEC, batch_bytes=100_000))
    plain = batch(*built)
    expected = list(compiled.encode(plain))

    taken = compiled.encode(replace(plain, body=inflated(wire(built))))
    found = [next(taken)]
    for _ in range(5):
        inflated(b"\xff" * len(wire(built)))
    found.extend(taken)

    assert len(found) > 10
    assert found == expected


def test_threads_have_memory_of_their_own():
    wrong = []

    def work(number: int) -> None:
        data = bytes([number]) * (BIG + number)
        packed = lz4.block.compress(data, store_size=False)
        for _ in range(30):
            body = library().lz4_decompress(packed, len(data))
            if bytes(body) != data:
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert not wrong
