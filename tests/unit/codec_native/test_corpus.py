"""A fixed corpus, kept in files, so that a change of either codec meets what was hard once.

`hostile-*` and the names of log services are what the emulator makes; `log-*`, `group-*` and `list-*` are malformed at
that level, with whole groups around; the others are well-formed and odd.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sls_siem.codec import EncoderSettings, HecSettings, SeverityBy, SyslogSettings
from sls_siem.codec.model import Batch
from tests.unit.codec_native.compare import assert_same, library

CORPUS = sorted(Path(__file__).with_name("corpus").glob("*.bin"))
HEC = EncoderSettings("hec", "project", "store", json_fields=("event", "a", "__topic__"))
SYSLOG = replace(HEC, output="syslog", batch_bytes=4000)
TINY = SyslogSettings(max_bytes=480, hostname="{__source__}/{__tag__:__hostname__}", app_name="{message}", framing="lf")
SETTINGS = {
    "hec": HEC,
    "hec, small payloads": replace(HEC, batch_bytes=2000, replay=True),
    "hec, kv, templates": replace(
        HEC, format="kv", hec=HecSettings("{message}", "{content}{__time__}", "{__topic__}", "{seq}")
    ),
    "hec, raw": replace(HEC, format="raw", raw_field="message", event_id_field=""),
    "syslog": replace(SYSLOG, syslog=SyslogSettings()),
    "syslog, truncated": replace(SYSLOG, syslog=TINY),
    "syslog, kv, truncated": replace(SYSLOG, format="kv", syslog=replace(TINY, structured_data="")),
    "syslog, split": replace(SYSLOG, syslog=replace(TINY, oversize="split", framing="octet-counting")),
    "syslog, raw, split": replace(SYSLOG, format="raw", syslog=replace(TINY, oversize="split", structured_data="")),
    "syslog, kv, datagrams": replace(
        SYSLOG, format="kv", syslog=replace(TINY, oversize="split", framing="datagram", procid="{seq}")
    ),
    "syslog, dead letters": replace(SYSLOG, syslog=replace(TINY, oversize="dead-letter", framing="relp")),
    "rfc 3164": replace(
        SYSLOG,
        replay=True,
        syslog=SyslogSettings(
            rfc=3164, framing="lf", timezone="Europe/Dublin", severity=SeverityBy("seq", {"1": "err"}), procid="{seq}"
        ),
    ),
}


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_corpus_is_encoded_alike(path):
    library()
    body = path.read_bytes()
    groups = body.count(b"\x1a\x01t") if path.stem.startswith(("log-", "group-", "list-")) else 6
    for settings in SETTINGS.values():
        for regrouped in (False, True):
            batch = Batch(0, 5, 5 + groups, groups, body, regrouped)
            assert_same(settings, batch)
            assert_same(settings, replace(batch, regrouped=True, skip=2, limit=3))
            # The number of groups that is right, whatever it is.
            for number in range(10) if len(body) < 1000 else ():
                assert_same(settings, replace(batch, groups=number, next_position=5 + number))


def test_the_corpus_is_there():
    assert len(CORPUS) >= 50
