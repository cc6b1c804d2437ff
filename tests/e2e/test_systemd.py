"""What systemd and Prometheus see: readiness, watchdog, reload, stop, metrics; a real notify socket."""

from __future__ import annotations

import signal
import socket
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from sls_siem.emulator.loggroups import make_group
from tests.e2e.harness import AgentProcess, hec_tables, until

pytestmark = pytest.mark.e2e


class Notify:
    """Systemd's end of the notify socket."""

    def __init__(self, folder: Path) -> None:
        self.path = str(folder / "notify")
        self.messages: list[tuple[float, str]] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.path)
        self._socket.settimeout(0.1)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        while not self._end.is_set():
            try:
                self.messages.append((time.monotonic(), self._socket.recv(4096).decode("ascii")))
            except socket.timeout:  # Python 3.9: no TimeoutError yet
                continue

    def close(self) -> None:
        self._end.set()
        self._thread.join()
        self._socket.close()

    def having(self, text: str) -> list[str]:
        return [message for _, message in list(self.messages) if text in message]


@pytest.fixture
def notify(tmp_path):
    listener = Notify(tmp_path)
    yield listener
    listener.close()


def test_systemd_learns_of_readiness_reload_and_stop(sls, hec, token_file, tmp_path, agents, notify) -> None:
    environ = {"NOTIFY_SOCKET": notify.path, "WATCHDOG_USEC": "2000000"}
    agent = AgentProcess(tmp_path, hec_tables(sls, [hec.url], token_file), environ=environ)
    agents.append(agent)
    agent.start()
    until(lambda: notify.having("READY=1"))
    until(lambda: len(notify.having("WATCHDOG=1")) >= 3)
    until(lambda: notify.having("STATUS=running: 2 shards"))
    agent.signal(signal.SIGHUP)
    until(lambda: notify.having("RELOADING=1"))
    reloading = notify.having("RELOADING=1")[0]

    assert "MONOTONIC_USEC=" in reloading
    until(lambda: len(notify.having("READY=1")) == 2)
    assert 0 == agent.stop()
    assert notify.having("STOPPING=1")


def test_readiness_waits_for_neither_sls_nor_siem(sls, hec, token_file, tmp_path, agents, notify) -> None:
    sls.stop_listening()
    hec.stop_listening()
    agent = AgentProcess(tmp_path, hec_tables(sls, [hec.url], token_file), environ={"NOTIFY_SOCKET": notify.path})
    agents.append(agent)
    agent.start()
    until(lambda: notify.having("READY=1"), 10)
    until(lambda: notify.having("holding"), 20)

    assert 0 == agent.stop()


def test_the_watchdog_is_fed_through_an_outage_of_both_sides(sls, hec, token_file, tmp_path, agents, notify) -> None:
    environ = {"NOTIFY_SOCKET": notify.path, "WATCHDOG_USEC": "1000000"}
    agent = AgentProcess(tmp_path, hec_tables(sls, [hec.url], token_file), environ=environ)
    agents.append(agent)
    agent.start()
    until(lambda: sorted(agent.shards()) == [0, 1])
    sls.store.append(0, [make_group([{"seq": "1"}], time=1700000000)])
    hec.inject("black_hole", for_s=5)
    sls.stop_listening()
    sls.disconnect()
    time.sleep(4)
    fed = [at for at, message in notify.messages if "WATCHDOG=1" in message]

    assert max(later - earlier for earlier, later in zip(fed, fed[1:])) < 1.0
    sls.start_listening()
    agent.kill()


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as exc:
        return exc.code, exc.read().decode()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_metrics_and_health_are_served_beside_each_other(sls, hec, token_file, tmp_path, agents) -> None:
    port = free_port()
    sls.store.append(0, [make_group([{"seq": "1"}, {"seq": "2"}], time=1700000000)])
    agent = AgentProcess(tmp_path, hec_tables(sls, [hec.url], token_file, metrics={"port": port - 1}))
    agents.append(agent)
    agent.start()
    until(lambda: agent.status().get("state") == "running")
    until(lambda: len(hec.store) == 2)
    until(lambda: "sls_siem_delivered_events_total 2.0" in get(f"http://127.0.0.1:{port}/metrics")[1])
    text = get(f"http://127.0.0.1:{port}/metrics")[1]

    for name in (
        "sls_siem_pulled_logs_total 2.0",
        "sls_siem_shards_held 2.0",
        'sls_siem_siem_up{endpoint="',
        "sls_siem_last_heartbeat_timestamp_seconds",
        'sls_siem_build_info{codec="',
        "sls_siem_pulled_bytes_total",
        "sls_siem_unsettled_bytes",
    ):
        assert name in text, name
    assert (200, "ok\n") == get(f"http://127.0.0.1:{port}/healthz")
    assert (200, "ok\n") == get(f"http://127.0.0.1:{port}/readyz")
    assert 404 == get(f"http://127.0.0.1:{port}/other")[0]
    hec.stop_listening()
    sls.store.append(0, [make_group([{"seq": "3"}], time=1700000000)])
    until(lambda: get(f"http://127.0.0.1:{port}/readyz")[0] == 503)
    assert "holding" in get(f"http://127.0.0.1:{port}/readyz")[1]
    assert 200 == get(f"http://127.0.0.1:{port}/healthz")[0]


def test_a_metrics_port_that_is_taken_is_told_and_taken_when_it_is_free(sls, hec, token_file, tmp_path, agents) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = int(holder.getsockname()[1])
        agent = AgentProcess(tmp_path, hec_tables(sls, [hec.url], token_file, metrics={"port": port - 1}))
        agents.append(agent)
        agent.start()
        until(lambda: sorted(agent.shards()) == [0, 1])

        assert f"metrics.port: 127.0.0.1:{port} cannot be listened on" in agent.log()
    until(lambda: f"127.0.0.1:{port} is listened on now" in agent.log(), 20)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=10) as answer:
        assert 200 == answer.status
    assert 0 == agent.stop(20)


def test_a_service_manager_that_does_not_read_holds_nothing_up(sls, hec, token_file, tmp_path, agents) -> None:
    """To see it fail: leave the notify socket blocking."""
    deaf = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    deaf.bind(str(tmp_path / "deaf"))
    environ = {"NOTIFY_SOCKET": str(tmp_path / "deaf"), "WATCHDOG_USEC": "400000"}
    agent = AgentProcess(tmp_path, hec_tables(sls, [hec.url], token_file), environ=environ)
    agents.append(agent)
    agent.start()
    until(lambda: sorted(agent.shards()) == [0, 1])
    time.sleep(3)

    assert 0 == agent.stop(20)
    deaf.close()
