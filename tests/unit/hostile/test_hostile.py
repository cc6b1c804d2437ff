"""Every parser of what comes from outside: hostile bytes give a result or the typed error that its callers expect.

`corpus/` keeps, by parser, what was thought of or found once; Hypothesis goes on from each of these files by cutting,
doubling, splicing and changing bytes. What is found to be wrong gets a file of its own there. The walk of log groups
has its corpus in `tests/unit/codec_native/corpus`, and both codecs are held to the same answer.

To see these fail: let `RelpReader.feed` call `int` on what is no number, or `read_object` catch ValueError alone.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sls_siem.cli.exits import tell
from sls_siem.codec import EncoderSettings, HecSettings, make_encoder, make_reference_encoder
from sls_siem.codec.model import Batch
from sls_siem.config import Secret, SlsConfig, load
from sls_siem.errors import CodecError, ConfigError, SourceError
from sls_siem.net.deadline import Deadline
from sls_siem.net.http import HttpAnswer
from sls_siem.net.response import MalformedError, read_body, read_head
from sls_siem.net.wire import ClosedError, Wire
from sls_siem.siem.hec_answers import read_answer
from sls_siem.siem.hec_route import _told
from sls_siem.siem.relp_frames import RelpBrokenError, RelpReader
from sls_siem.sls.credentials import Credentials
from sls_siem.sls.failures import error_from
from sls_siem.sls.pulled import WrongAnswerError, read_pulled
from sls_siem.sls.session import Session

CORPUS = Path(__file__).with_name("corpus")
GROUPS = CORPUS.parents[1] / "codec_native" / "corpus"
MOST_BYTES = 200_000
KEY = Credentials(Secret("key-id"), Secret("key-secret"))


def hec_answer(data: bytes) -> None:
    for status in (200, 400, 503):
        answer = read_answer(status, {"retry-after": data[:30].decode("latin-1")}, data, 1.7e9)

        assert answer.text.isprintable()
        assert answer.number is None or answer.number >= 0
        assert answer.ack_id is None or answer.ack_id >= 0


def hec_acks(data: bytes) -> None:
    told = _told(HttpAnswer(200, {}, data))

    assert told is None or all(isinstance(number, int) and number >= 0 for number in told)


class Answering:
    """Answers every call with the same bytes."""

    server_time_skew_s = None

    def __init__(self, data: bytes) -> None:
        self._answer = HttpAnswer(200, {"x-log-requestid": data[:80].decode("latin-1")}, data)

    def call(self, _call: object, **_limits: object) -> HttpAnswer:
        return self._answer

    def close(self) -> None: ...


def sls_json(data: bytes) -> None:
    session = Session(
        SlsConfig("http://h", "p", "ls", "group", consumer_name="c"),
        Answering(data),  # type: ignore[arg-type]
    )
    calls: tuple[Callable[[], Any], ...] = (
        session.list_shards,
        session.logstore_ttl_days,
        lambda: session.cursor(0, "begin"),
        lambda: session.cursor_time(0, 7),
        session.list_consumer_groups,
        lambda: session.heartbeat([0]),
        session.checkpoints,
        lambda: session.checkpoint(0),
    )
    for call in calls:
        try:
            call()
        except SourceError:
            continue
    for status in (400, 401, 403, 500):
        error = error_from(HttpAnswer(status, {}, data), call="call", action="log:x", credentials=KEY, skew_s=None)

        assert isinstance(error, SourceError)


def sls_pull(data: bytes) -> None:
    head, _, body = data.partition(b"\n\n")
    rows = (line.partition(b":") for line in head.split(b"\n"))
    headers = {name.decode("latin-1").lower(): value.decode("latin-1").strip() for name, _, value in rows}
    try:
        pulled = read_pulled(HttpAnswer(200, headers, body), 100)
    except WrongAnswerError:
        return

    assert len(pulled.body) == int(headers["x-log-bodyrawsize"])


def http(data: bytes) -> None:
    here, there = socket.socketpair()
    with here, there:
        there.settimeout(10)
        # More than a socket holds is cut: what follows would not be read by then.
        there.sendall(data[:100_000])
        there.shutdown(socket.SHUT_WR)
        try:
            head = read_head(Wire(here), Deadline(10))
            body, _ = read_body(Wire(here), head, 1000, Deadline(10))
        except (MalformedError, ClosedError):
            return

        assert len(body) <= 1000


def relp(data: bytes) -> None:
    for size in (1, 7, len(data) + 1):
        reader = RelpReader()
        try:
            for place in range(0, len(data), size):
                for answer in reader.feed(data[place : place + size]):
                    assert answer.status >= 0
        except RelpBrokenError:
            continue


def toml(data: bytes) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "agent.toml"
        path.write_bytes(data)
        problems = ["no error"]
        try:
            load(path, 1, {})
        except ConfigError as exc:
            problems = exc.problems

        assert problems
        assert not any("TOPSECRET" in problem for problem in problems)


ENCODING = EncoderSettings("hec", "project", "store", hec=HecSettings("{__source__}", "s", "t", ""))
ENCODERS = make_reference_encoder(ENCODING), make_encoder(ENCODING)


def loggroups(data: bytes) -> None:
    """Both codecs: the same payloads or the same error."""
    found = []
    for encoder in ENCODERS:
        payloads: list[object] = []
        try:
            payloads += encoder.encode(Batch(0, 5, 6, 1, data, regrouped=True))
        except CodecError as exc:
            payloads.append((str(exc), exc.group_index))
        found.append(payloads)

    assert found[0] == found[1]


PARSERS: dict[str, Callable[[bytes], None]] = {
    "hec-answer": hec_answer,
    "hec-acks": hec_acks,
    "sls-json": sls_json,
    "sls-pull": sls_pull,
    "http": http,
    "relp": relp,
    "toml": toml,
    "loggroups": loggroups,
}


def seeds_of(parser: str) -> list[Path]:
    folder = GROUPS if parser == "loggroups" else CORPUS / parser
    return [path for path in sorted(folder.iterdir()) if path.stat().st_size < MOST_BYTES]


@pytest.mark.parametrize(
    ("parser", "path"),
    [(parser, path) for parser in PARSERS for path in seeds_of(parser)],
    ids=lambda one: str(one.name if isinstance(one, Path) else one),
)
def test_the_corpus_gives_results_or_typed_errors(parser: str, path: Path) -> None:
    PARSERS[parser](path.read_bytes())


def test_each_parser_has_a_corpus_and_each_corpus_a_parser() -> None:
    assert {path.name for path in CORPUS.iterdir()} | {"loggroups"} == PARSERS.keys()
    assert all(len(seeds_of(parser)) >= 10 for parser in PARSERS)


@st.composite
def changed(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """One of the corpus, changed up to four times."""
    data = draw(st.sampled_from(seeds))[:3000]
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.integers(0, 20)))
        how = draw(st.sampled_from(("cut", "double", "put", "splice", "flip")))
        if how == "cut":
            data = data[:start] + data[end:]
        elif how == "double":
            data = data[:end] + data[start:end] * draw(st.integers(1, 20)) + data[end:]
        elif how == "put":
            data = data[:start] + draw(st.binary(max_size=8)) + data[end:]
        elif how == "splice":
            data = data[:start] + draw(st.sampled_from(seeds))[:500] + data[end:]
        else:
            data = data[:start] + bytes(byte ^ draw(st.integers(1, 255)) for byte in data[start:end]) + data[end:]
    return data


@pytest.mark.parametrize("parser", PARSERS)
def test_changed_bytes_give_results_or_typed_errors(parser: str) -> None:
    seeds = [path.read_bytes() for path in seeds_of(parser)]

    @settings(max_examples=settings().max_examples)
    @given(changed(seeds))
    def try_it(data: bytes) -> None:
        PARSERS[parser](data)

    try_it()


def test_what_a_peer_said_reaches_no_terminal_unescaped(capsys: pytest.CaptureFixture[str]) -> None:
    """Errors of the command line go through `tell`; log lines and status have tests of their own."""
    for path in seeds_of("sls-json"):
        answer = HttpAnswer(400, {"x-log-requestid": "\x1b[2J"}, path.read_bytes())
        tell(str(error_from(answer, call="call", action="log:x", credentials=KEY, skew_s=None)))
    shown = capsys.readouterr().err

    assert shown
    assert all(line.isprintable() for line in shown.split("\n"))
