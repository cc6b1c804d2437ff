"""Whose key signs the calls, and when it is looked up anew.

A source hands out the key in force; it reads again after `reload` (SIGHUP) and after a refusal, so that a rotation
needs no restart. It knows no call and no signature.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from typing import Optional

from sls_siem.config import CredentialsConfig
from sls_siem.config.secrets import (
    ACCESS_KEY_ID,
    ACCESS_KEY_SECRET,
    SECURITY_TOKEN,
    Secret,
    find_secret,
    where_to_store,
    why_absent,
)
from sls_siem.errors import ConfigError, CredentialsRefusedError
from sls_siem.sls.credentials_file import FileSource
from sls_siem.sls.ecs_metadata import METADATA_URL, RamRoleSource
from sls_siem.sls.keys import RELOAD_COMMAND, Credentials, CredentialSource

__all__ = ["RELOAD_COMMAND", "AccessKeySource", "CredentialSource", "Credentials", "credential_source"]

METADATA_VARIABLE = "SLS_SIEM_TEST_METADATA_URL"


class AccessKeySource:
    """An access key kept by the operator as files or environment variables (`config.secrets` has the places).

    Args:
        config: a file that it names is the only place of its secret.
        environ: the environment.
    """

    def __init__(self, config: CredentialsConfig, *, environ: Mapping[str, str]) -> None:
        self._files = {
            ACCESS_KEY_ID: config.access_key_id_file,
            ACCESS_KEY_SECRET: config.access_key_secret_file,
            SECURITY_TOKEN: config.security_token_file,
        }
        self._environ = environ
        self._lock = threading.Lock()
        self._known: Optional[Credentials] = None

    def current(self) -> Credentials:
        """See `CredentialSource`."""
        with self._lock:
            if self._known is None:
                self._known = self._read()
            return self._known

    def refused(self, credentials: Credentials) -> bool:
        """See `CredentialSource`."""
        with self._lock:
            if self._known == credentials:
                self._known = None
        try:
            return self.current() != credentials
        except CredentialsRefusedError:
            return False

    def reload(self) -> None:
        """See `CredentialSource`."""
        with self._lock:
            self._known = None

    def _read(self) -> Credentials:
        key_id, secret = self._find(ACCESS_KEY_ID), self._find(ACCESS_KEY_SECRET)
        missing = [name for name, found in ((ACCESS_KEY_ID, key_id), (ACCESS_KEY_SECRET, secret)) if found is None]
        if key_id is None or secret is None:
            stores = " and ".join(where_to_store(name, self._files[name]) for name in missing)
            raise CredentialsRefusedError(
                f"no access key for SLS: {'; '.join(map(self._searched, missing))}. Store it in {stores}, "
                f"then: {RELOAD_COMMAND}"
            )
        return Credentials(key_id, secret, self._find(SECURITY_TOKEN))

    def _find(self, name: str) -> Optional[Secret]:
        return find_secret(name, file=self._files[name], environ=self._environ)

    def _searched(self, name: str) -> str:
        return f"{name} not found, {why_absent(name, file=self._files[name], environ=self._environ)}"


def credential_source(config: CredentialsConfig, *, environ: Optional[Mapping[str, str]] = None) -> CredentialSource:
    """Make the source that the configuration asks for; nothing is read yet.

    Args:
        config: table `[sls.credentials]`.
        environ: the environment; None for this process's.

    Raises:
        ConfigError: the address for tests is none.
    """
    environ = os.environ if environ is None else environ
    if config.source == "file":
        return FileSource(config.file or "")
    if config.source == "ecs-ram-role":
        return RamRoleSource(config.ram_role, url=_metadata_url(environ) or METADATA_URL)
    return AccessKeySource(config, environ=environ)


def _metadata_url(environ: Mapping[str, str]) -> str:
    """Where a test has its metadata service: on loopback only, so that the variable can lead no key elsewhere.

    Raises:
        ConfigError: it is somewhere else.
    """
    url = environ.get(METADATA_VARIABLE, "")
    if url and not url.startswith(("http://127.0.0.1:", "http://[::1]:")):
        raise ConfigError([f"{METADATA_VARIABLE}: is for tests and takes only an address on loopback: unset it"])
    return url
