"""The examples of docs/siem/cef-leef.md are what the codec writes."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

from sls_siem.codec import CefSettings, EncoderSettings, LeefSettings, SyslogSettings
from tests.unit.codec.building import group, log, one_piece

PAGE = Path(__file__).resolve().parents[3] / "docs" / "siem" / "cef-leef.md"


def test_the_examples_are_what_is_sent() -> None:
    text = PAGE.read_text(encoding="utf-8")
    (shown,) = re.findall(r"```json\n(.*?)\n```", text, re.DOTALL)
    examples = [found.replace("⇥", "\t") for found in re.findall(r"```text\n(.*?)\n```", text, re.DOTALL)]
    fields = json.loads(shown)
    time, topic = fields.pop("__time__"), fields.pop("__topic__").encode()
    one = group(log(*((name.encode(), value.encode()) for name, value in fields.items()), time=time), topic=topic)
    syslog = SyslogSettings(framing="relp", structured_data="", hostname="h")
    cef = EncoderSettings("syslog", "p", "s", format="cef", syslog=syslog)
    leef = replace(cef, format="leef")
    first = LeefSettings(format_version="1.0", fields=(("src", "addr"), ("usrName", "user")))
    settings = [
        cef,
        replace(cef, cef=CefSettings(fields=(("src", "addr"), ("suser", "user"), ("cs1", "note")))),
        leef,
        replace(leef, leef=first),
    ]

    assert examples == [one_piece(one_of, one).decode().partition(" h - - - - ")[2] for one_of in settings]
