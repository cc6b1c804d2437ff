"""Every error this package raises, as one tree; a class exists only where a caller branches.

AgentError
├── ConfigError                     the operator must change a file (exit 78); carries every problem at once
├── SourceError                     SLS answered with an error, or could not be asked
│   ├── TransientSourceError        worth asking again, not before `retry_after_s`
│   ├── CredentialsRefusedError     401, unknown key, expired token, bad signature: hold and re-read the secret
│   ├── PermissionRefusedError      403 by RAM policy: hold
│   ├── NotFoundError               project, logstore, consumer group or shard does not exist
│   ├── QuotaExceededError          the logstore has no room for another consumer group
│   ├── CursorInvalidError          the position asked for is not one of this shard
│   └── NotOwnerError               the service says that another consumer, or none, owns the shard
└── CodecError                      a log group that cannot be walked; carries its index in the batch

Stopped (a signal to unwind, not an AgentError) ends a blocking call whose owner was told to stop
└── Rerouted                        the way out was replaced by a reload: what is not settled goes to the new one
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional


class AgentError(Exception):
    """Base of everything this package raises on purpose; the message says what failed, the value, what to do."""


class ConfigError(AgentError):
    """The configuration cannot be used.

    Args:
        problems: every problem found, each one line `FILE: KEY: what is wrong, the value, what would be right`.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class SourceError(AgentError):
    """SLS answered with an error or could not be asked.

    Args:
        message: what failed, with the value, and what to do.
        code: the service's `errorCode`, empty when there was no answer.
        status: HTTP status, 0 when there was no answer.
        request_id: the service's `x-log-requestid`, to quote in a support ticket.
    """

    def __init__(self, message: str, *, code: str = "", status: int = 0, request_id: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.request_id = request_id


class TransientSourceError(SourceError):
    """Worth asking again.

    Args:
        message: as in `SourceError`.
        retry_after_s: do not ask again before that many seconds; None leaves it to the caller's backoff.
        code: as in `SourceError`.
        status: as in `SourceError`.
        request_id: as in `SourceError`.
    """

    def __init__(
        self,
        message: str,
        *,
        retry_after_s: Optional[float] = None,
        code: str = "",
        status: int = 0,
        request_id: str = "",
    ) -> None:
        super().__init__(message, code=code, status=status, request_id=request_id)
        self.retry_after_s = retry_after_s


class CredentialsRefusedError(SourceError):
    """The access key, token or signature was refused."""


class PermissionRefusedError(SourceError):
    """The RAM policy does not allow the call."""


class NotFoundError(SourceError):
    """The project, logstore, consumer group or shard does not exist."""


class QuotaExceededError(SourceError):
    """The logstore already has as many consumer groups as the service allows."""


class CursorInvalidError(SourceError):
    """The position is not one of this shard."""


class NotOwnerError(SourceError):
    """Another consumer, or none, owns the shard."""


class CodecError(AgentError):
    """A log group cannot be walked or encoded.

    Args:
        message: what is wrong with its bytes.
        group_index: place of the group in the batch, counted from 0; -1 when the list itself is broken.
    """

    def __init__(self, message: str, *, group_index: int = -1) -> None:
        super().__init__(message)
        self.group_index = group_index


class Stopped(Exception):  # noqa: N818 - a signal to unwind, not an error
    """The owner of this thread wants it to end; nothing was lost, nothing more may be sent."""


class Rerouted(Stopped):
    """What is waited for here is out of date: another output is in force, and what was not settled goes there."""
