"""The policy that `check --print-ram-policy` prints allows every call of a session, and nothing else."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest

import sls_siem.sls.session
from sls_siem.cli.main import main
from sls_siem.sls.ram_policy import ram_policy

CONFIG = """
[sls]
endpoint = "https://cn-hangzhou.log.aliyuncs.com"
project = "my-project"
logstore = "my-logstore"
consumer_group = "my-group"
[siem]
output = "hec"
[hec]
urls = ["https://splunk.example.com:8088"]
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "agent.toml"
    path.write_text(CONFIG)
    return path


def actions_of(policy) -> list[str]:
    return [action for statement in policy["Statement"] for action in statement["Action"]]


def test_prints_a_policy_for_this_logstore_and_group(path: Path, capsys) -> None:
    status = main(["check", "--config", str(path), "--print-ram-policy"])
    printed = capsys.readouterr()
    policy = json.loads(printed.out)

    assert 0 == status
    assert "" == printed.err
    assert "1" == policy["Version"]
    logstore = "acs:log:cn-hangzhou:*:project/my-project/logstore/my-logstore"
    resources = [statement["Resource"] for statement in policy["Statement"]]
    assert [[logstore], [f"{logstore}/consumergroup/*"], [f"{logstore}/consumergroup/my-group"]] == resources
    assert {"Allow"} == {statement["Effect"] for statement in policy["Statement"]}
    assert all("*" not in action for action in actions_of(policy))


def test_allows_what_the_calls_of_a_session_need_and_no_more(path: Path, capsys) -> None:
    """A call added to `session.py` with an action of its own must be added to the policy."""
    main(["check", "--config", str(path), "--print-ram-policy"])
    allowed = actions_of(json.loads(capsys.readouterr().out))
    source = Path(sls_siem.sls.session.__file__).read_text()

    assert set(re.findall(r'"(log:\w+)"', source)) == set(allowed)
    assert len(set(allowed)) == len(allowed)


def test_an_unknown_region_is_any(path: Path) -> None:
    from sls_siem.config import load

    config = dataclasses.replace(load(path, 1, {}).sls, region=None)

    assert "acs:log:*:*:project/" in json.dumps(ram_policy(config))


def test_a_broken_configuration_prints_no_policy(path: Path, capsys) -> None:
    path.write_text(CONFIG.replace("my-project", "my project"))

    assert 78 == main(["check", "--config", str(path), "--print-ram-policy"])
    assert "" == capsys.readouterr().out
