"""What every source of an access key has in common: the key itself, and how it is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Protocol

from sls_siem.config.secrets import Secret, redact

RELOAD_COMMAND = "systemctl reload 'sls-siem@*'"


@dataclass(frozen=True)
class Credentials:
    """An access key, with the STS token that belongs to it when it is a temporary one."""

    access_key_id: Secret
    access_key_secret: Secret
    token: Optional[Secret] = None

    def hide(self, text: str) -> str:
        """Take every part of the key out of a text that came from outside."""
        return redact(text, (self.access_key_id, self.access_key_secret, self.token))


class CredentialSource(Protocol):
    """Where the access key comes from; thread-safe."""

    def current(self) -> Credentials:
        """Give the key in force.

        Raises:
            CredentialsRefusedError: there is none; the message says where it was looked for.
        """
        ...

    def refused(self, credentials: Credentials) -> bool:
        """Learn that the service refused a key; True when another one is in force by now, worth asking with at once."""
        ...

    def reload(self) -> None:
        """Read again before the next call."""
        ...
