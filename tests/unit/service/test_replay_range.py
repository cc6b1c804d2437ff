"""What a replay may reach, and the file that says how far it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sls_siem.errors import AgentError, ConfigError
from sls_siem.service.replay_range import RangeSource, ResumeFile, ShardRange
from sls_siem.sls.model import Checkpoint, Pulled

SPAN = (100, 200)


class Service:
    """One group at each position from 0 on."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []

    def pull(self, shard, position, *, end_position=None, count=1000, whole=True):
        self.asked.append((position, end_position))
        groups = min(count, end_position - position)
        return Pulled(position, position + groups, groups, b"x" * groups, end_of_cursor=False)


@pytest.fixture
def resume_file(tmp_path: Path):
    """Opens resume files and closes them with the test."""
    opened: list[ResumeFile] = []

    def open_one(origin: str = "here") -> ResumeFile:
        opened.append(ResumeFile(tmp_path, SPAN, origin))
        return opened[-1]

    yield open_one
    for one in opened:
        one.close()


def test_the_range_looks_like_a_shard_that_ends_with_it(resume_file, tmp_path: Path) -> None:
    resume = resume_file()
    resume.add(3, 10, 14)
    service = Service()
    source = RangeSource(service, resume)

    assert (13, False) == (source.pull(3, 10, count=3).next_position, source.pull(3, 10, count=3).end_of_cursor)
    assert (14, True) == (source.pull(3, 13).next_position, source.pull(3, 13).end_of_cursor)
    assert Pulled(14, 14, 0, b"", end_of_cursor=True) == source.pull(3, 14)
    assert 14 == max(end for _, end in service.asked)


def test_what_was_noted_is_where_the_next_run_begins(resume_file, tmp_path: Path) -> None:
    resume = resume_file()
    resume.add(3, 10, 14)
    RangeSource(Service(), resume).save_checkpoint(3, 12)
    resume.close()
    again = resume_file()

    assert {3: ShardRange(10, 14, 12)} == again.ranges
    assert Checkpoint(12) == RangeSource(Service(), again).checkpoint(3)


def test_a_replay_that_is_done_leaves_no_file(resume_file, tmp_path: Path) -> None:
    resume = resume_file()
    resume.add(3, 10, 14)
    resume.note(3, 14)
    resume.close()

    assert ["replay.lock"] == [path.name for path in tmp_path.iterdir()]


def test_positions_of_another_logstore_are_not_gone_on_from(resume_file, tmp_path: Path) -> None:
    resume = resume_file()
    resume.add(3, 10, 14)
    resume.close()

    assert {} == resume_file("elsewhere").ranges


def test_two_replays_of_an_instance_do_not_run_at_once(resume_file, tmp_path: Path) -> None:
    first = resume_file()
    with pytest.raises(ConfigError, match="another replay"):
        resume_file()
    first.close()
    resume_file().close()


@pytest.mark.parametrize("content", ["", "[]", '{"origin": "here"}', '{"origin": "here", "shards": {"x": 1}}'])
def test_a_damaged_file_is_named_instead_of_begun_anew(resume_file, tmp_path: Path, content: str) -> None:
    (tmp_path / "replay-100-200.json").write_text(content)

    with pytest.raises(AgentError, match=r"replay-100-200\.json cannot be used"):
        resume_file()


def test_the_file_is_whole_at_every_moment(resume_file, tmp_path: Path) -> None:
    resume = resume_file()
    resume.add(3, 10, 14)
    before = resume.path.stat().st_ino
    resume.note(3, 11)

    assert before != resume.path.stat().st_ino
    assert 11 == json.loads(resume.path.read_text())["shards"]["3"]["position"]
