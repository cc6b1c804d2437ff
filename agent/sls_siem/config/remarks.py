"""What the files say without effect, or with an effect that is hardly meant: allowed, and worth a warning.

It needs to know what was given, and in which file; what follows from the values alone is in `advice.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

from sls_siem.config.draft import Draft, show
from sls_siem.config.model import Config
from sls_siem.config.urls import ENCRYPTED_SCHEMES

_TLS_FILES = ("tls.ca_file", "tls.cert_file", "tls.key_file")
_CHOOSES_OUTPUT = ("siem.output", "siem.profile")
_CHOOSES_ADDRESS = ("hec.urls", "syslog.url", "syslog.urls", *_CHOOSES_OUTPUT)


def remarks_on(draft: Draft, config: Config) -> tuple[str, ...]:
    """Name what is given without effect, one line per table, and a name that another host would have, too."""
    output = config.siem.output
    unused = "syslog" if output == "hec" else "hec"
    urls = config.hec.urls if output == "hec" else config.syslog.urls
    lines = _unused(draft, [key for key in draft.given if key.startswith(f"{unused}.")], f'output = "{output}"')
    if not any(url.partition("://")[0] in ENCRYPTED_SCHEMES for url in urls):
        lines += _unused(draft, _TLS_FILES, f"{urls[0].partition('://')[0]}://", chosen_by=_CHOOSES_ADDRESS)
    return (*lines, *_common_name(draft))


def _unused(draft: Draft, keys: Sequence[str], beside: str, *, chosen_by: Sequence[str] = _CHOOSES_OUTPUT) -> list[str]:
    """Word the line about a table's keys, unless they are there for other instances than this one."""
    chosen = {draft.given[key].where for key in chosen_by if key in draft.given}
    own = chosen - {draft.file}
    given = [key for key in keys if key in draft.given and (not own or draft.given[key].where != draft.file)]
    if not given:
        return []
    table = given[0].partition(".")[0]
    names = ", ".join(key.rpartition(".")[2] for key in given)
    return [f"[{table}] is not used with {beside}: {names} in {draft.given[given[0]].where} has no effect"]


def _common_name(draft: Draft) -> list[str]:
    given = draft.given.get("sls.consumer_name")
    if given is None or any(field in str(given.value) for field in ("{host}", "{machine_id}")):
        return []
    wrong = "has neither {host} nor {machine_id}: two hosts would have the same name, which must be unique in the group"
    return [f"sls.consumer_name: {show(given.value)} {wrong}"]
