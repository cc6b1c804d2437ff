"""A small configuration that is right, to be changed by each test."""

from __future__ import annotations

from pathlib import Path
from typing import Callable, Optional

import pytest

from sls_siem.config import Config, load
from sls_siem.errors import ConfigError

SLS = """
[sls]
endpoint = "https://cn-hangzhou.log.aliyuncs.com"
project = "my-project"
logstore = "my-logstore"
consumer_group = "my-group"
"""
HEC = """
[siem]
output = "hec"
[hec]
urls = ["https://splunk.example.com:8088"]
"""
SYSLOG = """
[siem]
output = "syslog"
[syslog]
url = "tls://siem.example.com:6514"
"""

Load = Callable[..., Config]
Problems = Callable[..., "list[str]"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "instances").mkdir()
    return tmp_path


@pytest.fixture
def load_text(folder: Path) -> Load:
    """Load a text as agent.toml, `override` as instances/1.toml."""

    def load_it(text: str, *, override: Optional[str] = None, environ: Optional[dict[str, str]] = None) -> Config:
        (folder / "agent.toml").write_text(text, encoding="utf-8")
        if override is not None:
            (folder / "instances" / "1.toml").write_text(override, encoding="utf-8")
        return load(folder / "agent.toml", 1, environ or {})

    return load_it


@pytest.fixture
def problems_of(load_text: Load, folder: Path) -> Problems:
    """Load a text and give its problems, with the folder's name left out."""

    def problems(text: str, **kwargs: object) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            load_text(text, **kwargs)
        return [line.replace(f"{folder}/", "") for line in caught.value.problems]

    return problems
