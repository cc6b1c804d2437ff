"""Where calls for a project go and under which name: the connection's address and the signed Host header."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Endpoint:
    """The two names of a project's service.

    Args:
        url: where to connect, `scheme://host[:port]`.
        host: value of the Host header, without a port, as the service's signatures take it.
    """

    url: str
    host: str


def endpoint_for(endpoint: str, project: str) -> Endpoint:
    """Work out where a project is served (SLS API reference, "Request URL").

    A region's endpoint serves each project under a name of its own, `<project>.<host>`. An IP address or `localhost`,
    which has no such names, is connected to as it is and told the project by the Host header alone.

    Args:
        endpoint: `scheme://host[:port]`.
        project: the project's name.
    """
    parts = urlsplit(endpoint)
    host = parts.hostname or ""
    shown = f"[{host}]" if ":" in host else host
    port = "" if parts.port is None else f":{parts.port}"
    named = shown if _has_no_projects(host) else f"{project}.{shown}"
    return Endpoint(f"{parts.scheme}://{named}{port}", f"{project}.{shown}")


def _has_no_projects(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return True
