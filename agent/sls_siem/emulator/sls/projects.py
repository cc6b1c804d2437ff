"""All logstores of the emulator, by project and name."""

from __future__ import annotations

import threading

from sls_siem.emulator.sls.clock import Clock
from sls_siem.emulator.sls.refusal import RefusalError
from sls_siem.emulator.sls.store import Logstore, Positions


class Projects:
    """The projects, each a set of logstores; a project exists from its first logstore on."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._positions = Positions()
        self._lock = threading.Lock()
        self._stores: dict[tuple[str, str], Logstore] = {}

    def create(
        self, project: str, name: str, *, shards: int = 1, ttl_days: int = 30, keep_trimmed: bool = True
    ) -> Logstore:
        """Make a logstore; one of that name is replaced, and its cursors mean nothing to the new one."""
        if shards < 1:
            raise ValueError(f"a logstore has at least one shard, not {shards}")
        store = Logstore(
            project,
            name,
            shards=shards,
            ttl_days=ttl_days,
            clock=self._clock,
            positions=self._positions,
            keep_trimmed=keep_trimmed,
        )
        with self._lock:
            self._stores[project, name] = store
        return store

    def delete(self, project: str, name: str) -> None:
        with self._lock:
            self._stores.pop((project, name), None)

    def find(self, project: str, name: str) -> Logstore:
        """Find a logstore.

        Raises:
            RefusalError: `ProjectNotExist` or `LogStoreNotExist`.
        """
        self.check(project)
        store = self._stores.get((project, name))
        if store is None:
            raise RefusalError(404, "LogStoreNotExist", f"logstore {name} does not exist")
        return store

    def check(self, project: str) -> list[str]:
        """List the logstores of a project.

        Raises:
            RefusalError: `ProjectNotExist`.
        """
        with self._lock:
            names = sorted(name for owner, name in self._stores if owner == project)
        if not names:
            raise RefusalError(404, "ProjectNotExist", f"the project does not exist: {project}")
        return names

    def all(self) -> list[Logstore]:
        with self._lock:
            return list(self._stores.values())
