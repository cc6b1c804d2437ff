"""What SIGHUP can apply and what needs a restart: the keys that differ between two configurations."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from sls_siem.config import Config
from sls_siem.config.derived import with_sls

APPLIED = ("siem.", "hec.", "syslog.", "cef.", "leef.", "filter.", "fields.", "tls.", "log.")
APPLIED_KEYS = frozenset(
    {
        "delivery.on_reject",
        "delivery.dead_letter_max_bytes",
        "delivery.max_events_per_s",
        "delivery.max_bytes_per_s",
    }
)
PACED_KEYS = frozenset({"hec.batch_age_s"})
"""The reader of a shard takes these when it starts."""


@dataclass(frozen=True)
class Changes:
    """Keys whose value differs, by what it takes to apply them."""

    applied: tuple[str, ...]
    need_restart: tuple[str, ...]


def changes_between(old: Config, new: Config) -> Changes:
    """Compare two configurations key by key."""
    before, after = _flat(old), _flat(new)
    changed = sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))
    return Changes(
        applied=tuple(key for key in changed if applied_by_reload(key)),
        need_restart=tuple(key for key in changed if not applied_by_reload(key)),
    )


def applied_by_reload(key: str) -> bool:
    """Tell whether a change of the key needs no restart."""
    return key not in PACED_KEYS and (key.startswith(APPLIED) or key in APPLIED_KEYS)


def without_restart(running: Config, new: Config) -> Config:
    """Take of a new configuration what can be in force now: what is read, and as whom, stays until a restart."""
    return dataclasses.replace(with_sls(new, running.sls), metrics=running.metrics)


def _flat(value: object, prefix: str = "") -> dict[str, object]:
    """Every key with its value, by its name in the file."""
    found: dict[str, object] = {}
    for field in dataclasses.fields(value):  # type: ignore[arg-type]
        if not field.compare:  # where a value came from is no change of it
            continue
        name, inner = f"{prefix}{field.name}", getattr(value, field.name)
        if (dataclasses.is_dataclass(inner) and name.count(".") == 0) or name == "sls.credentials":
            found.update(_flat(inner, f"{name}."))
        else:
            found[name] = inner
    return found
