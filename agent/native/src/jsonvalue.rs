//! Decides whether a value is one well-formed JSON object or array that may stand in an event as such, by the rules of
//! the reference's `jsonvalue`: RFC 8259, well-formed UTF-8, no escape of a lone surrogate, at most 64 levels.

use crate::out::Out;
use wide::u8x16;

const DEEPEST: u32 = 64;

/// Writes bytes `start..end` of `body` as JSON without CR, LF and TAB and tells true; or writes nothing when they stay
/// text.
pub fn embed(out: &mut Out, body: &[u8], start: usize, end: usize) -> bool {
    let Some(one_line) = Checker::new(&body[..end]).check(start) else {
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

/// Walks a text once.
struct Checker<'a> {
    /// The body up to the end of the text.
    raw: &'a [u8],
    strings: Strings<'a>,
    /// A bit for each level above the present one: 1 for an object.
    kinds: u64,
    depth: u32,
    many_lines: bool,
}

impl<'a> Checker<'a> {
    fn new(raw: &'a [u8]) -> Checker<'a> {
        Checker { raw, strings: Strings::new(raw), kinds: 0, depth: 0, many_lines: false }
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
        if self.strings.are_beyond_ascii() && simdutf8::basic::from_utf8(&self.raw[start..]).is_err() {
            return None;
        }
        Some(!self.many_lines)
    }

    /// Walks a value, which begins at `at`, and all values in it.
    #[inline(always)]
    fn walk(&mut self, mut at: usize) -> Option<usize> {
        let mut is_name = false;
        loop {
            at = self.space(at);
            let byte = *self.raw.get(at)?;
            if byte == b'"' {
                at = self.strings.end_of(at + 1)?;
                if is_name {
                    at = self.space(at);
                    if *self.raw.get(at)? != b':' {
                        return None;
                    }
                    at += 1;
                    is_name = false;
                    continue;
                }
            } else if is_name {
                return None;
            } else if let b'{' | b'[' = byte {
                let object = byte == b'{';
                at = self.space(at + 1);
                if self.depth == DEEPEST {
                    return None;
                }
                if *self.raw.get(at)? != if object { b'}' } else { b']' } {
                    self.depth += 1;
                    self.kinds = self.kinds << 1 | u64::from(object);
                    is_name = object;
                    continue;
                }
                at += 1;
            } else {
                at = match byte {
                    b't' => literal(self.raw, at, b"true")?,
                    b'f' => literal(self.raw, at, b"false")?,
                    b'n' => literal(self.raw, at, b"null")?,
                    _ => number(self.raw, at)?,
                };
            }
            // What follows a value: the ends of what it is in, up to the next value or name.
            loop {
                if self.depth == 0 {
                    return Some(at);
                }
                is_name = self.kinds & 1 == 1;
                at = self.space(at);
                let byte = *self.raw.get(at)?;
                at += 1;
                if byte == b',' {
                    break;
                }
                if byte != if is_name { b'}' } else { b']' } {
                    return None;
                }
                self.kinds >>= 1;
                self.depth -= 1;
            }
        }
    }

    #[inline(always)]
    fn space(&mut self, at: usize) -> usize {
        if self.raw.get(at).is_none_or(|&byte| byte > b' ') {
            return at;
        }
        self.spaces(at)
    }

    fn spaces(&mut self, mut at: usize) -> usize {
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
}

/// Bytes that are looked at together.
const BLOCK: usize = 64;
const PART: usize = 16;

/// Finds the ends of strings. The bytes of a block are looked at once, for all strings that are in it.
struct Strings<'a> {
    raw: &'a [u8],
    /// Where the block begins, and which of its bytes end a string or cannot be in one, or are the `u` of an escape.
    block: usize,
    marks: u64,
    /// The byte behind the block is escaped.
    escapes: bool,
    beyond_ascii: u8x16,
}

impl<'a> Strings<'a> {
    fn new(raw: &'a [u8]) -> Strings<'a> {
        Strings { raw, block: usize::MAX - BLOCK, marks: 0, escapes: false, beyond_ascii: u8x16::ZERO }
    }

    fn are_beyond_ascii(&self) -> bool {
        self.beyond_ascii.to_bitmask() != 0
    }

    /// Walks a string from behind its first quote to behind its last one.
    #[inline(always)]
    fn end_of(&mut self, mut at: usize) -> Option<usize> {
        loop {
            let inside = at.wrapping_sub(self.block);
            if inside < BLOCK {
                let marks = self.marks >> inside;
                if marks == 0 {
                    at = self.block + BLOCK;
                    self.look_at(at, self.escapes);
                    continue;
                }
                at += marks.trailing_zeros() as usize;
                match *self.raw.get(at)? {
                    b'"' => return Some(at + 1),
                    b'u' => at = unicode(self.raw, at)?,
                    _ => return None,
                }
            } else {
                self.look_at(at, false);
            }
        }
    }

    /// Looks at the block that begins at `at`, inside a string; behind the text it is full of zeros, which are marked.
    #[inline(always)]
    fn look_at(&mut self, at: usize, escaped: bool) {
        let bytes = match self.raw.get(at..at + BLOCK) {
            Some(block) => block.try_into().unwrap(),
            None => last_block(self.raw, at),
        };
        self.block = at;
        let (mut quotes, mut slashes, mut controls) = (0, 0, 0);
        for (index, part) in bytes.chunks_exact(PART).enumerate() {
            let part = u8x16::new(part.try_into().unwrap());
            let bits = |marked: u8x16| u64::from(marked.to_bitmask()) << (PART * index);
            quotes |= bits(part.simd_eq(u8x16::splat(b'"')));
            slashes |= bits(part.simd_eq(u8x16::splat(b'\\')));
            controls |= bits(part.min(u8x16::splat(0x1F)).simd_eq(part));
            self.beyond_ascii |= part;
        }
        self.marks = quotes | controls;
        self.escapes = false;
        if slashes != 0 || escaped {
            self.take_escapes(&bytes, slashes, quotes, escaped);
        }
    }

    /// Unmarks the quotes that are escaped, and marks what else is and may not, or is a `u`.
    fn take_escapes(&mut self, bytes: &[u8; BLOCK], slashes: u64, quotes: u64, escaped: bool) {
        let mut after = u64::from(escaped);
        let mut left = slashes & !after;
        self.escapes = left >> (BLOCK - 1) == 1;
        if left & left << 1 == 0 {
            after |= left << 1;
        } else {
            while left != 0 {
                let slash = left & left.wrapping_neg();
                self.escapes = slash << 1 == 0;
                after |= slash << 1;
                left &= !(slash | slash << 1);
            }
        }
        self.marks &= !(after & quotes);
        let mut others = after & !(quotes | slashes);
        while others != 0 {
            let place = others.trailing_zeros();
            if !matches!(bytes[place as usize], b'/' | b'b' | b'f' | b'n' | b'r' | b't') {
                self.marks |= 1 << place;
            }
            others &= others - 1;
        }
    }
}

#[cold]
fn last_block(raw: &[u8], at: usize) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let rest = raw.get(at..).unwrap_or_default();
    block[..rest.len()].copy_from_slice(rest);
    block
}

fn literal(raw: &[u8], at: usize, word: &[u8]) -> Option<usize> {
    raw[at..].starts_with(word).then_some(at + word.len())
}

/// Walks the escape of a code unit from its `u`, a pair of surrogates as one.
fn unicode(raw: &[u8], at: usize) -> Option<usize> {
    match hex(raw, at + 1)? {
        0xD800..=0xDBFF => {
            let second = raw.get(at + 5..at + 7)? == b"\\u" && matches!(hex(raw, at + 7)?, 0xDC00..=0xDFFF);
            second.then_some(at + 11)
        }
        0xDC00..=0xDFFF => None,
        _ => Some(at + 5),
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
