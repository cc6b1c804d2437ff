"""`status` shows what status files say, whatever is in them, and tells apart what runs from what has stopped."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sls_siem.cli import status as command
from sls_siem.cli.main import main
from sls_siem.cli.status import read_all, status
from sls_siem.cli.status_table import History, duration, size, table, watched
from sls_siem.cli.terminal import width
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
        "totals": {"delivered": 12345, "dead_lettered": 7},
        "dead_letter_bytes": 2000,
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
    assert ["INST", "1", "2", "10", "all"] == [row[0] for row in rows]
    assert ["running", "2", "1.8", "2h", "2kB", "12345", "2kB", "3s", "ago"] == rows[1][1:]
    assert ["6", "5.2", "2h", "6kB", "37035", "6kB"] == rows[4][1:]


def test_one_instance_can_be_asked_for(run_time, capsys) -> None:
    for number in (1, 2):
        write(run_time, number, document(number))

    assert 0 == main(["status", "--instance", "2", "--json"])
    assert [2] == [one["instance"] for one in json.loads(capsys.readouterr().out)["instances"]]


def test_an_instance_that_does_not_run_is_named_with_what_would_start_one(run_time, capsys) -> None:
    write(run_time, 1, document())

    assert 69 == main(["status", "--instance", "7"])
    said = capsys.readouterr().err
    assert "no status of instance 7" in said
    assert "`systemctl start sls-siem@7`" in said
    with pytest.raises(AgentError, match=r"no status of any instance: .*systemctl start"):
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
    assert ["stopped", "running"] == [line.split()[1] for line in table(found)[1:3]]


REASON = (
    "https://splunk.example.com:8088: 403, code 4: Invalid token; put the right one into "
    "/etc/sls-siem/credentials/hec-token, then: systemctl reload 'sls-siem@*'"
)


def test_what_an_instance_waits_for_stands_below_it_to_its_last_word() -> None:
    lines = table([document(state="holding", holding={"shard 3": REASON}), document(2)])

    assert [
        "     shard 3: https://splunk.example.com:8088: 403, code 4: Invalid token; put",
        "         the right one into /etc/sls-siem/credentials/hec-token, then: systemctl",
        "         reload 'sls-siem@*'",
    ] == lines[2:5]


def test_a_reason_is_as_wide_as_the_terminal_or_80_columns_where_there_is_none(run_time, monkeypatch, capsys) -> None:
    write(run_time, 1, document(holding={"shard 3": REASON}))
    monkeypatch.setenv("COLUMNS", "200")
    status(None, as_json=False, watch=False)
    assert 80 >= max(map(len, capsys.readouterr().out.splitlines())) > 70
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("NO_COLOR", "1")
    status(None, as_json=False, watch=False)

    assert f"     shard 3: {REASON}" in capsys.readouterr().out.splitlines()


def test_a_terminal_that_is_hardly_there_is_taken_for_40_columns() -> None:
    lines = table([document(holding={"shard 3": REASON})], columns=1)

    assert 40 >= max(map(len, lines[2:])) > 30


def test_the_watched_screen_cuts_a_reason() -> None:
    lines = watched([document(holding={"shard 3": REASON})], History(), size=(80, 24))

    assert ["     shard 3: https://splunk.example.com:8088: 403, code 4: Invalid token; put …"] == [
        line for line in lines if "shard 3" in line
    ]


def test_the_newest_error_is_told_with_its_age_unless_it_is_what_is_waited_for() -> None:
    errors, at = ["the first", "not reloaded: hec.urls: is missing"], time.time() - 7300
    mended = table([document(errors=errors, last_error_at=at)])
    of_old = table([document(errors=errors)])
    held = table([document(errors=errors, last_error_at=at, holding={"shard 1": errors[-1]})])

    assert ["     last error, 2h ago: not reloaded: hec.urls: is missing"] == mended[2:]
    assert ["     last error: not reloaded: hec.urls: is missing"] == of_old[2:]
    assert ["     shard 1: not reloaded: hec.urls: is missing"] == held[2:]


def test_keys_that_wait_for_a_restart_are_named_with_what_restarts() -> None:
    lines = table([document(3, needs_restart=["sls.heartbeat_s", "delivery.window_bytes"]), document(4)])

    assert [
        "     not in force until `systemctl restart sls-siem@3`: sls.heartbeat_s,",
        "         delivery.window_bytes",
    ] == lines[2:4]
    assert 6 == len(lines)


def test_shards_that_wait_for_the_same_are_told_together() -> None:
    alike = {"heartbeat": "down", "shard 7": "down", **{f"shard {number}": "down" for number in (2, 1, 10, 0, 11)}}
    others = {"shard 3": "full", "shard 4 reading": "full", "shard 5 reading": "full"}
    lines = table([document(holding={**alike, **others})])

    assert ["     heartbeat, shards 0-2, 7, 10-11: down", "     shard 3, shards 4-5 reading: full"] == lines[2:]


def test_a_document_of_another_version_is_shown_as_far_as_it_goes() -> None:
    """Nothing in it may bring `status` down: it is the first thing that an operator types."""
    bare = {"shards": "many", "totals": None, "holding": ["shard 1"], "last_heartbeat": "soon"}
    bare.update(errors="many", needs_restart="yes", last_error_at="now")
    row = table([bare, {"shards": [7, None]}])

    assert 4 == len(row)
    for line in row[1:2]:
        assert ["?", "?", "0", "0.0", "-", "0B", "0", "-", "never"] == line.split()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0s"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (7199, "120m"),
        (7200, "2h"),
        (172800, "2d"),
        (8.64e9, "100000d"),
    ],
)
def test_durations_are_short(seconds: float, text: str) -> None:
    assert text == duration(seconds)


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "0B"),
        (999, "999B"),
        (1000, "1kB"),
        (2_500_000, "2MB"),
        (64e9, "64GB"),
        (1e12, "1.0TB"),
        (1.5e15, "1500.0TB"),
    ],
)
def test_sizes_are_short(amount: float, text: str) -> None:
    assert text == size(amount)


class Terminal:
    """A terminal whose user presses Ctrl-C after so many refreshes."""

    encoding = "utf-8"

    def __init__(self, refreshes: int, *, live: bool = True) -> None:
        self.text = ""
        self._left = refreshes
        self._live = live

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None:
        self._left -= 1
        if self._left == 0:
            raise KeyboardInterrupt

    def isatty(self) -> bool:
        return self._live


@pytest.fixture
def watching(monkeypatch):
    """Runs `status --watch` for some refreshes; returns what was written."""

    def watch(refreshes: int, *arguments: str, live: bool = True, term: str = "xterm") -> str:
        terminal = Terminal(refreshes, live=live)
        monkeypatch.setattr("sys.stdout", terminal)
        monkeypatch.setattr(command, "WATCH_S", 0.01)
        monkeypatch.setenv("TERM", term)
        monkeypatch.setenv("COLUMNS", "80")
        monkeypatch.setenv("LINES", "24")
        assert 0 == main(["status", "--watch", *arguments])
        return terminal.text

    return watch


def test_watching_draws_in_place_and_gives_the_screen_back(run_time, watching) -> None:
    write(run_time, 1, document())
    text = watching(3)

    assert text.startswith("\x1b[?1049h\x1b[?25l\x1b[H")
    assert text.endswith("\x1b[?25h\x1b[?1049l")
    assert 3 == text.count("INST     STATE") == text.count("\x1b[H")
    assert "\x1b[32m" in text


def test_watching_without_a_terminal_has_no_control_sequence(run_time, watching) -> None:
    write(run_time, 1, document(state="holding"))
    text = watching(2, live=False)

    assert 2 == text.count("1 instance, 2 shards, 1.8 MB/s, lag 2h")
    assert "\x1b" not in text


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_colour_can_be_refused(run_time, watching, monkeypatch, name, value) -> None:
    write(run_time, 1, document())
    monkeypatch.setenv(name, value)
    text = watching(2, term=value if name == "TERM" else "xterm")

    assert "INST" in text
    assert not re.search(r"\x1b\[\d+m", text)


def test_instances_may_come_and_go_while_they_are_watched(run_time, watching, monkeypatch) -> None:
    path = write(run_time, 1, document())
    looks = []

    def paths(_instance):
        looks.append(1)
        if len(looks) == 3:
            path.unlink()
        return [path]

    monkeypatch.setattr(command, "_paths", paths)

    assert "no status of any instance" in watching(4)


def test_watching_as_json_writes_one_document_a_line(run_time, watching) -> None:
    write(run_time, 1, document())

    assert [1, 1] == [json.loads(line)["instances"][0]["instance"] for line in watching(2, "--json").splitlines()]


HOSTILE = "\x1b]0;owned\x07\x9b31m\r\n\u202ekcol\u200b\x00\x7f"


def hostile(instance: object = 1) -> dict[str, object]:
    return {
        "instance": instance,
        "state": HOSTILE,
        "holding": {HOSTILE: HOSTILE},
        "siem": {"endpoints": [{"url": HOSTILE, "up": False, "last_error": HOSTILE}, "x"]},
        "shards": [{"shard": HOSTILE, "position": HOSTILE, "mb_per_s": HOSTILE, "lag_s": HOSTILE}],
        "totals": {"delivered": HOSTILE, "dead_lettered": HOSTILE},
        "last_heartbeat": HOSTILE,
        "needs_restart": [HOSTILE],
        "errors": [HOSTILE * 2],
        "last_error_at": HOSTILE,
        "dead_letter_bytes": HOSTILE,
    }


def test_nothing_in_a_status_file_reaches_the_terminal_as_a_command() -> None:
    history = History()
    history.note([hostile(HOSTILE)])
    lines = [*table([hostile(HOSTILE)]), *watched([hostile(HOSTILE)], history, size=(80, 0))]

    for line in lines:
        assert line.isprintable()
        assert width(line) <= 80


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=8,
)
KEYS = st.sampled_from(
    [
        "instance",
        "state",
        "holding",
        "siem",
        "shards",
        "totals",
        "last_heartbeat",
        "stale",
        "needs_restart",
        "errors",
        "last_error_at",
        "dead_letter_bytes",
    ]
)
ROWS = st.dictionaries(st.sampled_from(["shard", "position", "mb_per_s", "lag_s", "unsettled_bytes"]), VALUES)


@example([{"state": {"⺀": None}}], 60)
@given(st.lists(st.dictionaries(KEYS, VALUES | st.lists(ROWS, max_size=3)), max_size=3), st.integers(40, 200))
def test_any_document_is_laid_out_within_the_width(documents, columns) -> None:
    history = History()
    for _ in range(2):
        history.note(documents)
    for line in table(documents):
        assert width(line) <= 80
        assert line.isprintable()
    for line in watched(documents, history, size=(columns, 30)):
        assert width(line) <= max(columns, 60)
        assert line.isprintable()


def test_a_picture_fits_the_terminal_and_shows_the_shard_that_is_furthest_behind_first() -> None:
    shards = [{"shard": n, "mb_per_s": n, "lag_s": n, "unsettled_bytes": 0, "position": 5 + n} for n in range(40)]
    documents = [document(7, shards=shards)]
    history = History()
    for rate in (0, 1, 40):
        shards[39]["mb_per_s"] = rate
        history.note(documents)
    lines = watched(documents, history, size=(80, 24))

    assert 24 == len(lines)
    assert all(width(line) <= 80 for line in lines)
    assert "1 instance, 40 shards, 781.0 MB/s, lag 39s" == lines[0][:-8].rstrip()
    assert ["39", "7", "40.0", "39s", "0B", "▁▂█"] == lines[6].split()


def test_an_address_of_the_siem_that_is_down_is_named() -> None:
    siem = {"endpoints": [{"url": "https://a:8088", "up": False, "last_error": "refused"}, {"url": "b", "up": True}]}

    assert "down for all: https://a:8088: refused" == table([document(siem=siem)])[2]
    assert "down for 2: https://a:8088: refused" == table([document(), document(2, siem=siem)])[-1]


def test_throughput_of_what_is_gone_is_forgotten() -> None:
    history = History()
    history.note([document(1), document(2)])
    history.note([document(2)])

    assert {("2",), ("2", "0"), ("2", "1")} == set(history.samples)
