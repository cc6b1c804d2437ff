from __future__ import annotations

import errno
import os
import resource
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sls_siem.dead_letter import DeadLetter, DeadLetterError, DeadLetters

LETTER = DeadLetter("3-1000-7", 3, "invalid-event", "Invalid data format", b'{"event":"x"}', 1700000000.0)


def test_a_letter_is_one_json_line_with_everything_an_operator_needs(tmp_path: Path) -> None:
    letters = DeadLetters(tmp_path, 10_000)
    letters.append(LETTER)

    assert (
        b'{"time":"2023-11-14T22:13:20Z","id":"3-1000-7","shard":3,"reason":"invalid-event",'
        b'"answer":"Invalid data format","event":"{\\"event\\":\\"x\\"}"}\n'
    ) == letters.path.read_bytes()


@given(event=st.binary(max_size=60), raw=st.booleans(), answer=st.text(max_size=20))
def test_whatever_the_event_holds_comes_back_and_stays_one_line(event: bytes, raw: bool, answer: str) -> None:
    letter = DeadLetter("1-2-3", 1, "too-large", answer, event, 1.0, raw, 2 if raw else None)
    line = letter.to_line()

    assert 1 == line.count(b"\n")
    assert letter == DeadLetter.from_line(line)


def test_only_the_owner_may_read_the_letters(tmp_path: Path) -> None:
    letters = DeadLetters(tmp_path / "1", 10_000)
    letters.append(LETTER)

    assert 0o600 == letters.path.stat().st_mode & 0o777
    assert 0o700 == (tmp_path / "1").stat().st_mode & 0o777


def test_at_the_cap_the_letter_is_refused_and_the_file_unchanged(tmp_path: Path) -> None:
    letters = DeadLetters(tmp_path, len(LETTER.to_line()) + 10)
    letters.append(LETTER)
    before = letters.path.read_bytes()

    with pytest.raises(DeadLetterError, match=r"dead_letter_max_bytes = \d+\. See `sls-siem dead-letter list`"):
        letters.append(LETTER)
    assert before == letters.path.read_bytes()


def test_a_full_disk_leaves_no_half_line_behind(tmp_path: Path) -> None:
    """The kernel refuses to grow the file beyond RLIMIT_FSIZE in the middle of a write, as a full disk would."""
    script = """
        import resource, signal, sys
        from pathlib import Path
        from sls_siem.dead_letter import *
        letters = DeadLetters(Path(sys.argv[1]), 10**9)
        small = DeadLetter("1-1-1", 1, "invalid-event", "", b"x", 1.0)
        letters.append(small)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        try:
            letters.append(DeadLetter("1-1-2", 1, "invalid-event", "", b"y" * 100_000, 1.0))
        except DeadLetterError as exc:
            print("refused:", exc)
    """
    environ = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
    found = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=30,
        env=environ,
        check=True,
    )

    assert "refused: dead letter 1-1-2 cannot be written" in found.stdout
    assert ["1-1-1"] == [letter.event_id for letter in DeadLetters(tmp_path, 10**9).letters()]
    assert (tmp_path / "dead-letters.jsonl").read_bytes().endswith(b"\n")


def test_a_directory_that_cannot_be_made_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(DeadLetterError, match="Make room or the directory writable"):
        DeadLetters(tmp_path / "file" / "1", 10_000).append(LETTER)


def test_removing_keeps_the_others(tmp_path: Path) -> None:
    letters = DeadLetters(tmp_path, 10_000)
    other = DeadLetter("3-1000-8", 3, "too-large", "", b"z", 1.0)
    letters.append(LETTER)
    letters.append(other)

    assert 1 == letters.remove({LETTER.event_id})
    assert [other] == letters.letters()


def test_no_letters_is_an_empty_list(tmp_path: Path) -> None:
    assert [] == DeadLetters(tmp_path, 10_000).letters()


def test_a_foreign_line_in_the_file_is_left_out(tmp_path: Path) -> None:
    letters = DeadLetters(tmp_path, 10_000)
    letters.append(LETTER)
    with letters.path.open("ab") as file:
        file.write(b'{"half":\n[]\nnull\n{"id":1}\n')

    assert [LETTER] == letters.letters()


def test_what_cannot_be_read_is_an_error_and_not_an_empty_list(tmp_path: Path) -> None:
    (tmp_path / "dead-letters.jsonl").mkdir()

    with pytest.raises(DeadLetterError, match="cannot be read"):
        DeadLetters(tmp_path, 10_000).letters()


def test_two_writers_never_mix_their_lines(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from sls_siem.dead_letter import *\n"
        "letters = DeadLetters(Path(sys.argv[1]), 10**9)\n"
        "for i in range(40): letters.append(DeadLetter(f'{sys.argv[2]}-{i}-0', 1, 'r', '', b'x' * 9000, 1.0))\n"
    )
    environ = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
    writers = [
        subprocess.Popen([sys.executable, "-c", script, str(tmp_path), str(number)], env=environ) for number in (1, 2)
    ]
    for writer in writers:
        assert 0 == writer.wait(60)

    assert 80 == len(DeadLetters(tmp_path, 10**9).letters())
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 4096


def test_a_letter_behind_a_half_written_line_can_be_read(tmp_path: Path) -> None:
    letters = DeadLetters(tmp_path, 10_000)
    letters.append(LETTER)
    with letters.path.open("ab") as stream:
        stream.write(LETTER.to_line()[:20])
    letters.append(LETTER)

    assert [LETTER, LETTER] == letters.letters()


def test_removing_letters_leaves_a_line_that_is_none(tmp_path: Path) -> None:
    letters = DeadLetters(tmp_path, 10_000)
    letters.append(LETTER)
    with letters.path.open("ab") as stream:
        stream.write(b"what is this?\n")

    assert 1 == letters.remove({LETTER.event_id})
    assert b"what is this?\n" == letters.path.read_bytes()


def test_a_directory_that_could_not_be_synced_is_synced_with_the_next_letter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only then is the file's name sure to survive a power cut, and only then may anything in it count as settled."""
    letters, sync, synced = DeadLetters(tmp_path, 10**6), os.fsync, []

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            synced.append(descriptor)
            if len(synced) == 1:
                raise OSError(errno.EIO, "broken")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(DeadLetterError, match="broken"):
        letters.append(LETTER)
    for _ in range(3):
        letters.append(LETTER)

    assert len(synced) == 2
