"""`status` shows what status files say, whatever is in them, and tells apart what runs from what has stopped."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from sls_siem.cli import status as command
from sls_siem.cli.main import main
from sls_siem.cli.status import duration, read_all, size, status, table
from sls_siem.errors import AgentError


@pytest.fixture
def run_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory in which instances keep their run-time files, when no unit's own is given."""
    monkeypatch.setattr(command, "RUN_TIME", tmp_path)
    return tmp_path


def document(instance: int = 1, **changes: object) -> dict[str, object]:
    now = time.time()
    return {
        "instance": instance,
        "state": "running",
        "written": now,
        "last_heartbeat": now - 3,
        "shards": [
            {"shard": 0, "mb_per_s": 1.25, "lag_s": 7200.0, "unsettled_bytes": 1500},
            {"shard": 1, "mb_per_s": 0.5, "lag_s": None, "unsettled_bytes": 500},
        ],
        "totals": {"delivered": 12345, "dead_lettered": 2},
        "holding": {},
        **changes,
    }


def write(run_time: Path, name: object, content: object) -> Path:
    path = run_time / str(name) / "status.json"
    path.parent.mkdir(parents=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_every_instance_has_a_row_in_the_order_of_the_numbers(run_time, capsys) -> None:
    for number in (10, 2, 1):
        write(run_time, number, document(number))
    write(run_time, "lost+found", document(77))

    assert 0 == main(["status"])
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["INST", "1", "2", "10"] == [row[0] for row in rows]
    assert ["running", "2", "1.8", "2h", "2kB", "12345", "2", "3s", "ago"] == rows[1][1:]


def test_one_instance_can_be_asked_for(run_time, capsys) -> None:
    for number in (1, 2):
        write(run_time, number, document(number))

    assert 0 == main(["status", "--instance", "2", "--json"])
    assert [2] == [one["instance"] for one in json.loads(capsys.readouterr().out)["instances"]]


def test_an_instance_that_does_not_run_is_named_with_what_would_start_one(run_time, capsys) -> None:
    write(run_time, 1, document())

    assert 69 == main(["status", "--instance", "7"])
    assert "no status of instance 7" in capsys.readouterr().err
    with pytest.raises(AgentError, match="no status of any instance: .*systemctl start"):
        (run_time / "1" / "status.json").unlink()
        read_all(None)


def test_the_units_own_directory_comes_first(run_time, tmp_path, monkeypatch) -> None:
    write(run_time, 1, document(1))
    write(tmp_path, "own", document(5))
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "own"))

    assert [5] == [one["instance"] for one in read_all(None)]
    assert [5] == [one["instance"] for one in read_all(5)]


def test_a_file_that_is_no_json_is_named(run_time) -> None:
    path = write(run_time, 1, '{"instance": 1, ')

    with pytest.raises(AgentError, match=f"{path} cannot be read"):
        status(None, as_json=False, watch=False)


def test_a_status_that_nobody_writes_any_more_is_shown_as_stopped(run_time) -> None:
    write(run_time, 1, document(written=time.time() - 60))
    write(run_time, 2, document(2))
    found = read_all(None)

    assert [True, False] == [one["stale"] for one in found]
    assert ["stopped", "running"] == [line.split()[1] for line in table(found)[1:]]


def test_what_an_instance_waits_for_stands_below_it_and_within_the_width() -> None:
    holding = {"shard 3": "https://splunk.example.com:8088: connection refused " + "x" * 100}
    lines = table([document(state="holding", holding=holding), document(2)])

    assert "     shard 3: https://splunk.example.com:8088: connection refused" == lines[2][:65].rstrip("x ")
    assert 80 == len(lines[2])
    assert all(len(line) <= 80 for line in lines)


def test_a_document_of_another_version_is_shown_as_far_as_it_goes() -> None:
    """Nothing in it may bring `status` down: it is the first thing that an operator types."""
    bare = {"shards": "many", "totals": None, "holding": ["shard 1"], "last_heartbeat": "soon"}
    row = table([bare, {"shards": [7, None]}])

    assert 3 == len(row)
    for line in row[1:]:
        assert ["?", "?", "0", "0.0", "-", "0B", "0", "0", "never"] == line.split()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "0s"), (0, "0s"), (119, "119s"), (120, "2m"), (7199, "120m"), (7200, "2h"), (172800, "2d"), (8.64e9, "100000d")],
)
def test_durations_are_short(seconds: float, text: str) -> None:
    assert text == duration(seconds)


@pytest.mark.parametrize(
    ("amount", "text"),
    [(0, "0B"), (999, "999B"), (1000, "1kB"), (2_500_000, "2MB"), (64e9, "64GB"), (1e12, "1.0TB"), (1.5e15, "1500.0TB")],
)
def test_sizes_are_short(amount: float, text: str) -> None:
    assert text == size(amount)


class Terminal:
    """A terminal whose user presses Ctrl-C after so many refreshes."""

    def __init__(self, refreshes: int) -> None:
        self.text = ""
        self._left = refreshes

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None:
        self._left -= 1
        if self._left == 0:
            raise KeyboardInterrupt

    def isatty(self) -> bool:
        return True


def test_watching_clears_the_screen_for_each_table_until_interrupted(run_time, monkeypatch) -> None:
    write(run_time, 1, document())
    terminal = Terminal(3)
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setattr(command, "WATCH_S", 0.01)

    assert 0 == main(["status", "--watch"])
    assert 3 == terminal.text.count("\x1b[H\x1b[2J")
    assert 3 == terminal.text.count("INST")


def test_watching_as_json_writes_one_document_a_line(run_time, monkeypatch) -> None:
    write(run_time, 1, document())
    terminal = Terminal(2)
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setattr(command, "WATCH_S", 0.01)

    assert 0 == main(["status", "--watch", "--json"])
    assert [1, 1] == [json.loads(line)["instances"][0]["instance"] for line in terminal.text.splitlines()]
