"""Acting as the owner of the state directory, so that the agent can go on using its files."""

from __future__ import annotations

import os
from pathlib import Path

from sls_siem.errors import AgentError


def become_owner(directory: Path) -> None:
    """Give up root for the directory's owner; read every secret before.

    Raises:
        AgentError: the system refuses.
    """
    try:
        owner = directory.stat()
    except OSError:
        return
    if os.geteuid() == 0 and owner.st_uid != 0:
        try:
            os.setgroups([])
            os.setgid(owner.st_gid)
            os.setuid(owner.st_uid)
        except OSError as exc:
            raise AgentError(f"cannot act as the owner of {directory}: {exc}") from exc
