"""When a shard's checkpoint is saved and compared: on the reader's thread, call by call, never without a lease."""

from __future__ import annotations

import logging
import time
from typing import Optional

from sls_siem.delivery.checkpoint import CheckpointSaver
from sls_siem.delivery.gate import LeaseView
from sls_siem.delivery.progress import Progress
from sls_siem.delivery.stop import Stop
from sls_siem.errors import NotOwnerError, SourceError
from sls_siem.health import Health, Pulse
from sls_siem.metrics import Metrics
from sls_siem.retry import Backoff

LOG = logging.getLogger(__name__)
COMPARE_S = 20.0
SUSPECT_COMPARE_S = 2.0
CALL_S = 30.0
LAST_WORD = Backoff(0.02, 1.0)
"""Pauses between the attempts to save what the drain settled; without jitter, as they are few."""


class CheckpointKeeper:
    """Keeps the stored checkpoint of one shard close behind its progress.

    Args:
        shard: shard id.
        saver: the shard's checkpoint.
        progress: says what is settled.
        lease: saves need it.
        stop: the shard's stop signal.
        pulse: the reader thread's sign of life.
        health: told about errors.
        metrics: told when it was saved.
    """

    def __init__(
        self,
        shard: int,
        saver: CheckpointSaver,
        progress: Progress,
        *,
        lease: LeaseView,
        stop: Stop,
        pulse: Pulse,
        health: Health,
        metrics: Metrics,
    ) -> None:
        self._shard = shard
        self._saver = saver
        self._progress = progress
        self._lease = lease
        self._stop = stop
        self._pulse = pulse
        self._health = health
        self._metrics = metrics
        self._failing = False
        self._next_compare_at = time.monotonic() + COMPARE_S

    def due_in(self) -> Optional[float]:
        """Seconds until a save is due; None when there is nothing to save, or no lease to save it by."""
        due = self._saver.due_in(self._progress.position)
        return due if due is None or self._lease.valid() else None

    def save_if_due(self, *, at_once: bool = False) -> None:
        """Save what is settled.

        Raises:
            NotOwnerError: the service says that the shard is not ours.
        """
        due = self.due_in()
        if due is None or (due > 0 and not at_once):
            return
        position = self._progress.position
        self._pulse.waiting(CALL_S, "saving the checkpoint")
        try:
            self._saver.save(position)
            self._failing = False
            self._metrics.last_checkpoint.labels(shard=str(self._shard)).set_to_current_time()
        except NotOwnerError:
            raise
        except SourceError as exc:
            self._save_failed(position, exc)
        finally:
            self._pulse.moved()

    def _save_failed(self, position: int, error: SourceError) -> None:
        level = logging.DEBUG if self._failing else logging.WARNING
        LOG.log(level, "shard %d: the checkpoint %d was not saved: %s", self._shard, position, error)
        self._failing = True
        self._health.error(str(error))

    def save_last_word(self) -> None:
        """Save what the drain settled; tried until the drain runs out, and once in any case."""
        failures = 0
        while not self._stop.dropped and self._saver.pending(self._progress.position):
            self.save_if_due(at_once=True)
            self._pulse.moved()
            if self._stop.over or not self._saver.pending(self._progress.position):
                break
            self._stop.wait(LAST_WORD.longest(failures))
            failures += 1

    def compare_if_due(self) -> None:
        """Look now and then whether somebody else moves the checkpoint.

        Raises:
            CheckpointMovedError: another process uses our consumer name.
        """
        now = time.monotonic()
        if now < self._next_compare_at:
            return
        self._next_compare_at = now + COMPARE_S
        self._pulse.waiting(CALL_S, "comparing the checkpoint")
        try:
            self._saver.compare()
        except SourceError as exc:
            LOG.debug("shard %d: the stored checkpoint was not compared: %s", self._shard, exc)
        finally:
            self._pulse.moved()
        if self._saver.suspicious:
            self._next_compare_at = now + SUSPECT_COMPARE_S
