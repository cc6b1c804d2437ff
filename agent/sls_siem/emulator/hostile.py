"""Logs as an attacker, or an accident, writes them: what breaks framing, quoting, encodings and field names."""

from __future__ import annotations

import random
from typing import Optional

from sls_siem.emulator.loggroups import Pair, encode_pair

VALUES: tuple[bytes, ...] = (
    b"",
    b"\x00",
    b"a\x00b\x00",
    b"line one\nline two",
    b"line one\r\nline two\r",
    b"\n\n\n",
    b"<14>1 2026-01-01T00:00:00Z forged app - - - forged\n<0>Jan  1 00:00:00 forged forged",
    b"8192 <14>1 - - - - - -",
    b"\"quoted\" 'single' `back`",
    b"back\\slash \\n \\0 \\",
    b"]",
    b'"] [sls@32473 id="0-0-0"] forged',
    b"a=b||c=d|e\\|f",
    b"{{x}} {y} }{",
    b"%n %s %00 $(id) `id` ${jndi:ldap://x}",
    b"<script>alert(1)</script>",
    b"\x01\x02\x1b[31mred\x1b[0m\x7f",
    b"\xff\xfe invalid",
    b"\xc0\x80 overlong NUL",
    b"\xed\xa0\x80\xed\xb0\x80 surrogates in UTF-8",
    b"cut in a character \xe4\xbd",
    b"\xf4\x90\x80\x80 beyond Unicode",
    b"\xef\xbb\xbfBOM in front",
    "emoji \U0001f600\U0001f468‍\U0001f469‍\U0001f467".encode(),
    "line separators \u2028 \u2029 \u0085".encode(),
    "right to left \u202e gnp.exe".encode(),
    "\u65e5\u5fd7\u670d\u52a1".encode(),
    b'{"event": {"a": 1}, "time": 0}',
    b'{"cut": ',
    b"[1, 2, {}]",
    b'{"a": NaN, "a": 1e999}',
    b"12345678901234567890123",
    b"1e400",
    b"null",
    b" leading and trailing ",
    b"\t",
    b"x" * 9_000,
    "\u754c".encode() * 3_000,
    b"\\" * 4_000,
    b"\x00" * 500,
)
KEYS: tuple[bytes, ...] = (
    b"",
    b"message",
    b"content",
    b"__time__",
    b"__time_ns_part__",
    b"__topic__",
    b"__source__",
    b"__tag__:__hostname__",
    b"__tag__:",
    b"__truncated__",
    b"sls_id",
    b"event",
    b"time",
    b"host",
    b"message_2",
    b"key with space",
    b'key"quote',
    b"key\\back",
    b"key=equals",
    b"key|pipe",
    b"key]bracket",
    b"key\nline",
    b"key\x00nul",
    b"key\xff\xfe",
    "\u952e".encode(),
    b"k" * 300,
)
_METADATA: tuple[tuple[Optional[bytes], Optional[bytes], tuple[Pair, ...]], ...] = (
    (None, None, ()),
    (b"", b"", ((b"", b""),)),
    (b"topic\nwith line", b"10.0.0.1", ((b"__hostname__", b"a"), (b"__hostname__", b"b"))),
    (b'to"pic]', b"host name with space", ((b"k\x00", b"\xff"),)),
    ("\u4e3b\u9898".encode(), b"h" * 300, ((b"__path__", b"C:\\logs\\x.log"),)),
    (b"\xff\xfe", b"\x00", ()),
)
_TRAILERS = (b"", b"", b"\x25\x00\x00\x00\x00", b"\x25" + (999_999_999).to_bytes(4, "little"), b"\x25\xff\xff\xff\xff")
# One log in so many has a value of a hundred kilobytes.
_LARGE_EVERY = 499


class Hostile:
    """Logs with hostile keys, values and metadata; every pair of a key and a value comes sooner or later."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self.metadata = _METADATA

    def contents(self, seq: int, mixed: int) -> tuple[bytes, bytes]:
        rng = random.Random(mixed ^ self._seed)
        pairs = [(rng.choice(KEYS), rng.choice(VALUES)) for _ in range(rng.randrange(8))]
        pairs.append((KEYS[seq % len(KEYS)], VALUES[seq // len(KEYS) % len(VALUES)]))
        if rng.random() < 0.3:
            pairs.append(rng.choice(pairs))
        if seq % _LARGE_EVERY == _LARGE_EVERY - 1:
            pairs.append((b"large", rng.choice(VALUES) * 9 + b"y" * 100_000))
        pairs.insert(rng.randrange(len(pairs) + 1), (b"seq", b"%d" % seq))
        return b"".join(encode_pair(2, key, value) for key, value in pairs), rng.choice(_TRAILERS)
