"""Addresses and regions."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sls_siem.config.urls import HTTP_PORTS, SYSLOG_PORTS, UrlError, is_host, parse_address, parse_endpoint, region_of


@pytest.mark.parametrize(
    ("text", "url", "port"),
    [
        ("cn-hangzhou.log.aliyuncs.com", "https://cn-hangzhou.log.aliyuncs.com", 443),
        ("https://cn-hangzhou.log.aliyuncs.com/", "https://cn-hangzhou.log.aliyuncs.com", 443),
        ("HTTP://CN-Hangzhou.log.aliyuncs.com", "http://cn-hangzhou.log.aliyuncs.com", 80),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080", 8080),
        ("127.0.0.1:8080", "https://127.0.0.1:8080", 8080),
        ("http://[::1]:8080", "http://[::1]:8080", 8080),
        ("[2001:DB8::1]", "https://[2001:db8::1]", 443),
        ("http://localhost:80", "http://localhost:80", 80),
    ],
)
def test_an_endpoint_has_many_forms(text: str, url: str, port: int) -> None:
    address = parse_endpoint(text)

    assert (address.url, address.port) == (url, port)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no host"),
        ("https://", "no host"),
        ("ftp://h", "does not start with https:// or http://"),
        ("https://h/path", "more than a host and a port"),
        ("https://h?a=b", "more than a host and a port"),
        ("https://h#a", "more than a host and a port"),
        ("https://h:99999", "is no address"),
        ("https://h:0", "has port 0"),
        ("https://h:x", "is no address"),
        ("https://[::1", "is no address"),
        ("https://::1", "is no address"),
        ("https://1.2.3.256", "no valid host name"),
        ("https://1.2.3", "no valid host name"),
        ("https://a..b", "no valid host name"),
        ("https://-a", "no valid host name"),
        ("https://a b", "holds a space"),
        ("https://a\nb", "holds a space"),
        ("https://ä.example", "holds a space or another character that no address has"),
        ("https://u@h", "holds a user name or password"),
        ("https://u:p@h", "holds a user name or password"),
        ("https://" + "a" * 64, "no valid host name"),
        ("https://" + "a." * 127 + "aa", "no valid host name"),
    ],
)
def test_what_is_no_endpoint_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(UrlError, match=reason):
        parse_endpoint(text)


@pytest.mark.parametrize(
    ("text", "scheme", "host", "port"),
    [
        ("tls://siem.example.com", "tls", "siem.example.com", 6514),
        ("tcp://siem.example.com", "tcp", "siem.example.com", 514),
        ("udp://192.0.2.1", "udp", "192.0.2.1", 514),
        ("udp://[2001:db8::1]:1514", "udp", "2001:db8::1", 1514),
        ("relp+tls://siem:2514", "relp+tls", "siem", 2514),
        ("TLS://SIEM.example.com:6514/", "tls", "siem.example.com", 6514),
    ],
)
def test_a_syslog_address_names_transport_host_and_port(text: str, scheme: str, host: str, port: int) -> None:
    address = parse_address(text, SYSLOG_PORTS)

    assert (address.scheme, address.host, address.port) == (scheme, host, port)


def test_relp_has_no_port_of_its_own() -> None:
    with pytest.raises(UrlError, match="has no port"):
        parse_address("relp://siem", SYSLOG_PORTS)


def test_a_proxy_may_have_a_user() -> None:
    address = parse_address("http://me:p%40ss@proxy:3128", HTTP_PORTS, user_allowed=True)

    assert (address.host, address.port, address.user) == ("proxy", 3128, "me:p%40ss")
    assert address.url == "http://proxy:3128"


@given(st.sampled_from(["", "https://", "http://[", "https://a:"]), st.text(max_size=60))
def test_any_text_is_an_address_or_an_error(scheme: str, text: str) -> None:
    with contextlib.suppress(UrlError):
        address = parse_endpoint(scheme + text)

        assert parse_endpoint(address.url) == address


@pytest.mark.parametrize("text", ["https://u:hunter2@h", "hunter2://h", "https://hunter2 x", "https://h:hunter2"])
def test_an_error_does_not_repeat_what_may_be_a_password(text: str) -> None:
    with pytest.raises(UrlError) as caught:
        parse_endpoint(text)

    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("cn-hangzhou.log.aliyuncs.com", "cn-hangzhou"),
        ("cn-hangzhou-intranet.log.aliyuncs.com", "cn-hangzhou"),
        ("cn-hangzhou-internal.log.aliyuncs.com", "cn-hangzhou"),
        ("cn-hangzhou-share.log.aliyuncs.com", "cn-hangzhou"),
        ("AP-Southeast-1.log.aliyuncs.com", "ap-southeast-1"),
        ("us-west-1-intranet.log.aliyuncs.com", "us-west-1"),
        ("cn-hangzhou-finance-intranet.log.aliyuncs.com", "cn-hangzhou-finance"),
        ("log-global.aliyuncs.com", None),
        ("127.0.0.1", None),
        ("localhost", None),
        ("cn-hangzhou.log.aliyuncs.com.example.com", None),
        ("cn-hangzhou.log.example.com", None),
    ],
)
def test_a_region_is_read_from_the_host_when_it_tells(host: str, region: str) -> None:
    assert region_of(host) == region


@pytest.mark.parametrize(("text", "expected"), [("a_b.example.", True), ("::", True), ("a:1", False), ("", False)])
def test_a_host_is_a_name_or_an_address(text: str, expected: bool) -> None:
    assert is_host(text) is expected
