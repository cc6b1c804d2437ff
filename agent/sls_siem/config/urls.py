"""Read the addresses of SLS and of the SIEM, and what an SLS address tells about its region.

It knows the forms of addresses, not how to connect.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Optional
from urllib.parse import urlsplit

SYSLOG_PORTS: Mapping[str, Optional[int]] = {
    # RFC 5425 section 4.1, RFC 5426 section 3.3; 514 is what receivers use for plain TCP, registered or not. RELP has
    # no port of its own.
    "tls": 6514,
    "tcp": 514,
    "udp": 514,
    "relp": None,
    "relp+tls": None,
}
"""Schemes of `syslog.url`, each with the port that a URL without one means."""

HTTP_PORTS: Mapping[str, Optional[int]] = {"https": 443, "http": 80}

ENCRYPTED_SCHEMES = frozenset({"https", "tls", "relp+tls"})

_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")

# Public and internal names of a region's service, Simple Log Service, "Endpoints":
# cn-hangzhou.log.aliyuncs.com, cn-hangzhou-intranet.log.aliyuncs.com.
_REGION = re.compile(r"([a-z]{2,}-[a-z0-9-]*?[a-z0-9])(?:-intranet|-internal|-share|-vpc)?\.(?:log|sls)\.aliyuncs\.com")


class UrlError(ValueError):
    """Not an address of the kind that is wanted; the message says why without showing the address."""


@dataclass(frozen=True)
class Address:
    """Where something listens.

    Args:
        scheme: lower case.
        host: name or IP address, lower case, IPv6 without brackets.
        port: 1 to 65535.
        explicit_port: the text named the port.
        user: user name and password, as `name:password`, percent-decoded by nobody; empty without any.
    """

    scheme: str
    host: str
    port: int
    explicit_port: bool = True
    user: str = ""

    @property
    def netloc(self) -> str:
        """Host and port as in a URL; the port only when it was given."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}" if self.explicit_port else host

    @property
    def url(self) -> str:
        """The address in its usual form, without user and password."""
        return f"{self.scheme}://{self.netloc}"


def parse_address(text: str, ports: Mapping[str, Optional[int]], *, user_allowed: bool = False) -> Address:
    """Read `scheme://host[:port]`.

    Args:
        text: the address; nothing but `/` may follow the port.
        ports: schemes that are wanted, each with its default port (None: the port must be given).
        user_allowed: accept `user:password@` in front of the host.

    Raises:
        UrlError: the text is something else.
    """
    scheme, separator, _ = text.partition("://")
    scheme = scheme.lower()
    if not separator or scheme not in ports:
        raise UrlError(f"does not start with {_alternatives([name + '://' for name in ports])}")
    if not re.fullmatch(r"[!-~]+", text):
        raise UrlError("holds a space or another character that no address has")
    try:
        parts = urlsplit(f"{scheme}{text[len(scheme) :]}")
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError as exc:
        raise UrlError("is no address (are brackets and port right?)") from exc
    user = parts.netloc.rpartition("@")[0]
    if user and not user_allowed:
        raise UrlError("holds a user name or password")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise UrlError("has more than a host and a port")
    _require_host(host)
    default = ports[scheme]
    if port is None and default is None:
        raise UrlError("has no port")
    if port == 0:
        raise UrlError("has port 0")
    return Address(scheme, host, port or default or 0, port is not None, user)


def parse_endpoint(text: str) -> Address:
    """Read `sls.endpoint`: a host, with https unless it says otherwise.

    Raises:
        UrlError: the text is something else.
    """
    return parse_address(text if "://" in text else f"https://{text}", HTTP_PORTS)


def is_host(text: str) -> bool:
    """Tell whether the text is a host name or an IP address (IPv6 without brackets)."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        labels = text.rstrip(".").split(".")
        # Four numbers that are no IPv4 address are a typing mistake, not a name.
        return len(text) <= 253 and all(map(_LABEL.fullmatch, labels)) and not labels[-1].isdecimal()
    return True


def region_of(host: str) -> Optional[str]:
    """Name the region that an SLS host belongs to, when its name tells."""
    match = _REGION.fullmatch(host.lower())
    return match.group(1) if match else None


def _require_host(host: str) -> None:
    if not host:
        raise UrlError("has no host")
    if not is_host(host):
        raise UrlError("has no valid host name or IP address")


def _alternatives(names: Sequence[str]) -> str:
    return " or ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
