from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sls_siem.siem.frames import Frames, counted_messages

MESSAGES = st.lists(st.binary(min_size=1, max_size=30).map(lambda data: data.replace(b"\n", b" ")), max_size=20)


@given(MESSAGES, st.lists(st.integers(0, 700)), st.booleans())
def test_the_next_end_of_a_frame_is_found(messages: list[bytes], places: list[int], counted: bool) -> None:
    frames = [b"%d %b" % (len(each), each) if counted else each + b"\n" for each in messages]
    ends, data = [0], b"".join(frames)
    for frame in frames:
        ends.append(ends[-1] + len(frame))
    walk = Frames(data, "octet-counting" if counted else "lf")
    wanted = sorted(min(place, len(data)) for place in places)

    assert [walk.end_at_or_after(place) for place in wanted] == [min(e for e in ends if e >= p) for p in wanted]


@given(st.lists(st.binary(max_size=30)))
def test_counted_messages_come_back(messages: list[bytes]) -> None:
    data = b"".join(b"%d %b" % (len(each), each) for each in messages)

    assert list(counted_messages(data)) == messages
