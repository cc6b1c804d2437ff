"""How a call's path and query are written into its target."""

from __future__ import annotations

from urllib.parse import parse_qsl, quote, unquote, urlencode

from hypothesis import given
from hypothesis import strategies as st

from sls_siem.sls.exchange import _target

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(st.lists(TEXT, min_size=1, max_size=4), st.dictionaries(TEXT, TEXT, max_size=4))
def test_a_target_is_percent_encoded_and_means_what_was_asked(parts: list[str], query: dict[str, str]) -> None:
    path = "/".join(parts)
    for _ in range(2):
        target = _target(path, query)
        shown, _, rest = target.partition("?")

        assert (unquote(shown), dict(parse_qsl(rest, keep_blank_values=True))) == (path, query)
        assert target == quote(path, safe="/~") + ("?" + urlencode(query, quote_via=quote, safe="~") if query else "")
