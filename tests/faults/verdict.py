"""The verdict over a schedule that has ended: what the oracle demands, point by point."""

from __future__ import annotations

import itertools
import math
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from sls_siem.emulator.hec import HecEmulator
from sls_siem.emulator.hec_records import RequestRecord
from sls_siem.emulator.sls.history import Save
from sls_siem.emulator.store import event_digest
from sls_siem.emulator.syslog_inbox import ConnectionRecord
from tests.faults.oracle import NOTICE, Letter, without_fields
from tests.faults.schedule import HEC_ACK, KINDS, PLAIN, PROCESS, SIEM, SLS, Happening

if TYPE_CHECKING:
    from tests.faults.world import World

SLACK_S, DRAIN_S = 1.0, 4.0
AFTER_STALL_S = 6.0
READ_OUT_S = 5.0
WAKING_S = 0.3
CARRIED_OUT_S = 0.2
LOSS = re.compile(r"\d+ logs lost|\d+ missing, |^checkpoint .* before .* was stored")
ON_ITS_WAY_S = 0.3
NEAR_S, DAY_S = 6.0, 86_400.0
AGAIN_FROM = (
    r"shard (\d+): not everything was settled .* from position (\d+)",
    # How many events were in what retention removed is not known, so that what was to be sent again is sent whole.
    r"shard (\d+): retention removed .* the oldest there is (\d+)",
)
SIDE_LEAST = 3
UNWRITABLE = {"disk-full", "state-directory-unusable"}
HOLD_S, ACK_S = 5.0, 3.0
"""How long an agent waits before it tries to write a letter again, and for an acknowledgement."""

REFUSING = UNWRITABLE | {
    "hec-partial",
    "hec-fields-refused",
    "hec-refused-without-number",
    "hec-index-refused",
    "hec-413",
}
STRIPPING = {"hec-fields-refused"}
# Requests without an answer, or with one that does not say what became of them: the indexer may have drawn an ackId.
MAY_DRAW = {"hec-500", "hec-413", "hec-redirect", "hec-html", "hec-reset-before", "hec-black-hole"}


def excuse(world: World, reasons: Iterable[str]) -> str:
    """Why what plain syslog lost is nobody's fault here; empty when it is, or when anything else is wrong."""
    if world.output in PLAIN and all(LOSS.search(reason) for reason in reasons):
        return too_slow(world) or without_proof(world)
    return ""


def too_slow(world: World) -> str:
    """How much longer than it may a receiver took to read; empty when it did not.

    The faults here throw unread bytes away. What a receiver on a busy machine had not read for `settle_s`, or one that
    was stopped together with that machine, the agent may have taken for settled.
    """
    from tests.faults.kinds_stream import SHORT_S
    from tests.faults.world import SETTLE_S

    unread_s = longest_unread_s(world.siem.connections())
    if unread_s > SETTLE_S - WAKING_S:
        return f"lost, but the receiver was {unread_s:.1f} s behind when it threw away the rest"
    longest_s = max((end - begin for begin, end in world.stalls), default=0.0)
    if longest_s >= (SETTLE_S - SHORT_S) / 2:
        return f"lost, but the machine stood still for {longest_s:.1f} s"
    return ""


def longest_unread_s(connections: Iterable[ConnectionRecord]) -> float:
    """For how long at most bytes had been unread that a receiver threw away."""
    return max((one.ended_s - one.caught_up_s for one in connections if one.end != "peer-fin"), default=0.0)


def without_proof(world: World) -> str:
    """Whether a receiver that closed by itself met a drain; empty when not.

    On a drain the receiver's FIN is taken for its word that it has read everything. The fault `fin` sends one by itself
    and forgets what it reads behind it: when that meets a drain, nothing on the wire can tell the two apart
    (docs/delivery.md).
    """
    missed = world.obligations.missed if hasattr(world, "obligations") else []
    if not missed:
        return ""
    strikes = [strike.at_s for strike in world.siem.strikes() if strike.kind == "fin"]
    drains = [moment_s for agent in world.agents.all.values() for moment_s in _drains(agent.log())]
    wall_s = time.time() - time.monotonic()
    for save in missed:
        met = any(0 <= save.at + world.boot_s - strike_s <= NEAR_S for strike_s in strikes)
        drained = any((save.at + wall_s - drain_s + 1) % DAY_S <= NEAR_S + 1 for drain_s in drains)
        if not (met and drained):
            return ""
    return "a receiver that closed by itself and forgot the rest met a drain"


def _drains(log: str) -> Iterator[float]:
    """Seconds of the day, in UTC, at which an agent began to drain or to hand over."""
    offset_s = time.localtime().tm_gmtoff
    for hours, minutes, seconds in re.findall(r"(?m)^(\d\d):(\d\d):(\d\d) .*(?:draining for|handing over)", log):
        yield int(hours) * 3600 + int(minutes) * 60 + int(seconds) - offset_s


def void(world: World) -> str:
    """Why the schedule does not count; empty when it does."""
    from tests.faults.world import LOGS, PULLS

    for happening in world.schedule.faults:
        if happening.struck_s is None:
            return f"{happening.kind} did not strike"
        if happening.in_flight <= 0:
            return f"{happening.kind} struck when everything was settled"
    sides = Counter(KINDS[happening.kind].side for happening in world.schedule.faults)
    if sides[SLS] < SIDE_LEAST or sides[SIEM] < SIDE_LEAST:
        return f"only {dict(sides)} faults"
    if world.obligations.appended < LOGS or len(world.sls.history.pulls) < PULLS:
        return f"only {world.obligations.appended} logs in {len(world.sls.history.pulls)} pulls"
    return ""


def violations(world: World) -> list[str]:
    """Everything that is not as promised."""
    found = [*world.obligations.violations, *world.agents.trouble]
    for check in (arrivals, _letters, _saves, _lease, _memory, _secrets):
        found += check(world)
    return found


def duplicates(world: World) -> int:
    """Copies beyond the first."""
    return sum(count for event_id, count in world.siem.store.duplicates().items() if event_id)


def arrivals(world: World) -> Iterator[str]:
    digests, _ = world.obligations.expected()
    found = world.siem.store.compare(digests)
    dead, gone = world.obligations.dead(), world.obligations.gone
    absent = {event_id for event_id in found.missing if event_id not in dead}
    absent -= world.obligations.stripped(absent)
    if lost := sorted(absent - gone):
        yield f"{len(lost)} logs lost: {lost[:5]}"
    removed = absent & gone
    logs = "".join(agent.log() for agent in world.agents.all.values())
    if removed and "retention removed" not in logs:
        yield f"{len(removed)} logs removed by retention, and no agent said so"
    notices = {event_id for event_id in found.unknown if NOTICE in (world.siem.store.data(event_id) or b"")}
    aliases = world.obligations.aliases if {fault.kind for fault in world.schedule.faults} & STRIPPING else set()
    unknown = sorted(set(found.unknown) - notices - aliases)
    if unknown and {fault.kind for fault in world.schedule.faults} & STRIPPING:
        # An answer got lost: an event came both with its fields and without.
        bare = {event_digest(without_fields(text)) for text in world.obligations.expected()[1].values()}
        copies = {name: [one.digest for one in world.siem.store.arrivals(name)] for name in unknown}
        unknown = [name for name in unknown if not bare.issuperset(copies[name])]
    if unknown:
        yield f"{len(unknown)} unknown events: {unknown[:5]}"
    if len(notices) > len(world.obligations.letters()):
        yield f"{len(notices)} notices for {len(world.obligations.letters())} dead letters"
    if found.altered:
        yield f"{len(found.altered)} events are not what the encoder makes of them: {found.altered[:5]}"
    yield from _unexplained(world)


def _unexplained(world: World) -> Iterator[str]:
    """A log may only arrive twice when a fault that explains it was there between the two.

    The machine itself may be such a fault: where this process did not get to run, agents will not have either, and
    lose their leases.

    One more explanation: a hand-over that ran out of time in an outage ends at a checkpoint, and the group there was
    sent in part; a checkpoint cannot stand inside a group. And where the machine was too slow for `drain_s`, or
    retention met what was to be sent again, the agent must have said from which position on it is.
    """
    faults = [fault for fault in world.schedule.faults if fault.struck_s is not None]
    _prolong(world, faults)
    repeating = [fault for fault in faults if KINDS[fault.kind].repeats or _makes_ack_ids_doubtful(world, fault)]
    repeating += second_sigterms(faults) + reloads_in_a_hold(faults)
    outages = [fault for fault in faults if KINDS[fault.kind].side == SIEM]
    saved = {(save.shard, save.new) for save in world.sls.history.saves if not save.refused}
    doubtful = again_from([agent.log() for agent in world.agents.all.values()])
    bad = []
    for event_id in filter(None, world.siem.store.duplicates()):
        times = [arrival.at_s for arrival in world.siem.store.arrivals(event_id)]
        place = place_of(event_id)
        if not _between(repeating, min(times) - SLACK_S, max(times)) and not (
            (place in saved and _between(outages, min(times) - DRAIN_S - SLACK_S, max(times)))
            or _stalled(world, min(times), max(times))
            or (place is not None and place[1] >= doubtful.get(place[0], place[1] + 1))
        ):
            bad.append(event_id)
    if bad:
        yield f"{len(bad)} logs arrived twice and no fault explains it: {bad[:5]}; {_story(world, bad[0])}"


def place_of(event_id: str) -> tuple[int, int] | None:
    """Shard and position that an id names; None for one that a hostile log claims, or that is a hash."""
    found = re.match(r"(\d+)-(\d+)-", event_id)
    return None if found is None else (int(found[1]), int(found[2]))


def second_sigterms(faults: Iterable[Happening]) -> list[Happening]:
    """Those SIGTERMs that may have met a drain and ended it at once, unsettled."""
    terms = sorted((f for f in faults if f.kind.startswith("sigterm")), key=lambda fault: fault.struck_s or 0.0)
    return [b for a, b in zip(terms, terms[1:]) if (b.struck_s or 0.0) - (a.struck_s or 0.0) <= DRAIN_S]


def reloads_in_a_hold(faults: Iterable[Happening]) -> list[Happening]:
    """Those reloads that may have met an event which is held since its letter cannot be written: what the same request
    had before that event was taken, and comes again (docs/delivery.md)."""
    faults = list(faults)
    holds = [fault for fault in faults if fault.kind in UNWRITABLE]
    reloads = [fault for fault in faults if fault.kind == "reload"]
    return [fault for fault in reloads if _between(holds, fault.struck_s or 0.0, fault.ended_s or math.inf)]


def again_from(logs: Iterable[str]) -> dict[int, int]:
    """Lowest position, by shard, from which on agents said in their logs that events may come again."""
    found: dict[int, int] = {}
    for shard, position in itertools.chain(*(re.findall(pattern, log) for pattern in AGAIN_FROM for log in logs)):
        found[int(shard)] = min(found.get(int(shard), int(position)), int(position))
    return found


def _prolong(world: World, faults: list[Happening]) -> None:
    """Let each fault last until a moment after it struck for the last time."""
    last = {strike.fault: strike.at_s for strike in world.siem.strikes()}
    for fault in faults:
        if fault.ended_s is not None and fault.injected in last:
            fault.ended_s = max(fault.ended_s, last[fault.injected] + SLACK_S)
        if fault.ended_s is not None and _makes_ack_ids_doubtful(world, fault):
            fault.ended_s = max(fault.ended_s, answered_once_s(world.siem.requests(), fault.ended_s) + SLACK_S)
        if fault.ended_s is not None and fault.kind == "hec-ack-never":
            fault.ended_s = owed_until_s(faults, fault)
        if fault.ended_s is not None and KINDS[fault.kind].side == PROCESS and not isinstance(world.siem, HecEmulator):
            fault.ended_s = read_out_s(world.siem.connections(), fault.ended_s)


def owed_until_s(faults: Iterable[Happening], never: Happening) -> float:
    """When acknowledgements that will not come have been given up.

    What a request had before an event that is held, since its letter cannot be written, may be owed one; then the rest
    goes out after the hold, and all of the payload again when the first part's time is up.
    """
    ended_s = never.ended_s or math.inf
    met = [one for one in faults if one.kind in UNWRITABLE and _between([one], never.struck_s or 0.0, ended_s)]
    return max([ended_s, *((one.ended_s or math.inf) + HOLD_S + ACK_S for one in met)])


def read_out_s(connections: Iterable[ConnectionRecord], ended_s: float) -> float:
    """When a receiver had read what processes left in its kernel that ended at `ended_s`, on a busy machine."""
    left = [one.ended_s for one in connections if one.at_s <= ended_s < one.ended_s <= ended_s + READ_OUT_S]
    return max(left, default=ended_s)


def _makes_ack_ids_doubtful(world: World, fault: Happening) -> bool:
    return world.output == HEC_ACK and (fault.kind in MAY_DRAW or fault.kind == "hec-indexer-restart")


def answered_once_s(requests: Iterable[RequestRecord], after_s: float) -> float:
    """When the last channel that had been in use before a moment was first answered after it.

    Only there does a lane learn that ackIds began anew, or cannot rule it out; then it sends again what waits on that
    channel, and the request itself.
    """
    known: set[str] = set()
    told: dict[str, float] = {}
    for record in sorted(requests, key=lambda one: one.at_s):
        if record.path.endswith("/event") and record.status == 200:
            if record.at_s <= after_s:
                known.add(record.channel)
            elif record.channel in known:
                told.setdefault(record.channel, record.at_s)
    return max(told.values(), default=after_s)


def _stalled(world: World, first_s: float, last_s: float) -> bool:
    return any(begin - SLACK_S <= last_s and end + AFTER_STALL_S >= first_s for begin, end in world.stalls)


def _story(world: World, event_id: str) -> str:
    """All that is known about one log, in seconds before the quiet phase."""

    def at(moment_s: float | None) -> str:
        return "-" if moment_s is None else f"{moment_s - world.quiet_from_s:.2f}"

    shard = event_id.split("-", maxsplit=1)[0]
    arrivals = [f"{at(arrival.at_s)} by {arrival.request}" for arrival in world.siem.store.arrivals(event_id)]
    saves = [
        f"{at(save.at + world.boot_s)} {save.new} {save.consumer} {save.refused or ''}"
        for save in world.sls.history.saves
        if str(save.shard) == shard
    ]
    faults = [f"{fault.kind} {at(fault.struck_s)} to {at(fault.ended_s)}" for fault in world.schedule.faults]
    stalls = [f"{at(begin)} to {at(end)}" for begin, end in world.stalls]
    return f"{event_id} arrived {arrivals}; saved {saves[-12:]}; faults {faults}; stalls {stalls}"


def _between(faults: list[Happening], first_s: float, last_s: float) -> bool:
    return any((fault.struck_s or 0.0) <= last_s and (fault.ended_s or last_s) >= first_s for fault in faults)


def _letters(world: World) -> Iterator[str]:
    _, texts = world.obligations.expected()
    kinds = {happening.kind for happening in world.schedule.faults}
    for letter in world.obligations.dead().values():
        if letter.reason == "undecodable":
            if "undecodable-group" not in kinds:
                yield f"dead letter {letter.event_id}: undecodable, though every group is sound"
        elif not kinds & REFUSING:
            yield f"dead letter {letter.event_id} ({letter.reason}) though no event was refused for ever"
        elif letter.event_id not in texts:
            yield f"dead letter of an unknown event: {letter.event_id}"
        elif not _same_event(letter, texts[letter.event_id]):
            yield f"dead letter {letter.event_id} does not hold its event"


def _same_event(letter: Letter, text: bytes) -> bool:
    return str(letter.record.get("event", "")).encode() == text or "event_base64" in letter.record


def _saves(world: World) -> Iterator[str]:
    forced: Counter[int] = Counter()
    for save in world.sls.history.saves:
        if save.refused == "InvalidShardCheckPoint":
            yield f"a save beyond the shard's end: {save}"
        if save.refused:
            continue
        if save.forced:
            forced[save.shard] += 1
            continue
        if save.owner != save.consumer:
            yield f"a save by a consumer that does not own the shard: {save}"
    if not world.agents.clones_allowed:
        for wrong in backwards(world.sls.history.saves):
            others = [save for save in world.sls.history.saves if save.shard == wrong.shard]
            yield f"a save that goes backwards: {wrong}; all of its shard: {others}"
    if any(count > 1 or shard >= world.schedule.shards for shard, count in forced.items()):
        yield f"forced saves beyond the first positions: {dict(forced)}"


def backwards(saves: Iterable[Save]) -> Iterator[Save]:
    """Find the saves of a position before the stored one that were asked for later than that.

    A service that is slow may carry out a request after its connection broke, and after the next one: that goes
    backwards too, but not by the agent's doing. Whoever reads the shard from then on begins, and saves, there. And who
    began between the asking and the carrying out of such a save began at the position before it. Several in a row may
    come so late.

    Args:
        saves: in the order in which they were carried out.
    """
    stored: dict[int, Save] = {}
    for save in saves:
        if save.refused or save.forced or save.new is None:
            continue
        before = stored.get(save.shard, save)
        late = before.at - before.asked_at > CARRIED_OUT_S
        begun_at = min(before.old or 0, before.new or 0) if late else before.new or 0
        if save.new < begun_at and save.asked_at >= before.asked_at:
            yield save
        stored[save.shard] = save


def _lease(world: World) -> Iterator[str]:
    """Invariant 3, by the receiver's clock, where one agent alone can have sent what arrived."""
    from tests.faults.world import GROUP_TIMEOUT_S

    if world.schedule.agents != 1 or world.agents.clones_allowed or not isinstance(world.siem, HecEmulator):
        return
    beats = sorted(
        beat.at + world.boot_s
        for beat in world.sls.history.heartbeats
        if not beat.refused and beat.consumer == "consumer-1"
    )
    for record in late_requests(world.siem.requests(), beats, 0.8 * GROUP_TIMEOUT_S + 0.25, world.continued_s):
        before = [beat for beat in beats if beat <= record.at_s]
        age_s = record.at_s - before[-1] if before else -1.0
        if not _stalled(world, before[-1] if before else record.at_s, record.at_s):
            yield f"request {record.number} began {age_s:.2f} s after the last heartbeat"
            return


def late_requests(
    requests: Sequence[RequestRecord], beats: Sequence[float], longest_s: float, continued_s: Sequence[float]
) -> Iterator[RequestRecord]:
    """Find the requests for events that began without a lease.

    A lane that is stopped between its look at the lease and the first byte sends that one request as soon as its
    process goes on, and nothing can prevent it: one for each lane, right behind the continuation.

    Args:
        requests: in the order in which they came.
        beats: when heartbeats were accepted, sorted.
        longest_s: that a request may begin after one.
        continued_s: when processes that had been stopped went on.
    """
    on_their_way = set()
    for record in requests:
        heartbeat_s = max((beat for beat in beats if beat <= record.at_s), default=-math.inf)
        if not record.path.endswith("/event") or record.at_s - heartbeat_s <= longest_s:
            continue
        behind = max((each for each in continued_s if each <= record.at_s), default=-math.inf)
        if record.at_s - behind > ON_ITS_WAY_S or (behind, record.channel) in on_their_way:
            yield record
        on_their_way.add((behind, record.channel))


def _memory(world: World) -> Iterator[str]:
    from tests.faults.world import MOST_RESIDENT

    if world.agents.peak_bytes > MOST_RESIDENT:
        yield f"an agent took {world.agents.peak_bytes} bytes of memory"


def _secrets(world: World) -> Iterator[str]:
    secrets = world.secrets()
    texts = {"metrics": world.metrics_text, "command lines and children": " ".join(world.agents.commands)}
    for folder in world.agents.folders:
        for path in folder.rglob("*"):
            if path.is_file() and path.name != "agent.toml":
                texts[f"{folder.name}/{path.name}"] = path.read_text(errors="replace")
    for name, text in texts.items():
        if any(secret in text for secret in secrets):
            yield f"a secret stands in {name}"
        if re.search(r"[\x00-\x08\x0b-\x1f\x7f]", text) and name.endswith("log.txt"):
            yield f"a control character stands in {name}"
