"""What a lane still writes when the lease ends in the middle of a payload."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from sls_siem.errors import Stopped
from sls_siem.siem.stream_lane import StreamLane, StreamSettings
from tests.unit.siem.support import TestGate

FRAME = b"<14>1 - - - - - - " + b"x" * 1000 + b"\n"
COUNTED = b"%d " % len(FRAME) + FRAME
PIECE = 65536


class RoomyStream:
    """A connection that takes 64 KiB at a time, as TLS does; the lease ends within one of the writes."""

    half_closed, held_back = False, 0

    def __init__(self, gate: TestGate, closes_in: int) -> None:
        self._gate, self._closes_in = gate, closes_in
        self.writes: list[bytes] = []

    def write(self, view: memoryview) -> int:
        self.writes.append(bytes(view[:PIECE]))
        if len(self.writes) == self._closes_in:
            self._gate.stopped.set()
        return len(self.writes[-1])


@pytest.mark.parametrize(("framing", "frame"), [("lf", FRAME), ("octet-counting", COUNTED)])
@pytest.mark.parametrize("closes_in", [1, 3])
def test_behind_the_end_of_a_lease_only_the_frame_that_was_begun_is_written(framing, frame, closes_in) -> None:
    gate = TestGate()
    stream = RoomyStream(gate, closes_in)
    link = SimpleNamespace(stream=stream, look=lambda: None, abort=lambda: pytest.fail("in the middle of a frame"))
    lane = StreamLane(StreamSettings(framing, settle_s=5.0), link, clock=gate.clock, gate=gate)
    with pytest.raises(Stopped):
        lane.send(SimpleNamespace(data=frame * 1000), object())

    written = b"".join(stream.writes)
    assert len(written) % len(frame) == 0
    assert len(written) < closes_in * PIECE + len(frame)
