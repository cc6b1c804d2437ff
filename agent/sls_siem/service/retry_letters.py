"""`dead-letter retry`: sends the events of dead letters again, and says which of them are settled now.

A letter is sent as it was stored wherever the configured output takes that form; a raw log group is decoded again; of
an oversize event, of which only the message was kept, the log is pulled again and must prove to be the same. It knows
no file: the caller removes what is settled. A letter counts as settled in the strongest way that the output has.
"""

from __future__ import annotations

import dataclasses
import json
import re
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Optional, Protocol

from sls_siem.codec import make_encoder
from sls_siem.codec.model import Batch, Encoded, Oversize, Payload, Span
from sls_siem.config import Config
from sls_siem.dead_letter import DeadLetter
from sls_siem.errors import CodecError, CursorInvalidError, SourceError, Stopped
from sls_siem.service.encoding import encoder_settings
from sls_siem.siem.output import Lane, Output, Rejection, Report
from sls_siem.sls.model import Pulled

PATIENCE_S = 30.0
"""So long may the SIEM take nothing before the retry gives up."""
ROUNDS = 3
FINISH_S = 10.0
LAST_LOOK_S = 2.0
SMALLEST_FRAME = 480
_POSITIONED = re.compile(r"(\d{1,19})-(\d{1,19})-(\d{1,19})")
_SYSLOG = re.compile(rb"<\d{1,3}>")


class KeptError(Exception):
    """The letter cannot be sent and stays; the message says why and what would help."""


class Pull(Protocol):
    """Reads the log group at one position."""

    def __call__(self, shard: int, position: int, *, end_position: int, count: int) -> Pulled:
        """PullLogs, without query and processor."""
        ...


@dataclass(eq=False)
class _Part:
    """One payload of a letter; serves as the lane's token."""

    payload: Payload
    settled: bool = False


@dataclass(eq=False)
class Attempt:
    """One letter on its way.

    Args:
        letter: what is sent again.
        parts: its payloads.
        kept: why it was not sent at all.
        refused: the SIEM's words when it refused it again.
    """

    letter: DeadLetter
    parts: list[_Part] = field(default_factory=list)
    kept: str = ""
    refused: str = ""

    @property
    def settled(self) -> bool:
        """Nothing of it is left to be done."""
        return not self.kept and not self.refused and all(part.settled for part in self.parts)


class Resender:
    """Sends letters again through the configured output; used by one thread.

    Args:
        config: in force now.
        output: made from it.
        pull: reads a log group of the logstore again.
        patience_s: so long may the SIEM take nothing.
    """

    def __init__(self, config: Config, output: Output, pull: Pull, *, patience_s: float = PATIENCE_S) -> None:
        self._config = config
        self._output = output
        self._pull = pull
        self._settings = encoder_settings(config)
        self._encoder = make_encoder(self._settings)
        self._gate = _Gate(patience_s, self._refused)
        self._by_payload: dict[int, Attempt] = {}

    @property
    def trouble(self) -> str:
        """What the SIEM was waited for last when patience ran out; empty when it did not."""
        return self._gate.trouble

    def retry(self, letters: Iterable[DeadLetter], settled: Callable[[set[str]], object]) -> list[Attempt]:
        """Send each letter; returns once all are settled, refused, or given up for now.

        Args:
            letters: the first of those with the same id is sent.
            settled: told the ids of letters soon after they are settled.
        """
        attempts = [self._prepare(letter) for letter in {one.event_id: one for one in letters}.values()]
        told: set[str] = set()

        def tell() -> None:
            fresh = {one.letter.event_id for one in attempts if one.settled} - told
            told.update(fresh)
            if fresh:
                settled(fresh)

        for _ in range(ROUNDS):
            waiting = [part for one in attempts if not one.refused for part in one.parts if not part.settled]
            if not waiting or self._gate.trouble or not self._round(waiting, tell):
                break
        return attempts

    # --- what is sent for a letter ---

    def _prepare(self, letter: DeadLetter) -> Attempt:
        attempt = Attempt(letter)
        try:
            attempt.parts = [_Part(payload) for payload in self._payloads(letter)]
        except KeptError as exc:
            attempt.kept = str(exc)
        for part in attempt.parts:
            self._by_payload[id(part.payload)] = attempt
        return attempt

    def _payloads(self, letter: DeadLetter) -> list[Payload]:
        if letter.raw:
            return self._decoded(letter)
        if letter.reason == "oversize":
            return self._pulled_again(letter)
        return [Payload(self._as_stored(letter), Span(0, 0, 0, 1))]

    def _as_stored(self, letter: DeadLetter) -> bytes:
        is_syslog = bool(_SYSLOG.match(letter.event))
        if self._config.siem.output == "hec":
            if is_syslog or not _is_envelope(letter.event):
                raise KeptError("it is no HEC event, but the configured output is hec: retry it with its own output")
            return letter.event
        if not is_syslog:
            raise KeptError(
                "it is no syslog message, but the configured output is syslog: retry it with its own output"
            )
        return self._framed(letter.event)

    def _framed(self, message: bytes) -> bytes:
        syslog = self._settings.syslog
        message = message[:-1] if message.endswith(b"\n") else message
        if len(message) + (syslog.framing == "lf") > syslog.max_bytes:
            raise KeptError(
                f"it has {len(message)} bytes, longer than syslog.max_bytes = {syslog.max_bytes}: raise that"
            )
        if syslog.framing == "lf":
            if b"\n" in message:
                raise KeptError('it holds a line end: retry it with framing = "octet-counting"')
            return message + b"\n"
        return message if syslog.framing == "datagram" else b"%d %b" % (len(message), message)

    def _decoded(self, letter: DeadLetter) -> list[Payload]:
        sls, position = self._config.sls, letter.position or 0
        regrouped = bool(sls.query or sls.processor)
        batch = Batch(letter.shard, position, position + 1, 1, letter.event, regrouped=regrouped)
        try:
            return self._sendable(list(self._encoder.encode(batch)))
        except CodecError as exc:
            raise KeptError(f"its log group still cannot be decoded: {exc}") from exc

    def _pulled_again(self, letter: DeadLetter) -> list[Payload]:
        """Only the message was kept, so its header must be made anew, from the log itself."""
        found = _POSITIONED.fullmatch(letter.event_id)
        if found is None:
            raise KeptError("only its message was kept, and its id has no position to pull the log from again")
        shard, position, index = (int(text) for text in found.groups())
        batch = dataclasses.replace(self._group_at(shard, position), skip=index, limit=1)
        encoded = self._encode(batch)
        if not encoded:
            raise KeptError(f"only its message was kept, and the log group at {position} has no such log any more")
        payloads = self._sendable(encoded)
        if not self._same(batch, letter.event):
            raise KeptError(
                "only its message was kept, and the log now at its position does not read the same: the logstore or "
                "the format is another one. Retry it with the configuration that it was written with"
            )
        return payloads

    def _group_at(self, shard: int, position: int) -> Batch:
        try:
            pulled = self._pull(shard, position, end_position=position + 1, count=1)
        except CursorInvalidError as exc:
            raise KeptError(f"only its message was kept, and retention has removed its log: {exc}") from exc
        except SourceError as exc:
            raise KeptError(f"only its message was kept, and its log cannot be pulled again: {exc}") from exc
        if pulled.groups != 1 or pulled.next_position != position + 1:
            raise KeptError("only its message was kept, and retention has removed its log")
        return Batch(shard, position, position + 1, 1, pulled.body)

    def _encode(self, batch: Batch) -> list[Encoded]:
        try:
            return list(self._encoder.encode(batch))
        except CodecError as exc:
            raise KeptError(f"its log group cannot be decoded: {exc}") from exc

    def _sendable(self, encoded: list[Encoded]) -> list[Payload]:
        for one in encoded:
            if isinstance(one, Oversize):
                raise KeptError(
                    f"event {one.event_id} is still too long: {len(one.event)} bytes of message, syslog.max_bytes = "
                    f'{self._config.syslog.max_bytes}. Raise that, or set syslog.oversize to "truncate" or "split"'
                )
        payloads = [one for one in encoded if isinstance(one, Payload) and one.data]
        if encoded and not payloads:
            raise KeptError("the filter leaves its log out now: purge it, or change [filter]")
        return payloads

    def _same(self, batch: Batch, message: bytes) -> bool:
        """Have the message written once more as it was kept then, and compare."""
        syslog = dataclasses.replace(self._settings.syslog, oversize="dead-letter", max_bytes=SMALLEST_FRAME)
        encoder = make_encoder(dataclasses.replace(self._settings, output="syslog", syslog=syslog))
        return any(isinstance(one, Oversize) and one.event == message for one in encoder.encode(batch))

    # --- sending ---

    def _round(self, parts: list[_Part], tell: Callable[[], None]) -> bool:
        """Send these once over a connection of their own; False when that got nothing settled."""
        lane = self._output.lane(0, self._gate)
        before = sum(part.settled for part in parts)
        self._gate.progressed()
        try:
            self._send(lane, parts, tell)
            self._note(lane.finish(self._finish_s()))
        except Stopped:
            self._note(lane.finish(LAST_LOOK_S))
        finally:
            lane.close()
        tell()
        return sum(part.settled for part in parts) > before

    def _send(self, lane: Lane, parts: list[_Part], tell: Callable[[], None]) -> None:
        told_at = time.monotonic()
        for part in parts:
            self._note(lane.send(part.payload, part))
            self._gate.progressed()
            due = lane.next_poll_s()
            if due is not None and due <= 0:
                self._note(lane.poll())
            if time.monotonic() - told_at >= 1.0:
                # Not after each: the file of letters is written anew for it.
                told_at = time.monotonic()
                tell()

    def _finish_s(self) -> float:
        if self._config.siem.output == "hec":
            return self._config.hec.ack_timeout_s
        return self._config.syslog.settle_s + FINISH_S

    def _note(self, report: Report) -> None:
        for token in report.settled:
            if isinstance(token, _Part):
                token.settled = True

    def _refused(self, rejection: Rejection) -> None:
        self._by_payload[id(rejection.payload)].refused = f"{rejection.reason}: {rejection.answer}"


class _Gate:
    """A gate that loses patience: see `siem.output.Gate`."""

    def __init__(self, patience_s: float, refused: Callable[[Rejection], None]) -> None:
        self._patience_s = patience_s
        self._refused = refused
        self._moved_at = time.monotonic()
        self._never = threading.Event()
        self.trouble = ""

    def progressed(self) -> None:
        """Something was taken."""
        self._moved_at = time.monotonic()

    def before_send(self) -> None:
        """Nothing stands before a send but patience."""
        if self.trouble:
            raise Stopped

    def stands_open(self) -> bool:
        """Patience is left."""
        return not self.trouble

    def wait(self, seconds: float, why: str) -> None:
        """Sleep, unless that would take too long."""
        if time.monotonic() + seconds - self._moved_at > self._patience_s:
            self.trouble = why or "the SIEM takes nothing"
            raise Stopped
        self._never.wait(seconds)

    def busy(self, seconds: float, why: str) -> None:
        """Nobody watches."""

    def retried(self, reason: str) -> None:
        """Nobody counts."""

    def reject(self, rejection: Rejection) -> None:
        """Note the refusal; the letter stays where it is."""
        self._refused(rejection)


def _is_envelope(event: bytes) -> bool:
    try:
        value = json.loads(event)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and "event" in value


def why_unreachable(output: Output, timeout_s: float) -> Optional[str]:
    """Try every address of the SIEM; None when one is fit to be sent to, else what is wrong with them."""
    results = output.probe(timeout_s)
    for endpoint in output.endpoints():
        own = [result for result in results if result.subject.startswith(endpoint.url)]
        if own and all(result.ok for result in own):
            return None
    return "; ".join(f"{result.subject}: {result.text}" for result in results if not result.ok) or None
