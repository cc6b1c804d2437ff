//! Reads logs, and remembers their shapes: the logs of a logstore mostly have the same keys in the same order.
//!
//! A log is first read as if it had the shape of one of the two logs that came last. That ends without a result, never
//! with a wrong one, as soon as a byte differs from what the shape says or a length is not what it should be; then
//! `wire` walks it. So errors come from `wire` alone.

use crate::field_names::FieldNames;
use crate::wire::{walk_log, Log, Part, WireError};
use std::collections::HashMap;

const MOST_SHAPES: usize = 2048;
const MOST_BYTES: usize = 2 << 20;

/// A list of keys.
pub struct Shape {
    pub keys: Vec<Vec<u8>>,
    /// Where the fields that the settings name are among the keys.
    pub places: Vec<Option<u32>>,
    /// For each key: the bytes from its own length to the tag of its value, in words of eight.
    words: Vec<u64>,
    /// For each key: number of words, number of bytes.
    sizes: Vec<(u32, u32)>,
}

impl Shape {
    fn new(keys: Vec<Vec<u8>>, names: &FieldNames) -> Shape {
        let mut shape = Shape { places: names.places(&keys), keys, words: Vec::new(), sizes: Vec::new() };
        for key in &shape.keys {
            let mut bytes = vec![0x0A];
            push_varint(&mut bytes, key.len());
            bytes.extend_from_slice(key);
            bytes.push(0x12);
            let words = bytes.chunks(8).map(word_of);
            shape.sizes.push((words.len() as u32, bytes.len() as u32));
            shape.words.extend(words);
        }
        shape
    }

    /// Reads a log of this shape into `log`, all but its keys; `None` when it has another, or may have.
    #[inline]
    fn read(&self, body: &[u8], start: usize, end: usize, log: &mut Log) -> Option<()> {
        log.values.clear();
        if body.get(start) != Some(&0x08) {
            return None;
        }
        let (time, mut pos) = number(body, start + 1)?;
        let mut words = self.words.as_slice();
        for &(count, size) in &self.sizes {
            if *body.get(pos)? != 0x12 {
                return None;
            }
            let (length, inside) = number(body, pos + 1)?;
            let after = inside + length as usize;
            let (expected, rest) = words.split_at(count as usize);
            words = rest;
            if after > end || !starts_with(body, inside, expected, size as usize) {
                return None;
            }
            let (length, value) = number(body, inside + size as usize)?;
            if value + length as usize != after {
                return None;
            }
            log.values.push(Part::new(value, after));
            pos = after;
        }
        log.time = time;
        log.ns = None;
        if pos == end {
            return Some(());
        }
        if pos + 5 == end && body[pos] == 0x25 {
            log.ns = Some(u32::from_le_bytes(body[pos + 1..end].try_into().unwrap()));
            return Some(());
        }
        None
    }

    fn bytes(&self) -> usize {
        128 + 8 * self.words.len() + self.keys.iter().map(|key| 64 + key.len()).sum::<usize>()
    }
}

fn push_varint(bytes: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

fn word_of(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(word)
}

/// Reads a varint of up to 32 bits; `None` when it is longer, or the body ends.
#[inline(always)]
fn number(body: &[u8], pos: usize) -> Option<(u32, usize)> {
    let first = *body.get(pos)?;
    if first < 0x80 {
        return Some((u32::from(first), pos + 1));
    }
    let second = *body.get(pos + 1)?;
    if second < 0x80 {
        return Some((u32::from(first & 0x7F) | u32::from(second) << 7, pos + 2));
    }
    long_number(body, pos)
}

fn long_number(body: &[u8], pos: usize) -> Option<(u32, usize)> {
    let mut value = 0u64;
    for (place, &byte) in body.get(pos..pos + 5)?.iter().enumerate() {
        value |= u64::from(byte & 0x7F) << (7 * place);
        if byte < 0x80 {
            return Some((u32::try_from(value).ok()?, pos + place + 1));
        }
    }
    None
}

/// Tells whether the body has, at `pos`, the `size` bytes in `words`; false near its end, where one cannot look so far.
#[inline(always)]
fn starts_with(body: &[u8], pos: usize, words: &[u64], size: usize) -> bool {
    let Some(bytes) = body.get(pos..pos + 8 * words.len()) else {
        return false;
    };
    let Some((last, whole)) = words.split_last() else {
        return false;
    };
    let mut chunks = bytes.chunks_exact(8).map(|chunk| u64::from_le_bytes(chunk.try_into().unwrap()));
    for word in whole {
        if chunks.next() != Some(*word) {
            return false;
        }
    }
    let unused = 8 * (8 * words.len() - size);
    chunks.next().is_some_and(|chunk| (chunk ^ last) << unused == 0)
}

/// Reads logs, learning their shapes; bounded in memory.
#[derive(Default)]
pub struct Reader {
    shapes: Vec<Shape>,
    by_keys: HashMap<Vec<u8>, usize>,
    bytes: usize,
    first: usize,
    second: usize,
    /// Changes whenever all shapes are forgotten.
    pub generation: u64,
    scratch: Vec<u8>,
}

impl Reader {
    pub fn shape(&self, index: usize) -> &Shape {
        &self.shapes[index]
    }

    /// Reads the log between `start` and `end` into `log` and tells the index of its shape.
    #[inline]
    pub fn read(&mut self, body: &[u8], part: Part, log: &mut Log, names: &FieldNames) -> Result<usize, WireError> {
        let (start, end) = (part.start as usize, part.end as usize);
        if let Some(shape) = self.shapes.get(self.first) {
            if shape.read(body, start, end, log).is_some() {
                return Ok(self.first);
            }
            if self.shapes[self.second].read(body, start, end, log).is_some() {
                std::mem::swap(&mut self.first, &mut self.second);
                return Ok(self.first);
            }
        }
        walk_log(body, start, end, log)?;
        Ok(self.learn(body, log, names))
    }

    /// Finds the shape of a log that had to be walked.
    #[cold]
    fn learn(&mut self, body: &[u8], log: &Log, names: &FieldNames) -> usize {
        self.scratch.clear();
        for key in &log.keys {
            self.scratch.extend_from_slice(&(key.len() as u32).to_le_bytes());
            self.scratch.extend_from_slice(key.of(body));
        }
        let found = match self.by_keys.get(&self.scratch) {
            Some(&found) => found,
            None => self.add(body, log, names),
        };
        if found != self.first {
            self.second = self.first;
            self.first = found;
        }
        found
    }

    fn add(&mut self, body: &[u8], log: &Log, names: &FieldNames) -> usize {
        if self.shapes.len() >= MOST_SHAPES || self.bytes > MOST_BYTES {
            self.forget();
        }
        let shape = Shape::new(log.keys.iter().map(|key| key.of(body).to_vec()).collect(), names);
        self.bytes += shape.bytes() + self.scratch.len();
        self.shapes.push(shape);
        self.by_keys.insert(self.scratch.clone(), self.shapes.len() - 1);
        self.shapes.len() - 1
    }

    fn forget(&mut self) {
        *self =
            Reader { generation: self.generation + 1, scratch: std::mem::take(&mut self.scratch), ..Reader::default() };
    }
}
