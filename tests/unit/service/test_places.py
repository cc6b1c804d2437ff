from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sls_siem.errors import ConfigError
from sls_siem.service.places import InstanceLock, runtime_directory, state_directories, state_directory, write_status


@pytest.fixture(autouse=True)
def _directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "run"))
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))


def test_systemds_directories_come_before_the_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert tmp_path / "run" == runtime_directory(4)
    assert tmp_path / "state" == state_directory(4)
    monkeypatch.delenv("RUNTIME_DIRECTORY")
    monkeypatch.delenv("STATE_DIRECTORY")

    assert Path("/run/sls-siem/4") == runtime_directory(4)
    assert Path("/var/lib/sls-siem/4") == state_directory(4)


def test_the_state_of_an_instance_is_what_has_its_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert {1: tmp_path / "state"} == state_directories()
    monkeypatch.delenv("STATE_DIRECTORY")
    monkeypatch.setattr("sls_siem.service.places.STATE", tmp_path)
    assert {} == state_directories()
    for name in ("10", "9", "0", "07", "100", "\u0663", "lost+found"):
        (tmp_path / name).mkdir()

    assert [(9, tmp_path / "9"), (10, tmp_path / "10")] == list(state_directories().items())


def test_of_several_directories_the_first_is_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", "/a:/b")

    assert Path("/a") == state_directory(1)


def test_a_second_process_is_refused_and_the_holder_named() -> None:
    code = (
        "import sys; from sls_siem.service.places import InstanceLock; lock = InstanceLock(1);"
        "print('held', flush=True); sys.stdin.read()"
    )
    environ = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
    holder = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environ
    )
    assert holder.stdout is not None
    assert holder.stdin is not None
    try:
        assert "held\n" == holder.stdout.readline()
        with pytest.raises(ConfigError, match=f"instance 1 already runs as process {holder.pid}"):
            InstanceLock(1)
    finally:
        holder.stdin.close()
        holder.wait(10)
        holder.stdout.close()
    InstanceLock(1).release()


def test_a_directory_that_cannot_be_made_is_a_configuration_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "file" / "run"))

    with pytest.raises(ConfigError, match="RUNTIME_DIRECTORY"):
        InstanceLock(1)


def test_the_status_file_is_replaced_whole(tmp_path: Path) -> None:
    write_status(tmp_path, {"a": 1})
    write_status(tmp_path, {"b": [1, 2]})

    assert {"b": [1, 2]} == json.loads((tmp_path / "status.json").read_text())
    assert ["status.json"] == sorted(path.name for path in tmp_path.glob("status*"))
    assert 0o644 == (tmp_path / "status.json").stat().st_mode & 0o777
