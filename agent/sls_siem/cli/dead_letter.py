"""`sls-siem dead-letter`: list, show, purge the events that the SIEM refused; as the owner of the state directory."""

from __future__ import annotations

import json
import os
from pathlib import Path

from sls_siem.config import load
from sls_siem.dead_letter import DeadLetter, DeadLetterError, DeadLetters
from sls_siem.errors import ConfigError
from sls_siem.service.logs import printable
from sls_siem.service.places import state_directory


def dead_letter(action: str, ids: list[str], path: Path, instance: int, *, as_json: bool) -> int:
    """Run one action on the letters with these ids (none given: on all).

    Raises:
        ConfigError: the configuration is wrong, or the action is not available.
        DeadLetterError: the letters cannot be read or changed.
    """
    config = load(path, instance, os.environ)
    directory = state_directory(instance)
    _become_owner(directory)
    letters = DeadLetters(directory, config.delivery.dead_letter_max_bytes)
    chosen = [letter for letter in letters.letters() if not ids or letter.event_id in ids]
    if action == "retry":
        raise ConfigError(["dead-letter retry: not available yet in this version"])
    if action == "purge":
        removed = letters.remove({letter.event_id for letter in chosen})
        _print(as_json, {"purged": removed}, [f"{removed} purged"])
    elif action == "list":
        _print(as_json, {"letters": [_summary(letter) for letter in chosen]}, [_line(letter) for letter in chosen])
    else:
        whole = [json.loads(letter.to_line()) for letter in chosen]
        _print(as_json, {"letters": whole}, [json.dumps(letter, indent=2) for letter in whole])
    return 0


def _become_owner(directory: Path) -> None:
    """Write as the owner of the state directory, so that the agent can go on using its files."""
    try:
        owner = directory.stat()
    except OSError:
        return
    if os.geteuid() == 0 and owner.st_uid != 0:
        try:
            os.setgroups([])
            os.setgid(owner.st_gid)
            os.setuid(owner.st_uid)
        except OSError as exc:
            raise DeadLetterError(f"cannot act as the owner of {directory}: {exc}") from exc


def _summary(letter: DeadLetter) -> dict[str, object]:
    record: dict[str, object] = json.loads(letter.to_line())
    return {
        "time": record["time"],
        "id": letter.event_id,
        "reason": letter.reason,
        "answer": letter.answer,
        "bytes": len(letter.event),
    }


def _line(letter: DeadLetter) -> str:
    summary = _summary(letter)
    return printable(f"{summary['time']}  {letter.event_id}  {letter.reason}  {len(letter.event)}")


def _print(as_json: bool, document: dict[str, object], lines: list[str]) -> None:
    if as_json:
        print(json.dumps(document))
    else:
        for line in lines:
            print(line)
