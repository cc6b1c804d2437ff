"""Makes the output that the configuration asks for."""

from __future__ import annotations

import os
import random as random_source
import time
from collections.abc import Callable, Sequence
from typing import Optional

from sls_siem.config import Config
from sls_siem.config.secrets import TLS_CLIENT_KEY, find_secret_file, why_absent
from sls_siem.errors import ConfigError
from sls_siem.net.tls import ClientContext, TlsFileError, client_context
from sls_siem.siem.hec import HecOutput
from sls_siem.siem.output import Output
from sls_siem.siem.syslog import SyslogOutput


def make_output(
    config: Config,
    *,
    clock: Callable[[], float] = time.monotonic,
    random: Callable[[], float] = random_source.random,
) -> Output:
    """Make the output that the configuration asks for.

    Args:
        config: the whole configuration.
        clock: seconds of a monotonic clock.
        random: numbers from 0 up to 1, for the jitter of pauses.

    Raises:
        ConfigError: a file of `[tls]` cannot be used.
    """
    if config.siem.output == "hec":
        return HecOutput(config, tls_context(config, config.hec.urls), clock, random)
    return SyslogOutput(config, tls_context(config, config.syslog.urls), clock, random)


def tls_context(config: Config, urls: Sequence[str]) -> Optional[ClientContext]:
    """Make the TLS context for these addresses; None when none of them wants TLS.

    Raises:
        ConfigError: a file of `[tls]` cannot be used.
    """
    if not any(url.startswith(("https:", "tls:", "relp+tls:")) for url in urls):
        return None
    tls = config.tls
    key_file = None
    if tls.cert_file is not None:
        key_file = find_secret_file(TLS_CLIENT_KEY, file=tls.key_file, environ=os.environ)
        if key_file is None and tls.key_file is not None:
            why = why_absent(TLS_CLIENT_KEY, file=tls.key_file, environ=os.environ)
            raise ConfigError([f"tls.cert_file: its private key is missing, {why}"])
    try:
        return client_context(
            ca_file=tls.ca_file,
            cert_file=tls.cert_file,
            key_file=key_file,
            minimum=tls.minimum,
            verify=tls.verify,
        )
    except TlsFileError as exc:
        raise ConfigError([f"tls.{exc.argument}: {exc.path} {exc.wrong}"]) from exc
