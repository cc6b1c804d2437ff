"""The way into the service for everything above: from the configuration to one session per thread."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Optional
from urllib.parse import quote

from sls_siem.config import SlsConfig
from sls_siem.errors import ConfigError
from sls_siem.net.http import HttpConnection
from sls_siem.net.tls import ClientContext, TlsFileError, client_context
from sls_siem.sls.credentials import CredentialSource
from sls_siem.sls.decompress import zstd_available
from sls_siem.sls.endpoint import endpoint_for
from sls_siem.sls.exchange import Exchanger
from sls_siem.sls.session import Session
from sls_siem.version import __version__

CONNECT_S = 5.0


class SlsClient:
    """Opens sessions; thread-safe.

    Args:
        config: table `[sls]`.
        credentials: whose key signs.
        user_agent: how the calls name us; None for name, version, consumer group and consumer.

    Raises:
        ConfigError: the CA file or the proxy cannot be used, or zstd is not there.
    """

    def __init__(self, config: SlsConfig, credentials: CredentialSource, *, user_agent: Optional[str] = None) -> None:
        if config.compression == "zstd" and not zstd_available():
            needed = "the compiled codec (package sls-siem-codec) or Python 3.14"
            raise ConfigError([f"sls.compression: 'zstd' needs {needed}, and neither is here: use 'lz4'"])
        self._config = config
        self._credentials = credentials
        self._user_agent = _default_user_agent(config) if user_agent is None else user_agent
        self._endpoint = endpoint_for(config.endpoint, config.project)
        self._tls = self._read_tls()
        self._connection()  # a proxy that cannot be used shows now

    def reload(self) -> None:
        """Read the CA file again; every connection that is opened from now on goes by it.

        Raises:
            ConfigError: it cannot be used; the authorities stay as they were.
        """
        self._tls = self._read_tls()

    def session(self, *, before_call: Callable[[], None] = lambda: None) -> Session:
        """Make a session for one thread; it connects on first use.

        Args:
            before_call: told of each call that starts, so that the thread can announce it to the watchdog.
        """
        exchanger = Exchanger(
            self._connection(),
            host=self._endpoint.host,
            region=self._config.region,
            credentials=self._credentials,
            user_agent=self._user_agent,
            before_call=before_call,
        )
        return Session(self._config, exchanger)

    def _read_tls(self) -> Optional[ssl.SSLContext]:
        return _tls_context(self._config) if self._endpoint.url.startswith("https:") else None

    def _tls_now(self) -> ssl.SSLContext:
        assert self._tls is not None
        return self._tls

    def _connection(self) -> HttpConnection:
        try:
            return HttpConnection(
                self._endpoint.url, tls=self._tls_now, proxy=self._config.proxy, connect_timeout_s=CONNECT_S
            )
        except ValueError as exc:
            raise ConfigError([f"sls.proxy or sls.endpoint: cannot be used, what would be right is {exc}"]) from exc


def _tls_context(config: SlsConfig) -> ClientContext:
    try:
        return client_context(ca_file=config.ca_file)
    except TlsFileError as exc:
        raise ConfigError([f"sls.{exc.argument}: {exc.path} {exc.wrong}"]) from exc


def _default_user_agent(config: SlsConfig) -> str:
    consumer = quote(f"{config.consumer_group}-{config.consumer_name}", safe="{}")
    return f"sls-siem-agent/{__version__} consumergroup-{consumer}"
