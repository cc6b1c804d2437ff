"""What is allowed but should not go unsaid: secrets that are missing, peers that are not encrypted or not verified.

`sls-siem check` prints it, and `run` logs it at its start; nothing here stops the agent.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from sls_siem.config.model import Config
from sls_siem.config.secrets import (
    ACCESS_KEY_ID,
    ACCESS_KEY_SECRET,
    FIELD_HASH_KEY,
    HEC_TOKEN,
    SECURITY_TOKEN,
    SYSTEM_FOLDER,
    TLS_CLIENT_KEY,
    find_secret,
    why_absent,
)

_ENCRYPTED: Mapping[str, str] = {"tcp": "tls", "udp": "tls", "relp": "relp+tls"}
"""Schemes of syslog without encryption, and what to use in their place."""


@dataclass(frozen=True)
class WantedSecret:
    """A secret that the configuration cannot work without.

    Args:
        name: such as `hec-token`.
        file: the value of the key's `*_file`, when set.
    """

    name: str
    file: Optional[str]


def wanted_secrets(config: Config) -> tuple[WantedSecret, ...]:
    """List the secrets that the configuration cannot work without."""
    wanted = []
    credentials = config.sls.credentials
    if credentials.source == "access-key":
        wanted.append(WantedSecret(ACCESS_KEY_ID, credentials.access_key_id_file))
        wanted.append(WantedSecret(ACCESS_KEY_SECRET, credentials.access_key_secret_file))
        if credentials.security_token_file is not None:
            wanted.append(WantedSecret(SECURITY_TOKEN, credentials.security_token_file))
    if config.siem.output == "hec":
        wanted.append(WantedSecret(HEC_TOKEN, config.hec.token_file))
    if config.tls.cert_file is not None and (config.tls.key_file is not None or not _holds_key(config.tls.cert_file)):
        wanted.append(WantedSecret(TLS_CLIENT_KEY, config.tls.key_file))
    if config.fields.hash:
        wanted.append(WantedSecret(FIELD_HASH_KEY, config.fields.hash_key_file))
    return tuple(wanted)


def missing_secrets(
    config: Config, environ: Mapping[str, str], *, system_folder: Path = SYSTEM_FOLDER
) -> tuple[WantedSecret, ...]:
    """List those of `wanted_secrets` that are nowhere; arguments as in `warnings_for`."""
    return tuple(
        wanted
        for wanted in wanted_secrets(config)
        if find_secret(wanted.name, file=wanted.file, environ=environ, system_folder=system_folder) is None
    )


def _holds_key(cert_file: str) -> bool:
    """Tell whether the certificate's private key is in the same file."""
    with contextlib.suppress(OSError):
        return b"PRIVATE KEY-----" in Path(cert_file).read_bytes()
    return False


def warnings_for(
    config: Config, environ: Mapping[str, str], *, system_folder: Path = SYSTEM_FOLDER, access_key: bool = True
) -> tuple[str, ...]:
    """Name what is allowed but should be known, one line each; an empty tuple when all is well.

    Args:
        config: the configuration.
        environ: environment variables, where secrets may be.
        system_folder: of the secrets.
        access_key: also name a missing access key, which the first call to SLS names by itself.
    """
    missing = (
        f"secret {wanted.name}: not found, "
        + why_absent(wanted.name, file=wanted.file, environ=environ, system_folder=system_folder)
        for wanted in missing_secrets(config, environ, system_folder=system_folder)
        if access_key or wanted.name not in (ACCESS_KEY_ID, ACCESS_KEY_SECRET)
    )
    return (*missing, *_weak_peers(config), *config.remarks)


def _weak_peers(config: Config) -> list[str]:
    lines = []
    if config.siem.output == "hec":
        plain = [(f"hec.urls: {url}", "https") for url in config.hec.urls if url.startswith("http://")]
    else:
        plain = [
            (f"syslog.urls: {url}", _ENCRYPTED[url.partition("://")[0]])
            for url in config.syslog.urls
            if url.partition("://")[0] in _ENCRYPTED
        ]
    lines += [f"{what}: logs travel unencrypted, use {better}:// where the SIEM offers it" for what, better in plain]
    if config.sls.endpoint.startswith("http://"):
        lines.append(f"sls.endpoint: {config.sls.endpoint}: logs travel unencrypted, use https:// outside tests")
    if not config.tls.verify:
        lines.append("tls.verify: false: whoever answers at the SIEM's address gets the logs and the token")
    return lines
