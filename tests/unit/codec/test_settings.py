"""An encoder's settings are taken from the configuration, framing from the transport."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sls_siem.codec import (
    EncoderSettings,
    HecSettings,
    SeverityBy,
    SyslogSettings,
    codec_name,
    make_encoder,
    settings_from,
)
from sls_siem.config.model import Config, HecConfig, SeverityMap, SiemConfig, SlsConfig, SyslogConfig

SLS = SlsConfig(endpoint="https://cn-hangzhou.log.aliyuncs.com", project="p", logstore="store", consumer_group="g")


def test_hec_settings_are_those_of_the_file():
    config = Config(
        1,
        SLS,
        SiemConfig(output="hec", format="raw", json_fields=("a",), raw_field="r", event_id_field="id"),
        hec=HecConfig(index="i", source="s", sourcetype="t", host="h", batch_bytes=70_000),
    )

    assert settings_from(config, replay=True) == EncoderSettings(
        output="hec",
        project="p",
        logstore="store",
        format="raw",
        json_fields=("a",),
        raw_field="r",
        event_id_field="id",
        batch_bytes=70_000,
        replay=True,
        hec=HecSettings("h", "s", "t", "i"),
    )


def test_syslog_settings_are_those_of_the_file():
    config = Config(
        1,
        SLS,
        SiemConfig(output="syslog", format="kv"),
        syslog=SyslogConfig(
            urls=("tcp://127.0.0.1:514",),
            rfc=3164,
            framing="lf",
            facility="{f}",
            severity=SeverityMap("level", {"E": "err"}, "notice"),
            hostname="h",
            app_name="a",
            procid="p",
            msgid="m",
            structured_data="",
            max_bytes=1000,
            oversize="split",
            timezone="Asia/Shanghai",
        ),
    )

    assert settings_from(config).syslog == SyslogSettings(
        rfc=3164,
        framing="lf",
        facility="{f}",
        severity=SeverityBy("level", {"E": "err"}, "notice"),
        hostname="h",
        app_name="a",
        procid="p",
        msgid="m",
        structured_data="",
        max_bytes=1000,
        oversize="split",
        timezone="Asia/Shanghai",
    )


@pytest.mark.parametrize(
    ("url", "configured", "framing"),
    [
        ("tls://h:6514", "octet-counting", "octet-counting"),
        ("tcp://h:514", "lf", "lf"),
        ("udp://h:514", "none", "datagram"),
        ("relp://h:2514", "none", "relp"),
        ("relp+tls://h:2514", "none", "relp"),
    ],
)
def test_framing_follows_the_transport(url, configured, framing):
    config = Config(1, SLS, SiemConfig(output="syslog"), syslog=SyslogConfig(urls=(url,), framing=configured))

    assert settings_from(config).syslog.framing == framing
    assert settings_from(replace(config, syslog=replace(config.syslog, urls=(), url=url))).syslog.framing == framing


def test_defaults_make_an_encoder():
    for output in ("hec", "syslog"):
        assert make_encoder(settings_from(Config(1, SLS, SiemConfig(output=output)))).split(b"") == []


def test_the_codec_tells_its_name(monkeypatch):
    monkeypatch.setenv("SLS_SIEM_CODEC", "reference")

    assert codec_name() == "reference"
