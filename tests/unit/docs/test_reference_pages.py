"""The reference pages are what the code says, and the code says something about every key."""

from __future__ import annotations

import dataclasses

import pytest

from sls_siem.config import reference
from sls_siem.config.about import ABOUT, TABLES_ABOUT
from sls_siem.config.derived import DERIVED_KEYS
from sls_siem.config.model import TABLES
from sls_siem.config.secrets import SECRET_NAMES
from tests import reference_pages


def test_every_key_and_every_table_is_explained_and_no_other() -> None:
    known = {
        f"{table}.{field.name}" for table, cls in TABLES.items() for field in dataclasses.fields(cls) if field.metadata
    }

    assert set(ABOUT) == known
    assert set(TABLES_ABOUT) == set(TABLES)
    assert [key.dotted for key in reference.all_keys()] == [key for key in ABOUT if key in known]


def test_every_default_that_follows_from_other_keys_is_put_in_words() -> None:
    assert set(reference.FOLLOWS) == DERIVED_KEYS - {"syslog.urls"}


@pytest.mark.parametrize("key", reference.all_keys(), ids=lambda key: key.dotted)
def test_every_key_says_what_it_takes(key: reference.Key) -> None:
    assert len(key.takes) > 5
    assert not key.takes.startswith(("give", "write", "did you"))
    assert key.about.endswith(".")


def test_every_secret_is_listed() -> None:
    assert {secret.name for secret in reference.secrets()} == set(SECRET_NAMES)


@pytest.mark.parametrize("path", reference_pages.pages(), ids=lambda path: path.stem)
def test_the_committed_page_is_what_the_code_says(path: reference_pages.Path) -> None:
    assert reference_pages.pages()[path] == path.read_text(encoding="utf-8")
