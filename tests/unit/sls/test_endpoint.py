from __future__ import annotations

import pytest

from sls_siem.sls.endpoint import endpoint_for


@pytest.mark.parametrize(
    ("endpoint", "url", "host"),
    [
        (
            "https://cn-hangzhou.log.aliyuncs.com",
            "https://p.cn-hangzhou.log.aliyuncs.com",
            "p.cn-hangzhou.log.aliyuncs.com",
        ),
        ("https://sls.example.com:8443", "https://p.sls.example.com:8443", "p.sls.example.com"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080", "p.127.0.0.1"),
        ("http://[::1]:8080", "http://[::1]:8080", "p.[::1]"),
        ("http://localhost:8080", "http://localhost:8080", "p.localhost"),
        ("http://192.0.2.1", "http://192.0.2.1", "p.192.0.2.1"),
    ],
)
def test_a_name_serves_each_project_under_its_own_an_address_by_the_host_header(endpoint, url, host):
    found = endpoint_for(endpoint, "p")

    assert (found.url, found.host) == (url, host)
