"""CEF and LEEF through real rsyslog and syslog-ng: what comes out is read by strict parsers of the vendors' formats.

More than 10,000 logs each way, half of them hostile: with the header of RFC 5424, and with that of RFC 3164 as the
profiles for ArcSight and QRadar send it, without a tag. A receiver then takes `CEF` or `LEEF` for the tag, as the
vendors mean it.
"""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Union

import pytest

from tests.receivers import Received, ReceiverSettings, Rsyslog, SyslogNg, require
from tests.receivers.conversation import Exchange, converse, deliver
from tests.receivers.syslog_ng import reads_hostname
from tests.receivers.traffic import Recipe, Traffic, configuration, encode, make_traffic, members
from tests.unit.codec.vendor_formats import parse_cef, parse_leef

pytestmark = pytest.mark.contract

Receiver = Union[Rsyslog, SyslogNg]
WAYS = [
    ("rsyslog", Recipe(format="leef")),
    ("rsyslog", Recipe(format="cef", framing="lf")),
    ("syslog-ng", Recipe(format="cef")),
    ("syslog-ng", Recipe(format="leef", framing="lf")),
]


def started(name: str, folder: Path, recipe: Recipe) -> Receiver:
    settings = ReceiverSettings(framing=recipe.framing, rfc=recipe.rfc, window=2_000)
    make = Rsyslog if name == "rsyslog" else SyslogNg
    return make(require(name), settings, folder / name)


def label(value: Union[str, Recipe]) -> str:
    return value if isinstance(value, str) else f"{value.format}-{value.framing}"


def read_back(exchange: Exchange, recipe: Recipe) -> None:
    """Read the message as the SIEM does, and find the whole log in it."""
    wanted = members(exchange.sent, with_id=False)
    if recipe.format == "cef":
        event = parse_cef(exchange.received.msg)

        assert event.fields["externalId"] == exchange.sent.event_id
        assert json.loads(event.fields["msg"], object_pairs_hook=list) == wanted
        return
    found = [value for _, value in parse_leef(exchange.received.msg).pairs[2:]]

    assert found == [re.sub(r"[\t\r\n\0]", " ", str(value)) for _, value in wanted]


@pytest.mark.parametrize(("name", "recipe"), WAYS, ids=label)
def test_every_log_is_read_back_by_a_strict_parser(name: str, recipe: Recipe, tmp_path: Path) -> None:
    with started(name, tmp_path, recipe) as receiver:
        exchanges = converse(receiver, recipe, make_traffic(), tmp_path)
    if name == "syslog-ng":  # it wraps messages whose host name it does not like
        exchanges = [exchange for exchange in exchanges if reads_hostname(exchange.expected.hostname)]

    assert len(exchanges) > 10_000
    for exchange in exchanges:
        read_back(exchange, recipe)


def tagless(receiver: Receiver, recipe: Recipe, traffic: Traffic, folder: Path) -> list[Received]:
    config = configuration(receiver.url, recipe, folder)
    config = dataclasses.replace(config, syslog=dataclasses.replace(config.syslog, app_name="-", procid="-"))
    _, payloads = encode(config, traffic)
    deliver(config, payloads)
    return list(receiver.received(len(traffic.sent)))


@pytest.mark.parametrize(("name", "form"), [("rsyslog", "cef"), ("syslog-ng", "leef")])
def test_without_a_tag_the_host_is_found_and_the_format_is_the_tag(name: str, form: str, tmp_path: Path) -> None:
    recipe = Recipe(format=form, rfc=3164, framing="lf")
    traffic = make_traffic(recent=True)
    with started(name, tmp_path, recipe) as receiver:
        received = tagless(receiver, recipe, traffic, tmp_path)

    assert len(received) == len(traffic.sent) > 10_000
    for message, sent in zip(received, traffic.sent):
        whole = message.app_name + b":" + message.msg
        event = (parse_cef if form == "cef" else parse_leef)(whole)

        assert message.hostname == b"web-1.example.com"
        assert event.fields["externalId" if form == "cef" else "sls_id"] == sent.event_id
