"""The codec alone, in this process and without any input or output: how fast answers are decompressed and encoded."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import lz4.block

from sls_siem.cli.bench_case import LOGS_PER_GROUP
from sls_siem.codec import EncoderSettings, codec_name, make_encoder
from sls_siem.codec.model import Batch, Body, Payload
from sls_siem.emulator.generate import LogSource
from sls_siem.emulator.loggroups import varint
from sls_siem.sls.decompress import decompress

ANSWER_BYTES = 8_000_000


@dataclass(frozen=True)
class Rates:
    """Best of all rounds, in raw megabytes a second.

    Args:
        profile: kind of log.
        decompressed: lz4, all at once.
        encoded: to HEC events.
        both: from lz4 to HEC events as the agent does it, with the compiled codec piece by piece.
        grown: bytes of these events for a raw byte.
    """

    profile: str
    decompressed: float
    encoded: float
    both: float
    grown: float


def answer(profile: str) -> tuple[bytes, int]:
    """Make a LogGroupList of about `ANSWER_BYTES`, as an answer of PullLogs; with its number of groups."""
    source, logs = LogSource(profile), LOGS_PER_GROUP[profile]
    count = max(1, ANSWER_BYTES // len(source.group(0, logs, 1_700_000_000)))
    groups = list(source.groups(count * logs, logs_per_group=logs))
    return b"".join(b"\x0a" + varint(len(group)) + group for group in groups), len(groups)


def measure(profile: str, rounds: int) -> Rates:
    """Decompress and encode the same answer again and again."""
    body, groups = answer(profile)
    packed = lz4.block.compress(body, store_size=False)
    encoder = make_encoder(EncoderSettings("hec", "project", "store"))
    batch = Batch(0, 1000, 1000 + groups, groups, body)

    def encode(batch: Batch) -> int:
        return sum(len(payload.data) for payload in encoder.encode(batch) if isinstance(payload, Payload))

    def undo(*, whole: bool) -> Body:
        return decompress(packed, codec="lz4", raw_size=len(body), whole=whole)

    undone = _best(lambda: undo(whole=True), rounds)
    encoded = _best(lambda: encode(batch), rounds)
    both = _best(lambda: encode(replace(batch, body=undo(whole=False))), rounds)
    megabytes = len(body) / 1e6
    return Rates(profile, megabytes / undone, megabytes / encoded, megabytes / both, encode(batch) / len(body))


def _best(work: Callable[[], object], rounds: int) -> float:
    found = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        found.append(time.perf_counter() - began)
    return min(found)


def table(rounds: int) -> str:
    """Measure every profile; one line each."""
    titles = f"{'':14}{'lz4':>8}{'encode':>8}{'both':>8}{'grown':>8}"
    lines = [f"codec {codec_name()}, raw MB a second, best of {rounds}", titles]
    for profile in LOGS_PER_GROUP:
        rates = measure(profile, rounds)
        speeds = f"{rates.decompressed:8.0f}{rates.encoded:8.0f}{rates.both:8.0f}"
        lines.append(f"{profile:14}{speeds}{rates.grown:8.2f}")
    return "\n".join(lines)
