//! Undoes a raw block of lz4, whole or in pieces: it can stop behind any sequence and go on later, with what came before
//! moved elsewhere, as long as the last `HISTORY` bytes are there.
//!
//! Source: LZ4 Block Format Description. A block is a list of sequences: a token, literals, and a match, which repeats
//! bytes at a distance of 1 to 65,535; the last sequence is literals only.

/// Bytes that a match can reach back.
pub const HISTORY: usize = 65_535;
/// Bytes of a sequence that are read at once: the token, literals and the distance, or more than these.
const HEAD: usize = 20;
/// Most bytes that are written at once, beyond those that count.
const WIDE: usize = 32;
/// Literals, and bytes of a match beyond the four that each has, from which on more bytes say how many.
const LONG: usize = 15;
const LEAST_MATCH: usize = 4;

/// Why a decoder stopped.
#[derive(Debug, PartialEq, Eq)]
pub enum Stop {
    /// So much as was wanted is there.
    Reached,
    /// The next sequence would end at this place of `out`, beyond its end.
    Full(usize),
    /// The block has ended.
    Ended,
}

/// Where in a block and in what comes out one is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Decoder {
    /// Bytes of the block that are done.
    pos: usize,
    /// Bytes of `out` that are written.
    pub at: usize,
}

impl Decoder {
    /// Most bytes of `out` that can be written by the end of the block, of which a byte stands for 255 at most.
    pub fn most(&self, block: &[u8]) -> usize {
        self.at.saturating_add((block.len() - self.pos).saturating_mul(255))
    }

    /// Writes whole sequences until `until` bytes of `out` are written, or more.
    ///
    /// `out`: what was written before, up to `self.at`, and room behind it, where anything may be written.
    pub fn run(&mut self, block: &[u8], out: &mut [u8], until: usize) -> Result<Stop, &'static str> {
        loop {
            self.short(block, out, until)?;
            if self.at >= until {
                return Ok(Stop::Reached);
            }
            match self.any(block, out)? {
                Stop::Reached => {}
                stop => return Ok(stop),
            }
        }
    }

    /// Writes sequences of fewer than 15 literals with room all around them, as most are, in wide pieces, until another
    /// one comes or `until` bytes are written.
    fn short(&mut self, block: &[u8], out: &mut [u8], until: usize) -> Result<(), &'static str> {
        let Decoder { mut pos, mut at } = *self;
        while at < until {
            let Some(head) = block.get(pos..pos + HEAD) else { break };
            let head: &[u8; HEAD] = head.try_into().unwrap();
            let literals = usize::from(head[0] >> 4);
            if literals == LONG {
                break;
            }
            let distance = usize::from(u16::from_le_bytes([head[1 + literals], head[2 + literals]]));
            let (mut next, mut size) = (pos + 3 + literals, usize::from(head[0] & 15));
            if size == LONG {
                (size, next) = long(block, next, size)?;
            }
            size += LEAST_MATCH;
            let to = at + literals;
            if to + size + WIDE > out.len() {
                break;
            }
            out[at..at + 16].copy_from_slice(&head[1..17]);
            matched(out, to, distance, size)?;
            (pos, at) = (next, to + size);
        }
        *self = Decoder { pos, at };
        Ok(())
    }

    /// Writes the next sequence, whatever it is, and not a byte more.
    fn any(&mut self, block: &[u8], out: &mut [u8]) -> Result<Stop, &'static str> {
        let Some(&token) = block.get(self.pos) else { return Err("the block is cut off") };
        let (mut literals, mut pos) = (usize::from(token >> 4), self.pos + 1);
        if literals == LONG {
            (literals, pos) = long(block, pos, literals)?;
        }
        let Some(piece) = block.get(pos..pos + literals) else { return Err("literals are cut off") };
        pos += literals;
        let at = self.at + literals;
        if at > out.len() {
            return Ok(Stop::Full(at));
        }
        if pos == block.len() {
            out[self.at..at].copy_from_slice(piece);
            (self.pos, self.at) = (pos, at);
            return Ok(Stop::Ended);
        }
        let Some(&[low, high]) = block.get(pos..pos + 2) else { return Err("a distance is cut off") };
        let (mut size, mut pos) = (usize::from(token & 15), pos + 2);
        if size == LONG {
            (size, pos) = long(block, pos, size)?;
        }
        size += LEAST_MATCH;
        if at + size > out.len() {
            return Ok(Stop::Full(at + size));
        }
        out[self.at..at].copy_from_slice(piece);
        matched(out, at, usize::from(u16::from_le_bytes([low, high])), size)?;
        (self.pos, self.at) = (pos, at + size);
        Ok(Stop::Reached)
    }
}

/// Reads the rest of a length that did not fit in the token, and tells where it ends.
#[inline]
fn long(block: &[u8], mut pos: usize, mut length: usize) -> Result<(usize, usize), &'static str> {
    while let Some(&byte) = block.get(pos) {
        length += usize::from(byte);
        pos += 1;
        if byte < 255 {
            return Ok((length, pos));
        }
    }
    Err("a length is cut off")
}

/// Repeats `size` bytes from `distance` before `to`, in wide pieces where there is room.
#[inline(always)]
fn matched(out: &mut [u8], to: usize, distance: usize, size: usize) -> Result<(), &'static str> {
    let Some(from) = to.checked_sub(distance) else { return Err("a match begins before the first byte") };
    let room = to + size + WIDE <= out.len();
    if distance >= 32 && room {
        copy::<32>(out, from, to, size);
    } else if distance >= 16 && room {
        copy::<16>(out, from, to, size);
    } else if distance > 0 {
        repeat(out, from, to, size);
    } else {
        return Err("a match has no distance");
    }
    Ok(())
}

/// Copies in pieces of `N` bytes, the last of them whole; the distance is no smaller.
#[inline(always)]
fn copy<const N: usize>(out: &mut [u8], from: usize, to: usize, size: usize) {
    let mut done = 0;
    loop {
        let piece: [u8; N] = out[from + done..from + done + N].try_into().unwrap();
        out[to + done..to + done + N].copy_from_slice(&piece);
        done += N;
        if done >= size {
            break;
        }
    }
}

/// Copies exactly `size` bytes; where they overlap, what was just copied comes again.
fn repeat(out: &mut [u8], from: usize, to: usize, size: usize) {
    let mut done = 0;
    while done < size {
        let piece = (to + done - from).min(size - done);
        out.copy_within(from..from + piece, to + done);
        done += piece;
    }
}
