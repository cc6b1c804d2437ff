"""Keys that end: from a file that others keep fresh, and from the metadata service of an ECS instance."""

from __future__ import annotations

import json
import logging
import os
import time
from pathlib import Path

import pytest

from sls_siem.config import CredentialsConfig
from sls_siem.errors import CredentialsRefusedError
from sls_siem.retry import Backoff
from sls_siem.sls.credentials import credential_source
from sls_siem.sls.credentials_file import FileSource
from sls_siem.sls.ecs_metadata import RamRoleSource
from sls_siem.sls.temporary import NoKeyError, read_key
from tests.metadata_server import ROLES, MetadataServer, document

QUICK = Backoff(0.05, 0.1)


class Clock:
    """Epoch seconds that a test may move."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead_s


def name_of(source) -> str:
    credentials = source.current()
    name = credentials.access_key_id.reveal().removeprefix("STS.")

    assert f"secret-of-{name}" == credentials.access_key_secret.reveal()
    assert f"token-of-{name}" == credentials.token.reveal()
    return name


def wait_for(condition, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# --- the document ---


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"\xff{", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"[]", "no JSON object"),
        (b'{"Code": "Failed"}', "Code is not Success"),
        (b'{"AccessKeyId": "a", "AccessKeySecret": 7}', "AccessKeySecret is missing"),
        (b'{"AccessKeyId": "a", "AccessKeySecret": "b", "Expiration": "tomorrow"}', "Expiration is no time"),
    ],
)
def test_what_is_no_key_is_refused_with_a_reason(text: bytes, why: str) -> None:
    with pytest.raises(NoKeyError, match=why):
        read_key(text)


def test_a_key_may_go_without_token_and_end() -> None:
    key = read_key(b'{"AccessKeyId": "a", "AccessKeySecret": "b"}')

    assert key.credentials.token is None
    assert not key.ended(1e12)


# --- the file ---


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sts.json"


def replace(path: Path, name: str, *, for_s: float) -> None:
    """As a careful program does it."""
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(document(name, for_s=for_s)))
    temporary.replace(path)


def test_a_replaced_file_counts_from_the_next_call_on(path: Path) -> None:
    replace(path, "one", for_s=3600)
    source = credential_source(CredentialsConfig(source="file", file=str(path)))

    assert "one" == name_of(source)
    replace(path, "two", for_s=3600)
    assert "two" == name_of(source)


def test_a_file_that_is_being_written_leaves_the_key_in_force_until_it_ends(path: Path, caplog) -> None:
    clock = Clock()
    replace(path, "one", for_s=600)
    source = FileSource(str(path), wall=clock)
    name_of(source)
    path.write_text('{"AccessKeyId": "STS.half", "AccessKeySecret": "ha')
    with caplog.at_level(logging.WARNING):
        names = [name_of(source), name_of(source)]

    assert ["one", "one"] == names
    assert 1 == len(caplog.messages)
    assert "holds no key" in caplog.text
    assert "half" not in caplog.text
    clock.ahead_s = 601
    with pytest.raises(CredentialsRefusedError, match=r"has expired, and .* holds no key"):
        source.current()


def test_the_file_is_read_again_before_the_key_ends_even_when_it_looks_the_same(path: Path) -> None:
    clock = Clock()
    replace(path, "one", for_s=600)
    source = FileSource(str(path), wall=clock)
    name_of(source)
    found = path.stat()
    path.write_text(json.dumps(document("two", for_s=3600)))
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))

    assert "one" == name_of(source)
    clock.ahead_s = 400
    assert "two" == name_of(source)


def test_a_refusal_has_the_file_read_again(path: Path) -> None:
    replace(path, "one", for_s=3600)
    source = FileSource(str(path))
    refused = source.current()

    assert not source.refused(refused)
    replace(path, "two", for_s=3600)
    assert source.refused(refused)


def test_a_file_that_cannot_be_read_is_named(path: Path) -> None:
    with pytest.raises(CredentialsRefusedError, match=r"sts\.json cannot be read \(No such file"):
        FileSource(str(path)).current()
    os.mkfifo(path)
    with pytest.raises(CredentialsRefusedError, match="no regular file"):
        FileSource(str(path)).current()


# --- the RAM role ---


@pytest.fixture(params=[True, False], ids=["hardened", "normal"])
def service(request):
    with MetadataServer(hardened=request.param) as server:
        server.give("one", for_s=3600)
        yield server


@pytest.fixture
def role(service):
    """Makes sources and ends their threads with the test."""
    made = []

    def make(name=None, **changes) -> RamRoleSource:
        made.append(RamRoleSource(name, url=service.url, backoff=QUICK, **changes))
        return made[-1]

    yield make
    for source in made:
        source.close()


def test_the_attached_role_is_found_or_the_named_one_taken(service, role) -> None:
    assert "one" == name_of(role())
    assert [ROLES, f"{ROLES}log-reader"] == service.asked
    assert "one" == name_of(role("log-reader"))
    with pytest.raises(CredentialsRefusedError, match="RAM role 'other' is not there: attach"):
        role("other").current()


def test_a_key_is_renewed_before_it_ends_and_no_call_waits_for_that(service, role) -> None:
    service.give("one", for_s=5)
    source = role()
    name_of(source)
    service.delay_s = 0.5
    service.give("two", for_s=3600)
    longest = 0.0
    deadline = time.monotonic() + 4
    while name_of(source) == "one":
        assert time.monotonic() < deadline
        began = time.monotonic()
        source.current()
        longest = max(longest, time.monotonic() - began)

    assert longest < 0.4


def test_the_old_key_goes_on_until_it_ends_when_the_renewal_fails(service, role, caplog) -> None:
    clock = Clock()
    service.give("one", for_s=60)
    source = role(wall=clock)
    name_of(source)
    service.status = 500
    source.reload()
    with caplog.at_level(logging.WARNING):
        wait_for(lambda: "was not renewed" in caplog.text)

    assert "one" == name_of(source)
    assert "secret-in-a-page" not in caplog.text
    clock.ahead_s = 61
    with pytest.raises(CredentialsRefusedError, match=r"has expired and was not renewed: .* answered 500"):
        source.current()
    clock.ahead_s = 0
    service.give("two", for_s=3600)
    service.status = 200
    wait_for(lambda: name_of(source) == "two")


def test_a_refusal_by_the_service_has_the_key_renewed_at_once(service, role) -> None:
    source = role()
    refused = source.current()
    service.give("two", for_s=3600)

    assert not source.refused(refused)
    wait_for(lambda: name_of(source) == "two")
    assert source.refused(refused)


def test_the_first_call_waits_only_for_a_moment_for_a_service_that_hangs(service, role) -> None:
    service.delay_s = 2
    source = role(first_s=0.2)
    began = time.monotonic()
    with pytest.raises(CredentialsRefusedError, match="no answer yet"):
        source.current()

    assert time.monotonic() - began < 1.5


def test_elsewhere_than_on_ecs_the_message_asks_for_that(unused_tcp_port_url) -> None:
    source = RamRoleSource(None, url=unused_tcp_port_url, backoff=QUICK)
    with pytest.raises(CredentialsRefusedError, match="is this an ECS instance"):
        source.current()
    source.close()


@pytest.fixture
def unused_tcp_port_url() -> str:
    with MetadataServer() as server:
        return server.url
