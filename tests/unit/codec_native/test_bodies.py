"""What decompression gives stays in memory of the compiled codec: it reads there what it reads in `bytes`, and nobody
finds another's bytes in memory that is used again."""

from __future__ import annotations

import subprocess
import sys
import threading
from dataclasses import replace

import lz4.block
import pytest
from hypothesis import given

from sls_siem.codec import EncoderSettings, TransformSettings, count_events, count_groups, group_sizes, make_encoder
from sls_siem.codec.model import Body
from sls_siem.errors import CodecError
from tests.unit.codec.building import batch, batches, group, log, wire
from tests.unit.codec_native.compare import both, library, outcome, packed

HEC = EncoderSettings("hec", "project", "store")
BIG = 3_000_000


def inflated(data: bytes) -> Body:
    """Pack and undo, as an answer is."""
    return library().lz4_decompress(lz4.block.compress(data, store_size=False), len(data))


@pytest.mark.parametrize("form", [inflated, packed])
@given(built=batches)
def test_it_is_encoded_counted_and_named_as_its_bytes_are(form, built):
    _, compiled = both(HEC)
    plain = batch(*built)
    body = form(plain.body)
    same = replace(plain, body=body)

    assert len(body) == len(plain.body)
    assert outcome(compiled, same) == outcome(compiled, plain)
    assert count_groups(body) == (None if form is packed else count_groups(plain.body))
    assert count_groups(body, packed=True) == count_groups(plain.body)
    assert count_events(body) == count_events(plain.body)
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


@pytest.mark.parametrize("kept", [inflated, packed])
@pytest.mark.parametrize("form", ["json", "cef"])
def test_the_reference_codec_takes_it_too(form, kept):
    built = [group(log((b"a", b"1")), log((b"a", b"2"))), group(log((b"a", b"3")))]
    plain = batch(*built)
    reference, _ = both(HEC)
    encoder = reference if form == "json" else make_encoder(replace(HEC, format="cef"))
    same = replace(plain, body=kept(plain.body))

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


# ------------------------------------------------------------------------- decompressed while it is encoded


def many(groups: int, logs: int, size: int) -> list:
    """Log groups whose bytes compress, and are all different."""
    value = b"some words of a log "
    return [
        group(*(log((b"n", b"%d-%d" % (number, place)), (b"v", value * (size // 20))) for place in range(logs)))
        for number in range(groups)
    ]


@pytest.mark.parametrize(
    "built",
    [many(3000, 5, 60), many(40, 100, 500), many(3, 2000, 600), many(1, 3, 1_000_000), [*many(900, 3, 40), group()]],
    ids=["small groups", "groups", "great groups", "great logs", "an empty group at the end"],
)
def test_pieces_give_what_the_whole_gives(built):
    _, compiled = both(HEC)
    plain = batch(*built)
    assert len(plain.body) > 300_000 or len(built) == 901

    assert outcome(compiled, replace(plain, body=packed(plain.body))) == outcome(compiled, plain)


def test_what_cannot_be_decompressed_is_an_error_of_its_group_after_all_that_comes_before():
    _, compiled = both(HEC)
    plain = batch(*many(3000, 5, 60))
    block = lz4.block.compress(plain.body, store_size=False)
    everything = [payload.data for payload in compiled.encode(plain)]
    for end in (len(block) // 2, len(block) - 1, 1, 0):
        cut = replace(plain, body=library().lz4_packed(block[:end], len(plain.body)))
        found, (message, group_index) = outcome(compiled, cut)

        assert message.startswith("log group list: lz4: ")
        assert len(b"\n".join(everything)) >= len(b"\n".join(payload.data for payload in found))
        assert b"\n".join(everything).startswith(b"\n".join(payload.data for payload in found))
        assert sum(payload.span.events for payload in found) == 5 * group_index
        assert (found[-1].span.end if found else 5) == plain.position + group_index or not found
        assert group_index >= (1000 if end >= len(block) // 2 else 0)
        for ordinal in {0, 5 * group_index // 2, 5 * group_index - 1} if group_index else ():
            assert compiled.event_id(cut, ordinal) == f"3-{plain.position + ordinal // 5}-{ordinal % 5}"


@pytest.mark.parametrize("wrong", [-1, 1])
def test_a_size_that_was_announced_wrong_is_an_error_at_the_end(wrong):
    _, compiled = both(HEC)
    plain = batch(*many(40, 100, 500))
    block = lz4.block.compress(plain.body, store_size=False)
    found, (message, _) = outcome(compiled, replace(plain, body=library().lz4_packed(block, len(plain.body) + wrong)))

    assert message.startswith("log group list: lz4: ")
    events = sum(payload.span.events for payload in found)
    # Of a block that holds more than announced, the last piece is not believed.
    assert events == 4000 if wrong > 0 else 3000 <= events <= 3900


@pytest.mark.parametrize(("wrong", "events"), [(-1, 3900), (1, 4000)])
def test_a_wrong_number_of_groups_is_an_error_at_the_end(wrong, events):
    _, compiled = both(HEC)
    built = many(40, 100, 500)
    plain = replace(batch(*built), groups=len(built) + wrong)
    found, (message, group_index) = outcome(compiled, replace(plain, body=packed(plain.body)))

    assert (message, group_index) == (f"the body holds 40 log groups, not {40 + wrong} as announced", -1)
    assert sum(payload.span.events for payload in found) == events


@pytest.mark.parametrize("limit", [0, 1, 10, 5000])
def test_a_wrong_number_of_groups_is_an_error_also_where_not_all_events_are_wanted(limit):
    _, compiled = both(HEC)
    built = many(40, 100, 500)
    plain = replace(batch(*built), groups=len(built) + 1, limit=limit)

    assert outcome(compiled, replace(plain, body=packed(plain.body))) == outcome(compiled, plain)
    assert outcome(compiled, plain)[1] is not None


def test_garbage_that_somebody_needs_whole_is_a_typed_error():
    reference, compiled = both(HEC)
    garbled = library().lz4_packed(b"\xff" * 100, 1000)
    wrong = replace(batch(group(log((b"a", b"1")))), body=garbled)

    assert (len(garbled), count_groups(garbled), count_groups(garbled, packed=True)) == (1000, None, None)
    with pytest.raises(ValueError, match="lz4"):
        bytes(garbled)
    for ask in (
        count_events,
        group_sizes,
        lambda _: compiled.event_id(wrong, 0),
        lambda _: reference.event_id(wrong, 0),
    ):
        with pytest.raises(CodecError, match="log group list: lz4: "):
            ask(garbled)
    changing = both(replace(HEC, transform=TransformSettings(drop=("a",))))
    for encoder in (*changing, reference, make_encoder(replace(HEC, format="cef"))):
        found, (message, group_index) = outcome(encoder, wrong)
        assert (found, message[:21], group_index) == ([], "log group list: lz4: ", -1)


GROWTH = """
import re, sys
from pathlib import Path
from sls_siem.codec import EncoderSettings, make_encoder
from sls_siem.codec.compiled import load
from sls_siem.codec.model import Batch
from sls_siem.errors import CodecError

block, size, groups = Path(sys.argv[1]).read_bytes(), int(sys.argv[2]), int(sys.argv[3])
encoder = make_encoder(EncoderSettings("hec", "project", "store"))

def peak_kb():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])

# One run of literals: the tag of a group, its length of nearly 64 MB, and 60 bytes of it.
literals = b"\\x0a\\xfb\\xff\\xff\\x1f" + b"x" * 60
announced = bytes([0xF0, len(literals) - 15]) + literals
before = peak_kb()
for cut_off in (block[:1], announced):
    try:
        list(encoder.encode(Batch(0, 0, groups, groups, load().lz4_packed(cut_off, 64 << 20))))
    except CodecError:
        print(peak_kb() - before)
answer = Batch(0, 0, groups, groups, load().lz4_packed(block, size))
assert groups == load().count_groups(answer.body, packed=True)
print(sum(payload.events for payload in encoder.encode(answer)), peak_kb() - before)
"""


def test_an_answer_is_in_memory_only_in_part_and_what_is_only_announced_not_at_all(tmp_path):
    library()
    built = many(40, 100, 500)
    body, path = wire(built) * 20, tmp_path / "block"
    path.write_bytes(lz4.block.compress(body, store_size=False))
    command = [sys.executable, "-c", GROWTH, str(path), str(len(body)), str(20 * len(built))]
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    in_vain_kb, in_vain_too_kb, events, grown_kb = (int(word) for word in told.split())

    assert (len(body) > 40_000_000, events) == (True, 80_000)
    # A payload, the place where it is written, and a piece of the answer; not the answer.
    assert max(in_vain_kb, in_vain_too_kb) < 4_000
    assert grown_kb < 12_000
