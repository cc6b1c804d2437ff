"""`dead-letter` without a configuration and a SIEM: whose letters are listed, shown and purged, and which are not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sls_siem.cli.main import main
from sls_siem.cli.terminal import width
from sls_siem.dead_letter import DeadLetter, DeadLetters

ANSWER = "400, code 6: Invalid data format"


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory below which each instance has its own."""
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.setattr("sls_siem.service.places.STATE", tmp_path)
    return tmp_path


def keep(state: Path, instance: int, *ids: str, answer: str = ANSWER) -> DeadLetters:
    letters = DeadLetters(state / str(instance), 1 << 20)
    for event_id in ids:
        letters.append(DeadLetter(event_id, 0, "invalid-event", answer, b'{"event":"x"}', 1700000000.0))
    return letters


def ids_of(letters: DeadLetters) -> list[str]:
    return [letter.event_id for letter in letters.letters()]


class Input:
    """Standard input: a terminal at which this is typed, or none."""

    def __init__(self, typed: str = "", *, terminal: bool = True) -> None:
        self._typed = typed
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal

    def readline(self) -> str:
        assert self._terminal
        return self._typed


def test_the_letters_of_every_instance_are_listed_with_the_receivers_words(state, capsys) -> None:
    keep(state, 10, "1-2-0")
    keep(state, 2, "0-1-0", "0-1-1")
    (state / "lost+found").mkdir()

    assert 0 == main(["dead-letter", "list"])
    columns = "2023-11-14T22:13:20Z  {}  invalid-event  13  instance {}  " + ANSWER
    expected = [columns.format("0-1-0", 2), columns.format("0-1-1", 2), columns.format("1-2-0", 10)]
    assert expected == capsys.readouterr().out.splitlines()
    assert 0 == main(["dead-letter", "list", "--json"])
    said = json.loads(capsys.readouterr().out)["letters"]
    assert [("0-1-0", 2), ("0-1-1", 2), ("1-2-0", 10)] == [(one["id"], one["instance"]) for one in said]


def test_one_instance_can_be_asked_for_and_is_not_named(state, capsys) -> None:
    keep(state, 1, "0-1-0")
    keep(state, 2, "0-2-0", answer="")

    assert 0 == main(["dead-letter", "list", "--instance", "2"])
    assert "2023-11-14T22:13:20Z  0-2-0  invalid-event  13\n" == capsys.readouterr().out


def test_no_letters_anywhere_are_an_empty_list(state, capsys) -> None:
    assert 0 == main(["dead-letter", "list"])
    assert ("", "") == capsys.readouterr()


def test_the_units_own_directory_is_the_only_one(state, tmp_path, monkeypatch, capsys) -> None:
    keep(state, 1, "0-1-0")
    keep(tmp_path / "own", 7, "0-7-0")
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "own" / "7"))

    assert 0 == main(["dead-letter", "list"])
    assert ["0-7-0"] == [line.split()[1] for line in capsys.readouterr().out.splitlines()]


def test_an_answer_stays_one_line_of_bounded_length_that_no_terminal_obeys(state, capsys) -> None:
    keep(state, 1, "0-1-0", answer="no\r\n\x1b[2Jnever\u202e" + "日" * 900)
    main(["dead-letter", "list"])
    (line,) = capsys.readouterr().out.splitlines()

    assert line.isprintable()
    assert "  no \ufffd[2Jnever\ufffd日日" in line
    assert width(line) < 300


@pytest.mark.parametrize("config", ["[sls\n", "[sls]\nendpoint = 7\n", None])
@pytest.mark.parametrize("action", ["list", "show", "purge"])
def test_only_a_retry_needs_the_configuration(state, tmp_path, config, action, capsys) -> None:
    keep(state, 1, "0-1-0")
    path = tmp_path / "agent.toml"
    if config is not None:
        path.write_text(config)

    assert 0 == main(["dead-letter", action, "0-1-0", "--config", str(path)])
    assert capsys.readouterr().out
    assert 78 == main(["dead-letter", "retry", "--config", str(path)])
    assert str(path) in capsys.readouterr().err


@pytest.mark.parametrize(
    ("action", "said_of_the_other", "left"), [("list", "0-1-0", 2), ("show", "0-1-0", 2), ("purge", '"purged": 1', 1)]
)
def test_an_id_that_no_letter_has_is_named_and_the_others_are_handled(
    state, action, said_of_the_other, left, capsys
) -> None:
    letters = keep(state, 1, "0-1-0", "0-1-1")

    assert 78 == main(["dead-letter", action, "0-1-0", "0-1-00", "--json"])
    said = capsys.readouterr()
    assert said_of_the_other in said.out
    assert "0-1-00: " in said.err
    assert " has no such dead letter\n" in said.err
    assert "0-1-0: " not in said.err
    assert left == len(ids_of(letters))


@pytest.mark.parametrize("action", ["show", "purge"])
def test_an_id_of_another_instance_is_told_with_the_command(state, action, capsys) -> None:
    keep(state, 1, "0-1-0")
    other = keep(state, 3, "0-3-0")
    keep(state, 4).path.mkdir(parents=True)

    assert 78 == main(["dead-letter", action, "0-3-0"])
    assert (
        "0-3-0: instance 1 has no such dead letter, but instance 3 has: "
        f"sls-siem dead-letter {action} 0-3-0 --instance 3\n"
    ) == capsys.readouterr().err
    assert ["0-3-0"] == ids_of(other)
    assert 0 == main(["dead-letter", action, "0-3-0", "--instance", "3"])


def test_instances_that_have_letters_are_named_when_this_one_has_none(state, capsys) -> None:
    keep(state, 3, "0-3-0")
    keep(state, 5, "0-5-0")

    assert 0 == main(["dead-letter", "show"])
    assert "instance 1 has no dead letters, but these have: 3, 5. Give --instance\n" == capsys.readouterr().err


def test_purging_nothing_makes_no_directory(state, capsys) -> None:
    assert 0 == main(["dead-letter", "purge", "--yes"])
    assert "0 purged\n" == capsys.readouterr().out
    assert [] == list(state.iterdir())


@pytest.mark.parametrize(("typed", "status", "left"), [("y\n", 0, 0), ("\n", 2, 2), ("", 2, 2), ("n\n", 2, 2)])
def test_purging_all_asks_at_a_terminal(state, monkeypatch, typed, status, left, capsys) -> None:
    letters = keep(state, 2, "0-1-0", "0-1-1")
    monkeypatch.setattr("sys.stdin", Input(typed))

    assert status == main(["dead-letter", "purge", "--instance", "2"])
    assert "Delete all 2 dead letters of instance 2? [y/N]" in capsys.readouterr().err
    assert left == len(ids_of(letters))


def test_purging_all_needs_yes_where_nobody_can_be_asked(state, monkeypatch, capsys) -> None:
    letters = keep(state, 1, "0-1-0", "0-1-1")
    monkeypatch.setattr("sys.stdin", Input(terminal=False))

    assert 2 == main(["dead-letter", "purge"])
    assert "--yes" in capsys.readouterr().err
    assert 2 == len(ids_of(letters))
    assert 0 == main(["dead-letter", "purge", "0-1-0"])
    assert 0 == main(["dead-letter", "purge", "--yes"])
    assert [] == ids_of(letters)
