"""`sls-siem dead-letter`: list, show, retry, purge what the SIEM refused; as the owner of the state directory."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path

from sls_siem.cli.exits import EXIT_CONFIG, EXIT_DONE, EXIT_UNAVAILABLE, tell
from sls_siem.cli.owner import become_owner
from sls_siem.config import Config, load
from sls_siem.dead_letter import DeadLetter, DeadLetters
from sls_siem.errors import AgentError, ConfigError, CredentialsRefusedError
from sls_siem.service.logs import printable
from sls_siem.service.places import state_directory

RETRY_LOCK = "dead-letters.retry.lock"
PROBE_S = 10.0


def dead_letter(action: str, ids: list[str], path: Path, instance: int, *, as_json: bool) -> int:
    """Run one action on the letters with these ids (none given: on all); returns the exit status.

    Raises:
        ConfigError: the configuration is wrong.
        AgentError: the letters cannot be read or changed, or the SIEM cannot be reached.
    """
    config = load(path, instance, os.environ)
    directory = state_directory(instance)
    letters = DeadLetters(directory, config.delivery.dead_letter_max_bytes)
    if action == "retry":
        return _retry(config, letters, ids, as_json=as_json)
    become_owner(directory)
    chosen = _chosen(letters, ids)
    if action == "purge":
        removed = letters.remove({letter.event_id for letter in chosen})
        _print(as_json, {"purged": removed}, [f"{removed} purged"])
    elif action == "list":
        _print(as_json, {"letters": [_summary(letter) for letter in chosen]}, [_line(letter) for letter in chosen])
    else:
        whole = [json.loads(letter.to_line()) for letter in chosen]
        _print(as_json, {"letters": whole}, [json.dumps(letter, indent=2) for letter in whole])
    return EXIT_DONE


def _chosen(letters: DeadLetters, ids: list[str]) -> list[DeadLetter]:
    return [letter for letter in letters.letters() if not ids or letter.event_id in ids]


def _retry(config: Config, letters: DeadLetters, ids: list[str], *, as_json: bool) -> int:
    """Send letters again; 69 when the SIEM refuses one or takes nothing, 78 when one cannot be sent as things are."""
    # Only this action needs SLS and the SIEM. Everything secret is read while this still is root.
    from sls_siem.service.retry_letters import Resender, why_unreachable
    from sls_siem.siem import make_output
    from sls_siem.sls.client import SlsClient
    from sls_siem.sls.credentials import credential_source

    output = make_output(config)
    credentials = credential_source(config.sls.credentials)
    with contextlib.suppress(CredentialsRefusedError):
        credentials.current()  # only an oversize letter needs it, and says so then
    session = SlsClient(dataclasses.replace(config.sls, query=None, processor=None), credentials).session()
    trouble = why_unreachable(output, PROBE_S) if _chosen(letters, ids) else None
    if trouble:
        raise AgentError(f"nothing was sent, the SIEM cannot be used: {trouble}")
    become_owner(letters.path.parent)
    with _alone(letters.path.parent):
        chosen = _chosen(letters, ids)
        resender = Resender(config, output, session.pull)
        attempts = resender.retry(chosen, letters.remove)
    kept = {one.letter.event_id: one.kept for one in attempts if one.kept}
    kept.update({name: "there is no such letter" for name in ids if name not in {one.event_id for one in chosen}})
    unsent = {
        one.letter.event_id: one.refused or resender.trouble or "its arrival was not confirmed"
        for one in attempts
        if not one.kept and not one.settled
    }
    sent = [one.letter.event_id for one in attempts if one.settled]
    _print(as_json, {"sent": sent, "refused": unsent, "kept": kept}, [f"{len(sent)} sent and removed"])
    if not as_json:
        for event_id, why in {**unsent, **kept}.items():
            tell(printable(f"{event_id} stays: {why}"))
    if unsent:
        return EXIT_UNAVAILABLE
    return EXIT_CONFIG if kept else EXIT_DONE


@contextlib.contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Keep a second retry from sending the same letters at the same time.

    Raises:
        ConfigError: another one is at it.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(directory / RETRY_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise AgentError(f"{directory / RETRY_LOCK} cannot be written: {exc.strerror or exc}") from exc
    with os.fdopen(descriptor, "r+b") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            raise ConfigError([f"{directory}: another `dead-letter retry` is at work on these letters"]) from exc
        yield


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
