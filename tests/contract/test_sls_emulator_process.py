"""The SLS emulator as a process of its own: its control API, its speed, its end; and as an https endpoint."""

from __future__ import annotations

import base64
import json
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from http.client import BadStatusLine
from pathlib import Path

import pytest

from sls_siem.emulator.generate import LogSource
from sls_siem.emulator.loggroups import make_group
from sls_siem.emulator.sls import ControlError, SlsControl, SlsEmulator
from tests.contract.sls_support import LOGSTORE, Client, cursor, wait_for

pytestmark = pytest.mark.contract
ARGUMENTS = [sys.executable, "-m", "sls_siem.emulator.sls", "--no-verify", "--shards", "2"]


def start(*more: str) -> tuple[subprocess.Popen[str], dict[str, object]]:
    child = subprocess.Popen([*ARGUMENTS, *more], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    return child, json.loads(child.stdout.readline())


def end(child: subprocess.Popen[str]) -> int:
    child.stdin.close()
    child.stdout.close()
    try:
        return child.wait(10)
    finally:
        child.kill()


@pytest.fixture(scope="module")
def process() -> Iterator[dict[str, object]]:
    child, address = start()
    yield address
    assert end(child) == 0


@pytest.fixture
def control(process: dict[str, object]) -> SlsControl:
    made = SlsControl(str(process["url"]))
    made.post("create-logstore", shards=2)
    made.post("clear-faults")
    return made


@pytest.fixture
def client(process: dict[str, object]) -> Iterator[Client]:
    with Client(int(str(process["port"]))) as made:
        yield made


def test_it_ends_on_sigterm() -> None:
    child, _ = start("--detached")
    child.stdin.close()
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(0.3)
    child.send_signal(signal.SIGTERM)
    child.stdout.close()

    assert child.wait(10) == 0


def test_appended_logs_are_listed_by_their_ids_to_the_byte(control: SlsControl) -> None:
    group = make_group([{"a": b"\xff\x00\r\n", "b": "日志"}, {}], time=9, time_ns=5, topic=None, tags={"k": "v"})
    appended = control.post("append", shard=1, groups=[base64.b64encode(group).decode()])
    first, second = control.logs()
    groups = control.get("groups", shard=1)

    assert (first["shard"], first["position"], first["index"]) == (1, appended["position"], 0)
    assert (second["position"], second["index"], second["contents"]) == (appended["position"], 1, [])
    contents = [[part.encode("utf-8", "surrogateescape") for part in pair] for pair in first["contents"]]
    assert contents == [[b"a", b"\xff\x00\r\n"], [b"b", "日志".encode()]]
    assert (first["time"], first["time_ns"], first["topic"], first["tags"]) == (9, 5, None, [["k", "v"]])
    assert [base64.b64decode(item["data"]) for item in groups] == [group]


def test_a_feed_appends_every_number_once_and_keeps_its_rate(control: SlsControl) -> None:
    started = time.monotonic()
    feed = control.post("feed", profile="nginx", logs=2000, logs_per_group=50, mb_per_s=2.0, seed=3)
    done = wait_for(
        lambda: next((f for f in control.get("feeds") if f["feed"] == feed["feed"] and not f["running"]), None)
    )
    took = time.monotonic() - started
    logs = control.logs()
    seqs = [int(dict(log["contents"])["seq"]) for log in logs]
    source = LogSource("nginx", 3)

    assert (done["appended"], done["error"]) == (2000, "")
    assert sorted(seqs) == list(range(2000))
    assert {log["shard"] for log in logs} == {0, 1}
    assert took >= 0.8 * done["appended_bytes"] / 2e6
    assert logs[7]["contents"] == [
        [key.decode(), value.decode()] for key, value in source.log(seqs[7], logs[7]["time"]).contents
    ]


def test_a_second_feed_goes_on_with_the_numbers(control: SlsControl) -> None:
    for _ in range(2):
        control.post("feed", logs=30, logs_per_group=7, shard=0)
        wait_for(lambda: not any(feed["running"] for feed in control.get("feeds")))

    assert sorted(int(dict(log["contents"])["seq"]) for log in control.logs()) == list(range(60))


def test_a_feed_without_end_follows_its_shard_through_a_split_until_it_is_stopped(control: SlsControl) -> None:
    feed = control.post("feed", shard=0, logs_per_group=1, mb_per_s=0.3)
    wait_for(lambda: control.logs(shard=0, limit=1))
    children = control.post("split", shard=0)["children"]
    wait_for(lambda: all(control.logs(shard=child, limit=1) for child in children))
    stopped = control.post("stop-feed", feed=feed["feed"])
    logs = control.logs()

    assert (stopped["running"], stopped["error"]) == (False, "")
    assert sorted(int(dict(log["contents"])["seq"]) for log in logs) == list(range(stopped["appended"]))


def test_the_control_api_changes_everything(control: SlsControl, client: Client) -> None:
    group = base64.b64encode(make_group([{}], time=1)).decode()
    first = control.post("append", shard=0, groups=[group] * 5)["position"]
    client.create_group()
    client.heartbeat("a", [])
    client.save("a", 0, cursor(first + 2))
    control.post("checkpoint", group="group", shard=1, cursor="bogus")
    consumers = control.get("consumers", group="group")
    control.post("evict", group="group", consumer="a")
    control.post("processor", name="p1", query="*")
    trimmed = control.post("trim", shard=0, before=first + 1)
    retained = control.post("trim", ttl=True)
    child = control.post("merge", shard=0)["child"]
    listed = {shard["shard"]: shard for shard in control.get("shards")}
    control.post("remove-shard", shard=1)

    assert (consumers["consumers"], consumers["timeout_s"]) == ({"a": [0, 1]}, 40)
    assert [consumers["checkpoints"][number]["position"] for number in "01"] == [first + 2, None]
    assert control.get("consumers", group="group")["consumers"] == {}
    assert client.pull(0, first + 1, processor="p1")[0] == 200
    assert (trimmed, retained) == ({"removed": 1}, {"removed": 0})
    assert (listed[0]["begin"], listed[0]["end"], listed[0]["read_only"]) == (first + 1, first + 5, True)
    assert listed[child]["parents"] == [0, 1]
    assert [shard["shard"] for shard in control.get("shards")] == [0, child]


def test_faults_settings_keys_and_records_are_reached(control: SlsControl, client: Client) -> None:
    before = control.get("health")["monotonic"]
    number = control.post("fault", action="status", call="list_shards", status=503, times=1)["fault"]
    path = f"/logstores/{LOGSTORE}/shards"
    statuses = [client.ask("GET", path)[0] for _ in range(2)]
    fault = next(item for item in control.get("faults") if item["fault"] == number)
    removed = control.post("remove-fault", fault=number)
    changed = control.post("settings", verify=True)
    control.post("key", key_id="id", secret="s", denied=["log:ListShards"])
    refused = client.ask("GET", path)[0]
    control.post("remove-key", key_id="id")
    control.post("settings", verify=False)
    client.create_group()
    client.heartbeat("a", [])
    client.pull(0, control.get("shards")[0]["begin"])
    client.save("a", 0, "bogus")

    assert statuses == [503, 200]
    assert len(fault["struck"]) == 1
    assert removed == fault
    assert number not in [item["fault"] for item in control.get("faults")]
    assert changed["verify"] is True
    assert refused == 401
    assert [beat["answered"] for beat in control.get("heartbeats", after=before)] == [[0, 1]]
    assert [pull["shard"] for pull in control.get("pulls", after=before)] == [0]
    assert [save["refused"] for save in control.get("saves", after=before)] == ["InvalidShardCheckPoint"]
    assert control.get("stats")["pulls"] >= 1


def test_a_feed_that_cannot_go_on_says_why(control: SlsControl) -> None:
    control.post("preload", shard=0, logs=10, repeat=5)
    control.post("feed", logs=10, shard=0)
    feed = wait_for(lambda: next((feed for feed in control.get("feeds") if feed["error"]), None))

    assert "repeats what was preloaded" in feed["error"]
    assert (feed["appended"], feed["running"]) == (0, False)


def test_time_can_be_moved(control: SlsControl) -> None:
    before = control.get("health")["wall"]
    control.post("advance", seconds=1000)

    assert control.get("health")["wall"] >= before + 1000


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("nothing", {}, "no POST nothing"),
        ("append", {"groups": ["&&&"]}, "append"),
        ("split", {"shard": 99}, "ShardNotExist"),
        ("split", {}, "shard"),
        ("settings", {"verfy": True}, "no setting verfy"),
        ("fault", {"action": "explode"}, "explode"),
        ("feed", {"logs": 5, "speed": 3}, "speed"),
        ("stop-feed", {"feed": 10_000}, "no feed"),
        ("remove-fault", {"fault": 10_000}, "no fault"),
        ("create-logstore", {"shards": 0}, "at least one shard"),
        ("preload", {"shard": 0, "logs": 0, "repeat": 2}, "cannot repeat"),
        ("feed", {"logs": 1, "profile": "strange", "project": "x"}, "ProjectNotExist"),
        ("append", {"project": "unknown", "groups": []}, "ProjectNotExist"),
        ("advance", {"seconds": -1}, "back"),
    ],
)
def test_a_wrong_control_call_says_what_is_wrong(
    control: SlsControl, name: str, arguments: dict[str, object], words: str
) -> None:
    with pytest.raises(ControlError, match=words):
        control.post(name, **arguments)


def test_logstores_come_and_go(control: SlsControl) -> None:
    control.post("create-logstore", project="other", logstore="second", shards=3)
    listed = control.get("shards", project="other", logstore="second")
    control.post("delete-logstore", project="other", logstore="second")

    assert len(listed) == 3
    with pytest.raises(ControlError, match="ProjectNotExist"):
        control.get("shards", project="other", logstore="second")


def test_prepared_answers_are_served_faster_than_any_agent_reads(control: SlsControl, client: Client) -> None:
    control.post("create-logstore", shards=1)
    position = control.post("preload", shard=0, logs=40_000, logs_per_group=1000, repeat=10**6)["position"]
    raw_bytes, rates = 0, []
    for _ in range(3):
        raw_bytes, started = 0, time.monotonic()
        while time.monotonic() - started < 0.5:
            _, headers, _ = client.pull(0, position)
            raw_bytes += int(headers["x-log-bodyrawsize"])
            position += int(headers["x-log-count"])
        rates.append(raw_bytes / 1e6 / (time.monotonic() - started))
    print(f"prepared answers: {max(rates):.0f} MB/s raw")

    assert max(rates) >= 400


# --------------------------------------------------------------------------------------------------------- transport


def test_connect_is_refused_with_a_clear_word(process: dict[str, object]) -> None:
    with socket.create_connection(("127.0.0.1", int(str(process["port"]))), 5) as sock:
        sock.sendall(b"CONNECT p.x.test:443 HTTP/1.1\r\nHost: p.x.test:443\r\n\r\n")
        answer = b"".join(iter(lambda: sock.recv(4096), b""))

    assert answer.startswith(b"HTTP/1.1 405 ")
    assert b"not a proxy for https" in answer


@pytest.mark.parametrize(
    "sent",
    [
        b"hello\r\n\r\n",
        b"GET / HTTP/1.1\r\nbad header\r\n\r\n",
        b"GET ftp://x/ HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: many\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\nx: " + b"y" * 70_000,
    ],
)
def test_what_is_no_http_is_refused_and_the_connection_ends(process: dict[str, object], sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", int(str(process["port"]))), 5) as sock:
        sock.sendall(sent)
        answer = sock.recv(4096)

    assert answer.startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("host", ["", "127.0.0.1", "127.0.0.1:80", "localhost", "[::1]:80"])
def test_a_host_without_project_is_no_project(process: dict[str, object], client: Client, host: str) -> None:
    status, refused = client.json("GET", f"/logstores/{LOGSTORE}/shards", headers={"Host": host})

    assert (status, refused["errorCode"]) == (404, "ProjectNotExist")


@pytest.mark.parametrize("host", ["emulated-project.127.0.0.1", "emulated-project.a.test:8080", "emulated-project.::1"])
def test_the_project_is_the_first_label_of_the_host(process: dict[str, object], client: Client, host: str) -> None:
    assert client.json("GET", f"/logstores/{LOGSTORE}/shards", headers={"Host": host})[0] == 200


def test_requests_may_come_in_pieces_and_several_at_once(process: dict[str, object]) -> None:
    request = f"GET /logstores/{LOGSTORE} HTTP/1.1\r\nHost: emulated-project.x.test\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", int(str(process["port"]))), 5) as sock:
        for byte in request[:30]:
            sock.sendall(bytes((byte,)))
        sock.sendall(request[30:] + request)
        received = b""
        while received.count(b'"logstoreName"') < 2:
            received += sock.recv(4096)

    assert received.count(b"HTTP/1.1 200 OK") == 2


def test_it_can_be_an_https_endpoint(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    child, address = start("--tls-cert", str(cert), "--tls-key", str(key))
    context = ssl.create_default_context(cafile=str(cert))
    try:
        with (
            socket.create_connection(("127.0.0.1", int(str(address["port"]))), 5) as plain,
            context.wrap_socket(plain, server_hostname="p.sls.test") as sock,
        ):
            sock.sendall(f"GET /logstores/{LOGSTORE} HTTP/1.1\r\nHost: emulated-project.sls.test\r\n\r\n".encode())
            answer = sock.recv(4096)
        with Client(int(str(address["port"]))) as plain, pytest.raises((OSError, BadStatusLine)):
            plain.ask("GET", f"/logstores/{LOGSTORE}")
    finally:
        code = end(child)

    assert str(address["url"]).startswith("https://127.0.0.1:")
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert code == 0


def certificate(folder: Path) -> tuple[Path, Path]:
    from datetime import datetime, timedelta, timezone

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sls.test")])
    now = datetime.now(timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("*.sls.test")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / "cert.pem", folder / "key.pem"
    cert_file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return cert_file, key_file


def test_stopping_ends_feeds_and_connections() -> None:
    emulator = SlsEmulator().start()
    feed = emulator.feed(logs_per_group=10, mb_per_s=0.5)
    with socket.create_connection((emulator.host, emulator.port), 5) as sock:
        wait_for(lambda: emulator.stats()["connections"] == 1)
        emulator.stop()
        rest = sock.recv(10)

    assert rest == b""
    assert not feed.running
    assert emulator.stats()["connections"] == 0
