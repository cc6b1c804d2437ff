"""Faults of the SLS service: refusals, broken answers, lost heartbeats, moved shards, retention."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from sls_siem.emulator.loggroups import make_group
from sls_siem.emulator.sls import Fault, RefusalError
from sls_siem.emulator.sls.shard import MAX_ANSWER_BYTES
from tests.e2e.harness import GROUP, KEY_ID, KEY_SECRET
from tests.faults.schedule import SLS, Course, Happening, kind

if TYPE_CHECKING:
    from tests.faults.world import World

CALLS = ("pull", "pull", "heartbeat", "save_checkpoint", "get_checkpoint", "any")
MOST_SHARDS = 8


def during(world: World, happening: Happening, fault: Fault, seconds: float) -> Course:
    """Put a fault in force until it struck and, from then on, for so long."""
    world.sls.faults.add(fault)
    try:
        while not fault.struck:
            yield 0.03
        world.struck(happening, fault.struck[0] + world.boot_s)
        yield seconds
    finally:
        world.sls.faults.remove(fault)


def _refusals(random: Random, call: str, status: int, code: str) -> tuple[Fault, float]:
    fault = Fault(
        "status", call=call, status=status, code=code, probability=random.choice((0.4, 1.0)), seed=random.randrange(99)
    )
    return fault, random.uniform(0.2, 1.2)


@kind("sls-500", SLS, repeats=False)
def _(world: World, random: Random, happening: Happening) -> Course:
    fault, seconds = _refusals(random, random.choice(CALLS), 500, "InternalServerError")
    yield from during(world, happening, fault, seconds)


@kind("sls-503", SLS, repeats=False)
def _(world: World, random: Random, happening: Happening) -> Course:
    fault, seconds = _refusals(random, random.choice(CALLS), 503, "ServerBusy")
    yield from during(world, happening, fault, seconds)


@kind("sls-502-html", SLS, repeats=False)
def _(world: World, random: Random, happening: Happening) -> Course:
    fault = Fault(
        "status", call=random.choice(CALLS), status=502, body="<html>Bad Gateway</html>", times=random.randint(1, 6)
    )
    yield from during(world, happening, fault, random.uniform(0.2, 1.0))


@kind("sls-200-html", SLS, repeats=False)
def _(world: World, random: Random, happening: Happening) -> Course:
    call = random.choice(("pull", "heartbeat", "get_checkpoint"))
    fault = Fault(
        "status", call=call, status=200, body="<html>Log in to the guest network</html>", times=random.randint(1, 4)
    )
    yield from during(world, happening, fault, 0.5)


@kind("sls-403-quota", SLS, repeats=False)
def _(world: World, random: Random, happening: Happening) -> Course:
    fault, seconds = _refusals(random, "pull", 403, random.choice(("ReadQuotaExceed", "ShardReadQuotaExceed")))
    yield from during(world, happening, fault, seconds)


@kind("sls-401", SLS, repeats=False)
def _(world: World, random: Random, happening: Happening) -> Course:
    call = random.choice(("pull", "save_checkpoint", "any"))
    fault, seconds = _refusals(random, call, 401, random.choice(("Unauthorized", "SignatureNotMatch")))
    yield from during(world, happening, fault, seconds)


@kind("sls-key-revoked", SLS, repeats=True, weight=0.4, once=True)
def _(world: World, random: Random, happening: Happening) -> Course:
    """The access key is taken away and given back; heartbeats fail too, so that the lease may run out."""
    world.sls.remove_key(KEY_ID)
    world.struck(happening)
    yield random.uniform(0.5, 5.0)
    world.sls.add_key(KEY_ID, KEY_SECRET)
    yield 0.1


@kind("sls-reset", SLS, repeats=False)
def _(world: World, random: Random, happening: Happening) -> Course:
    action = random.choice(("reset", "reset_mid_body", "truncate"))
    fault = Fault(action, call=random.choice(CALLS), times=random.randint(1, 8))
    yield from during(world, happening, fault, random.uniform(0.2, 1.0))


@kind("sls-save-answer-lost", SLS, repeats=False)
def _(world: World, random: Random, happening: Happening) -> Course:
    fault = Fault("lost_answer", call="save_checkpoint", times=random.randint(1, 6))
    yield from during(world, happening, fault, random.uniform(0.2, 1.0))


@kind("sls-black-hole", SLS, repeats=False)
def _(world: World, random: Random, happening: Happening) -> Course:
    """Calls on shards are never answered, until the connections break."""
    fault = Fault("black_hole", call=random.choice(("pull", "save_checkpoint")), times=random.randint(1, 4))
    yield from during(world, happening, fault, random.uniform(0.5, 2.0))
    world.sls.disconnect()
    yield 0.1


@kind("sls-slow", SLS, repeats=False)
def _(world: World, random: Random, happening: Happening) -> Course:
    call = random.choice(("pull", "save_checkpoint"))
    fault = Fault("delay", call=call, seconds=random.uniform(0.3, 1.5), times=random.randint(1, 5))
    yield from during(world, happening, fault, 0.5)


@kind("sls-wrong-size", SLS, repeats=False)
def _(world: World, random: Random, happening: Happening) -> Course:
    action, amount = random.choice(
        (("shorten", 0), ("rawsize", 1), ("rawsize", -1), ("rawsize", 10**12), ("count", 1), ("count", -1))
    )
    fault = Fault(action, call="pull", amount=amount, times=random.randint(1, 6))
    yield from during(world, happening, fault, random.uniform(0.2, 0.8))


@kind("sls-header-missing", SLS, repeats=False)
def _(world: World, random: Random, happening: Happening) -> Course:
    name = random.choice(("x-log-cursor", "x-log-count", "x-log-bodyrawsize"))
    fault = Fault("drop_header", call="pull", header=name, times=random.randint(1, 5))
    yield from during(world, happening, fault, 0.4)


@kind("sls-header-wrong", SLS, repeats=False)
def _(world: World, random: Random, happening: Happening) -> Course:
    name, value = random.choice(
        (
            ("x-log-cursor", "not-base64"),
            ("x-log-cursor", "MA=="),
            ("x-log-count", "-5"),
            ("x-log-bodyrawsize", "99999999999999"),
            ("x-log-compresstype", "snappy"),
        )
    )
    fault = Fault("set_header", call="pull", header=name, value=value, times=random.randint(1, 5))
    yield from during(world, happening, fault, 0.4)


@kind("sls-corrupt", SLS, repeats=True)
def _(world: World, random: Random, happening: Happening) -> Course:
    """Flipped bytes in JSON answers; of pulled logs see `sls-garbled`."""
    call = random.choice(("heartbeat", "get_checkpoint", "cursor", "heartbeat"))
    fault = Fault("corrupt", call=call, times=random.randint(1, 3), seed=random.randrange(999))
    yield from during(world, happening, fault, 1.2)


@kind("sls-garbled", SLS, repeats=False)
def _(world: World, random: Random, happening: Happening) -> Course:
    """Pulled bodies that cannot be decompressed. A few flipped bytes would do: lz4 has no checksum, only TLS tells."""
    fault = Fault("garble", call="pull", times=random.randint(1, 8), probability=random.choice((0.5, 1.0)))
    yield from during(world, happening, fault, random.uniform(0.2, 0.8))


@kind("sls-clock-skew", SLS, repeats=True, once=True)
def _(world: World, random: Random, happening: Happening) -> Course:
    """The two clocks are apart, either way, by enough to refuse signatures; later they agree again."""
    world.sls.settings.skew_s = random.choice((-1, 1)) * random.choice((300.0, 1200.0, 86_400.0))
    world.struck(happening)
    yield random.uniform(0.5, 4.0)
    world.sls.settings.skew_s = 0.0
    yield 0.1


@kind("sls-date-skew", SLS, repeats=True)
def _(world: World, random: Random, happening: Happening) -> Course:
    """Only the Date header lies: whoever believes it signs with a wrong time."""
    fault = Fault("date_skew", call="any", seconds=random.choice((-1, 1)) * 3600.0, times=random.randint(1, 30))
    yield from during(world, happening, fault, 0.6)


@kind("sls-away", SLS, repeats=True, once=True)
def _(world: World, random: Random, happening: Happening) -> Course:
    world.sls.stop_listening()
    world.struck(happening)
    yield random.choice((0.3, 1.0, 2.0, 5.0))
    world.sls.start_listening()
    yield 0.1


@kind("sls-disconnect", SLS, repeats=False)
def _(world: World, random: Random, happening: Happening) -> Course:
    world.struck(happening)
    for _ in range(random.randint(1, 6)):
        world.sls.disconnect()
        yield random.uniform(0.02, 0.3)


@kind("heartbeats-lost", SLS, repeats=True)
def _(world: World, random: Random, happening: Happening) -> Course:
    """Long enough to lose the lease, or nearly so."""
    action = random.choice(("black_hole", "reset", "lost_answer", "status"))
    consumer = random.choice((None, f"consumer-{random.randint(1, world.schedule.agents)}"))
    fault = Fault(action, call="heartbeat", consumer=consumer, status=500)
    yield from during(world, happening, fault, random.uniform(1.0, 6.0))


@kind("consumer-evicted", SLS, repeats=True)
def _(world: World, random: Random, happening: Happening) -> Course:
    with world.sls.store.lock:
        world.sls.store.group(GROUP).evict(f"consumer-{random.randint(1, world.schedule.agents)}")
    world.struck(happening)
    yield 0.1


@kind("checkpoint-refused", SLS, repeats=True)
def _(world: World, random: Random, happening: Happening) -> Course:
    """Another owns the shard, the service says."""
    status, code = random.choice(((400, "ConsumerNotMatch"), (404, "ConsumerNotExist")))
    fault = Fault("status", call="save_checkpoint", status=status, code=code, times=random.randint(1, 3))
    yield from during(world, happening, fault, 0.1)


@kind("rebalance-storm", SLS, repeats=False)
def _(world: World, random: Random, happening: Happening) -> Course:
    """Other consumers join, hold their share and leave, in turn or together; cleanly or by their silence."""
    names = [f"other-{happening.number}-{number}" for number in range(random.randint(1, 2))]
    world.struck(happening)
    for _ in range(random.randint(2, 6)):
        for name in names:
            _beat(world, name)
        yield random.uniform(0.2, 0.6)
    for name in names:
        with world.sls.store.lock:
            world.sls.store.group(GROUP).evict(name)
        yield random.uniform(0.0, 0.3)


def _beat(world: World, name: str) -> None:
    store = world.sls.store
    with store.lock:
        group = store.group(GROUP)
        held = group.consumers().get(name, [])
        try:
            group.heartbeat(name, group.heartbeat(name, held, store.shards()), store.shards())
        except RefusalError:
            group.heartbeat(name, [], store.shards())


@kind("shard-split", SLS, repeats=False, weight=0.7)
def _(world: World, random: Random, happening: Happening) -> Course:
    _split(world, random)
    world.struck(happening)
    yield 0.1


def _split(world: World, random: Random) -> None:
    store = world.sls.store
    with store.lock:
        writable = [shard.number for shard in store.shards() if not shard.read_only]
        if len(writable) < MOST_SHARDS:
            store.split(random.choice(writable))


@kind("shard-merge", SLS, repeats=False, weight=0.7)
def _(world: World, random: Random, happening: Happening) -> Course:
    store = world.sls.store
    with store.lock:
        writable = sorted(
            (shard for shard in store.shards() if not shard.read_only), key=lambda shard: shard.keys.begin
        )
        if len(writable) > 1:
            store.merge(random.choice(writable[:-1]).number)
            world.struck(happening)
    yield 0.1


@kind("split-while-none-lives", SLS, repeats=True, weight=0.5, once=True)
def _(world: World, random: Random, happening: Happening) -> Course:
    """`start` is "end": the children, written to before anybody looks, must be read from their begin all the same."""
    killed = world.agents.running()
    for instance in killed:
        world.agents.kill(instance)
    _split(world, random)
    world.struck(happening)
    yield random.uniform(0.2, 1.0)
    for instance in killed:
        if not world.agents.all[instance].running():
            world.agents.start(instance)
    yield 0.1


@kind("retention", SLS, repeats=False, weight=0.5, once=True)
def _(world: World, random: Random, happening: Happening) -> Course:
    """Removes logs that nobody has read: those may be missing, and no others."""
    shard = random.choice(world.sls.store.shards())
    while True:
        with world.sls.store.lock:
            saved = world.sls.store.group(GROUP).checkpoint(shard.number).position
            if saved is not None and shard.end > saved + 1:
                world.obligations.trim(shard.number, random.randint(saved + 1, shard.end - 1))
                world.struck(happening)
                break
        yield 0.03
    yield 0.1


@kind("largest-group", SLS, repeats=False, weight=0.15, once=True)
def _(world: World, random: Random, happening: Happening) -> Course:
    """A group of exactly what one answer may hold, between others."""
    world.append(20)
    world.obligations.append(None, group_of(MAX_ANSWER_BYTES, random))
    world.append(20)
    world.struck(happening)
    yield 0.1


def group_of(size: int, random: Random) -> bytes:
    """Make a log group of exactly so many bytes, at least 300,000; no value has more."""
    words = [random.choice(("GET", "日志", '"quoted"', "back\\slash", "\x1b[31m", "a=b|c")) for _ in range(997)]
    value = " ".join(random.choices(words, k=20_000)).encode()
    logs = [{"text": value}] * ((size - 100_000) // (len(value) + 20))
    rest = size - len(make_group([*logs, {"text": b"x" * 100_000}], time=1_700_000_000)) + 100_000
    # From 16,384 to 2,097,151 bytes a length is written in three, so what fills up adds to nothing but itself.
    return make_group([*logs, {"text": b"x" * rest}], time=1_700_000_000)


@kind("undecodable-group", SLS, repeats=False, weight=0.7)
def _(world: World, random: Random, happening: Happening) -> Course:
    """No LogGroup at all, between good ones: a dead letter, and nothing else suffers."""
    garbage = random.choice((b"\x0a\xff\xff\xff\xff\x0f", b"\x0b\x01", b"\x0a\x05ab", bytes(range(255, 200, -1))))
    world.append(20)
    world.obligations.append(None, garbage, broken=True)
    world.append(20)
    world.struck(happening)
    yield 0.1
