"""One contract test's way: encode logs, send them by the agent's own output, read what the receiver made of them."""

from __future__ import annotations

import dataclasses
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from sls_siem.codec.model import Payload
from sls_siem.config import Config
from sls_siem.emulator.certificates import Certificates, KeyPair
from sls_siem.siem import Rejection, make_output
from sls_siem.siem.output import Token
from tests.receivers.model import Received, ServerTls
from tests.receivers.process import Receiver
from tests.receivers.traffic import (
    Recipe,
    Sent,
    Traffic,
    configuration,
    encode,
    expected,
    frames_of,
    members,
    members_in_json,
    members_in_kv,
    message_of,
)

FINISH_S = 20.0
GATE_LIMIT_S = 40.0


@dataclasses.dataclass(frozen=True)
class Exchange:
    """One log, what the receiver should have found in its message, and what it found."""

    sent: Sent
    expected: Received
    received: Received


class OpenGate:
    """Lets everything pass, and fails a test that waits for longer than it should."""

    def __init__(self) -> None:
        self._end = time.monotonic() + GATE_LIMIT_S
        self._never = threading.Event()

    def before_send(self) -> None:
        self._look("to send")

    def stands_open(self) -> bool:
        return True

    def wait(self, seconds: float, why: str) -> None:
        self._look(why)
        self._never.wait(min(seconds, 0.2))

    def busy(self, seconds: float, why: str) -> None:
        assert seconds > 0, why

    def retried(self, reason: str) -> None:
        raise AssertionError(f"the output had to retry: {reason}")

    def reject(self, rejection: Rejection) -> None:
        raise AssertionError(f"rejected: {rejection}")

    def _look(self, why: str) -> None:
        assert time.monotonic() < self._end, f"still waiting: {why}"


def deliver(config: Config, payloads: Iterable[Payload]) -> list[Token]:
    """Send payloads over one lane of the agent's output and drain it; returns what settled."""
    output = make_output(config)
    lane = output.lane(0, OpenGate())
    try:
        settled: list[Token] = []
        for number, payload in enumerate(payloads):
            report = lane.send(payload, number)
            assert report.lost == ()
            settled += report.settled
        return settled + list(lane.finish(FINISH_S).settled)
    finally:
        lane.close()
        output.close()


def converse(receiver: Receiver, recipe: Recipe, traffic: Traffic, folder: Path) -> list[Exchange]:
    """Send all logs to the receiver and pair them with what it wrote."""
    config = configuration(receiver.url, recipe, folder)
    encoder, payloads = encode(config, traffic)
    frames = frames_of(encoder, payloads, recipe.framing)
    settled = deliver(config, payloads)
    assert settled == list(range(len(payloads)))
    assert len(frames) == len(traffic.sent)
    received = receiver.received(len(frames))
    assert len(received) == len(frames)
    wanted = [expected(sent, frame, rfc=recipe.rfc) for sent, frame in zip(traffic.sent, frames)]
    return [Exchange(*parts) for parts in zip(traffic.sent, wanted, received)]


def differences(
    exchanges: Iterable[Exchange], change: Callable[[Received], Received] = lambda message: message
) -> list[str]:
    """Name the first few fields that are not as expected, shortened.

    Args:
        exchanges: what was sent and received.
        change: what the receiver is known to do to a message.
    """
    found = []
    for exchange in exchanges:
        wanted, got = change(exchange.expected), exchange.received
        if wanted != got:
            names = [item.name for item in dataclasses.fields(Received)]
            pairs = [(name, getattr(wanted, name), getattr(got, name)) for name in names]
            found.append(f"{exchange.sent.event_id}: {[_short(pair) for pair in pairs if pair[1] != pair[2]]}")
        if len(found) == 5:
            break
    return found


def lost_members(exchanges: Iterable[Exchange], recipe: Recipe) -> list[str]:
    """Read back the text in MSG and name the first few logs whose names and values are not all there, in order."""
    found = []
    for exchange in exchanges:
        wanted = members(exchange.sent, with_id=recipe.rfc == 3164)
        msg = exchange.received.msg
        got = members_in_json(msg) if recipe.format == "json" else members_in_kv(msg)
        if got != (wanted if recipe.format == "json" else [(name, str(value)) for name, value in wanted]):
            found.append(f"{exchange.sent.event_id}: {str(wanted)[:300]} != {str(got)[:300]}")
        if len(found) == 5:
            break
    return found


def join_parts(
    receiver: Receiver, recipe: Recipe, traffic: Traffic, folder: Path
) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Send logs that are cut into parts; returns the message of each by its id, whole and joined by the receiver's
    own `id` and `part`."""
    config = configuration(receiver.url, recipe, folder)
    encoder, payloads = encode(config, traffic)
    frames = frames_of(encoder, payloads, recipe.framing)
    deliver(config, payloads)
    parts: dict[str, list[tuple[int, int, bytes]]] = {}
    for message in receiver.received(len(frames)):
        element = message.elements["sls@32473"]
        number, _, count = element.get("part", "1/1").partition("/")
        parts.setdefault(element["id"], []).append((int(number), int(count), message.msg))
    assert all([part[0] for part in found] == list(range(1, found[0][1] + 1)) for found in parts.values())
    whole_encoder, whole = encode(
        configuration(receiver.url, dataclasses.replace(recipe, max_bytes=4 << 20), folder), traffic
    )
    messages = map(message_of, frames_of(whole_encoder, whole, recipe.framing))
    ids = (sent.event_id for sent in traffic.sent)
    return dict(zip(ids, messages)), {name: b"".join(part[2] for part in found) for name, found in parts.items()}


def clients_refused(receiver: Receiver, certificates: Certificates) -> list[bytes]:
    """Try to get a message in without a certificate, with one of another authority, and with the right one.

    With TLS 1.3 a client learns of the refusal only after its handshake, so each tries to send.
    """
    clients = ((None, b"no certificate"), (certificates.untrusted_client, b"certificate of another authority"))
    for client, text in (*clients, (certificates.client, b"certificate of the right authority")):
        context = ssl.create_default_context(cafile=str(certificates.ca_file))
        if client is not None:
            context.load_cert_chain(str(client.cert_file), str(client.key_file))
        message = header(text)
        with suppress(OSError), _tls_connection(receiver, context) as connection:
            connection.sendall(b"%d %b" % (len(message), message))
            connection.unwrap()
    receiver.received(1)
    receiver.stop()
    return [message.msg for message in receiver.received()]


def header(text: bytes) -> bytes:
    """Write a message by hand."""
    return b"<14>1 2026-01-01T00:00:00Z host app - - - " + text


def send_and_close(receiver: Receiver, messages: Iterable[bytes]) -> bytes:
    """Send octet-counted messages by a plain socket and close our side; returns what the receiver answers: nothing,
    when its FIN comes."""
    with socket.create_connection((receiver.address, receiver.port), timeout=10) as connection:
        connection.sendall(b"".join(b"%d %b" % (len(message), message) for message in messages))
        connection.shutdown(socket.SHUT_WR)
        return connection.recv(1)


def _tls_connection(receiver: Receiver, context: ssl.SSLContext) -> ssl.SSLSocket:
    plain = socket.create_connection((receiver.address, receiver.port), timeout=10)
    try:
        return context.wrap_socket(plain, server_hostname="localhost")
    except OSError:
        plain.close()
        raise


def server_tls(certificates: Certificates, driver: str = "ossl") -> ServerTls:
    """Let a receiver ask for a client certificate of this authority."""
    return ServerTls(certificates.ca_file, certificates.server.cert_file, certificates.server.key_file, driver)


def with_client(recipe: Recipe, certificates: Certificates, client: KeyPair) -> Recipe:
    """Let the agent show a certificate."""
    lines = (
        f'ca_file = "{certificates.ca_file}"',
        f'cert_file = "{client.cert_file}"',
        f'key_file = "{client.key_file}"',
    )
    return dataclasses.replace(recipe, tls=lines)


def _short(pair: tuple[str, object, object]) -> str:
    return f"{pair[0]}: {str(pair[1])[:150]} != {str(pair[2])[:150]}"
