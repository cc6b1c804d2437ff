"""Whatever the files hold: a configuration or a ConfigError, and no secret in it."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import example, given, settings
from hypothesis import strategies as st

from sls_siem.config import Config, load
from sls_siem.config.model import TABLES
from sls_siem.errors import ConfigError

EXAMPLE = (Path(__file__).resolve().parents[3] / "docs" / "examples" / "agent.toml").read_bytes()
UNCOMMENTED = b"\n".join(
    line[2:] if line.startswith(b"# ") and b" = " in line else line for line in EXAMPLE.splitlines()
)

_scalars = st.one_of(
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(["{", "}}", "{a}", "tls://h", "begin", "\0", "a" * 5000]),
)
_values = st.recursive(
    _scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=5,
)


def _as_toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        escaped = "".join(c if c.isalnum() and c.isascii() else f"\\U{ord(c):08X}" for c in value)
        return f'"{escaped}"'
    if isinstance(value, list):
        return f"[{', '.join(map(_as_toml, value))}]"
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{_as_toml(k)} = {_as_toml(v)}' for k, v in value.items())} }}"
    return repr(value)


_keys = [
    (table, name) for table, cls in TABLES.items() for name in [*cls.__dataclass_fields__, "unknown", "tokn", "format"]
]
_settings = st.lists(st.tuples(st.sampled_from(_keys), _values), max_size=6)


def _load(content: bytes, override: bytes = b"") -> object:
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "agent.toml").write_bytes(content)
        (folder / "instances").mkdir()
        (folder / "instances" / "1.toml").write_bytes(override)
        try:
            return load(folder / "agent.toml", 1, {})
        except ConfigError as exc:
            for line in exc.problems:
                assert line.startswith(f"{folder}/")
                assert line.isprintable()
                assert len(line) < 600
            return exc


@given(st.binary(max_size=200), st.binary(max_size=50))
@example(b"a = 0x" + b"f" * 5000, b"")
@example(b"a = " + b"1" * 5000, b"")
@example(b"a." * 2000 + b"a = 1", b"")
@example(b"a = 9999-99-99", b"")
def test_random_bytes_are_a_configuration_or_a_problem(content: bytes, override: bytes) -> None:
    assert isinstance(_load(content, override), (Config, ConfigError))


@settings(max_examples=200)
@given(st.data())
def test_a_damaged_file_is_a_configuration_or_a_problem(data: st.DataObject) -> None:
    content = bytearray(data.draw(st.sampled_from([EXAMPLE, UNCOMMENTED])))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))

    assert isinstance(_load(bytes(content)), (Config, ConfigError))


@settings(max_examples=200)
@given(_settings, _settings)
def test_any_values_are_a_configuration_or_a_problem(main: list[object], override: list[object]) -> None:
    assert isinstance(_load(_document(main), _document(override)), (Config, ConfigError))


def _document(chosen: list[object]) -> bytes:
    tables: dict[str, dict[str, str]] = {}
    for (table, name), value in chosen:
        tables.setdefault(table, {})[name] = _as_toml(value)
    lines = []
    # `credentials` as a key of [sls] and [sls.credentials] beside it would not be TOML.
    if "sls.credentials" in tables:
        tables.get("sls", {}).pop("credentials", None)
    for table, values in tables.items():
        lines += [f"[{table}]", *(f"{name} = {value}" for name, value in values.items())]
    return "\n".join(lines).encode()
