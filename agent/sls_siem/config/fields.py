"""Parsers for single values of the configuration, and how a dataclass names the one for each of its keys.

A parser takes what TOML gave and returns what the agent works with, or raises `UnfitError`. It sees one value and knows
neither the key it stands at nor any other key.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Callable, NoReturn, Optional, Union
from zoneinfo import ZoneInfo

from sls_siem.config.template import TemplateError, parse_template
from sls_siem.config.urls import Address, UrlError, is_host, parse_address

Parser = Callable[[object], Any]


class UnfitError(ValueError):
    """A value that cannot be used.

    Args:
        wrong: what is wrong, as in "is out of range".
        right: what would be right, as in "give a number from 1 to 60".
        hide: the value may hold a secret and is not shown.
    """

    def __init__(self, wrong: str, right: str, *, hide: bool = False) -> None:
        super().__init__(wrong, right)
        self.wrong = wrong
        self.right = right
        self.hide = hide


@dataclass(frozen=True)
class Option:
    """How one key is read.

    Args:
        parse: the parser of its value.
        secret: somebody may have written a secret there, so its value is never shown.
    """

    parse: Parser
    secret: bool = False


def option(parse: Parser, default: object = dataclasses.MISSING, *, secret: bool = False) -> Any:
    """Declare a dataclass field that is a key of the configuration; without a default the key has to be given."""
    metadata = {"option": Option(parse, secret)}
    return dataclasses.field(default=default, repr=not secret, metadata=metadata)


def option_of(field: dataclasses.Field[Any]) -> Option:
    """Give back what `option` was told."""
    chosen: Option = field.metadata["option"]
    return chosen


def nearest(word: str, known: Sequence[str]) -> str:
    """Name the known word that was probably meant; empty when none is near."""
    return next(iter(get_close_matches(word, known, n=1, cutoff=0.55)), "")


def flag(value: object) -> bool:
    """Accept true or false."""
    if not isinstance(value, bool):
        raise UnfitError("is not true or false", "write true or false without quotes")
    return value


def integer(least: int, most: int, unit: str = "") -> Parser:
    """Make a parser of whole numbers in a range."""
    wanted = f"a whole number from {least} to {most}" + (f" ({unit})" if unit else "")

    def parse(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise UnfitError("is not a whole number", f"give {wanted}")
        if not least <= value <= most:
            raise UnfitError("is out of range", f"give {wanted}")
        return value

    return parse


def seconds(least: float, most: float) -> Parser:
    """Make a parser of durations in seconds, whole or not."""
    wanted = f"a number of seconds from {least:g} to {most:g}"

    def parse(value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise UnfitError("is not a number", f"give {wanted}")
        if not least <= value <= most:  # nan is not, either
            raise UnfitError("is out of range", f"give {wanted}")
        return float(value)

    return parse


def text(wanted: str = "a text", *, pattern: str = r"(?s).+") -> Parser:
    """Make a parser of texts that match a pattern from end to end.

    Args:
        wanted: what the pattern lets through, in the operator's words.
        pattern: regular expression.
    """
    compiled = re.compile(pattern)

    def parse(value: object) -> str:
        found = _require_text(value, wanted)
        if not compiled.fullmatch(found):
            raise UnfitError("is empty" if not found else "is not possible", f"give {wanted}")
        return found

    return parse


def choice(*allowed: Union[str, int]) -> Parser:
    """Make a parser of values that stand in a list."""
    names = ", ".join(str(one) for one in allowed)

    def parse(value: object) -> Union[str, int]:
        if type(value) not in (str, int):
            raise UnfitError("is of the wrong type", f"give one of {names}")
        for one in allowed:
            if type(one) is type(value) and one == value:
                return one
        raise UnfitError("is not known", _did_you_mean(value, allowed, f"give one of {names}"))

    return parse


def texts(parse_one: Parser, *, least: int = 0) -> Parser:
    """Make a parser of lists whose items are all different and fit another parser."""

    def parse(value: object) -> tuple[str, ...]:
        if not isinstance(value, list):
            raise UnfitError("is not a list", "write [...] around it")
        if len(value) < least:
            raise UnfitError("is empty", f"give at least {least}")
        items = tuple(_each(parse_one, value))
        if len(set(items)) < len(items):
            raise UnfitError("names something twice", "give each once")
        return items

    return parse


def _each(parse_one: Parser, value: Sequence[object]) -> Iterator[str]:
    """Parse the items of a list; of several, those that are wrong are all named by their number."""
    wrong = []
    for number, item in enumerate(value, 1):
        try:
            yield parse_one(item)
        except UnfitError as exc:
            wrong.append((number, exc))
    if wrong:
        first = wrong[0][1]
        named = [f"item {number} {exc.wrong}" for number, exc in wrong]
        text = first.wrong if len(value) == 1 else "; ".join(named[:8])
        raise UnfitError(text, first.right, hide=any(exc.hide for _, exc in wrong))


def table(parse_name: Parser, parse_one: Parser, example: str) -> Parser:
    """Make a parser of tables whose names and values fit a parser each.

    Args:
        parse_name: of the names.
        parse_one: of the values.
        example: a table that would be right.
    """

    def parse(value: object) -> Mapping[str, Any]:
        if not isinstance(value, dict):
            raise UnfitError("is not a table", f"write {example}")
        for name in value:
            try:
                parse_name(name)
            except UnfitError as exc:
                raise UnfitError(f"has the name {name[:40]!r}, which {exc.wrong}", exc.right) from exc
        return {name: _item(parse_one, name, item) for name, item in value.items()}

    return parse


def text_table(parse_one: Parser) -> Parser:
    """Make a parser of tables from texts to values that fit another parser."""

    def parse(value: object) -> Mapping[str, str]:
        if not isinstance(value, dict):
            raise UnfitError("is not a table", 'write { name = "value" }')
        return {name: _parse_item(parse_one, name, item) for name, item in value.items()}

    return parse


def _parse_item(parse_one: Parser, name: str, item: object) -> str:
    return str(_item(parse_one, name, item))


def _item(parse_one: Parser, name: str, item: object) -> Any:
    try:
        return parse_one(item)
    except UnfitError as exc:
        raise UnfitError(f"has at {name[:40]!r} a value that {exc.wrong}", exc.right) from exc


def template(value: object) -> str:
    """Accept a text whose `{field}` parts are well formed."""
    found = _require_text(value, "a text or a template")
    try:
        parse_template(found)
    except TemplateError as exc:
        raise UnfitError(str(exc), 'give a text or a template such as "{__topic__}"') from exc
    return found


def name_or_template(known: Mapping[str, int]) -> Parser:
    """Make a parser of names out of a list, or of templates that yield one."""

    def parse(value: object) -> str:
        found = template(value)
        if "{" not in found and found not in known:
            names = ", ".join(known)
            raise UnfitError("is not known", _did_you_mean(found, list(known), f"give a template or one of {names}"))
        return found

    return parse


def path(value: object) -> str:
    """Accept the absolute name of a file; whether it is there is not asked here."""
    found = _require_text(value, "the name of a file")
    if not Path(found).is_absolute() or "\0" in found:
        raise UnfitError("is no absolute path", "give the file's whole name, starting with /")
    return found


def url(ports: Mapping[str, Optional[int]], example: str, *, user_allowed: bool = False) -> Parser:
    """Make a parser of addresses; what it returns has the usual form (lower case, no `/` at the end).

    Args:
        ports: schemes with their default ports, as `parse_address` takes them.
        example: an address that would be right.
        user_allowed: keep `user:password@`.
    """

    def parse(value: object) -> str:
        found = _require_text(value, f"a URL such as {example}")
        try:
            address = parse_address(found, ports, user_allowed=user_allowed)
        except UrlError as exc:
            _refuse_url(found, exc, example)
        return _with_user(address)

    return parse


def host(value: object) -> str:
    """Accept a host name or an IP address."""
    found = _require_text(value, "a host name or an IP address")
    if not is_host(found):
        raise UnfitError("is no host name or IP address", 'give one such as "127.0.0.1"')
    return found


def time_zone(value: object) -> str:
    """Accept an IANA time zone that this machine knows."""
    found = _require_text(value, "the name of a time zone")
    if found != "UTC":  # known even where no zone files are installed
        try:
            ZoneInfo(found)
        except (KeyError, ValueError, OSError) as exc:
            wanted = 'give an IANA name such as "UTC" or "Europe/Berlin" (package tzdata holds them)'
            raise UnfitError("is not a time zone that this machine knows", wanted) from exc
    return found


def start(value: object) -> str:
    """Accept begin, end or a time, and return what GetCursor takes: a time becomes epoch seconds."""
    wanted = 'give "begin", "end" or a time with its offset such as "2026-01-31T00:00:00Z"'
    if value in ("begin", "end"):
        return str(value)
    moment = value
    if isinstance(value, str):
        moment = _parse_time(value)
    if not isinstance(moment, datetime):
        raise UnfitError("is neither begin nor end nor an RFC 3339 time", wanted)
    if moment.tzinfo is None:
        raise UnfitError("is a time without an offset from UTC", wanted)
    try:
        since = int(moment.astimezone(timezone.utc).timestamp())
    except OverflowError:
        since = -1
    if since < 0:
        raise UnfitError("is before 1970", wanted)
    return str(since)


def _parse_time(value: str) -> Optional[datetime]:
    # RFC 3339; fromisoformat takes the letter Z and odd fractions from Python 3.11 only, and a good deal more than
    # RFC 3339 from then on.
    match = re.fullmatch(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(\.\d+)?([Zz]|[+-]\d\d:\d\d)?", value, re.ASCII)
    if not match:
        return None
    day, clock, _, offset = match.groups()
    zone = "+00:00" if offset in ("Z", "z") else offset or ""
    try:
        return datetime.fromisoformat(f"{day}T{clock}{zone}")
    except ValueError:
        return None


def _require_text(value: object, wanted: str) -> str:
    if not isinstance(value, str):
        raise UnfitError("is not a text", f"give {wanted} in quotes")
    return value


def _did_you_mean(value: object, known: Sequence[object], otherwise: str) -> str:
    guess = nearest(str(value).lower(), [str(one) for one in known])
    return f"did you mean {guess}? {otherwise}" if guess else otherwise


def _refuse_url(found: str, exc: UrlError, example: str) -> NoReturn:
    raise UnfitError(str(exc), f"give host and port such as {example}", hide="@" in found) from exc


def _with_user(address: Address) -> str:
    user = f"{address.user}@" if address.user else ""
    return f"{address.scheme}://{user}{address.netloc}"
