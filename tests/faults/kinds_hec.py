"""Faults of an HTTP Event Collector: refusals, partial accepts, acknowledgements late, lost and never, restarts."""

from __future__ import annotations

import dataclasses
from random import Random
from typing import TYPE_CHECKING, Any

from sls_siem.emulator.hec import HecEmulator, HecToken
from tests.faults.schedule import ANY_HEC, HEC_ACK, SIEM, Course, Happening, kind

if TYPE_CHECKING:
    from tests.faults.world import World

LONGER_THAN_TIMEOUT_S = 2.6


def hec_of(world: World) -> HecEmulator:
    assert isinstance(world.siem, HecEmulator)
    return world.siem


def inject(world: World, happening: Happening, seconds: float, fault: str, **fields: Any) -> Course:
    """Arm a fault until it struck and, from then on, for so long."""
    hec = hec_of(world)
    number = happening.injected = hec.inject(fault, **fields)
    try:
        while not (struck := [strike for strike in hec.strikes() if strike.fault == number]):
            yield 0.03
        world.struck(happening, struck[0].at_s)
        yield seconds
    finally:
        hec.clear_faults(number)


def _some(random: Random, most: int) -> dict[str, Any]:
    return {"count": random.randint(1, most), "skip": random.randint(0, 3)}


@kind("hec-429", SIEM, outputs=ANY_HEC, repeats=False)
def _(world: World, random: Random, happening: Happening) -> Course:
    code = random.choice((26, 27))
    yield from inject(
        world, happening, 0.5, "answer", code=code, retry_after_s=random.choice((None, 1, 0)), **_some(random, 6)
    )


@kind("hec-500", SIEM, outputs=ANY_HEC, repeats=False)
def _(world: World, random: Random, happening: Happening) -> Course:
    yield from inject(world, happening, 0.5, "answer", code=8, **_some(random, 5))


@kind("hec-503", SIEM, outputs=ANY_HEC, repeats=False)
def _(world: World, random: Random, happening: Happening) -> Course:
    code = random.choice((9, 18, 19, 20, 23))
    retry_after_s = random.choice((None, None, 1))
    yield from inject(world, happening, 0.5, "answer", code=code, retry_after_s=retry_after_s, **_some(random, 6))


@kind("hec-busy-state", SIEM, outputs=ANY_HEC, repeats=False)
def _(world: World, random: Random, happening: Happening) -> Course:
    hec = hec_of(world)
    hec.set_state(random.choice(("busy", "shutting-down", "queues-full", "ack-unavailable")))
    before = len(hec.requests())
    while not any(record.status == 503 for record in hec.requests()[before:]):
        yield 0.03
    world.struck(happening)
    yield random.uniform(0.2, 1.5)
    hec.set_state("ok")
    yield 0.1


@kind("hec-9-partial", SIEM, outputs=ANY_HEC, repeats=False)
def _(world: World, random: Random, happening: Happening) -> Course:
    """Busy in the middle of a request: what stands before the named event is taken."""
    yield from inject(world, happening, 0.3, "answer", code=9, at_fraction=random.random(), **_some(random, 3))


@kind("hec-partial", SIEM, outputs=ANY_HEC, repeats=True, weight=2)
def _(world: World, random: Random, happening: Happening) -> Course:
    """An event is refused for ever; the ones before it are taken."""
    code = random.choice((6, 12, 13))
    yield from inject(
        world, happening, 0.3, "answer", code=code, at_fraction=random.random(), sticky=True, **_some(random, 3)
    )


@kind("hec-fields-refused", SIEM, outputs=ANY_HEC, repeats=True, weight=0.5)
def _(world: World, random: Random, happening: Happening) -> Course:
    """Sent once more without `fields`; taken then, or refused again and a dead letter."""
    yield from inject(world, happening, 0.3, "answer", code=15, at_fraction=random.random(), count=random.randint(1, 3))


@kind("hec-refused-without-number", SIEM, outputs=ANY_HEC, repeats=True, weight=0.5)
def _(world: World, random: Random, happening: Happening) -> Course:
    yield from inject(world, happening, 0.3, "answer", code=random.choice((6, 12)), count=1, stored=False)


@kind("hec-index-refused", SIEM, outputs=ANY_HEC, repeats=True, weight=0.5)
def _(world: World, random: Random, happening: Happening) -> Course:
    yield from inject(world, happening, 0.3, "answer", code=7, at_fraction=random.random(), **_some(random, 2))


@kind("hec-setup-refused", SIEM, outputs=ANY_HEC, repeats=False, weight=0.5)
def _(world: World, random: Random, happening: Happening) -> Course:
    yield from inject(
        world, happening, 0.3, "answer", code=random.choice((10, 11, 14, 5)), stored=False, count=random.randint(1, 2)
    )


@kind("hec-token-refused", SIEM, outputs=ANY_HEC, repeats=False)
def _(world: World, random: Random, happening: Happening) -> Course:
    """401 or 403, then restored."""
    hec = hec_of(world)
    before = len(hec.requests())
    if random.random() < 0.5:
        hec.remove_token(world.hec_token.value)
    else:
        hec.set_token(dataclasses.replace(world.hec_token, enabled=False))
    while not any(record.status in (401, 403) for record in hec.requests()[before:]):
        yield 0.03
    world.struck(happening)
    yield random.uniform(0.2, 1.5)
    hec.set_token(world.hec_token)
    yield 0.1


@kind("hec-ack-turned-off", SIEM, outputs=(HEC_ACK,), repeats=True, weight=0.5)
def _(world: World, random: Random, happening: Happening) -> Course:
    """The token acknowledges no more for a while: what it takes meanwhile has no proof."""
    hec = hec_of(world)
    before = len(hec.requests())
    hec.set_token(HecToken(value=world.hec_token.value, use_ack=False))
    while len(hec.requests()) < before + 2:
        yield 0.03
    world.struck(happening)
    yield random.uniform(0.2, 1.0)
    hec.set_token(world.hec_token)
    yield 0.1


@kind("hec-413", SIEM, outputs=ANY_HEC, repeats=False)
def _(world: World, random: Random, happening: Happening) -> Course:
    yield from inject(
        world, happening, 0.3, "answer", status=413, stored=False, count=random.randint(1, 2), skip=random.randint(0, 3)
    )


@kind("hec-redirect", SIEM, outputs=ANY_HEC, repeats=False)
def _(world: World, random: Random, happening: Happening) -> Course:
    status = random.choice((301, 302, 307, 308))
    yield from inject(
        world,
        happening,
        0.3,
        "answer",
        status=status,
        location="http://127.0.0.1:9/elsewhere",
        stored=False,
        **_some(random, 2),
    )


@kind("hec-html", SIEM, outputs=ANY_HEC, repeats=False)
def _(world: World, random: Random, happening: Happening) -> Course:
    yield from inject(world, happening, 0.3, "html", status=random.choice((502, 504, 404)), **_some(random, 3))


@kind("hec-garbage", SIEM, outputs=ANY_HEC, repeats=True)
def _(world: World, random: Random, happening: Happening) -> Course:
    """Stored, and answered with nonsense."""
    yield from inject(world, happening, 0.3, random.choice(("garbage", "truncated")), **_some(random, 3))


@kind("hec-reset-before", SIEM, outputs=ANY_HEC, repeats=False)
def _(world: World, random: Random, happening: Happening) -> Course:
    fault = random.choice(("reset_before", "close_before", "reset_in_body"))
    yield from inject(world, happening, 0.3, fault, at_bytes=random.randint(1, 500), **_some(random, 4))


@kind("hec-reset-after", SIEM, outputs=ANY_HEC, repeats=True)
def _(world: World, random: Random, happening: Happening) -> Course:
    yield from inject(world, happening, 0.3, random.choice(("reset_after", "close_after")), **_some(random, 4))


@kind("hec-closed-on-keep-alive", SIEM, outputs=ANY_HEC, repeats=True)
def _(world: World, random: Random, happening: Happening) -> Course:
    """The next request meets a closed connection, and nobody knows whether it was read."""
    yield from inject(world, happening, 0.3, "close_keep_alive", **_some(random, 6))


@kind("hec-slow", SIEM, outputs=ANY_HEC, repeats=True)
def _(world: World, random: Random, happening: Happening) -> Course:
    """Slow to read the body or to answer, within the time-out or beyond it."""
    fault = random.choice(("slow_body", "slow_answer"))
    delay_s = random.choice((0.5, 1.2, LONGER_THAN_TIMEOUT_S))
    speed = 0 if fault == "slow_answer" else random.choice((0, 5_000))
    yield from inject(world, happening, 0.5, fault, delay_s=delay_s, bytes_per_s=speed, **_some(random, 2))


@kind("hec-black-hole", SIEM, outputs=ANY_HEC, repeats=False)
def _(world: World, random: Random, happening: Happening) -> Course:
    yield from inject(world, happening, 1.0, "black_hole", delay_s=10, **_some(random, 2))


@kind("hec-away", SIEM, outputs=ANY_HEC, repeats=True)
def _(world: World, random: Random, happening: Happening) -> Course:
    hec = hec_of(world)
    hec.stop_listening(random.choice(("rst", "fin", "keep")))
    world.struck(happening)
    yield random.choice((0.2, 1.0, 2.5))
    hec.listen_again()
    yield 0.1


@kind("hec-connections-dropped", SIEM, outputs=ANY_HEC, repeats=True)
def _(world: World, random: Random, happening: Happening) -> Course:
    world.struck(happening)
    for _ in range(random.randint(1, 5)):
        hec_of(world).drop_connections(reset=random.random() < 0.5)
        yield random.uniform(0.02, 0.3)


@kind("hec-ack-late", SIEM, outputs=(HEC_ACK,), repeats=True, weight=1.5)
def _(world: World, random: Random, happening: Happening) -> Course:
    """Later than usual, or later than the agent waits."""
    yield from inject(world, happening, 0.5, "ack_late", delay_s=random.choice((0.5, 2.0, 4.0)), **_some(random, 4))


@kind("hec-ack-never", SIEM, outputs=(HEC_ACK,), repeats=True, weight=1.5)
def _(world: World, random: Random, happening: Happening) -> Course:
    yield from inject(world, happening, 0.5, "ack_never", **_some(random, 3))


@kind("hec-ack-lost-after-true", SIEM, outputs=(HEC_ACK,), repeats=True, weight=1.5)
def _(world: World, random: Random, happening: Happening) -> Course:
    yield from inject(
        world, happening, 0.5, random.choice(("reset_after", "close_after")), endpoint="ack", count=random.randint(1, 3)
    )


@kind("hec-ack-page-broken", SIEM, outputs=(HEC_ACK,), repeats=True)
def _(world: World, random: Random, happening: Happening) -> Course:
    fields = random.choice(
        (
            {"fault": "answer", "code": 9},
            {"fault": "answer", "code": 8},
            {"fault": "html"},
            {"fault": "garbage"},
            {"fault": "answer", "code": 4},
            {"fault": "slow_answer", "delay_s": 1.5},
        )
    )
    yield from inject(world, happening, 0.5, endpoint="ack", count=random.randint(1, 4), **fields)


@kind("hec-indexer-restart", SIEM, outputs=(HEC_ACK,), repeats=True, weight=3)
def _(world: World, random: Random, happening: Happening) -> Course:
    """What is only in memory is lost, with luck also what was stored and not acknowledged; ackIds begin at 0 again."""
    for _ in range(random.choice((1, 1, 2, 3))):
        hec_of(world).crash(forget_unacknowledged=random.random() < 0.6)
        if happening.struck_s is None:
            world.struck(happening)
        yield random.uniform(0.1, 1.0)
