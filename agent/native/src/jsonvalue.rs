//! Decides whether a value is one well-formed JSON object or array that may stand in an event as such, by the rules of
//! the reference's `jsonvalue`: RFC 8259, well-formed UTF-8, no escape of a lone surrogate, at most 64 levels.

use crate::out::Out;
use crate::text::{chunk_at, Escape, Json};
use wide::u8x16;

const DEEPEST: u32 = 64;

/// Writes bytes `start..end` of `body` as JSON without CR, LF and TAB and tells true; or writes nothing when they stay
/// text.
pub fn embed(out: &mut Out, body: &[u8], start: usize, end: usize) -> bool {
    let Some(one_line) = Checker::new(body, end).check(start) else {
        return false;
    };
    let raw = &body[start..end];
    if one_line {
        out.push(raw);
    } else {
        out.reserve(raw.len());
        for &byte in raw.iter().filter(|byte| !matches!(byte, b'\r' | b'\n' | b'\t')) {
            out.put(byte);
        }
    }
    true
}

/// As `embed`, into a vector; slow.
pub fn embeddable(raw: &[u8]) -> Option<Vec<u8>> {
    let mut out = Out::default();
    embed(&mut out, raw, 0, raw.len()).then(|| out.as_slice().to_vec())
}

/// Bytes that are looked at together.
const BLOCK: usize = 64;

/// Walks a text once.
struct Checker<'a> {
    /// What there is around and behind the text, to be looked at in blocks.
    body: &'a [u8],
    /// The body up to the end of the text.
    raw: &'a [u8],
    /// A bit for each level above the present one: 1 for an object.
    kinds: u64,
    depth: u32,
    many_lines: bool,
    beyond_ascii: u8x16,
    /// Where the block begins, and which of its bytes cannot be inside a string as they are.
    block: usize,
    marks: u64,
}

impl<'a> Checker<'a> {
    fn new(body: &'a [u8], end: usize) -> Checker<'a> {
        Checker {
            body,
            raw: &body[..end],
            kinds: 0,
            depth: 0,
            many_lines: false,
            beyond_ascii: u8x16::ZERO,
            block: usize::MAX - BLOCK,
            marks: 0,
        }
    }

    /// Tells whether the text has neither CR, LF nor TAB; `None` when it may not be embedded.
    fn check(mut self, start: usize) -> Option<bool> {
        let at = self.space(start);
        if !matches!(self.raw.get(at), Some(b'{' | b'[')) {
            return None;
        }
        let after = self.walk(at)?;
        if self.space(after) != self.raw.len() {
            return None;
        }
        if self.beyond_ascii.to_bitmask() != 0 && simdutf8::basic::from_utf8(&self.raw[start..]).is_err() {
            return None;
        }
        Some(!self.many_lines)
    }

    /// Walks a value, which begins at `at`, and all values in it.
    fn walk(&mut self, mut at: usize) -> Option<usize> {
        loop {
            at = self.space(at);
            at = match *self.raw.get(at)? {
                kind @ (b'{' | b'[') => match self.open(at + 1, kind == b'{')? {
                    Opened::Inside(inside) => {
                        at = inside;
                        continue;
                    }
                    Opened::Empty(after) => after,
                },
                b'"' => self.string(at + 1)?,
                b't' => literal(self.raw, at, b"true")?,
                b'f' => literal(self.raw, at, b"false")?,
                b'n' => literal(self.raw, at, b"null")?,
                _ => number(self.raw, at)?,
            };
            at = self.close(at)?;
            if self.depth == 0 {
                return Some(at);
            }
        }
    }

    fn open(&mut self, at: usize, object: bool) -> Option<Opened> {
        if self.depth == DEEPEST {
            return None;
        }
        let at = self.space(at);
        let end = if object { b'}' } else { b']' };
        if *self.raw.get(at)? == end {
            return Some(Opened::Empty(at + 1));
        }
        self.depth += 1;
        self.kinds = self.kinds << 1 | u64::from(object);
        Some(Opened::Inside(if object { self.name(at)? } else { at }))
    }

    /// Walks what follows a value: the ends of what it is in, up to the next value.
    fn close(&mut self, mut at: usize) -> Option<usize> {
        while self.depth > 0 {
            let object = self.kinds & 1 == 1;
            at = self.space(at);
            match *self.raw.get(at)? {
                b',' if object => {
                    let next = self.space(at + 1);
                    return self.name(next);
                }
                b',' => return Some(at + 1),
                b'}' if object => {}
                b']' if !object => {}
                _ => return None,
            }
            at += 1;
            self.kinds >>= 1;
            self.depth -= 1;
        }
        Some(at)
    }

    /// Walks a name and its colon.
    fn name(&mut self, at: usize) -> Option<usize> {
        if *self.raw.get(at)? != b'"' {
            return None;
        }
        let after = self.string(at + 1)?;
        let colon = self.space(after);
        (*self.raw.get(colon)? == b':').then_some(colon + 1)
    }

    #[inline]
    fn space(&mut self, mut at: usize) -> usize {
        while let Some(byte) = self.raw.get(at) {
            match byte {
                b' ' => {}
                b'\t' | b'\r' | b'\n' => self.many_lines = true,
                _ => break,
            }
            at += 1;
        }
        at
    }

    /// Walks a string from behind its first quote to behind its last one.
    #[inline]
    fn string(&mut self, mut at: usize) -> Option<usize> {
        loop {
            at = self.next_mark(at);
            match *self.raw.get(at)? {
                b'"' => return Some(at + 1),
                b'\\' => at = escape(self.raw, at + 1)?,
                _ => return None,
            }
        }
    }

    /// Finds the next byte, from `at` on, that is a quote, a backslash or a control character, or the body's end.
    #[inline(always)]
    fn next_mark(&mut self, mut at: usize) -> usize {
        loop {
            let inside = at.wrapping_sub(self.block);
            if inside < BLOCK {
                let marks = self.marks >> inside;
                if marks != 0 {
                    return at + marks.trailing_zeros() as usize;
                }
                at = self.block + BLOCK;
            }
            if at >= self.raw.len() {
                return at;
            }
            self.look_at(at);
        }
    }

    /// Looks at the block that begins at `at`; behind the body's end it is full of zeros, which are marked.
    #[inline(always)]
    fn look_at(&mut self, at: usize) {
        self.block = at;
        self.marks = 0;
        for part in 0..BLOCK / 16 {
            let place = at + 16 * part;
            let bytes = u8x16::new(if place < self.body.len() { chunk_at(self.body, place) } else { [0; 16] });
            self.marks |= u64::from(Json::marks(bytes).to_bitmask()) << (16 * part);
            self.beyond_ascii |= bytes;
        }
    }
}

enum Opened {
    Inside(usize),
    Empty(usize),
}

fn literal(raw: &[u8], at: usize, word: &[u8]) -> Option<usize> {
    raw[at..].starts_with(word).then_some(at + word.len())
}

/// Walks an escape from behind its backslash, a pair of surrogates as one.
fn escape(raw: &[u8], at: usize) -> Option<usize> {
    match *raw.get(at)? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(at + 1),
        b'u' => match hex(raw, at + 1)? {
            0xD800..=0xDBFF => {
                let second = raw.get(at + 5..at + 7)? == b"\\u" && matches!(hex(raw, at + 7)?, 0xDC00..=0xDFFF);
                second.then_some(at + 11)
            }
            0xDC00..=0xDFFF => None,
            _ => Some(at + 5),
        },
        _ => None,
    }
}

fn hex(raw: &[u8], at: usize) -> Option<u32> {
    raw.get(at..at + 4)?.iter().try_fold(0, |value, &byte| Some(value << 4 | (byte as char).to_digit(16)?))
}

fn number(raw: &[u8], at: usize) -> Option<usize> {
    let mut at = at + usize::from(raw.get(at) == Some(&b'-'));
    at = if raw.get(at) == Some(&b'0') { at + 1 } else { digits(raw, at)? };
    if raw.get(at) == Some(&b'.') {
        at = digits(raw, at + 1)?;
    }
    if let Some(b'e' | b'E') = raw.get(at) {
        at += 1;
        at = digits(raw, at + usize::from(matches!(raw.get(at), Some(b'+' | b'-'))))?;
    }
    Some(at)
}

/// Walks at least one digit.
fn digits(raw: &[u8], at: usize) -> Option<usize> {
    let count = raw[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    (count > 0).then_some(at + count)
}
