"""Secrets: where they are found, in which order, and that they are not shown."""

from __future__ import annotations

import os
import pickle
import re
import traceback
from pathlib import Path

import pytest

from sls_siem.config.secrets import (
    FILE_KEYS,
    SECRET_NAMES,
    Secret,
    find_secret,
    find_secret_file,
    places_of,
    redact,
    where_to_store,
    why_absent,
)

NAME = "sls-access-key-id"


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """All places that hold the secret, each a text that names it."""
    files = {
        "file": tmp_path / "key",
        "runtime": tmp_path / "run" / "credentials" / NAME,
        "loaded": tmp_path / "loaded" / NAME,
        "system": tmp_path / "etc" / NAME,
    }
    for name, path in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"from {name}\n")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return files


def _environ(tmp_path: Path, *, unit: bool = True) -> dict[str, str]:
    environ = {"SLS_AK_ID": "from environment"}
    if unit:
        environ["RUNTIME_DIRECTORY"] = f"{tmp_path}/run:{tmp_path}/second"
        environ["CREDENTIALS_DIRECTORY"] = f"{tmp_path}/loaded"
    return environ


def test_places_are_tried_in_order(places: dict[str, Path], tmp_path: Path) -> None:
    environ = _environ(tmp_path)
    found = []
    for name in ("runtime", "loaded", "environment"):
        secret = find_secret(NAME, environ=environ, system_folder=places["system"].parent)
        found.append(secret and secret.reveal())
        if name in places:
            places[name].unlink()
    environ.pop("SLS_AK_ID")

    assert found == ["from runtime", "from loaded", "from environment"]
    assert find_secret(NAME, environ=environ, system_folder=places["system"].parent) is None


def test_root_outside_the_unit_finds_the_operators_files_last(places: dict[str, Path]) -> None:
    folder = places["system"].parent

    assert find_secret(NAME, environ={}, system_folder=folder) == Secret("from system")
    assert find_secret(NAME, environ={"SLS_AK_ID": "x"}, system_folder=folder) == Secret("x")


def test_nobody_else_looks_at_the_operators_files(places: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    assert find_secret(NAME, environ={}, system_folder=places["system"].parent) is None


@pytest.mark.parametrize("content", [b"", b"\n", b"none", b"none\n", b" none \r\n", b"  ", b"\xff\xfe"])
def test_a_place_that_holds_nothing_counts_as_absent(places: dict[str, Path], tmp_path: Path, content: bytes) -> None:
    places["runtime"].write_bytes(content)

    assert find_secret(NAME, environ=_environ(tmp_path)) == Secret("from loaded")


def test_a_place_that_cannot_be_read_counts_as_absent(places: dict[str, Path], tmp_path: Path) -> None:
    places["runtime"].unlink()
    os.mkfifo(places["runtime"])

    assert find_secret(NAME, environ=_environ(tmp_path)) == Secret("from loaded")


def test_a_file_that_is_named_is_the_only_place(places: dict[str, Path], tmp_path: Path) -> None:
    """To see it fail: let `places_of` add the usual places behind the named one."""
    environ, named = _environ(tmp_path), places["file"]

    assert find_secret(NAME, file=named, environ=environ) == Secret("from file")
    named.write_text("none")
    assert find_secret(NAME, file=named, environ=environ) is None
    assert find_secret_file(NAME, file=named, environ=environ) is None
    for unreadable in (tmp_path, tmp_path / "missing", Path("/\0")):
        assert find_secret(NAME, file=unreadable, environ=environ) is None


def test_each_way_in_which_a_named_file_gives_no_secret_is_told(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for name, content in (("empty", b"\n"), ("none", b"none\n"), ("latin", b"\xff")):
        (tmp_path / name).write_bytes(content)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    reasons = {
        "missing": "does not exist",
        "fifo": "is not a regular file",
        "empty": "is empty or holds the word none",
        "none": "is empty or holds the word none",
        "latin": "is not UTF-8",
        "loop": "cannot be read (Too many levels of symbolic links)",
    }

    for name, reason in reasons.items():
        told = why_absent("hec-token", file=tmp_path / name, environ={"CREDENTIALS_DIRECTORY": "/elsewhere"})
        assert told == f"{tmp_path / name} (hec.token_file) {reason}"


@pytest.mark.parametrize(("user", "name"), [(0, "root"), (54321, "54321")])
def test_a_file_that_the_user_may_not_read_comes_with_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user: int, name: str
) -> None:
    def refuse(*_args: object, **_kwargs: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setattr(Path, "stat", refuse)

    told = why_absent("tls-client-key", file=tmp_path / "key", environ={})

    assert told == f"{tmp_path}/key (tls.key_file) cannot be read by user {name} (permission denied)"


def test_every_secret_has_a_key_that_may_name_its_file() -> None:
    assert list(SECRET_NAMES) == list(FILE_KEYS)


def test_a_secret_is_stored_where_it_is_looked_for() -> None:
    assert where_to_store("hec-token", "/k") == "/k"
    assert where_to_store("hec-token", None) == "/etc/sls-siem/credentials/hec-token"


@pytest.mark.parametrize("value", ["", "none"])
def test_an_empty_variable_counts_as_absent(value: str) -> None:
    assert find_secret(NAME, environ={"SLS_AK_ID": value, "CREDENTIALS_DIRECTORY": "/nonexistent"}) is None


def test_only_the_keys_of_sls_come_from_the_environment() -> None:
    environ = {"SLS_AK_ID": "i", "SLS_AK_KEY": "k", "SLS_SECURITY_TOKEN": "t", "HEC_TOKEN": "x"}
    names = ["sls-access-key-id", "sls-access-key-secret", "sls-security-token", "hec-token", "tls-client-key"]

    found = [find_secret(name, environ=environ, system_folder=Path("/nonexistent")) for name in names]

    assert found == [Secret("i"), Secret("k"), Secret("t"), None, None]


@pytest.mark.parametrize(("content", "expected"), [("a\n", "a"), ("a\r\n", "a"), ("a\nb\n\n", "a\nb"), (" a ", " a ")])
def test_line_ends_behind_the_text_are_dropped(tmp_path: Path, content: str, expected: str) -> None:
    (tmp_path / "key").write_bytes(content.encode())

    secret = find_secret(NAME, file=tmp_path / "key", environ={})

    assert secret is not None
    assert secret.reveal() == expected


def test_a_rotated_secret_is_seen(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("old")
    before = find_secret("hec-token", file=tmp_path / "key", environ={})
    (tmp_path / "key").write_text("new")

    after = find_secret("hec-token", file=tmp_path / "key", environ={})

    assert (before, after) == (Secret("old"), Secret("new"))


def test_a_library_that_wants_a_file_gets_the_one_that_holds_the_secret(
    places: dict[str, Path], tmp_path: Path
) -> None:
    environ = _environ(tmp_path)

    assert find_secret_file(NAME, file=places["file"], environ=environ) == places["file"]
    assert find_secret_file(NAME, environ=environ) == places["runtime"]
    assert find_secret_file(NAME, environ={"SLS_AK_ID": "x"}, system_folder=tmp_path / "nowhere") is None


def test_the_places_are_named_for_the_operator(tmp_path: Path, places: dict[str, Path]) -> None:
    inside = places_of(NAME, environ=_environ(tmp_path))
    outside = places_of("hec-token", environ={})

    assert [place.label for place in inside] == [
        f"{tmp_path}/run/credentials/{NAME}",
        f"{tmp_path}/loaded/{NAME}",
        "$SLS_AK_ID",
    ]
    assert [place.label for place in places_of(NAME, file="/k", environ=_environ(tmp_path))] == ["/k"]
    assert [place.label for place in outside] == ["/etc/sls-siem/credentials/hec-token"]


def test_a_secret_shows_itself_to_nobody() -> None:
    secret = Secret("hunter2")

    shown = [str(secret), repr(secret), f"{secret}", f"{secret:>20}", f"{secret!r}", "%s" % secret, repr([secret])]  # noqa: UP031

    assert shown == ["***"] * 6 + ["[***]"]
    assert not hasattr(secret, "__dict__")
    assert secret.reveal() == "hunter2"


def test_a_secret_is_not_in_a_traceback() -> None:
    try:
        raise ValueError("cannot use", Secret("hunter2"))
    except ValueError as exc:
        lines = traceback.TracebackException.from_exception(exc, capture_locals=True).format()

    assert "hunter2" not in "".join(line for line in lines if "raise ValueError" not in line)


def test_a_secret_is_not_pickled() -> None:
    with pytest.raises(TypeError, match="is not written anywhere"):
        pickle.dumps(Secret("hunter2"))


def test_secrets_are_compared_by_their_text() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a"), Secret("\udcff")}) == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("token=ab+c/d refused", "token=*** refused"),
        ("token=ab%2Bc%2Fd refused", "token=*** refused"),
        ("ab+c/dEF", "***"),
        ("nothing here", "nothing here"),
    ],
)
def test_secrets_are_taken_out_of_foreign_texts(text: str, expected: str) -> None:
    secrets = [Secret("ab+c/d"), None, Secret(""), Secret("ab+c/dEF"), Secret("\udcff")]

    assert redact(text, secrets) == expected


def test_the_unit_the_reload_and_the_role_know_every_secret() -> None:
    root = Path(__file__).resolve().parents[3]
    unit = (root / "systemd" / "sls-siem@.service").read_text(encoding="utf-8")
    reload = (root / "systemd" / "reload").read_text(encoding="utf-8")
    role = (root / "ansible" / "roles" / "sls_siem" / "vars" / "main.yml").read_text(encoding="utf-8")
    names = list(SECRET_NAMES)

    assert names == re.findall(r"^LoadCredential=([\w-]+):/etc/sls-siem/credentials/\1$", unit, re.MULTILINE)
    assert names == re.findall(r"^SetCredential=([\w-]+):none$", unit, re.MULTILINE)
    assert names == re.findall(r'^    "([\w-]+)",$', reload.partition("NAMES = (")[2].partition(")")[0], re.MULTILINE)
    listed = role.partition("__sls_siem_secret_names:")[2].partition("__")[0]
    assert names == re.findall(r"^  - ([\w-]+)$", listed, re.MULTILINE)
