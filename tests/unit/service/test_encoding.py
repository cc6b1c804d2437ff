"""The secret that fields are hashed with comes from the file that the configuration names, and from no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from sls_siem.config import Config, FieldsConfig, SiemConfig
from sls_siem.errors import ConfigError
from sls_siem.service.encoding import encoder_settings
from tests.unit.siem.support import SLS


def test_a_key_whose_named_file_is_missing_is_not_taken_from_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    (tmp_path / "field-hash-key").write_text("another instance's key")
    fields = FieldsConfig(hash=("user",), hash_key_file=f"{tmp_path}/own-key")

    with pytest.raises(ConfigError) as caught:
        encoder_settings(Config(1, SLS, SiemConfig("hec"), fields=fields))

    assert caught.value.problems == (
        f"fields.hash: the secret field-hash-key is missing, {tmp_path}/own-key (fields.hash_key_file) does not exist, "
        "make one with `openssl rand -hex 32`",
    )
