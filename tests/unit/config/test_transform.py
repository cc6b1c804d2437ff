"""Tables [filter] and [fields]: what they take, what they refuse, and that nothing is hashed without a key."""

from __future__ import annotations

import pytest

from sls_siem.codec import settings_from
from sls_siem.config.advice import WantedSecret, wanted_secrets
from sls_siem.errors import ConfigError
from tests.unit.config.conftest import HEC, SLS, Load

RIGHT = """
[filter]
keep = { status = ["4*", "5*"] }
drop = { "__tag__:env" = ["test"], user = [""] }
[fields]
drop = ["cookie"]
redact = ["authorization", "__topic__"]
hash = ["user"]
truncate = { user = 12, body = 1024 }
rename = { user = "who" }
"""


def test_everything_reaches_the_encoder(load_text: Load) -> None:
    transform = settings_from(load_text(SLS + HEC + RIGHT), hash_key="k" * 16).transform

    assert transform is not None
    assert (("status", ("4*", "5*")),) == transform.keep
    assert (("__tag__:env", ("test",)), ("user", ("",))) == transform.drop_logs
    assert (("user", 12), ("body", 1024)) == transform.truncate
    assert (("user", "who"),) == transform.rename
    assert (("cookie",), ("authorization", "__topic__"), ("user",)) == (
        transform.drop,
        transform.redact,
        transform.hash,
    )
    assert b"k" * 16 == transform.hash_key


@pytest.mark.parametrize("more", ["", "[filter]\n[fields]\n", "[fields]\ndrop = []\n"])
def test_without_anything_to_do_the_encoder_has_nothing_to_do(load_text: Load, more: str) -> None:
    assert settings_from(load_text(SLS + HEC + more), hash_key="unused-but-there-and-long").transform is None


@pytest.mark.parametrize(("key", "wrong"), [(None, "is missing"), ("short", "has less than 16 characters")])
def test_without_a_key_that_cannot_be_guessed_nothing_is_hashed(load_text, key, wrong) -> None:
    with pytest.raises(ConfigError, match=f"fields.hash: the secret field-hash-key {wrong}") as caught:
        settings_from(load_text(SLS + HEC + RIGHT), hash_key=key)

    assert "short," not in str(caught.value)


def test_the_key_is_wanted_only_for_hashes(load_text: Load) -> None:
    wanted = WantedSecret("field-hash-key", "/k")

    assert wanted in wanted_secrets(load_text(SLS + HEC + '[fields]\nhash = ["a"]\nhash_key_file = "/k"\n'))
    assert wanted not in wanted_secrets(load_text(SLS + HEC + '[fields]\ndrop = ["a"]\nhash_key_file = "/k"\n'))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ('[filter]\nkeep = { a = "x" }', "filter.keep: has at 'a' a value that is not a list, a table, write [...]"),
        ("[filter]\nkeep = { a = [] }", "filter.keep: has at 'a' a value that is empty, a table, give at least 1"),
        ('[filter]\ndrop = ["a"]', "filter.drop: is not a table"),
        ('[fields]\ndrop = ["__time__"]', "fields.drop: is not possible"),
        ('[fields]\nrename = { __topic__ = "t" }', "fields.rename: has the name '__topic__', which is not possible"),
        ('[fields]\nrename = { a = "__tag__:b" }', "fields.rename: has at 'a' a value that is not possible"),
        ("[fields]\ntruncate = { a = 0 }", "fields.truncate: has at 'a' a value that is out of range"),
        ('[fields]\ndrop = ["a"]\nhash = ["a"]', "fields.drop: names a field that another key of [fields] names too"),
        ('[fields]\nredact = ["a"]\nhash = ["a"]', "fields.redact: names a field that hash names too"),
        ('[fields]\nhash = ["a", "a"]', "fields.hash: names something twice"),
        ('[fields]\nmask = ["a"]', "fields.mask: is not a known key"),
    ],
)
def test_what_cannot_be_is_said(load_text: Load, table: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_text(SLS + HEC + table + "\n")

    assert any(message in problem for problem in caught.value.problems), caught.value.problems
