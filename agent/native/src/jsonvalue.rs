//! Decides whether a value is one well-formed JSON object or array that may stand in an event as such, by the rules of
//! the reference's `jsonvalue`: RFC 8259, well-formed UTF-8, no escape of a lone surrogate, at most 64 levels.

use crate::out::Out;
use crate::text::{chunk_at, Escape, Json};
use wide::u8x16;

const DEEPEST: u32 = 64;

/// Writes the value as JSON without CR, LF and TAB and tells true; or writes nothing when it stays text.
pub fn embed(out: &mut Out, raw: &[u8]) -> bool {
    let Some(one_line) = Checker::default().check(raw) else { return false };
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
    embed(&mut out, raw).then(|| out.as_slice().to_vec())
}

/// Walks a text once. `kinds` has a bit for each level above the present one: 1 for an object.
#[derive(Default)]
struct Checker {
    kinds: u64,
    depth: u32,
    many_lines: bool,
    beyond_ascii: bool,
}

impl Checker {
    /// Tells whether the text has neither CR, LF nor TAB; `None` when it may not be embedded.
    fn check(mut self, raw: &[u8]) -> Option<bool> {
        let at = self.space(raw, 0);
        if !matches!(raw.get(at), Some(b'{' | b'[')) {
            return None;
        }
        let after = self.walk(raw, at)?;
        if self.space(raw, after) != raw.len() {
            return None;
        }
        if self.beyond_ascii && simdutf8::basic::from_utf8(raw).is_err() {
            return None;
        }
        Some(!self.many_lines)
    }

    /// Walks a value, which begins at `at`, and all values in it.
    fn walk(&mut self, raw: &[u8], mut at: usize) -> Option<usize> {
        loop {
            at = self.space(raw, at);
            at = match *raw.get(at)? {
                kind @ (b'{' | b'[') => match self.open(raw, at + 1, kind == b'{')? {
                    Opened::Inside(inside) => {
                        at = inside;
                        continue;
                    }
                    Opened::Empty(after) => after,
                },
                b'"' => self.string(raw, at + 1)?,
                b't' => literal(raw, at, b"true")?,
                b'f' => literal(raw, at, b"false")?,
                b'n' => literal(raw, at, b"null")?,
                _ => number(raw, at)?,
            };
            at = self.close(raw, at)?;
            if self.depth == 0 {
                return Some(at);
            }
        }
    }

    fn open(&mut self, raw: &[u8], at: usize, object: bool) -> Option<Opened> {
        if self.depth == DEEPEST {
            return None;
        }
        let at = self.space(raw, at);
        let end = if object { b'}' } else { b']' };
        if *raw.get(at)? == end {
            return Some(Opened::Empty(at + 1));
        }
        self.depth += 1;
        self.kinds = self.kinds << 1 | u64::from(object);
        Some(Opened::Inside(if object { self.name(raw, at)? } else { at }))
    }

    /// Walks what follows a value: the ends of what it is in, up to the next value.
    fn close(&mut self, raw: &[u8], mut at: usize) -> Option<usize> {
        while self.depth > 0 {
            let object = self.kinds & 1 == 1;
            at = self.space(raw, at);
            match *raw.get(at)? {
                b',' if object => {
                    let next = self.space(raw, at + 1);
                    return self.name(raw, next);
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
    fn name(&mut self, raw: &[u8], at: usize) -> Option<usize> {
        if *raw.get(at)? != b'"' {
            return None;
        }
        let after = self.string(raw, at + 1)?;
        let colon = self.space(raw, after);
        (*raw.get(colon)? == b':').then_some(colon + 1)
    }

    #[inline]
    fn space(&mut self, raw: &[u8], mut at: usize) -> usize {
        while let Some(byte) = raw.get(at) {
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
    fn string(&mut self, raw: &[u8], mut at: usize) -> Option<usize> {
        loop {
            let chunk = chunk_at(raw, at.min(raw.len()));
            let bytes = u8x16::new(chunk);
            let marked = Json::marks(bytes).to_bitmask();
            self.beyond_ascii |= bytes.to_bitmask() != 0;
            if marked == 0 {
                at += 16;
                continue;
            }
            at += marked.trailing_zeros() as usize;
            match *raw.get(at)? {
                b'"' => return Some(at + 1),
                b'\\' => at = escape(raw, at + 1)?,
                _ => return None,
            }
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
