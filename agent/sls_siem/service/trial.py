"""What `run` would refuse although every key is right by itself: files that hold something else than they should.

It makes what `run` makes of them, and throws it away; nothing is connected to, and a secret that is missing is no
affair of this module.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from sls_siem.config import Config
from sls_siem.config.advice import missing_secrets
from sls_siem.config.secrets import FIELD_HASH_KEY, TLS_CLIENT_KEY
from sls_siem.errors import ConfigError
from sls_siem.service.encoding import encoder_settings
from sls_siem.siem import make_output
from sls_siem.sls.client import SlsClient
from sls_siem.sls.credentials import credential_source


def refusals(config: Config, path: Path, environ: Mapping[str, str]) -> tuple[str, ...]:
    """List the problems that only show when files are used, each as `FILE: KEY: what is wrong`.

    Args:
        config: as loaded.
        path: the main file, blamed for keys that no file gave.
        environ: the process's environment.
    """
    config = _without_missing(config, {secret.name for secret in missing_secrets(config, environ)})
    problems = []
    for attempt in (_open_source, _open_output, encoder_settings):
        try:
            attempt(config)
        except ConfigError as exc:
            problems += [f"{config.given_in.get(line.partition(':')[0], path)}: {line}" for line in exc.problems]
    return tuple(problems)


def _open_source(config: Config) -> None:
    SlsClient(config.sls, credential_source(config.sls.credentials))


def _open_output(config: Config) -> None:
    make_output(config).close()


def _without_missing(config: Config, names: set[str]) -> Config:
    """Leave out what cannot be tried without a secret that is not there."""
    if TLS_CLIENT_KEY in names:
        config = dataclasses.replace(config, tls=dataclasses.replace(config.tls, cert_file=None, key_file=None))
    if FIELD_HASH_KEY in names:
        config = dataclasses.replace(config, fields=dataclasses.replace(config.fields, hash=()))
    return config
