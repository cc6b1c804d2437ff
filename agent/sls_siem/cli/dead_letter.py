"""`sls-siem dead-letter`: list, show, retry, purge what the SIEM refused.

Only `retry` needs the configuration. What changes a state directory is done as its owner.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Optional

from sls_siem.cli.exits import EXIT_CONFIG, EXIT_DONE, EXIT_UNAVAILABLE, EXIT_USAGE, confirmed, tell
from sls_siem.cli.owner import become_owner
from sls_siem.cli.terminal import clip, printable
from sls_siem.config import Config, load
from sls_siem.dead_letter import DeadLetter, DeadLetterError, DeadLetters
from sls_siem.errors import AgentError, ConfigError, CredentialsRefusedError
from sls_siem.service.places import state_directories, state_directory

if TYPE_CHECKING:
    from sls_siem.service.retry_letters import Attempt

RETRY_LOCK = "dead-letters.retry.lock"
PROBE_S = 10.0
ANSWER_COLUMNS = 200


def dead_letter(
    action: str, ids: list[str], path: Path, instance: Optional[int], *, as_json: bool, yes: bool = False
) -> int:
    """Run one action on the letters with these ids (none given: on all); returns the exit status.

    Args:
        action: `list`, `show`, `retry` or `purge`.
        ids: event ids; one that no letter has makes the exit status 78, once the others are done.
        path: `agent.toml`, for `retry`.
        instance: whose letters; without it `list` takes every instance's, and the others take those of instance 1.
        as_json: print one JSON document.
        yes: purge all without asking.

    Raises:
        ConfigError: the configuration is wrong.
        AgentError: the letters cannot be read or changed, or the SIEM cannot be reached.
    """
    if action == "list":
        return _list(ids, instance, as_json=as_json)
    number = instance or 1
    letters = DeadLetters(state_directory(number))
    chosen = _chosen(letters, ids)
    missing = _missing(action, ids, chosen, f"instance {number}")
    if not ids and not chosen:
        _tell_other_instances(number)
    if action == "retry":
        return _retry(load(path, number, os.environ), letters, chosen, missing, as_json=as_json)
    if action == "show":
        whole = [json.loads(letter.to_line()) for letter in chosen]
        _print(as_json, {"letters": whole}, [json.dumps(letter, indent=2) for letter in whole])
    else:
        if not ids and not yes and not _may_purge_all(len(chosen), number):
            return EXIT_USAGE
        removed = _purge(letters, chosen)
        _print(as_json, {"purged": removed}, [f"{removed} purged"])
    return _end(missing)


def _chosen(letters: DeadLetters, ids: list[str]) -> list[DeadLetter]:
    wanted = set(ids)
    return [letter for letter in letters.letters() if not wanted or letter.event_id in wanted]


def _missing(action: str, ids: list[str], chosen: Iterable[DeadLetter], where: str) -> dict[str, str]:
    """Say of each id that none of the chosen letters has where there is one, and how to get at it."""
    missing = dict.fromkeys(ids, f"{where} has no such dead letter")
    for letter in chosen:
        missing.pop(letter.event_id, None)
    if missing:
        for number, directory in state_directories().items():
            with contextlib.suppress(DeadLetterError):  # this one cannot be read, and was not asked for
                for name in missing.keys() & {letter.event_id for letter in DeadLetters(directory).letters()}:
                    missing[name] += f", but instance {number} has: "
                    missing[name] += f"sls-siem dead-letter {action} {name} --instance {number}"
    return missing


def _tell_other_instances(number: int) -> None:
    """Name the instances that have letters, since this one has none."""
    others = [other for other, path in state_directories().items() if other != number and DeadLetters(path).size()]
    if others:
        tell(f"instance {number} has no dead letters, but these have: {', '.join(map(str, others))}. Give --instance")


def _end(missing: dict[str, str]) -> int:
    """Name the ids that no letter has."""
    for name, why in missing.items():
        tell(f"{name}: {why}")
    return EXIT_CONFIG if missing else EXIT_DONE


def _list(ids: list[str], instance: Optional[int], *, as_json: bool) -> int:
    directories = state_directories() if instance is None else {instance: state_directory(instance)}
    found = [(number, letter) for number, path in directories.items() for letter in _chosen(DeadLetters(path), ids)]
    where = "no instance of this host" if instance is None else f"instance {instance}"
    summaries = [_summary(number, letter) for number, letter in found]
    _print(as_json, {"letters": summaries}, [_line(row, with_instance=len(directories) > 1) for row in summaries])
    return _end(_missing("list", ids, [letter for _, letter in found], where))


def _summary(instance: int, letter: DeadLetter) -> dict[str, object]:
    record: dict[str, object] = json.loads(letter.to_line())
    return {
        "time": record["time"],
        "id": letter.event_id,
        "reason": letter.reason,
        "answer": letter.answer,
        "bytes": len(letter.event),
        "instance": instance,
    }


def _line(row: dict[str, object], *, with_instance: bool) -> str:
    """Write time, id, reason, bytes; then the instance, where there are several, and the receiver's words."""
    columns = [row["time"], row["id"], row["reason"], row["bytes"]]
    if with_instance:
        columns.append(f"instance {row['instance']}")
    answer = clip(printable(" ".join(str(row["answer"]).split())), ANSWER_COLUMNS)
    return "  ".join([*map(printable, columns), answer]).rstrip()


def _may_purge_all(count: int, number: int) -> bool:
    """Ask, where somebody is there to be asked."""
    if not sys.stdin.isatty():
        tell("dead-letter purge: without an ID it deletes all, and nobody is there to be asked: give ids, or --yes")
        return False
    if count and not confirmed(f"Delete all {count} dead letters of instance {number}?"):
        tell("dead-letter purge: nothing was deleted")
        return False
    return True


def _purge(letters: DeadLetters, chosen: list[DeadLetter]) -> int:
    if not chosen:
        return 0
    become_owner(letters.path.parent)
    return letters.remove({letter.event_id for letter in chosen})


def _retry(
    config: Config, letters: DeadLetters, chosen: list[DeadLetter], missing: dict[str, str], *, as_json: bool
) -> int:
    """Send letters again; 69 when the SIEM refuses one or takes nothing, 78 when one cannot be sent as things are."""
    attempts, trouble = _sent_again(config, letters, chosen) if chosen else ([], "")
    kept = {one.letter.event_id: one.kept for one in attempts if one.kept}
    unsent = {
        one.letter.event_id: one.refused or trouble or "its arrival was not confirmed"
        for one in attempts
        if not one.kept and not one.settled
    }
    sent = [one.letter.event_id for one in attempts if one.settled]
    _print(as_json, {"sent": sent, "refused": unsent, "kept": {**kept, **missing}}, [f"{len(sent)} sent and removed"])
    if not as_json:
        for event_id, why in {**unsent, **kept}.items():
            tell(f"{event_id} stays: {why}")
    ended = _end(missing)
    if unsent:
        return EXIT_UNAVAILABLE
    return EXIT_CONFIG if kept else ended


def _sent_again(config: Config, letters: DeadLetters, chosen: list[DeadLetter]) -> tuple[list[Attempt], str]:
    """Give what became of each letter, and what the SIEM was waited for in vain."""
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
    trouble = why_unreachable(output, PROBE_S)
    if trouble:
        raise AgentError(f"nothing was sent, the SIEM cannot be used: {trouble}")
    become_owner(letters.path.parent)
    with _alone(letters.path.parent):
        # Another retry may have sent some of them before this one was alone.
        still = _chosen(letters, [letter.event_id for letter in chosen])
        resender = Resender(config, output, session.pull)
        return resender.retry(still, letters.remove), resender.trouble


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


def _print(as_json: bool, document: dict[str, object], lines: list[str]) -> None:
    if as_json:
        print(json.dumps(document))
    else:
        for line in lines:
            print(line)
