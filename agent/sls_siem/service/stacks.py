"""What every thread is doing, as texts for the log: one a thread, the innermost call first.

Not `faulthandler.dump_traceback`: that writes to stderr itself and waits for ever where nobody reads it.
"""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Iterator
from pathlib import PurePath


def stacks() -> Iterator[str]:
    """Tell the stack of each thread; no value of a variable, no source line."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    for number, frame in sys._current_frames().items():  # noqa: SLF001 - documented, "for specialized purposes"
        calls = (
            f"{PurePath(call.f_code.co_filename).name}:{line} in {call.f_code.co_name}"
            for call, line in traceback.walk_stack(frame)
        )
        yield f"{names.get(number, f'thread {number}')}: {' < '.join(calls)}"
