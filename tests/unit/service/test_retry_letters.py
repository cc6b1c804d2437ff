"""What becomes of a dead letter that is sent again: taken, refused once more, or kept with the reason."""

from __future__ import annotations

import dataclasses

import pytest

from sls_siem.codec import make_encoder, settings_from
from sls_siem.codec.model import Batch, Oversize
from sls_siem.config import Config
from sls_siem.dead_letter import DeadLetter
from sls_siem.emulator.hec import HecEmulator, HecToken
from sls_siem.emulator.loggroups import make_group
from sls_siem.emulator.syslog import SyslogEmulator
from sls_siem.errors import CursorInvalidError, SourceError
from sls_siem.service.retry_letters import Attempt, Resender, why_unreachable
from sls_siem.siem import make_output, probe
from sls_siem.sls.model import Pulled
from tests.unit.siem.support import hec_config, syslog_config

WHEN = 1700000000.0
MESSAGE = b'<14>1 2023-11-14T22:13:20Z h ls - - [sls@32473 id="0-1-0"] text'


@pytest.fixture
def hec(monkeypatch: pytest.MonkeyPatch):
    # Only a receiver with TLS 1.3 says something after the handshake, and there is none here.
    monkeypatch.setattr(probe, "LISTEN_S", 0.05)
    with HecEmulator() as emulator:
        yield emulator


@pytest.fixture
def to_hec(hec, tmp_path) -> Config:
    token = tmp_path / "token"
    token.write_text(hec.token)
    return hec_config(hec.url, token_file=str(token))


def nobody_pulls(*_args, **_more) -> Pulled:
    raise AssertionError("nothing had to be pulled again")


def letter(event: bytes, *, event_id: str = "0-1-0", reason: str = "invalid-event", **changes) -> DeadLetter:
    return DeadLetter(event_id, 0, reason, "no", event, WHEN, **changes)


def envelope(event_id: str) -> bytes:
    return b'{"time":1,"event":"x","fields":{"sls_id":"%b"}}' % event_id.encode()


def retry(config: Config, *letters: DeadLetter, pull=nobody_pulls, patience_s: float = 5.0) -> list[Attempt]:
    output = make_output(config)
    try:
        return Resender(config, output, pull, patience_s=patience_s).retry(letters, lambda _ids: None)
    finally:
        output.close()


def why_kept(config: Config, one: DeadLetter, pull=nobody_pulls) -> str:
    (attempt,) = retry(config, one, pull=pull)

    assert not attempt.settled
    assert [] == attempt.parts
    return attempt.kept


# --- what is no event of the output stays ---


@pytest.mark.parametrize("event", [MESSAGE, b"", b"plain text", b"[1]", b'{"fields": {}}', b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_hec_event_is_not_posted(hec, to_hec, event) -> None:
    assert "no HEC event" in why_kept(to_hec, letter(event))
    assert 0 == hec.counters.requests


@pytest.mark.parametrize("event", [envelope("0-1-0"), b"", b"<> text", b"<1234>1 text"])
def test_what_is_no_syslog_message_is_not_sent_to_a_syslog_receiver(event) -> None:
    config = syslog_config("tcp://127.0.0.1:9")

    assert "no syslog message" in why_kept(config, letter(event))


def test_a_message_that_has_become_too_long_names_the_key_to_raise() -> None:
    config = syslog_config("tcp://127.0.0.1:9", max_bytes=480)

    assert "syslog.max_bytes = 480" in why_kept(config, letter(b"<14>1 " + b"x" * 500))


def test_a_message_with_a_line_end_is_not_cut_in_two_by_lf_framing() -> None:
    config = syslog_config("tcp://127.0.0.1:9", framing="lf")

    assert 'framing = "octet-counting"' in why_kept(config, letter(MESSAGE + b"\nsecond line"))


@pytest.mark.parametrize("framing", ["lf", "octet-counting"])
def test_a_message_is_framed_as_the_output_wants_it_now(framing) -> None:
    with SyslogEmulator(framing=framing, rfc="5424", keep_bytes=True) as siem:
        config = syslog_config(siem.url, framing=framing, settle_s=0.1)
        (attempt,) = retry(config, letter(MESSAGE + b"\n"))

        assert attempt.settled
        assert ["0-1-0"] == siem.store.ids()
        assert [] == siem.malformed()


def test_a_message_goes_out_as_one_datagram_over_udp() -> None:
    with SyslogEmulator(transport="udp", rfc="5424") as siem:
        config = syslog_config(siem.url, framing="datagram")
        (attempt,) = retry(config, letter(MESSAGE))

        assert attempt.settled
        siem.store.wait_for(1, timeout_s=10)
        assert ["0-1-0"] == siem.store.ids()
        assert [] == siem.malformed()


# --- an oversize event, of which only the message was kept ---


def logs_as_list(*logs: dict[str, str]) -> bytes:
    body = make_group(list(logs), time=1700000000)
    assert 128 <= len(body) < 16384
    return b"\x0a" + bytes([len(body) & 0x7F | 0x80, len(body) >> 7]) + body


LOGS = logs_as_list({"seq": "0"}, {"long": "y" * 900})


def oversize_config(url: str = "tcp://127.0.0.1:9", **changes) -> Config:
    return syslog_config(url, **{"oversize": "dead-letter", "max_bytes": 600, "settle_s": 0.1, **changes})


def oversize_letter(**changes) -> DeadLetter:
    """The letter that the second of `LOGS` became."""
    encoded = list(make_encoder(settings_from(oversize_config())).encode(Batch(0, 7, 8, 1, LOGS)))
    assert isinstance(encoded[1], Oversize)
    return dataclasses.replace(letter(encoded[1].event, event_id="0-7-1", reason="oversize"), **changes)


def stored(body: bytes = LOGS, *, groups: int = 1, next_position: int = 8):
    """What the logstore says today."""

    def pull(shard: int, position: int, *, end_position: int, count: int) -> Pulled:
        assert (0, 7, 8, 1) == (shard, position, end_position, count)
        return Pulled(position, next_position, groups, body, end_of_cursor=False)

    return pull


def failing(error: Exception):
    def pull(*_args, **_more) -> Pulled:
        raise error

    return pull


def test_an_oversize_event_is_made_anew_from_its_log_once_it_may_be_longer() -> None:
    with SyslogEmulator(framing="octet-counting", rfc="5424") as siem:
        (attempt,) = retry(oversize_config(siem.url, max_bytes=8192), oversize_letter(), pull=stored())

        assert attempt.settled
        assert ["0-7-1"] == siem.store.ids()


def test_an_oversize_event_that_may_be_split_settles_only_with_its_last_part() -> None:
    with SyslogEmulator(framing="octet-counting", rfc="5424") as siem:
        (attempt,) = retry(oversize_config(siem.url, oversize="split"), oversize_letter(), pull=stored())

        assert attempt.settled
        assert len(siem.store.ids()) > 1
        assert {"0-7-1"} == {event_id.split("#")[0] for event_id in siem.store.ids()}


@pytest.mark.parametrize(
    ("change", "pull", "why"),
    [
        ({"event_id": "0-x7-1"}, nobody_pulls, "has no position to pull the log from"),
        ({"event_id": "0-7-1-2"}, nobody_pulls, "has no position to pull the log from"),
        ({}, failing(CursorInvalidError("gone")), "retention has removed its log: gone"),
        ({}, failing(SourceError("no right")), "its log cannot be pulled again: no right"),
        ({}, stored(b"", groups=0, next_position=7), "retention has removed its log"),
        ({}, stored(next_position=9), "retention has removed its log"),
        ({}, stored(b"\x0a\x05\xff\xff\xff\xff\xff"), "its log group cannot be decoded"),
        ({}, stored(logs_as_list({"only": "z" * 200})), "has no such log any more"),
        ({"event": b'{"another":"log"}'}, stored(), "does not read the same"),
    ],
)
def test_an_oversize_event_whose_log_cannot_be_proven_to_be_the_same_stays(change, pull, why) -> None:
    assert why in why_kept(oversize_config(max_bytes=8192), oversize_letter(**change), pull)


def test_an_oversize_event_that_is_still_too_long_names_what_would_help() -> None:
    assert 'set syslog.oversize to "truncate" or "split"' in why_kept(oversize_config(), oversize_letter(), stored())


def test_a_raw_group_of_which_one_event_is_too_long_is_not_sent_in_part() -> None:
    raw = letter(LOGS, event_id="0-7", reason="undecodable", raw=True, position=7)

    assert "event 0-7-1 is still too long" in why_kept(oversize_config(), raw)


# --- sending ---


def test_letters_of_the_same_id_are_sent_once(hec, to_hec) -> None:
    attempts = retry(to_hec, letter(envelope("0-1-0")), letter(envelope("0-1-0")))

    assert [True] == [attempt.settled for attempt in attempts]
    assert 1 == hec.store.count("0-1-0")


def test_a_letter_that_is_refused_again_holds_up_no_other(hec, to_hec) -> None:
    hec.poison("0-1-0")
    attempts = retry(to_hec, *(letter(envelope(event_id), event_id=event_id) for event_id in ("0-1-0", "0-2-0")))

    assert [False, True] == [attempt.settled for attempt in attempts]
    assert attempts[0].refused.startswith("invalid-event: ")
    assert ["0-2-0"] == hec.store.ids()


def test_no_letter_means_no_connection(hec, to_hec) -> None:
    assert [] == retry(to_hec)
    assert 0 == hec.counters.requests


def test_settled_letters_are_told_while_the_others_are_still_on_their_way(hec, to_hec) -> None:
    """A retry that is killed after minutes must not send everything again."""
    hec.inject("slow_answer", delay_s=0.6)
    told: list[set[str]] = []
    output = make_output(to_hec)
    letters = [letter(envelope(f"0-{n}-0"), event_id=f"0-{n}-0") for n in range(4)]
    Resender(to_hec, output, nobody_pulls).retry(letters, told.append)
    output.close()

    assert len(told) > 1
    assert [f"0-{n}-0" for n in range(4)] == sorted(set().union(*told))
    assert 4 == sum(map(len, told))


def test_acknowledgements_are_asked_for_between_letters(hec, to_hec) -> None:
    hec.set_token(HecToken(value=hec.token, use_ack=True))
    hec.inject("slow_answer", delay_s=0.6)
    config = dataclasses.replace(to_hec, hec=dataclasses.replace(to_hec.hec, acknowledge=True, ack_timeout_s=10))
    attempts = retry(config, *(letter(envelope(f"0-{n}-0"), event_id=f"0-{n}-0") for n in range(4)))

    assert [True] * 4 == [attempt.settled for attempt in attempts]
    assert 4 == len(hec.store)


def test_what_a_broken_connection_left_open_is_sent_once_more(hec, to_hec) -> None:
    hec.inject("close_before", count=1)
    (attempt,) = retry(to_hec, letter(envelope("0-1-0")))

    assert attempt.settled
    assert ["0-1-0"] == hec.store.ids()


def test_patience_ends_with_the_reason_and_nothing_more_is_tried(hec, to_hec) -> None:
    hec.stop_listening()
    output = make_output(to_hec)
    resender = Resender(to_hec, output, nobody_pulls, patience_s=0.2)
    assert "" == resender.trouble
    attempts = resender.retry([letter(envelope("0-1-0"))], lambda _ids: None)
    output.close()

    assert not attempts[0].settled
    assert hec.url in resender.trouble


# --- is the SIEM there at all ---


def test_one_address_that_is_fit_is_enough(hec, to_hec) -> None:
    with HecEmulator() as other:
        other.stop_listening()
        both = dataclasses.replace(to_hec, hec=dataclasses.replace(to_hec.hec, urls=(other.url, hec.url)))
        output = make_output(both)

        assert why_unreachable(output, 5.0) is None
        hec.stop_listening()
        why = why_unreachable(output, 5.0)
        output.close()

    assert why is not None
    for url in (hec.url, other.url):
        assert url in why
    assert "connection refused" in why
