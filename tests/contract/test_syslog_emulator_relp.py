"""The RELP emulator: sessions by the book, answers that are late, lost or refused, sessions that end in the middle."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator

import pytest

from sls_siem.emulator.relp import RelpEmulator
from sls_siem.emulator.relp_frames import RelpFrame, RelpStream
from sls_siem.emulator.remote import EmulatorProcess
from tests.contract.receiver_support import connect, frame, wait_until

pytestmark = pytest.mark.contract
OFFER = b"relp_version=0\nrelp_software=test\ncommands=syslog"


class Session:
    """The sending side of one connection."""

    def __init__(self, host: str, port: int, *, tls: bool = False, offer: bytes = OFFER) -> None:
        self.sock = connect(host, port)
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            self.sock = context.wrap_socket(self.sock)
        self.txnr = 0
        self.ended = ""
        self.frames: list[RelpFrame] = []
        self._stream = RelpStream()
        self.send("open", offer)

    def send(self, command: str, data: bytes = b"") -> int:
        self.txnr += 1
        self.sock.sendall(RelpFrame(self.txnr, command, data).encode())
        return self.txnr

    def receive(self, count: int = 10**9) -> list[RelpFrame]:
        """Read until so many frames came in all, or the session ended."""
        while len(self.frames) < count and not self.ended:
            try:
                data = self.sock.recv(65_536)
            except OSError as exc:
                self.ended = "timeout" if isinstance(exc, socket.timeout) else "rst"
                break
            self.ended = "" if data else "fin"
            self.frames += self._stream.feed(data)
        return self.frames

    def answers(self) -> dict[int, bytes]:
        return {got.txnr: got.data for got in self.frames if got.command == "rsp"}

    def close(self) -> None:
        self.sock.close()


@pytest.fixture
def siem() -> Iterator[RelpEmulator]:
    with RelpEmulator(rfc="5424") as running:
        yield running


@pytest.fixture
def session(siem: RelpEmulator) -> Iterator[Session]:
    made = Session(siem.host, siem.port)
    made.receive(1)
    yield made
    made.close()


def ship(session: Session, count: int, first: int = 0) -> list[int]:
    return [session.send("syslog", frame(f"0-{number}-0")) for number in range(first, first + count)]


def names(count: int) -> list[str]:
    return [f"0-{number}-0" for number in range(count)]


def test_a_session_by_the_book(siem: RelpEmulator, session: Session) -> None:
    sent = ship(session, 1000)
    last = session.send("close")
    session.receive()

    assert session.frames[0] == RelpFrame(
        1, "rsp", b"200 OK\nrelp_version=0\nrelp_software=sls-siem-emulator,1\ncommands=syslog"
    )
    assert [got.txnr for got in session.frames[1:-2]] == sent
    assert {got.data for got in session.frames[1:-2]} == {b"200 OK"}
    assert session.frames[-2:] == [RelpFrame(last, "rsp"), RelpFrame(0, "serverclose")]
    assert session.ended == "fin"
    assert siem.store.ids() == names(1000)
    assert wait_until(lambda: [record.end for record in siem.connections()] == ["close"])


def test_a_malformed_message_is_answered_500(siem: RelpEmulator, session: Session) -> None:
    bad, good = session.send("syslog", b"rubbish"), session.send("syslog", frame("a"))
    session.receive(3)

    assert session.answers()[bad] == b"500 malformed"
    assert session.answers()[good] == b"200 OK"
    assert siem.store.ids() == ["a"]
    assert siem.counters.malformed == 1


def test_an_unknown_command_is_answered_500(session: Session) -> None:
    number = session.send("starttls")
    session.receive(2)

    assert session.answers()[number] == b"500 command not supported"


@pytest.mark.parametrize("jump", [0, 2, -1])
def test_a_wrong_transaction_number_ends_the_session(siem: RelpEmulator, session: Session, jump: int) -> None:
    session.txnr += jump - 1 if jump <= 0 else jump
    session.send("syslog", frame("a"))
    session.receive()

    assert session.frames[-1] == RelpFrame(0, "serverclose")
    assert session.ended == "fin"
    assert "transaction" in siem.malformed()[0].reason
    assert siem.store.total == 0


@pytest.mark.parametrize(
    "offer", [b"", b"relp_version=9\ncommands=syslog", b"commands=syslog", b"relp_version=0\ncommands=other"]
)
def test_a_wrong_offer_opens_nothing(siem: RelpEmulator, offer: bytes) -> None:
    session = Session(siem.host, siem.port, offer=offer)
    session.send("syslog", frame("a"))
    session.receive()
    session.close()

    assert session.frames[-1] == RelpFrame(0, "serverclose")
    assert siem.store.total == 0


def test_broken_framing_ends_the_session(siem: RelpEmulator, session: Session) -> None:
    session.sock.sendall(b"2 syslog 3 abcX")
    session.receive()

    assert session.frames[-1] == RelpFrame(0, "serverclose")
    assert [record.end for record in siem.connections()] in ([], ["framing"])
    assert "no LF" in siem.malformed()[0].reason


def test_late_answers_come_in_order(siem: RelpEmulator, session: Session) -> None:
    siem.configure(ack_delay_s=0.1)
    start_s = time.monotonic()
    sent = ship(session, 20)
    session.receive(21)

    assert time.monotonic() - start_s >= 0.1
    assert [got.txnr for got in session.frames[1:]] == sent


def test_an_orderly_end_answers_everything_first(siem: RelpEmulator, session: Session) -> None:
    siem.configure(ack_delay_s=60)
    sent = ship(session, 5)
    session.send("close")
    session.receive()

    assert sorted(session.answers())[1:-1] == sent
    assert session.ended == "fin"


def test_a_delay_on_demand(siem: RelpEmulator, session: Session) -> None:
    siem.inject("ack_delay", after_frames=2, delay_s=0.1, count=1)
    start_s = time.monotonic()
    ship(session, 5)
    session.receive(6)

    assert time.monotonic() - start_s >= 0.1
    assert siem.store.ids() == names(5)


def test_answers_get_lost(siem: RelpEmulator, session: Session) -> None:
    siem.inject("ack_lost", after_frames=2, frames=3, count=1)
    sent = ship(session, 7)
    session.receive(5)

    assert [got.txnr for got in session.frames[1:]] == sent[:2] + sent[5:]
    assert siem.store.ids() == names(7)


def test_messages_are_refused(siem: RelpEmulator, session: Session) -> None:
    siem.inject("ack_error", after_frames=1, frames=2, count=1)
    sent = ship(session, 4)
    session.receive(5)

    assert [session.answers()[number][:3] for number in sent] == [b"200", b"500", b"500", b"200"]
    assert siem.store.ids() == ["0-0-0", "0-3-0"]


@pytest.mark.parametrize("answered", [True, False])
def test_reset_in_the_middle_of_a_window(siem: RelpEmulator, session: Session, answered: bool) -> None:
    siem.inject("rst", after_frames=3, answered=answered, count=1)
    wire = b"".join(RelpFrame(2 + place, "syslog", frame(name)).encode() for place, name in enumerate(names(10)))
    session.sock.sendall(wire)
    session.receive()

    assert session.ended == "rst"
    assert siem.store.ids() == names(3)
    assert siem.strikes()[0].kind == "rst"
    if not answered:
        assert list(session.answers()) == [1]


def test_serverclose_in_the_middle_of_a_window(siem: RelpEmulator, session: Session) -> None:
    siem.inject("serverclose", after_frames=2, count=1)
    ship(session, 2)
    session.receive()

    assert [got.command for got in session.frames[-3:]] == ["rsp", "rsp", "serverclose"]
    assert session.ended == "fin"


def test_dropped_messages_are_not_answered(siem: RelpEmulator, session: Session) -> None:
    siem.inject("drop", after_frames=1, count=1)
    sent = ship(session, 4)
    session.send("close")
    session.receive()

    assert sent[0] in session.answers()
    assert not set(sent[1:]) & set(session.answers())
    assert siem.store.ids() == ["0-0-0"]


def test_half_open_then_reset(siem: RelpEmulator, session: Session) -> None:
    siem.inject("half_open", after_frames=1, delay_s=0.1, count=1)
    ship(session, 1)
    assert wait_until(siem.strikes)
    ship(session, 1, first=1)
    session.receive()

    assert session.ended == "rst"
    assert siem.store.ids() == ["0-0-0"]


def test_down_then_up(siem: RelpEmulator, session: Session) -> None:
    ship(session, 1)
    session.receive(2)
    siem.restart()
    session.receive()
    again = Session(siem.host, siem.port)
    ship(again, 1, first=1)
    again.receive(2)
    again.close()

    assert session.ended == "rst"
    assert siem.connections()[0].end == "ended"
    assert siem.store.ids() == names(2)


def test_tls(tmp_path_factory: pytest.TempPathFactory) -> None:
    from sls_siem.emulator.certificates import Certificates, server_context

    certificates = Certificates(tmp_path_factory.mktemp("tls"))
    with RelpEmulator(tls=server_context(certificates.server), ack_delay_s=0.05) as siem:
        session = Session(siem.host, siem.port, tls=True)
        ship(session, 100)
        session.receive(101)
        session.close()

        assert siem.url == f"relp+tls://127.0.0.1:{siem.port}"
        assert len(session.answers()) == 101
        assert siem.store.ids() == names(100)


def test_as_a_process() -> None:
    with EmulatorProcess("relp", {"ack_delay_s": 0.01}) as remote:
        session = Session(remote.addresses["host"], remote.addresses["port"])
        ship(session, 10)
        session.receive(11)
        session.close()

        assert remote.addresses["url"].startswith("relp://")
        assert remote.ids() == names(10)
        assert wait_until(lambda: [record["end"] for record in remote.ask("connections")])


def test_a_fault_of_syslog_only_is_refused(siem: RelpEmulator) -> None:
    with pytest.raises(ValueError, match="no fault of relp"):
        siem.inject("slow")
