"""Both codecs side by side: whatever goes in, the same has to come out of both, errors included."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from typing import Any

import lz4.block
import pytest
from hypothesis import strategies as st

from sls_siem.codec import (
    EncoderSettings,
    HecSettings,
    SeverityBy,
    SyslogSettings,
    TransformSettings,
    make_reference_encoder,
)
from sls_siem.codec.compiled import Compiled, CompiledEncoder, load
from sls_siem.codec.model import Batch, Body, Encoder
from sls_siem.errors import CodecError
from tests.unit.codec.building import G, L, groups, keys, nanoseconds, values


def library() -> Compiled:
    """Find the compiled codec; a machine that could have built it for CI has no excuse."""
    found = load()
    if found is None:
        if os.environ.get("CI") == "true" and shutil.which("cargo"):
            pytest.fail("sls-siem-codec is not installed although there is a cargo to build it")
        pytest.skip("sls-siem-codec is not installed")
    return found


_made: dict[str, tuple[Encoder, Encoder]] = {}


def both(settings: EncoderSettings) -> tuple[Encoder, Encoder]:
    """Make the reference encoder and the compiled one, or take those made before, with what they have learned."""
    found = _made.get(repr(settings))
    if found is None:
        reference = make_reference_encoder(settings)
        compiled = library().make_encoder(settings, reference)
        assert isinstance(compiled, CompiledEncoder)
        found = _made[repr(settings)] = (reference, compiled)
    return found


def outcome(encoder: Encoder, batch: Batch) -> tuple[list[Any], Any]:
    """Encode to the end: what was yielded, and the error that came then."""
    found = []
    try:
        for encoded in encoder.encode(batch):
            found.append(encoded)
    except CodecError as exc:
        return found, (str(exc), exc.group_index)
    return found, None


def assert_same(settings: EncoderSettings, batch: Batch) -> list[Any]:
    """Compare both codecs on one batch and give back what they yielded."""
    reference, compiled = both(settings)
    expected, actual = outcome(reference, batch), outcome(compiled, batch)

    assert expected == actual
    assert_same_packed(compiled, batch, expected)
    return expected[0]


def packed(body: bytes) -> Body:
    """Compress a body as an answer is; it stays so until it is encoded."""
    return library().lz4_packed(lz4.block.compress(body, store_size=False), len(body))


def assert_same_packed(compiled: Encoder, batch: Batch, expected: tuple[list[Any], Any]) -> None:
    """Decompressed piece by piece, a batch gives the same; but a wrong number of groups is found at the end."""
    found, error = outcome(compiled, replace(batch, body=packed(batch.body)))

    assert error == expected[1]
    assert found == expected[0] or (error is not None and error[0].endswith("as announced"))


# ------------------------------------------------------------------------------------------------------- strategies

templates = st.sampled_from(
    [
        "",
        "-",
        "text é",
        'q"\\]:[ ',
        "{__source__}",
        "{__topic__}",
        "{a}",
        "{x}{a}",
        "s:{__topic__}/{__tag__:k}",
        "{__time__}.{__time_ns_part__}",
        "{{{a}}}",
        "{\\xff}",
        "{__tag__:\\xff}",
        "{nothing}",
        "long-" * 60,
    ]
)
numbers = st.sampled_from(["user", "local7", "LOCAL0", "4", "07", "99", "no such name", "{a}", "{__topic__}", "info"])
severities = st.one_of(
    numbers,
    st.builds(
        SeverityBy,
        st.sampled_from(["a", "x", "__topic__", "\\xff"]),
        st.dictionaries(st.sampled_from(["", '"', "\\xff", "||", "=", "1"]), numbers, max_size=3),
        numbers,
    ),
)
syslog = st.builds(
    SyslogSettings,
    rfc=st.sampled_from([5424, 3164]),
    framing=st.sampled_from(["octet-counting", "lf", "datagram", "relp"]),
    facility=numbers,
    severity=severities,
    hostname=templates,
    app_name=templates,
    procid=templates,
    msgid=templates,
    structured_data=st.sampled_from(["sls@32473", ""]),
    max_bytes=st.one_of(st.integers(480, 900), st.just(8192)),
    oversize=st.sampled_from(["truncate", "split", "dead-letter"]),
    timezone=st.sampled_from(["UTC", "Asia/Shanghai", "America/New_York", "Africa/Casablanca"]),
)
_names = st.sampled_from(["a", "x", "k", "event", "", "\\xff", "__topic__", "__source__", "__tag__:k", "content"])
_conditions = st.dictionaries(
    st.one_of(_names, st.sampled_from(["__time__", "__time_ns_part__", "__tag__:\\xff"])),
    st.lists(st.sampled_from(["", "*", "x", "t", "*1*", "é*", "*||", "5", "x*x*x", "**"]), min_size=1, max_size=3).map(
        tuple
    ),
    max_size=2,
).map(lambda found: tuple(found.items()))
_name_lists = st.lists(_names, max_size=2, unique=True).map(tuple)
transforms = st.builds(
    TransformSettings,
    keep=st.one_of(st.just(()), _conditions),
    drop_logs=_conditions,
    drop=_name_lists,
    redact=_name_lists,
    hash=_name_lists,
    truncate=st.dictionaries(_names, st.integers(1, 20), max_size=2).map(lambda found: tuple(found.items())),
    rename=st.dictionaries(_names, st.sampled_from(["a", "b", "", "é", "__topic__"]), max_size=2).map(
        lambda found: tuple(found.items())
    ),
    hash_key=st.just(b"sixteen-or-more-characters"),
)
settings = st.builds(
    EncoderSettings,
    output=st.sampled_from(["hec", "syslog"]),
    project=st.just("project"),
    logstore=st.sampled_from(["store", 's"t\\o]re']),
    format=st.sampled_from(["json", "kv", "raw"]),
    json_fields=st.lists(
        st.sampled_from(["event", "a", "__topic__", "__source__", "__tag__:k", "\\xff", ""]), max_size=3, unique=True
    ).map(tuple),
    raw_field=st.sampled_from(["content", "a", "", "\\xff"]),
    event_id_field=st.sampled_from(["sls_id", "", 'i"d', "a", "__time__"]),
    batch_bytes=st.one_of(st.integers(1, 3000), st.just(1 << 20)),
    replay=st.booleans(),
    hec=st.builds(HecSettings, host=templates, source=templates, sourcetype=templates, index=templates),
    syslog=syslog,
    transform=st.one_of(st.none(), transforms),
)


def _json(value: Any) -> bytes:
    if value is None or isinstance(value, bool):
        return {None: b"null", True: b"true", False: b"false"}[value]
    if isinstance(value, bytes):
        return value
    if isinstance(value, list):
        return b"[" + b",\n".join(map(_json, value)) + b" ]"
    return b"{" + b", ".join(b'"%b"\t:%b' % (name.encode(), _json(one)) for name, one in value.items()) + b"}"


_units = st.sampled_from(
    [b"\x00", b"\\", b"|", b"||", '"é😀'.encode(), b"\xff", b"\xe2\x82", b"x", b'\\"', b"\n", b"\x12"]
)
_long_values = st.tuples(_units, st.integers(0, 400)).map(lambda found: found[0] * found[1])
_json_values = st.recursive(
    st.none() | st.booleans() | st.sampled_from([b"1", b"-0.5e+9", b"01", b"1.", b'"\\ud800"', b'"\\ud83d\\ude00"']),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
).map(_json)
any_values = st.one_of(values, _long_values, _json_values, st.binary(max_size=70))
_logs = st.builds(
    L, st.integers(0, 2**32 - 1), nanoseconds, st.lists(st.tuples(keys, any_values), max_size=6).map(tuple)
)
_few_shapes = st.builds(
    L,
    st.sampled_from([0, 1433188255, 1433188256]),
    st.sampled_from([None, None, 0, 5, 2**32 - 1]),
    st.sampled_from([(b"a", b"x"), (b"a", b"a"), (b"event",), (), (b"\xff", b"content", b"a")]).flatmap(
        lambda names: st.tuples(*(st.tuples(st.just(name), any_values) for name in names))
    ),
)
_optional = st.one_of(st.none(), st.just(b"t"), values)
_tags = st.lists(st.tuples(st.one_of(st.just(b"k"), values), any_values), max_size=3).map(tuple)
_groups = st.builds(G, st.lists(st.one_of(_logs, _few_shapes), max_size=6).map(tuple), _optional, _optional, _tags)
group_lists = st.lists(st.one_of(groups, _groups), max_size=5)
