"""The Splunk HTTP Event Collector as configured: what its lanes share, and how one is made."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Mapping
from typing import Optional

from sls_siem.config import Config
from sls_siem.config.secrets import HEC_TOKEN, find_secret
from sls_siem.config.template import Field, parse_template
from sls_siem.net.http import HttpConnection
from sls_siem.net.tls import ClientContext
from sls_siem.siem.dialer import Dialer, certificate_ends
from sls_siem.siem.hec_acks import AckBook
from sls_siem.siem.hec_lane import HecLane
from sls_siem.siem.hec_probe import probe_collector
from sls_siem.siem.hec_route import HecShared, Route, TokenSource
from sls_siem.siem.output import EndpointState, Gate, Lane, ProbeResult
from sls_siem.siem.rotation import Rotation


class HecOutput:
    """Implements `Output`.

    Args:
        config: the whole configuration.
        tls: context for https.
        clock: seconds of a monotonic clock.
        random: numbers from 0 up to 1.
    """

    def __init__(
        self, config: Config, tls: Optional[ClientContext], clock: Callable[[], float], random: Callable[[], float]
    ) -> None:
        self._config = config
        self._tls = tls
        self._numbers = itertools.count()
        hec = config.hec
        self._shared = HecShared(
            rotation=Rotation(hec.urls, clock, random),
            tokens=TokenSource(
                lambda: find_secret(HEC_TOKEN, file=hec.token_file, environ=os.environ), named_file=hec.token_file
            ),
            templated_index=any(isinstance(part, Field) for part in parse_template(hec.index)),
            clock=clock,
            random=random,
        )

    def lane(self, shard: int, gate: Gate) -> Lane:  # noqa: ARG002 - a lane's address comes from its number
        """Make the way for one shard; lanes start at the addresses in turn."""
        hec = self._config.hec
        routes = [self._route(url) for url in hec.urls]
        book = AckBook(len(routes), hec.ack_timeout_s, self._shared.clock) if hec.acknowledge else None
        return HecLane(self._shared, routes, book, first=next(self._numbers), gate=gate)

    def endpoints(self) -> tuple[EndpointState, ...]:
        """See `Output`."""
        return self._shared.rotation.states()

    def certificate_ends(self) -> Mapping[str, float]:
        """See `Output`."""
        return certificate_ends((self._dialer(url) for url in self._config.hec.urls), self._tls)

    def probe(self, timeout_s: float) -> tuple[ProbeResult, ...]:
        """See `Output`."""
        hec = self._config.hec
        return tuple(
            result
            for url in hec.urls
            for result in probe_collector(
                self._route(url), self._dialer(url), acknowledge=hec.acknowledge, timeout_s=timeout_s
            )
        )

    def close(self) -> None:
        """See `Output`."""

    def _route(self, url: str) -> Route:
        hec = self._config.hec
        connection = HttpConnection(url, tls=self._tls, server_name=self._config.tls.server_name)
        return Route(self._dialer(url), connection, self._shared.tokens, timeout_s=hec.timeout_s, compress=hec.gzip)

    def _dialer(self, url: str) -> Dialer:
        return Dialer(url, self._tls, self._config.tls.server_name)
