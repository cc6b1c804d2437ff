//! Writes bytes of a log as text, and text as JSON or key-value, as the reference's `text` defines it.
//!
//! One loop serves all escapes: 16 bytes are copied as they are, and then looked at; only where one of them has to be
//! escaped, or begins a character beyond ASCII, something else happens.

use crate::out::Out;
use wide::u8x16;

/// What a form of text escapes.
pub trait Escape {
    /// Marks the bytes below 0x80 that cannot stay; other bytes must not be marked.
    fn marks(chunk: u8x16) -> u8x16;
    /// Writes a marked byte; there is room for it.
    fn escape(out: &mut Out, byte: u8);
    /// What stands for the backslash in front of the hex digits of an invalid byte.
    const HEX: &'static [u8] = b"\\\\x";
}

/// The inside of a JSON string.
pub struct Json;
/// A value of `kv`.
pub struct Kv;
/// A key of `kv`.
pub struct KvKey;
/// Text as it is.
pub struct Plain;
/// Text without CR, LF and NUL.
pub struct OneLine;

#[inline(always)]
fn is(chunk: u8x16, byte: u8) -> u8x16 {
    chunk.simd_eq(u8x16::splat(byte))
}

#[inline(always)]
fn put_pair(out: &mut Out, byte: u8) {
    out.put(b'\\');
    out.put(byte);
}

impl Escape for Json {
    #[inline(always)]
    fn marks(chunk: u8x16) -> u8x16 {
        let control = chunk.min(u8x16::splat(0x1F)).simd_eq(chunk);
        control | is(chunk, b'"') | is(chunk, b'\\')
    }

    #[inline(always)]
    fn escape(out: &mut Out, byte: u8) {
        match byte {
            b'"' | b'\\' => put_pair(out, byte),
            0x08 => put_pair(out, b'b'),
            b'\t' => put_pair(out, b't'),
            b'\n' => put_pair(out, b'n'),
            0x0C => put_pair(out, b'f'),
            b'\r' => put_pair(out, b'r'),
            _ => {
                out.push(b"\\u00");
                hex(out, byte);
            }
        }
    }
}

impl Escape for Kv {
    #[inline(always)]
    fn marks(chunk: u8x16) -> u8x16 {
        is(chunk, b'\\') | is(chunk, b'|') | OneLine::marks(chunk)
    }

    #[inline(always)]
    fn escape(out: &mut Out, byte: u8) {
        match byte {
            b'\\' | b'|' | b'=' => put_pair(out, byte),
            _ => OneLine::escape(out, byte),
        }
    }
}

impl Escape for KvKey {
    #[inline(always)]
    fn marks(chunk: u8x16) -> u8x16 {
        Kv::marks(chunk) | is(chunk, b'=')
    }

    #[inline(always)]
    fn escape(out: &mut Out, byte: u8) {
        Kv::escape(out, byte);
    }
}

impl Escape for Plain {
    const HEX: &'static [u8] = b"\\x";

    #[inline(always)]
    fn marks(_chunk: u8x16) -> u8x16 {
        u8x16::ZERO
    }

    fn escape(out: &mut Out, byte: u8) {
        out.put(byte);
    }
}

impl Escape for OneLine {
    const HEX: &'static [u8] = b"\\x";

    #[inline(always)]
    fn marks(chunk: u8x16) -> u8x16 {
        is(chunk, b'\r') | is(chunk, b'\n') | is(chunk, 0)
    }

    #[inline(always)]
    fn escape(out: &mut Out, byte: u8) {
        put_pair(
            out,
            if byte == b'\r' {
                b'r'
            } else if byte == b'\n' {
                b'n'
            } else {
                b'0'
            },
        );
    }
}

/// Writes two digits.
pub fn hex(out: &mut Out, byte: u8) {
    out.reserve(2);
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.put(HEX[usize::from(byte >> 4)]);
    out.put(HEX[usize::from(byte & 15)]);
}

/// The 16 bytes at `at`, or as many as there are and then zeros.
#[inline(always)]
pub fn chunk_at(body: &[u8], at: usize) -> [u8; 16] {
    match body.get(at..at + 16) {
        Some(chunk) => chunk.try_into().unwrap(),
        None => last_chunk(body, at),
    }
}

#[cold]
fn last_chunk(body: &[u8], at: usize) -> [u8; 16] {
    let mut chunk = [0; 16];
    let rest = &body[at..];
    chunk[..rest.len()].copy_from_slice(rest);
    chunk
}

/// Writes bytes `start..end` of `body`, which may be anything.
#[inline]
pub fn escape<E: Escape>(out: &mut Out, body: &[u8], start: usize, end: usize) {
    let at = escape_while::<E, true>(out, body, start, end);
    if at < end {
        escape_beyond_ascii::<E>(out, &body[at..end]);
    }
}

/// Writes a whole piece, which may be anything.
pub fn escape_all<E: Escape>(out: &mut Out, piece: &[u8]) {
    escape::<E>(out, piece, 0, piece.len());
}

/// Writes a piece into a vector of its own; slow.
pub fn escaped<E: Escape>(piece: &[u8]) -> Vec<u8> {
    let mut out = Out::default();
    escape_all::<E>(&mut out, piece);
    out.as_slice().to_vec()
}

/// Writes up to the first byte beyond ASCII, if `ASCII`, and tells where that is, or `end`.
#[inline(always)]
fn escape_while<E: Escape, const ASCII: bool>(out: &mut Out, body: &[u8], start: usize, end: usize) -> usize {
    let mut at = start;
    out.reserve(end - start);
    while at < end {
        let chunk = chunk_at(body, at);
        let count = (end - at).min(16);
        let bytes = u8x16::new(chunk);
        let marks = if ASCII { E::marks(bytes) | bytes } else { E::marks(bytes) };
        let marked = marks.to_bitmask() & ((1 << count) - 1);
        if marked == 0 {
            out.put16(&chunk, count);
            at += count;
            continue;
        }
        let clean = marked.trailing_zeros() as usize;
        out.put16(&chunk, clean);
        at += clean;
        let byte = chunk[clean & 15];
        if ASCII && byte >= 0x80 {
            return at;
        }
        E::escape(out, byte);
        at += 1;
        out.reserve(end - at);
    }
    end
}

fn escape_beyond_ascii<E: Escape>(out: &mut Out, piece: &[u8]) {
    if simdutf8::basic::from_utf8(piece).is_ok() {
        escape_while::<E, false>(out, piece, 0, piece.len());
        return;
    }
    for chunk in piece.utf8_chunks() {
        let valid = chunk.valid().as_bytes();
        escape_while::<E, false>(out, valid, 0, valid.len());
        for &byte in chunk.invalid() {
            out.push(E::HEX);
            hex(out, byte);
        }
    }
}

/// Writes a JSON string with its quotes.
pub fn json_string(out: &mut Out, piece: &[u8]) {
    out.byte(b'"');
    escape_all::<Json>(out, piece);
    out.byte(b'"');
}

/// Tells whether `raw`, written as text, is `name`, which is well-formed UTF-8.
pub fn is_written_as(raw: &[u8], name: &[u8]) -> bool {
    raw == name || (std::str::from_utf8(raw).is_err() && escaped::<Plain>(raw) == name)
}

/// Where a text may be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Boundary {
    /// Between two characters.
    Characters,
    /// Also not inside an escape of JSON.
    Json,
    /// Also not inside an escape of `kv`, nor inside a `||`.
    Kv,
}

impl Boundary {
    /// Finds the last place not after `end` where the text may be cut; not before `start`, which is such a place.
    pub fn before(self, text: &[u8], start: usize, end: usize) -> usize {
        if end >= text.len() {
            return text.len();
        }
        let mut end = end;
        while end > start && text[end] & 0xC0 == 0x80 {
            end -= 1;
        }
        if self == Boundary::Characters {
            return end;
        }
        let first = start.max(end.saturating_sub(5));
        if let Some(slash) = (first..end).rev().find(|&at| text[at] == b'\\') {
            if opens_escape(text, start, slash) {
                let long = text[slash + 1] == b'u' && self == Boundary::Json;
                let after = slash + if long { 6 } else { 2 };
                if after >= end {
                    return if after > end { slash } else { end };
                }
            }
        }
        if self == Boundary::Kv && end > start && text[end - 1] == b'|' && text[end] == b'|' {
            return end - 1;
        }
        end
    }
}

/// Tells whether the backslash is the first character of an escape: it ends a run of an odd number of them.
fn opens_escape(text: &[u8], start: usize, slash: usize) -> bool {
    let run = text[start..slash].iter().rev().take_while(|&&byte| byte == b'\\').count();
    run % 2 == 0
}
