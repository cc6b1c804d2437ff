"""`check` without `--connect` finds what `run` would refuse."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sls_siem.cli.check import check
from sls_siem.config import load
from sls_siem.emulator.certificates import Certificates
from sls_siem.errors import ConfigError
from sls_siem.health import Health
from sls_siem.metrics import Metrics
from sls_siem.service.agent import Agent

HASHED = '[fields]\nhash = ["user"]\n'


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in (("sls-access-key-id", "i"), ("sls-access-key-secret", "s"), ("field-hash-key", "k" * 16)):
        (tmp_path / name).write_text(text)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    (tmp_path / "junk").write_text("junk")
    return tmp_path


def written(folder: Path, tls: str = "", *, more: str = "", sls: str = "") -> Path:
    path = folder / "agent.toml"
    path.write_text(
        '[sls]\nendpoint = "https://cn-hangzhou.log.aliyuncs.com"\nproject = "my-project"\nlogstore = "ls"\n'
        f'consumer_group = "g"\n{sls}\n[siem]\noutput = "syslog"\n[syslog]\nurl = "tls://siem:6514"\n'
        f"[tls]\n{tls}\n{more}"
    )
    return path


def problems_of(path: Path, secrets: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    status = check(path, 1, {"CREDENTIALS_DIRECTORY": str(secrets)}, connect=False, as_json=True)
    document = json.loads(capsys.readouterr().out)

    assert (status == 0) == document["ok"] == (not document["problems"])
    assert status in (0, 78)
    return document["problems"]


def refused_by_run(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        Agent(load(path, 1, {}), health=Health(), metrics=Metrics())
    return caught.value.problems[0]


@pytest.mark.parametrize("key", ["tls.ca_file", "tls.cert_file", "tls.key_file", "sls.ca_file"])
def test_a_file_that_holds_junk_is_named_by_check_and_run(secrets, certificates, capsys, key) -> None:
    pair = certificates.client
    files = {"tls.cert_file": pair.cert_file, "tls.key_file": pair.key_file, key: secrets / "junk"}
    tls, sls = ("".join(f'{k[4:]} = "{v}"\n' for k, v in files.items() if k[:3] == table) for table in ("tls", "sls"))
    path = written(secrets, tls, sls=sls)
    (line,) = problems_of(path, secrets, capsys)

    assert line.startswith(f"{path}: {key}: {secrets}/junk holds no ")
    assert f"{path}: {refused_by_run(path)}" == line


def test_a_key_that_does_not_fit_its_certificate_is_named(secrets, certificates, capsys) -> None:
    cert, key = certificates.client.cert_file, certificates.server.key_file
    path = written(secrets, f'cert_file = "{cert}"\nkey_file = "{key}"\n')
    (line,) = problems_of(path, secrets, capsys)

    assert line.startswith(f"{path}: tls.cert_file: {cert} does not belong to the private key in {key}")


def test_a_key_that_could_be_guessed_is_named_but_not_shown(secrets, capsys) -> None:
    (secrets / "field-hash-key").write_text("guess-me")
    path = written(secrets, more=HASHED)
    (line,) = problems_of(path, secrets, capsys)

    assert line.startswith(f"{path}: fields.hash: the secret field-hash-key has less than 16 characters")
    assert "guess-me" not in line


def test_every_such_problem_is_named_with_the_file_that_gave_its_key(secrets, capsys) -> None:
    (secrets / "field-hash-key").write_text("short")
    (secrets / "instances").mkdir()
    (secrets / "instances" / "1.toml").write_text(f'[tls]\nca_file = "{secrets}/junk"\n')
    path = written(secrets, more=HASHED, sls=f'ca_file = "{secrets}/junk"\n')
    lines = problems_of(path, secrets, capsys)

    assert [f"{path}: sls.ca_file", f"{secrets}/instances/1.toml: tls.ca_file", f"{path}: fields.hash"] == [
        ":".join(line.split(":")[:2]) for line in lines
    ]


def test_secrets_that_are_missing_are_only_warnings(secrets, certificates, capsys) -> None:
    for name in ("sls-access-key-id", "sls-access-key-secret", "field-hash-key"):
        (secrets / name).unlink()
    path = written(secrets, f'cert_file = "{certificates.client.cert_file}"', more=HASHED)
    status = check(path, 1, {"CREDENTIALS_DIRECTORY": str(secrets)}, connect=False, as_json=False)
    told = capsys.readouterr().err

    assert status == 0
    assert told.count("warning: secret ") == 4
    assert "is valid" in told


def test_warnings_are_told_beside_problems(secrets, capsys) -> None:
    (secrets / "sls-access-key-id").unlink()
    path = written(secrets, f'ca_file = "{secrets}/junk"')
    status = check(path, 1, {"CREDENTIALS_DIRECTORY": str(secrets)}, connect=False, as_json=False)
    told = capsys.readouterr().err.splitlines()

    assert status == 78
    assert told[0].startswith("warning: secret sls-access-key-id")
    assert told[1].startswith(f"{path}: tls.ca_file")


def test_a_client_key_beside_its_certificate_is_not_missed(secrets, certificates, capsys) -> None:
    both = secrets / "both.pem"
    both.write_bytes(certificates.client.cert_file.read_bytes() + certificates.client.key_file.read_bytes())
    path = written(secrets, f'cert_file = "{both}"')
    status = check(path, 1, {"CREDENTIALS_DIRECTORY": str(secrets)}, connect=False, as_json=True)

    assert status == 0
    assert json.loads(capsys.readouterr().out)["warnings"] == []
