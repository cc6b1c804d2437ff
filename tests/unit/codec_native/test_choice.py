"""Which codec is used: the compiled one where it is installed and fits, another only where the environment says so."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import ModuleType

import pytest

from sls_siem.codec import (
    EncoderSettings,
    SyslogSettings,
    codec_name,
    compiled,
    count_events,
    factory,
    group_sizes,
    make_encoder,
    make_reference_encoder,
)
from sls_siem.codec.compiled import CompiledEncoder
from sls_siem.codec.encoder import ReferenceEncoder
from sls_siem.errors import CodecError, ConfigError
from tests.unit.codec.building import batch, group, log
from tests.unit.codec_native.compare import library

HEC = EncoderSettings("hec", "project", "store")
TWO = batch(group(log(), log()), group(log())).body


@pytest.fixture
def without(monkeypatch):
    """Hide the compiled codec."""
    monkeypatch.setitem(sys.modules, "sls_siem_codec", None)
    compiled.load.cache_clear()
    yield
    compiled.load.cache_clear()


def test_an_installed_compiled_codec_is_used():
    version = library().version

    assert codec_name() == f"compiled {version}"
    assert isinstance(make_encoder(HEC), CompiledEncoder)
    assert isinstance(make_reference_encoder(HEC), ReferenceEncoder)
    assert (group_sizes(TWO), count_events(TWO)) == ([2, 1], 3)
    with pytest.raises(CodecError, match="log group list"):
        count_events(b"\x0a")
    with pytest.raises(CodecError, match="log group 0"):
        group_sizes(b"\x0a\x01\x0a")


def test_the_environment_can_ask_for_the_reference(monkeypatch):
    monkeypatch.setenv(factory.FORCED, "reference")

    assert codec_name() == "reference"
    assert isinstance(make_encoder(HEC), ReferenceEncoder)
    assert (group_sizes(TWO), count_events(TWO)) == ([2, 1], 3)


def test_the_environment_can_ask_for_the_compiled_codec(monkeypatch):
    library()
    monkeypatch.setenv(factory.FORCED, "compiled")

    assert isinstance(make_encoder(HEC), CompiledEncoder)


def test_without_the_compiled_codec_the_reference_is_used(without):
    assert codec_name() == "reference"
    assert isinstance(make_encoder(HEC), ReferenceEncoder)


def test_a_compiled_codec_that_was_asked_for_and_is_not_there_is_an_error(without, monkeypatch):
    monkeypatch.setenv(factory.FORCED, "compiled")

    with pytest.raises(ConfigError, match="install sls-siem-codec"):
        make_encoder(HEC)
    with pytest.raises(ConfigError, match="install sls-siem-codec"):
        codec_name()


def test_a_codec_that_does_not_exist_is_an_error(monkeypatch):
    monkeypatch.setenv(factory.FORCED, "fast")

    with pytest.raises(ConfigError, match="'fast' is no codec"):
        codec_name()


def test_a_compiled_codec_of_another_interface_is_not_used(without, monkeypatch):
    other = ModuleType("sls_siem_codec")
    other.INTERFACE = 0
    other.__version__ = "0.0.1"
    monkeypatch.setitem(sys.modules, "sls_siem_codec", other)

    assert codec_name() == "reference"


@pytest.mark.parametrize(
    "settings",
    [
        replace(HEC, format="cef"),
        replace(HEC, format="leef"),
        replace(HEC, output="syslog", syslog=SyslogSettings(max_bytes=63)),
        replace(HEC, output="syslog", syslog=SyslogSettings(framing="other")),
    ],
    ids=["cef", "leef", "no room for a header", "unknown framing"],
)
def test_what_the_compiled_codec_does_not_know_the_reference_does(settings):
    library()

    assert isinstance(make_encoder(settings), ReferenceEncoder)


@pytest.mark.parametrize(
    "settings",
    [
        replace(HEC, format="xml"),
        replace(HEC, output="kafka"),
        replace(HEC, hec=replace(HEC.hec, host="{")),
        replace(HEC, output="syslog", syslog=SyslogSettings(rfc=3164, timezone="Nowhere/At_All")),
    ],
    ids=["format", "output", "template", "time zone"],
)
def test_settings_that_cannot_be_used_are_an_error_with_either_codec(settings, monkeypatch):
    with pytest.raises(ConfigError):
        make_encoder(settings)
    monkeypatch.setenv(factory.FORCED, "reference")
    with pytest.raises(ConfigError):
        make_encoder(settings)
