"""Load the configuration: read the layers, parse every key, work out defaults, apply the rules, report it all.

Layers, a later one winning key by key: what the chosen profile and map preset, the main file, `instances/<N>.toml`
beside it, the environment.
"""

from __future__ import annotations

import codecs
import dataclasses
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Optional, Union

from sls_siem.config.derived import fill_in
from sls_siem.config.draft import Draft, Given, problem, show, suspicious
from sls_siem.config.fields import UnfitError, nearest, option_of
from sls_siem.config.model import MOST_INSTANCES, TABLES, Config
from sls_siem.config.profiles import presets_of
from sls_siem.config.remarks import remarks_on
from sls_siem.config.rules import apply_rules
from sls_siem.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ENVIRONMENT: Mapping[str, str] = {
    "SLS_ENDPOINT": "sls.endpoint",
    "SLS_PROJECT": "sls.project",
    "SLS_LOGSTORE": "sls.logstore",
    "SLS_CG": "sls.consumer_group",
}
"""Variables of the environment that stand for a key (those for secrets: `secrets.ENVIRONMENT_NAMES`)."""

_MOST_BYTES = 1 << 20
_STAND_INS: Mapping[str, object] = {"siem.output": "hec"}
_Fields = Mapping[str, "dataclasses.Field[Any]"]

_FIELDS: _Fields = {
    f"{table}.{field.name}": field
    for table, cls in TABLES.items()
    for field in dataclasses.fields(cls)
    if "option" in field.metadata
}
"""Every key, dotted."""


def load(
    path: Union[str, Path],
    instance: int,
    environ: Mapping[str, str],
    *,
    machine_id_file: Path = Path("/etc/machine-id"),
) -> Config:
    """Load the configuration of one instance, with every default worked out.

    Args:
        path: the main file.
        instance: 1 to 99.
        environ: the environment; an empty variable counts as unset.
        machine_id_file: for `{machine_id}` in the consumer's name.

    Raises:
        ConfigError: with every problem that could be found at once.
    """
    draft = Draft(str(path))
    if not 1 <= instance <= MOST_INSTANCES:
        raise ConfigError([f"instance: is out of range, {instance}, give a number from 1 to {MOST_INSTANCES}"])
    _read_layers(draft, Path(path), instance, environ)
    draft.presets = presets_of(draft.given)
    for key, field in _FIELDS.items():
        _parse(draft, key, field)
    fill_in(draft, instance, machine_id_file=machine_id_file)
    config = _build(draft, instance)
    apply_rules(draft, config)
    if draft.problems:
        raise ConfigError(draft.problems)
    given_in = {key: given.where for key, given in draft.given.items()}
    return dataclasses.replace(config, given_in=given_in, remarks=remarks_on(draft, config))


def _read_layers(draft: Draft, path: Path, instance: int, environ: Mapping[str, str]) -> None:
    overrides = path.parent / "instances" / f"{instance}.toml"
    unreadable = []
    for file, required in ((path, True), (overrides, False)):
        try:
            _flatten(draft, _read_toml(file), str(file))
        except FileNotFoundError:
            if required:
                unreadable.append(f"{file}: does not exist, create it or name another with --config")
        except PermissionError as exc:
            wrong = f"cannot be read ({exc.strerror})"
            unreadable.append(f"{file}: {wrong}, run as root, or join group sls-siem, which should be the file's")
        except OSError as exc:
            unreadable.append(f"{file}: cannot be read ({exc.strerror}), make it readable for the agent's user")
        except _NotTomlError as exc:
            unreadable.append(str(exc))
    if unreadable:
        # The other problems could all follow from this one.
        raise ConfigError(unreadable)
    for variable, key in ENVIRONMENT.items():
        if environ.get(variable):
            draft.given[key] = Given(environ[variable], "environment", variable)


class _NotTomlError(Exception):
    """A file that is not TOML; the message is the whole line for the operator."""


def _read_toml(path: Path) -> dict[str, object]:
    with path.open("rb") as stream:
        content = stream.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise _NotTomlError(f"{path}: is longer than {_MOST_BYTES} bytes, which no configuration is")
    try:
        return tomllib.loads(_decode(path, content))
    except RecursionError:
        raise _NotTomlError(f"{path}: is not TOML: it is nested too deeply") from None
    except ValueError as exc:  # TOMLDecodeError, or a number or date that Python cannot hold
        # The parser's message names the place and what it expected, never a value.
        if str(exc).startswith("Cannot overwrite a value"):
            raise _NotTomlError(_given_twice(path, content.decode("utf-8").rstrip().split("\n"), str(exc))) from None
        found = re.fullmatch(r"(?s)(.*) \(at line (\d+), column (\d+)\)", str(exc))
        message, place = (found[1], f":{found[2]}:{found[3]}") if found else (str(exc), "")
        message = " ".join(message.split())
        raise _NotTomlError(f"{path}{place}: is not TOML: {message} (texts need quotes, tables a [name])") from None


def _given_twice(path: Path, lines: Sequence[str], error: str) -> str:
    """Name the key that is given twice with the line of the second, where both are plain to see; never a value."""
    found = re.search(r"at line (\d+)", error)
    line = int(found[1]) if found else len(lines)
    names = [re.match(r"\s*\[?([A-Za-z0-9_.-]+)\s*[]=]", text) for text in lines[:line]]
    last = names[-1]
    seen = last is not None and any(name[1] == last[1] for name in names[:-1] if name is not None)
    return f"{path}:{line}: {last[1] if last is not None and seen else 'a key'} is given twice, keep one of them"


def _decode(path: Path, content: bytes) -> str:
    if content.startswith(codecs.BOM_UTF8):
        raise _NotTomlError(f"{path}: starts with a byte order mark (BOM), save the file as UTF-8 without one")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as exc:
        line = content.count(b"\n", 0, exc.start) + 1
        column = exc.start - content.rfind(b"\n", 0, exc.start)
        raise _NotTomlError(f"{path}:{line}:{column}: is not UTF-8, save the file in that encoding") from None


def _flatten(draft: Draft, document: Mapping[str, object], file: str, table: str = "") -> None:
    """Note what a file gives to each key, and report what is no key at all."""
    for name, value in document.items():
        key = f"{table}.{name}" if table else name
        if key in TABLES and isinstance(value, dict):
            _flatten(draft, value, file, key)
        elif key in TABLES:
            right = f"write [{key}] above its keys"
            draft.problems.append(problem(file, key, "must be a table", _shown(key, value), right))
        elif key in _FIELDS:
            draft.given[key] = Given(value, file, key)
        else:
            draft.problems.append(problem(file, key, *_unknown(key, table, name, value)))


def _unknown(key: str, table: str, name: str, value: object) -> tuple[str, str, str]:
    kind = "table" if isinstance(value, dict) else "key"
    guess = _guess(table, name, kind)
    if guess:
        right = f"did you mean {guess}?"
    else:
        known = [one.rpartition(".")[2] for one in (*TABLES, *_FIELDS) if one.rpartition(".")[0] == table]
        right = f"known here: {', '.join(sorted(known))}"
    if suspicious(key) or suspicious(guess):
        right += " (a secret has no place in this file: see the *_file keys)"
    return f"is not a known {kind}", _shown(key, value, guess), right


def _guess(table: str, name: str, kind: str) -> str:
    """Name the key or table that was probably meant: in the same table first, then under the same name elsewhere."""
    siblings = {one.rpartition(".")[2]: one for one in (*_FIELDS, *TABLES) if one.rpartition(".")[0] == table}
    near = nearest(name, list(siblings))
    if near:
        return near
    if kind == "table":
        return nearest(name, list(TABLES))
    elsewhere = {one.rpartition(".")[2]: one for one in reversed(list(_FIELDS))}
    return elsewhere.get(nearest(name, list(elsewhere)), "")


def _shown(key: str, value: object, guess: str = "") -> str:
    return show(value, hide=suspicious(key) or suspicious(guess))


def _parse(draft: Draft, key: str, field: dataclasses.Field[Any]) -> None:
    option = option_of(field)
    required = field.default is dataclasses.MISSING
    draft.values[key] = _STAND_INS.get(key, "") if required else field.default
    given = draft.given.get(key)
    if given is not None:
        try:
            draft.values[key] = option.parse(given.value)
        except UnfitError as exc:
            draft.report(key, exc.wrong, exc.right, hide=option.secret or exc.hide)
    elif key in draft.presets:
        draft.values[key] = option.parse(draft.presets[key])
    elif required:
        draft.problems.append(problem(draft.file, key, "is missing", "nothing given", _how_to_give(key)))
        draft.unusable.add(key)


def _how_to_give(key: str) -> str:
    variable: Optional[str] = next((name for name, of in ENVIRONMENT.items() if of == key), None)
    table, _, name = key.rpartition(".")
    return f"set {name} in [{table}]" + (f" or {variable} in the environment" if variable else "")


def _build(draft: Draft, instance: int) -> Config:
    tables: dict[str, Any] = {}
    # A table inside another is built first and handed to it.
    for table, cls in sorted(TABLES.items(), key=lambda item: -item[0].count(".")):
        values = {
            key.rpartition(".")[2]: value for key, value in draft.values.items() if key.rpartition(".")[0] == table
        }
        inner = {name.rpartition(".")[2]: tables.pop(name) for name in list(tables) if name.rpartition(".")[0] == table}
        tables[table] = cls(**values, **inner)
    return Config(instance=instance, **tables)
