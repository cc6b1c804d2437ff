//! Walks LogGroupList, LogGroup and Log in protobuf wire form, as the reference's `wire` does: the same rules, the
//! same errors in the same words, at the same byte.
//!
//! Strings are places in the body (`Part`), so that nothing is copied. It knows nothing of formats and outputs.

use std::fmt::Display;

const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const LENGTH: u64 = 2;
const START_GROUP: u64 = 3;
const END_GROUP: u64 = 4;
const FIXED32: u64 = 5;
const DEEPEST: u32 = 100;

const CACHE_LINE: usize = 64;
const AHEAD: usize = 32 << 10;

/// Bytes `start..end` of a body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Part {
    pub start: u32,
    pub end: u32,
}

impl Part {
    pub fn new(start: usize, end: usize) -> Part {
        Part { start: start as u32, end: end as u32 }
    }

    pub fn of(self, body: &[u8]) -> &[u8] {
        &body[self.start as usize..self.end as usize]
    }

    pub fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    pub fn is_empty(self) -> bool {
        self.start == self.end
    }
}

/// Bytes that are no message of the schema.
#[derive(Debug, PartialEq, Eq)]
pub struct WireError(pub String);

/// A `WireError` with the place of its group in the list; -1 when the list itself is broken.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed {
    pub message: String,
    pub group_index: i64,
}

impl WireError {
    pub fn in_group(self, index: usize) -> Malformed {
        Malformed { message: format!("log group {index}: {}", self.0), group_index: index as i64 }
    }
}

impl Malformed {
    /// A fault of the list, which may be found at one of its groups.
    pub fn of_list(text: &str, group_index: i64) -> Malformed {
        Malformed { message: format!("log group list: {text}"), group_index }
    }

    /// A fault whose kind only the whole list can tell.
    pub fn unusual() -> Malformed {
        Malformed::of_list("not as expected", -1)
    }

    /// A fault of this library, in the words of its panic.
    pub fn by_fault(fault: &str, group_index: i64) -> Malformed {
        Malformed { message: format!("the compiled codec failed: {fault}"), group_index }
    }
}

fn error<T>(text: impl Display) -> Result<T, WireError> {
    Err(WireError(text.to_string()))
}

/// What the logs of a group share; `None`: absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    pub topic: Option<Part>,
    pub source: Option<Part>,
    pub tags: Vec<(Part, Part)>,
}

/// One log; the vectors are reused from log to log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    pub time: u32,
    pub ns: Option<u32>,
    pub keys: Vec<Part>,
    pub values: Vec<Part>,
}

/// Reads a varint at `pos` and returns it with the position after it.
#[inline]
pub fn read_varint(body: &[u8], pos: usize, end: usize) -> Result<(u64, usize), WireError> {
    if pos < end && body[pos] < 0x80 {
        return Ok((u64::from(body[pos]), pos + 1));
    }
    read_long_varint(body, pos, end)
}

fn read_long_varint(body: &[u8], mut pos: usize, end: usize) -> Result<(u64, usize), WireError> {
    let mut value: u128 = 0;
    for shift in (0..70).step_by(7) {
        if pos >= end {
            return error(format_args!("a number is cut off at byte {pos}"));
        }
        let byte = body[pos];
        pos += 1;
        value |= u128::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            if value >> 64 == 0 {
                return Ok((value as u64, pos));
            }
            break;
        }
    }
    error(format_args!("a number before byte {pos} has more than 64 bits"))
}

/// Reads a length and returns start and end of what it measures.
#[inline]
fn read_length(body: &[u8], pos: usize, end: usize) -> Result<(usize, usize), WireError> {
    let (size, start) = read_varint(body, pos, end)?;
    if size > (end - start) as u64 {
        return error(format_args!("a length of {size} at byte {pos} reaches beyond the end at byte {end}"));
    }
    Ok((start, start + size as usize))
}

fn skip(body: &[u8], pos: usize, end: usize, tag: u64, depth: u32) -> Result<usize, WireError> {
    let kind = tag & 7;
    if tag >> 3 == 0 || tag >> 32 != 0 {
        return error(format_args!("tag {tag} before byte {pos} has no valid field number"));
    }
    match kind {
        VARINT => Ok(read_varint(body, pos, end)?.1),
        LENGTH => Ok(read_length(body, pos, end)?.1),
        FIXED64 => skip_fixed(pos + 8, end),
        FIXED32 => skip_fixed(pos + 4, end),
        START_GROUP => skip_group(body, pos, end, tag, depth),
        _ => error(format_args!("wire type {kind} at byte {pos} is not one, or ends a group that was not started")),
    }
}

fn skip_fixed(after: usize, end: usize) -> Result<usize, WireError> {
    if after > end {
        return error(format_args!("a fixed-size field is cut off at byte {end}"));
    }
    Ok(after)
}

fn skip_group(body: &[u8], mut pos: usize, end: usize, tag: u64, depth: u32) -> Result<usize, WireError> {
    if depth == DEEPEST {
        return error(format_args!("groups are nested more than {DEEPEST} deep at byte {pos}"));
    }
    while pos < end {
        let (inner, after) = read_varint(body, pos, end)?;
        if inner == tag - START_GROUP + END_GROUP {
            return Ok(after);
        }
        pos = skip(body, after, end, inner, depth + 1)?;
    }
    error(format_args!("a group is not closed before byte {end}"))
}

/// Tells whether the tag is the wanted one; the wanted field with another wire type is an error.
fn known(tag: u64, wanted: u64) -> Result<bool, WireError> {
    if tag == wanted {
        return Ok(true);
    }
    if tag >> 3 == wanted >> 3 {
        return error(format_args!("field {} has wire type {}, not {}", tag >> 3, tag & 7, wanted & 7));
    }
    Ok(false)
}

/// Finds the log groups of a list, one after the other.
#[derive(Clone, Debug, Default)]
pub struct Groups {
    pos: usize,
    index: usize,
}

impl Groups {
    /// Number of groups that were found.
    pub fn count(&self) -> usize {
        self.index
    }

    /// Place of the group that was found last; -1 before the first.
    pub fn last(&self) -> i64 {
        self.index as i64 - 1
    }

    /// Bytes of the list that are done.
    pub fn pos(&self) -> usize {
        self.pos
    }

    /// Passes a group that somebody else has found, of so many bytes with tag and length, and tells its place.
    pub fn pass(&mut self, size: usize) -> usize {
        self.pos += size;
        self.index += 1;
        self.index - 1
    }

    /// Place, start and end of the next group; `None` at the end of the list.
    pub fn next(&mut self, body: &[u8]) -> Result<Option<(usize, usize, usize)>, Malformed> {
        while self.pos < body.len() {
            let mut ours = false;
            match self.step(body, &mut ours) {
                Ok(Some((start, end))) => {
                    self.index += 1;
                    return Ok(Some((self.index - 1, start, end)));
                }
                Ok(None) => {}
                Err(WireError(text)) => {
                    let group_index = if ours { self.index as i64 } else { -1 };
                    return Err(Malformed::of_list(&text, group_index));
                }
            }
        }
        Ok(None)
    }

    fn step(&mut self, body: &[u8], ours: &mut bool) -> Result<Option<(usize, usize)>, WireError> {
        let (tag, pos) = read_varint(body, self.pos, body.len())?;
        *ours = known(tag, 0x0A)?;
        if *ours {
            let (start, end) = read_length(body, pos, body.len())?;
            self.pos = end;
            return Ok(Some((start, end)));
        }
        self.pos = skip(body, pos, body.len(), tag, 0)?;
        Ok(None)
    }
}

/// Looks at a byte of each cache line. The walk from log to log would wait for memory at each of them, since each says
/// where the next is; this waits once. (It made up 40 % of the time to encode.)
fn read_ahead(piece: &[u8]) {
    std::hint::black_box(piece.iter().step_by(CACHE_LINE).fold(0, |all, byte| all | byte));
}

/// Reads what the logs of a group share into `meta`, and where they are into `logs`.
pub fn walk_group(
    body: &[u8],
    start: usize,
    end: usize,
    meta: &mut Meta,
    logs: &mut Vec<Part>,
) -> Result<(), WireError> {
    meta.topic = None;
    meta.source = None;
    meta.tags.clear();
    logs.clear();
    let mut pos = start;
    let mut ahead = start;
    while pos < end {
        if pos >= ahead {
            ahead = end.min(pos + AHEAD);
            read_ahead(&body[pos..ahead]);
        }
        let (tag, after) = read_varint(body, pos, end)?;
        if tag == 0x0A {
            let (first, next) = read_length(body, after, end)?;
            logs.push(Part::new(first, next));
            pos = next;
        } else {
            pos = walk_metadata(body, after, end, tag, meta)?;
        }
    }
    Ok(())
}

fn walk_metadata(body: &[u8], pos: usize, end: usize, tag: u64, meta: &mut Meta) -> Result<usize, WireError> {
    if known(tag, 0x1A)? {
        let (first, next) = read_length(body, pos, end)?;
        meta.topic = Some(Part::new(first, next));
        return Ok(next);
    }
    if known(tag, 0x22)? {
        let (first, next) = read_length(body, pos, end)?;
        meta.source = Some(Part::new(first, next));
        return Ok(next);
    }
    if known(tag, 0x32)? {
        let (first, next) = read_length(body, pos, end)?;
        meta.tags.push(read_pair(body, first, next)?);
        return Ok(next);
    }
    known(tag, 0x0A)?;
    skip(body, pos, end, tag, 0)
}

/// Reads one log into `log`.
pub fn walk_log(body: &[u8], start: usize, end: usize, log: &mut Log) -> Result<(), WireError> {
    log.time = 0;
    log.ns = None;
    log.keys.clear();
    log.values.clear();
    let mut pos = start;
    while pos < end {
        let (tag, after) = read_varint(body, pos, end)?;
        if tag == 0x12 {
            let (first, next) = read_length(body, after, end)?;
            let (key, value) = read_pair(body, first, next)?;
            log.keys.push(key);
            log.values.push(value);
            pos = next;
        } else if known(tag, 0x08)? {
            let (time, next) = read_varint(body, after, end)?;
            log.time = time as u32;
            pos = next;
        } else if known(tag, 0x25)? {
            pos = skip(body, after, end, tag, 0)?;
            log.ns = Some(u32::from_le_bytes([body[after], body[after + 1], body[after + 2], body[after + 3]]));
        } else {
            known(tag, 0x12)?;
            pos = skip(body, after, end, tag, 0)?;
        }
    }
    Ok(())
}

/// Reads a Content or a LogTag: its key and its value.
fn read_pair(body: &[u8], start: usize, end: usize) -> Result<(Part, Part), WireError> {
    let (mut key, mut value) = (Part::default(), Part::default());
    let mut pos = start;
    while pos < end {
        let (tag, after) = read_varint(body, pos, end)?;
        if known(tag, 0x0A)? {
            let (first, next) = read_length(body, after, end)?;
            key = Part::new(first, next);
            pos = next;
        } else if known(tag, 0x12)? {
            let (first, next) = read_length(body, after, end)?;
            value = Part::new(first, next);
            pos = next;
        } else {
            pos = skip(body, after, end, tag, 0)?;
        }
    }
    Ok((key, value))
}

/// Counts the log groups, without looking into them.
pub fn count_groups(body: &[u8]) -> Result<usize, Malformed> {
    let mut groups = Groups::default();
    while groups.next(body)?.is_some() {}
    Ok(groups.index)
}

/// Counts the logs of each group, without looking into the logs.
pub fn group_sizes(body: &[u8]) -> Result<Vec<usize>, Malformed> {
    let mut sizes = Vec::new();
    let (mut meta, mut logs) = (Meta::default(), Vec::new());
    let mut groups = Groups::default();
    while let Some((index, start, end)) = groups.next(body)? {
        walk_group(body, start, end, &mut meta, &mut logs).map_err(|error| error.in_group(index))?;
        sizes.push(logs.len());
    }
    Ok(sizes)
}
