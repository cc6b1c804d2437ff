"""What becomes of an event that the SIEM will never take: a durable dead letter, or a shard that holds."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Optional

from sls_siem.dead_letter import DeadLetter, DeadLetterError, DeadLetters
from sls_siem.delivery.gate import Pause
from sls_siem.health import Health, Pulse
from sls_siem.metrics import Metrics

LOG = logging.getLogger(__name__)
HOLD_LOOK_S = 5.0
SLOW_WRITE_S = 10.0
LONGEST_WRITE_S = 24 * 3600.0


class RejectPolicy:
    """Applies `delivery.on_reject` for one shard's sender thread.

    Args:
        letters: the instance's dead letters; None means `on_reject = "hold"`.
        who: how `status` names the shard.
        pause: waits.
        pulse: the sender thread's sign of life.
        health: told while the shard holds.
        metrics: counts the letters.
        written: told each letter once it is durable.
    """

    def __init__(
        self,
        letters: Optional[DeadLetters],
        *,
        who: str,
        pause: Pause,
        pulse: Pulse,
        health: Health,
        metrics: Metrics,
        written: Callable[[DeadLetter], None],
    ) -> None:
        self._letters = letters
        self._who = who
        self._pause = pause
        self._pulse = pulse
        self._health = health
        self._metrics = metrics
        self._written = written

    def give_up(self, letter: DeadLetter) -> None:
        """Return once the letter is durable; hold for as long as it cannot be, or may not be given up.

        Raises:
            Stopped: the shard ends, or the way out was replaced; the event is not settled.
        """
        if self._letters is None:
            self._hold_for_ever(letter)
        while not self._write(letter):
            self._wait()
        self._metrics.dead_letters.labels(reason=letter.reason).inc()
        LOG.warning("event %s became a dead letter, %s: %s", letter.event_id, letter.reason, letter.answer)
        self._written(letter)

    def _hold_for_ever(self, letter: DeadLetter) -> None:
        why = f"the SIEM refuses event {letter.event_id} ({letter.reason}: {letter.answer}) and on_reject is hold"
        LOG.error("%s: %s", self._who, why)
        while True:
            self._health.hold(self._who, why)
            self._wait()

    def _write(self, letter: DeadLetter) -> bool:
        assert self._letters is not None
        slow = threading.Timer(SLOW_WRITE_S, self._health.hold, (self._who, "a dead letter takes long to be written"))
        slow.daemon = True
        slow.start()
        self._pulse.waiting(LONGEST_WRITE_S, "writing a dead letter")
        try:
            self._letters.append(letter)
        except DeadLetterError as exc:
            self._health.hold(self._who, str(exc))
            self._health.error(str(exc))
            LOG.error("%s: %s", self._who, exc)
            return False
        finally:
            slow.cancel()
            self._pulse.moved()
        return True

    def _wait(self) -> None:
        self._pulse.waiting(HOLD_LOOK_S, "holding at a refused event")
        self._pause.wait(HOLD_LOOK_S)
