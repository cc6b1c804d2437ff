"""Find secrets, and keep them from being shown.

It knows the places that secrets are looked up in and nothing of what they open.
"""

from __future__ import annotations

import contextlib
import hmac
import os
import pwd
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, Optional, Union
from urllib.parse import quote

ACCESS_KEY_ID = "sls-access-key-id"
ACCESS_KEY_SECRET = "sls-access-key-secret"  # noqa: S105 - the name of a secret
SECURITY_TOKEN = "sls-security-token"  # noqa: S105 - likewise
HEC_TOKEN = "hec-token"  # noqa: S105 - likewise
TLS_CLIENT_KEY = "tls-client-key"
FIELD_HASH_KEY = "field-hash-key"

SECRET_NAMES = (ACCESS_KEY_ID, ACCESS_KEY_SECRET, SECURITY_TOKEN, HEC_TOKEN, TLS_CLIENT_KEY, FIELD_HASH_KEY)

ENVIRONMENT_NAMES: Mapping[str, str] = {
    ACCESS_KEY_ID: "SLS_AK_ID",
    ACCESS_KEY_SECRET: "SLS_AK_KEY",
    SECURITY_TOKEN: "SLS_SECURITY_TOKEN",
}
"""Secrets that may come from the environment, each with its variable."""

FILE_KEYS: Mapping[str, str] = {
    ACCESS_KEY_ID: "sls.credentials.access_key_id_file",
    ACCESS_KEY_SECRET: "sls.credentials.access_key_secret_file",
    SECURITY_TOKEN: "sls.credentials.security_token_file",
    HEC_TOKEN: "hec.token_file",
    TLS_CLIENT_KEY: "tls.key_file",
    FIELD_HASH_KEY: "fields.hash_key_file",
}
"""Every secret with the key of the configuration that may name its file."""

SYSTEM_FOLDER = Path("/etc/sls-siem/credentials")
"""Where the operator puts the secrets; only root reads it."""

HIDDEN = "***"
_MOST_BYTES = 65536


class Secret:
    """A text that is never shown: only `reveal` gives it away."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Give the text, for the request that it signs or authenticates."""
        return self._text

    def __repr__(self) -> str:
        return HIDDEN

    def __format__(self, spec: str) -> str:
        return HIDDEN

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._text.encode("utf-8", "replace"), other._text.encode("utf-8", "replace"))

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not written anywhere")


@dataclass(frozen=True)
class Place:
    """One place that a secret is looked up in.

    Args:
        label: the place in the operator's words.
        path: the file, when the place is one.
        variable: the environment variable, when the place is one.
    """

    label: str
    path: Optional[Path] = None
    variable: str = ""


def places_of(
    name: str,
    *,
    file: Optional[Union[str, Path]] = None,
    environ: Mapping[str, str],
    system_folder: Path = SYSTEM_FOLDER,
) -> tuple[Place, ...]:
    """List the places that a secret is looked up in, the first one first.

    Args:
        name: such as `hec-token`.
        file: the value of the key's `*_file`, when set; then the only place, so that no other secret is taken for it.
        environ: the environment; `$RUNTIME_DIRECTORY` and `$CREDENTIALS_DIRECTORY` name folders of the unit.
        system_folder: looked into last, by root outside the unit only.
    """
    if file is not None:
        return (Place(str(file), Path(file)),)
    places = []
    # systemd separates several runtime directories by a colon; ours is the first.
    runtime = environ.get("RUNTIME_DIRECTORY", "").split(":")[0]
    if runtime:
        places.append(_in_folder(Path(runtime) / "credentials", name))
    loaded = environ.get("CREDENTIALS_DIRECTORY", "")
    if loaded:
        places.append(_in_folder(Path(loaded), name))
    variable = ENVIRONMENT_NAMES.get(name, "")
    if variable:
        places.append(Place(f"${variable}", variable=variable))
    if os.geteuid() == 0 and not loaded:
        places.append(_in_folder(system_folder, name))
    return tuple(places)


def find_secret(
    name: str,
    *,
    file: Optional[Union[str, Path]] = None,
    environ: Mapping[str, str],
    system_folder: Path = SYSTEM_FOLDER,
) -> Optional[Secret]:
    """Look a secret up, anew on each call, so that a rotated one is seen.

    A place that is missing, unreadable, empty or holds the word `none` counts as absent, and the next one is tried;
    line ends behind the text are dropped. Arguments as in `places_of`.
    """
    for place in places_of(name, file=file, environ=environ, system_folder=system_folder):
        text = _read(place, environ)
        if text:
            return Secret(text)
    return None


def why_absent(
    name: str,
    *,
    file: Optional[Union[str, Path]] = None,
    environ: Mapping[str, str],
    system_folder: Path = SYSTEM_FOLDER,
) -> str:
    """Say of a secret that was not found where it was looked for and, of a file that was named, what is wrong with it.

    Arguments as in `places_of`.
    """
    if file is not None:
        return f"{file} ({FILE_KEYS[name]}) {_fault_of(Path(file))}"
    places = places_of(name, environ=environ, system_folder=system_folder)
    return f"looked in {', '.join(place.label for place in places) or 'nowhere: this is not root and not the unit'}"


def where_to_store(name: str, file: Optional[Union[str, Path]]) -> str:
    """Name the file that the operator puts a secret into: the value of the key's `*_file`, or its usual place."""
    return str(SYSTEM_FOLDER / name if file is None else file)


def find_secret_file(
    name: str,
    *,
    file: Optional[Union[str, Path]] = None,
    environ: Mapping[str, str],
    system_folder: Path = SYSTEM_FOLDER,
) -> Optional[Path]:
    """Look up the file that holds a secret, for libraries that only take a path (a TLS client key).

    Arguments as in `places_of`.
    """
    for place in places_of(name, file=file, environ=environ, system_folder=system_folder):
        if place.path is not None and _read(place, environ):
            return place.path
    return None


def redact(text: str, secrets: Iterable[Optional[Secret]]) -> str:
    """Replace each secret in a text that comes from outside (a peer's answer, a library's message)."""
    forms = set()
    for secret in secrets:
        if secret is not None:
            plain = secret.reveal()
            forms |= {plain, quote(plain, safe="", errors="replace"), repr(plain)[1:-1]}
    # The longest first, so that no secret hides part of a longer one and leaves its rest.
    for form in sorted(forms - {""}, key=len, reverse=True):
        text = text.replace(form, HIDDEN)
    return text


def _in_folder(folder: Path, name: str) -> Place:
    return Place(str(folder / name), folder / name)


def _read(place: Place, environ: Mapping[str, str]) -> str:
    if place.path is None:
        text = environ.get(place.variable, "")
    else:
        try:
            text = _read_file(place.path)
        except (OSError, ValueError):
            return ""
    return _content(text)


def _content(text: str) -> str:
    text = text.rstrip("\r\n")
    return "" if text.strip() in ("", "none") else text


def _fault_of(path: Path) -> str:
    """Say why a file gives no secret."""
    try:
        content = _content(_read_file(path))
    except FileNotFoundError:
        return "does not exist"
    except PermissionError:
        return f"cannot be read by user {_own_name()} (permission denied)"
    except OSError as exc:
        return f"cannot be read ({exc.strerror or exc})"
    except UnicodeDecodeError:
        return "is not UTF-8"
    except ValueError as exc:
        return f"is {exc}"
    return "could not be read a moment ago" if content else "is empty or holds the word none"


def _own_name() -> str:
    with contextlib.suppress(KeyError):
        return pwd.getpwuid(os.geteuid()).pw_name
    return str(os.geteuid())


def _read_file(path: Path) -> str:
    """Read a small regular file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not UTF-8, or not a regular file (a named pipe would block for ever).
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError("not a regular file")
    with path.open("rb") as stream:
        return stream.read(_MOST_BYTES).decode("utf-8")
