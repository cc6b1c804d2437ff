"""The syslog receiver as configured: what its lanes share, and how one is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Optional

from sls_siem.config import Config
from sls_siem.net.tls import ClientContext
from sls_siem.siem.dialer import Dialer, certificate_ends
from sls_siem.siem.link import Link
from sls_siem.siem.output import EndpointState, Gate, Lane, ProbeResult
from sls_siem.siem.probe import probe_address
from sls_siem.siem.relp_lane import RelpLane, probe_relp
from sls_siem.siem.rotation import Rotation
from sls_siem.siem.stream_lane import StreamLane, StreamSettings
from sls_siem.siem.udp_lane import UdpLane, probe_datagrams


class SyslogOutput:
    """Implements `Output`.

    Args:
        config: the whole configuration.
        tls: context for `tls://` and `relp+tls://`.
        clock: seconds of a monotonic clock.
        random: numbers from 0 up to 1.
    """

    def __init__(
        self, config: Config, tls: Optional[ClientContext], clock: Callable[[], float], random: Callable[[], float]
    ) -> None:
        self._config = config
        self._tls = tls
        self._clock = clock
        self._scheme = config.syslog.urls[0].partition(":")[0]
        self._rotation = Rotation(config.syslog.urls, clock, random)

    def lane(self, shard: int, gate: Gate) -> Lane:  # noqa: ARG002 - every shard goes to the first address that works
        """Make the way for one shard."""
        syslog = self._config.syslog
        if self._scheme == "udp":
            return UdpLane(syslog.urls, self._rotation.attempts(), clock=self._clock, gate=gate)
        link = Link(self._rotation.attempts(), self._dialers(), gate)
        if self._scheme in ("relp", "relp+tls"):
            return RelpLane(link, clock=self._clock, gate=gate)
        settings = StreamSettings(syslog.framing, syslog.settle_s)
        return StreamLane(settings, link, clock=self._clock, gate=gate)

    def endpoints(self) -> tuple[EndpointState, ...]:
        """See `Output`."""
        return self._rotation.states()

    def certificate_ends(self) -> Mapping[str, float]:
        """See `Output`."""
        return certificate_ends(self._dialers(), self._tls)

    def probe(self, timeout_s: float) -> tuple[ProbeResult, ...]:
        """See `Output`."""
        urls = self._config.syslog.urls
        if self._scheme == "udp":
            return tuple(probe_datagrams(url, timeout_s) for url in urls)
        if self._scheme in ("relp", "relp+tls"):
            return tuple(probe_relp(dialer, timeout_s) for dialer in self._dialers())
        return tuple(probe_address(dialer, timeout_s) for dialer in self._dialers())

    def close(self) -> None:
        """See `Output`."""

    def _dialers(self) -> list[Dialer]:
        return [Dialer(url, self._tls, self._config.tls.server_name) for url in self._config.syslog.urls]
