from __future__ import annotations

import io
import logging
import os
import socket
import threading

import pytest

from sls_siem.service.journal import Journal, journal_behind
from sls_siem.service.logs import LineHandler


@pytest.fixture
def listener(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.bind(str(tmp_path / "socket"))
        made.settimeout(5)
        yield made


def path_of(listener: socket.socket) -> str:
    return listener.getsockname()


def handler_to(stream: io.StringIO, journal: Journal) -> LineHandler:
    return LineHandler(stream, journal=True, redact=lambda text: text, dropped=lambda: None, fields=journal)


def record(text: str) -> logging.LogRecord:
    return logging.LogRecord("test", logging.WARNING, "file", 1, text, (), None)


def test_a_line_reaches_the_journal_with_priority_identifier_and_shard(listener) -> None:
    handler = handler_to(io.StringIO(), Journal("sls-siem-3", path_of(listener)))
    handler.emit(record("shard 7: away\nfor long"))
    handler.close()

    expected = b"MESSAGE=shard 7: away\\x0afor long\nPRIORITY=4\nSYSLOG_IDENTIFIER=sls-siem-3\nSLS_SHARD=7\n"
    assert expected == listener.recv(4096)


def test_a_line_of_a_shards_own_thread_needs_not_name_it(listener) -> None:
    handler = handler_to(io.StringIO(), Journal("sls-siem-3", path_of(listener)))
    thread = threading.Thread(target=lambda: handler.emit(record("away")), name="shard-12-reader")
    thread.start()
    thread.join()
    handler.close()

    assert b"SLS_SHARD=12\n" in listener.recv(4096)


def test_a_journal_that_takes_nothing_leaves_the_line_to_the_stream(listener) -> None:
    stream = io.StringIO()
    handler = handler_to(stream, Journal("sls-siem-3", path_of(listener)))
    listener.close()
    handler.emit(record("heartbeat: away"))
    handler.close()

    assert "<4>heartbeat: away\n" == stream.getvalue()


def test_only_a_descriptor_that_leads_to_the_journal_is_one(listener, monkeypatch) -> None:
    read_end, write_end = os.pipe()
    found = os.fstat(write_end)
    monkeypatch.setenv("JOURNAL_STREAM", "1:2")

    assert journal_behind(write_end, "x", path_of(listener)) is None
    monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino}")
    journal = journal_behind(write_end, "x", path_of(listener))
    assert journal is not None
    journal.close()
    assert journal_behind(write_end, "x", "/nowhere") is None
    os.close(read_end)
    os.close(write_end)
