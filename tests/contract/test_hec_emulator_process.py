"""An emulator as its own process, its control API, and the store's questions, in process and over the API."""

from __future__ import annotations

import base64
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.parse
from collections.abc import Iterator

import pytest

from sls_siem.emulator.hec import HecEmulator
from sls_siem.emulator.remote import EmulatorError, EmulatorProcess
from sls_siem.emulator.store import Comparison, EventStore, event_digest, now_s
from tests.contract.receiver_support import (
    CHANNEL,
    HecClient,
    Reply,
    connect,
    cpu_s,
    ending,
    hec_body,
    hec_event,
    wait_until,
)

pytestmark = pytest.mark.contract


@pytest.fixture(scope="module")
def process() -> Iterator[EmulatorProcess]:
    with EmulatorProcess("hec", {"keep_bytes": True, "tokens": [{"value": "t", "indexes": ["main"]}]}) as running:
        yield running


@pytest.fixture
def remote(process: EmulatorProcess) -> Iterator[EmulatorProcess]:
    process.call("store/clear")
    yield process
    process.call("clear_faults")
    process.call("heal")


@pytest.fixture
def client(remote: EmulatorProcess) -> Iterator[HecClient]:
    made = HecClient(remote.addresses["host"], remote.addresses["port"], remote.addresses["token"])
    yield made
    made.close()


def asked(url: str, method: str, body: bytes = b"") -> Reply:
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=10)
    connection.request(method, f"{parts.path}?{parts.query}", body)
    answer = connection.getresponse()
    reply = Reply(answer.status, {}, answer.read())
    connection.close()
    return reply


def test_the_process_tells_where_it_is(remote: EmulatorProcess) -> None:
    addresses = remote.addresses

    assert addresses["url"] == f"http://127.0.0.1:{addresses['port']}"
    assert (addresses["emulator"], addresses["token"], remote.pid) == ("hec", "t", addresses["pid"])


def test_what_arrives_can_be_compared_from_outside(remote: EmulatorProcess, client: HecClient) -> None:
    client.post(hec_body("a", "b", "a"))

    assert remote.wait_for(2, timeout_s=5) is True
    assert remote.ids() == ["a", "b"]
    assert remote.digests() == {"a": (event_digest(hec_event("a")), 2), "b": (event_digest(hec_event("b")), 1)}
    assert remote.missing(["a", "x", "b", "y"]) == ["x", "y"]
    assert remote.ask("store") == {"total": 3, "ids": 2}
    assert remote.ask("store/duplicates") == {"a": 1}
    assert asked(f"{remote.addresses['control']}/store/sequence", "GET").body == b"a\nb\na\n"
    copies = remote.ask("store/event?id=a")
    assert [base64.b64decode(copy["data"]) for copy in copies] == [hec_event("a")] * 2
    assert remote.wait_for(3, timeout_s=0.01) is False


def test_every_command_is_there(remote: EmulatorProcess, client: HecClient) -> None:
    number = remote.call("inject", kind="answer", code=9, count=1)
    struck = client.post(hec_body("a"))
    remote.call("poison", event_id="p", code=13)
    poisoned = client.post(hec_body("p"))
    remote.call("set_token", value="second", enabled=False)
    client.token = "second"
    disabled = client.post(hec_body("a"))
    remote.call("remove_token", value="second")
    remote.call("set_state", state="busy")
    state = remote.ask("summary")["state"]
    remote.call("set_state", state="ok")
    remote.call("configure", retry_after_s=None)
    remote.call("flush")

    assert [reply.json["code"] for reply in (struck, poisoned, disabled)] == [9, 13, 1]
    assert state == "busy"
    assert [(strike["fault"], strike["kind"]) for strike in remote.ask("strikes")] == [(number, "answer")]
    assert remote.ask("faults") == {}
    assert [record["code"] for record in remote.ask("requests")][-3:] == [9, 13, 1]
    assert remote.call("crash", forget_unacknowledged=False) == 0


def test_the_control_answers_while_the_service_is_down(remote: EmulatorProcess) -> None:
    remote.call("stop_listening")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((remote.addresses["host"], remote.addresses["port"]))
    remote.call("listen_again")

    assert asked(f"{remote.addresses['url']}/_emulator/summary", "GET").json["listening"] is True
    assert asked(f"{remote.addresses['url']}/_emulator/store/event?id=nothing", "GET").json == []
    assert wait_until(lambda: remote.ask("summary")["open_connections"] == 0)
    with connect(remote.addresses["host"], remote.addresses["port"]) as sock:
        assert wait_until(lambda: remote.ask("summary")["open_connections"] == 1)
        assert remote.call("drop_connections", reset=False) == 1
        assert ending(sock) == "fin"


@pytest.mark.parametrize(
    ("method", "name", "body", "status"),
    [
        ("POST", "explode", b"{}", 404),
        ("GET", "explode", b"", 404),
        ("GET", "store/explode", b"", 404),
        ("POST", "inject", b'{"kind":"explode"}', 400),
        ("POST", "inject", b'{"kind":"answer","speed":1}', 400),
        ("POST", "inject", b"{", 400),
    ],
)
def test_wrong_commands_are_refused(remote: EmulatorProcess, method: str, name: str, body: bytes, status: int) -> None:
    reply = asked(f"{remote.addresses['control']}/{name}", method, body)

    assert reply.status == status
    assert "error" in reply.json
    assert asked(remote.addresses["control"].replace("_emulator", "other"), "GET").status == 404
    with pytest.raises(EmulatorError, match="404"):
        remote.call("explode")


def test_it_ends_when_stdin_closes_or_at_sigterm() -> None:
    first, second = EmulatorProcess("hec").start(), EmulatorProcess("hec").start()
    os.kill(second.pid, signal.SIGTERM)

    assert first.stop() == 0
    assert second.stop() == 0
    assert first.stop() == 0


def test_killed_it_is_gone() -> None:
    remote = EmulatorProcess("hec").start()
    remote.kill()
    remote.kill()

    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((remote.addresses["host"], remote.addresses["port"]))


def test_wrong_settings_do_not_start(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(EmulatorError, match="did not start"):
        EmulatorProcess("hec", {"speed": 1}).start()

    assert "speed" in capfd.readouterr().err


def test_it_serves_tls_with_files(tmp_path_factory: pytest.TempPathFactory) -> None:
    import ssl

    from sls_siem.emulator.certificates import Certificates

    certificates = Certificates(tmp_path_factory.mktemp("tls"))
    pair = certificates.server
    options = [
        "--tls-cert",
        str(pair.cert_file),
        "--tls-key",
        str(pair.key_file),
        "--client-ca",
        str(certificates.ca_file),
    ]
    context = ssl.create_default_context(cafile=str(certificates.ca_file))
    context.load_cert_chain(str(certificates.client.cert_file), str(certificates.client.key_file))
    with EmulatorProcess("hec", options=options) as remote:
        client = HecClient(remote.addresses["host"], remote.addresses["port"], remote.addresses["token"], tls=context)
        status = client.post(hec_body("a")).status
        client.close()

    assert (remote.addresses["url"][:8], status) == ("https://", 200)


def test_the_module_runs_by_itself() -> None:
    command = [sys.executable, "-m", "sls_siem.emulator.hec", "--settings", '{"mode": "sink"}']
    done = subprocess.run(command, input=b"", capture_output=True, timeout=30, check=True)

    assert json.loads(done.stdout)["emulator"] == "hec"


def test_the_sink_takes_500_mb_per_cpu_second() -> None:
    body = hec_event("0-17-3", time=1700000000.5, source="x" * 300) * 5000
    with EmulatorProcess("hec", {"mode": "sink"}) as remote:
        client = HecClient(remote.addresses["host"], remote.addresses["port"], remote.addresses["token"])
        client.post(body)
        before_s = cpu_s(remote.pid)
        assert all(client.post(body).status == 200 for _ in range(99))
        used_s = cpu_s(remote.pid) - before_s
        client.close()
        counters = remote.ask("summary")["counters"]

    assert (counters["events"], counters["wire_bytes"]) == (100 * 5000, 100 * len(body))
    # Of CPU time, not of wall time: the machine may be busy with other tests.
    assert 99 * len(body) / used_s > 500e6


def test_a_store_that_forgets() -> None:
    store = EventStore(keep_bytes=True)
    first = store.add([("a", b"1"), ("b", b"2")], request=1, at_s=1.0)
    second = store.add([("a", b"1"), ("a", b"3"), ("c", b"4")], request=2, at_s=2.0)

    assert store.compare({"a": event_digest(b"1"), "b": event_digest(b"2"), "x": b""}) == Comparison(
        missing=("x",), unknown=("c",), duplicated=(("a", 2),), altered=("a",)
    )
    assert [arrival.request for arrival in store.all_arrivals()] == [1, 1, 2, 2, 2]
    assert store.forget(first) == 2
    assert store.forget(first) == 0
    assert (store.total, store.ids(), store.duplicates(), store.count("b")) == (3, ["a", "c"], {"a": 1}, 0)
    assert store.forget([second[0]]) == 1
    assert (store.sequence(), store.duplicates(), store.data("a")) == (["a", "c"], {}, b"3")
    assert [arrival.data for arrival in store.all_arrivals()] == [b"3", b"4"]
    assert (store.digest("b"), store.data("b"), store.arrivals("b")) == (None, None, [])


def test_waiting_for_ids() -> None:
    store = EventStore()
    names = [str(number) for number in range(100)]
    sender = threading.Thread(target=lambda: [store.add([(name, b"")], request=1, at_s=now_s()) for name in names])
    sender.start()

    assert store.wait_for_ids(names, timeout_s=5)
    sender.join()
    assert not store.wait_for_ids(["never"], timeout_s=0.01)
    assert store.data("1") is None
    assert store.all_arrivals()[0].data is None


def test_a_million_events_fit_in_400_mb() -> None:
    code = (
        "import resource, sys; sys.path[:0] = sys.argv[1:];"
        "from sls_siem.emulator.store import EventStore;"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss; store = EventStore();"
        "batch = lambda n: [(f'3-{1600000000000 + n}-{i}', b'x') for i in range(100)];"
        "[store.add(batch(n), request=n, at_s=n) for n in range(10000)];"
        "assert len(store) == 1000000;"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run([sys.executable, "-c", code, *sys.path], capture_output=True, timeout=60, check=True)

    assert int(done.stdout) < 400 * 1024


def test_an_emulator_in_this_process_has_the_same_control() -> None:
    with HecEmulator() as hec:
        reply = asked(f"{hec.control_url}/summary", "GET")

        assert reply.json["listening"] is True
        assert wait_until(lambda: hec.summary()["open_connections"] == 0)


def test_what_stands_in_the_journal_outlives_the_process(tmp_path) -> None:
    """Killed, it loses what it had only in memory; started again, it goes on in the same file and counts anew."""
    journal = tmp_path / "journal"
    settings = {"journal": str(journal), "tokens": [{"use_ack": True}]}
    answers = []
    for event_id in ("0-1-0", "0-1-1"):
        with EmulatorProcess("hec", settings) as emulator:
            client = HecClient("127.0.0.1", emulator.addresses["port"], emulator.addresses["token"])
            answers.append(client.post(hec_body(event_id), channel=CHANNEL).json["ackId"])
            emulator.call("configure", index_delay_s=60)
            client.post(hec_body("0-2-0"), channel=CHANNEL)
            client.close()
            emulator.kill()
    lines = [line.split("\t") for line in journal.read_text().splitlines()]

    assert [0, 0] == answers
    assert [[name, event_digest(hec_event(name)).hex()] for name in ("0-1-0", "0-1-1")] == lines
