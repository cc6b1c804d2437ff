"""Takes known secrets out of every log line, whoever wrote it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Optional

from sls_siem.config import Config
from sls_siem.config.secrets import (
    ACCESS_KEY_ID,
    ACCESS_KEY_SECRET,
    FIELD_HASH_KEY,
    HEC_TOKEN,
    SECURITY_TOKEN,
    Secret,
    find_secret,
    redact,
)
from sls_siem.errors import AgentError


class Redactor:
    """Knows the secrets of the configuration in force.

    Args:
        config: names the files.
        environ: the process's environment.
    """

    def __init__(self, config: Config, environ: Mapping[str, str]) -> None:
        self._config = config
        self._environ = environ
        self._secrets: frozenset[Secret] = frozenset()
        self.refresh()

    def refresh(self, config: Optional[Config] = None) -> None:
        """Read the secrets again; earlier ones stay known, for they may still stand in a message."""
        self._config = config or self._config
        credentials = self._config.sls.credentials
        files = {
            ACCESS_KEY_ID: credentials.access_key_id_file,
            ACCESS_KEY_SECRET: credentials.access_key_secret_file,
            SECURITY_TOKEN: credentials.security_token_file,
            HEC_TOKEN: self._config.hec.token_file,
            FIELD_HASH_KEY: self._config.fields.hash_key_file,
        }
        found = set()
        for name, file in files.items():
            try:
                secret = find_secret(name, file=file, environ=self._environ)
            except AgentError:
                continue
            if secret is not None:
                found.add(secret)
        self._secrets |= found

    def __call__(self, text: str) -> str:
        """Replace every known secret in `text`."""
        return redact(text, self._secrets)
