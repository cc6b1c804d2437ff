from __future__ import annotations

import io
import logging
import os
import threading
import time

import pytest

from sls_siem.service.logs import QUEUED_LINES, LineHandler, printable


@pytest.fixture
def logger():
    made = logging.getLogger("test-lines")
    made.propagate = False
    made.setLevel(logging.DEBUG)
    yield made
    made.handlers.clear()


def handler_to(stream, *, journal: bool = True, redact=lambda text: text, dropped=lambda: None) -> LineHandler:
    return LineHandler(stream, journal=journal, redact=redact, dropped=dropped)


def lines_of(logger, handler, stream, say) -> list[str]:
    logger.addHandler(handler)
    say(logger)
    handler.close()
    return stream.getvalue().splitlines()


def test_each_line_carries_its_priority_for_the_journal(logger) -> None:
    stream = io.StringIO()

    def say(log: logging.Logger) -> None:
        log.debug("d")
        log.info("i")
        log.warning("w")
        log.error("e")

    assert ["<7>d", "<6>i", "<4>w", "<3>e"] == lines_of(logger, handler_to(stream), stream, say)


def test_nothing_in_a_message_can_end_the_line_or_reach_the_terminal() -> None:
    stream = io.StringIO()
    hostile = "a\nb\r\x1b[31m\x00\x9b\u2028c\ud800"
    handler = handler_to(stream)
    handler.emit(logging.LogRecord("test-lines", logging.INFO, "file", 1, "%s", (hostile,), None))
    handler.close()

    assert ["<6>a\\x0ab\\x0d\\x1b[31m\\x00\\x9b\\x2028c\\xd800"] == stream.getvalue().splitlines()


def test_secrets_are_taken_out_even_of_a_traceback(logger) -> None:
    stream = io.StringIO()

    def say(log: logging.Logger) -> None:
        try:
            raise ValueError("token s3cret")
        except ValueError:
            log.exception("failed with s3cret")

    text = "\n".join(
        lines_of(logger, handler_to(stream, redact=lambda line: line.replace("s3cret", "***")), stream, say)
    )
    assert "s3cret" not in text
    assert "ValueError: token ***" in text


def test_a_message_that_does_not_fit_its_arguments_does_not_raise() -> None:
    stream = io.StringIO()
    handler = handler_to(stream)
    handler.emit(logging.LogRecord("test-lines", logging.INFO, "file", 1, "%d", ("no number",), None))
    handler.close()

    assert ["<4>unformattable log record of test-lines"] == stream.getvalue().splitlines()


def test_a_pipe_that_nobody_reads_costs_lines_but_never_time(logger) -> None:
    read_end, write_end = os.pipe()
    dropped: list[int] = []
    stream = os.fdopen(write_end, "w")
    logger.addHandler(handler_to(stream, dropped=lambda: dropped.append(1)))
    started = time.monotonic()
    for _ in range(QUEUED_LINES + 300):
        logger.info("x" * 1000)

    assert time.monotonic() - started < 5
    assert dropped
    drain = threading.Thread(target=lambda: [None for _ in iter(lambda: os.read(read_end, 65536), b"")])
    drain.start()
    logger.handlers[0].close()
    stream.close()
    drain.join(5)
    os.close(read_end)


def test_outside_systemd_a_line_carries_the_time(logger) -> None:
    stream = io.StringIO()
    lines = lines_of(logger, handler_to(stream, journal=False), stream, lambda log: log.info("hello"))

    assert lines[0].endswith(" INFO    hello")


def test_printable_text_stays_as_it_is() -> None:
    assert "grüße 你好 🙂" == printable("grüße 你好 🙂")
