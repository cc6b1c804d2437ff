//! A LogGroupList that is decompressed group by group, just ahead of whoever reads it: so it stays in the processor's
//! cache from the first byte written to the last one read, and is in memory only in part.

use crate::body::Buffer;
use crate::inflate;
use crate::lz4::{Decoder, Stop, HISTORY};
use crate::wire::{self, Groups, Part};

/// Bytes that are decompressed at once, with what matches reach back to.
const AT_ONCE: usize = 256 << 10;
/// Room behind them, for sequences that end later.
const ROOM: usize = 4 << 10;
/// Most bytes of a field's tag and length.
const LEAD: usize = 20;

/// The place in a compressed list where one is, and the piece of it that was decompressed last.
pub struct Unpacking {
    /// Bytes of the whole list.
    size: usize,
    decoder: Decoder,
    piece: Vec<u8>,
    /// Where the piece begins in the list.
    base: usize,
    /// The block has ended.
    ended: bool,
    /// The whole list, once something was met that only the whole can tell.
    whole: Option<Buffer>,
}

impl Unpacking {
    /// `size`: bytes of the whole list, as announced; `piece`: memory to be used, see `into_piece`.
    pub fn new(size: usize, mut piece: Vec<u8>) -> Unpacking {
        piece.resize(piece.len().max(AT_ONCE + ROOM), 0);
        Unpacking { size, decoder: Decoder::default(), piece, base: 0, ended: false, whole: None }
    }

    pub fn into_piece(self) -> Vec<u8> {
        self.piece
    }

    /// What the parts of the present group point to: the piece, or the whole list.
    pub fn bytes(&self) -> &[u8] {
        self.whole.as_ref().map_or(&self.piece, Buffer::as_slice)
    }

    pub fn is_whole(&self) -> bool {
        self.whole.is_some()
    }

    /// Decompresses everything at once, for what cannot be told from a piece.
    pub fn make_whole(&mut self, block: &[u8]) -> Result<(), String> {
        let mut buffer = Buffer::take(self.size);
        inflate::lz4(block, buffer.as_mut_slice())?;
        self.whole = Some(buffer);
        Ok(())
    }

    /// The next group, if it is where groups are mostly found, and all of it can be decompressed; `None` in place of
    /// every fault and of everything unusual.
    pub fn next(&mut self, block: &[u8], groups: &mut Groups) -> Option<Next> {
        let left = self.size - groups.pos();
        if left == 0 {
            return self.ends(block).then_some(Next::End);
        }
        let first = self.have(block, groups.pos(), LEAD.min(left))?;
        let (lead, size) = lead_of(&self.piece[first..self.decoder.at])?;
        if size > left - lead {
            return None;
        }
        let start = self.have(block, groups.pos() + lead, size)?;
        Some(Next::Group(groups.pass(lead + size), Part::new(start, start + size)))
    }

    /// Has bytes `from..from + size` of the list in the piece, and tells where.
    fn have(&mut self, block: &[u8], from: usize, size: usize) -> Option<usize> {
        if from + size > self.base + self.decoder.at {
            self.go_on(block, from, size)?;
        }
        Some(from - self.base)
    }

    /// Makes room for bytes `from..from + size` of the list, keeps what matches may reach back to, and decompresses.
    fn go_on(&mut self, block: &[u8], from: usize, size: usize) -> Option<()> {
        let kept = (from - self.base).min(self.decoder.at.saturating_sub(HISTORY));
        self.piece.copy_within(kept..self.decoder.at, 0);
        self.base += kept;
        self.decoder.at -= kept;
        let least = from - self.base + size;
        if least > self.decoder.most(block) {
            return None; // before there is room for what is only announced
        }
        let until = least.max(AT_ONCE);
        self.make_room(until + ROOM);
        loop {
            match self.decoder.run(block, &mut self.piece, until).ok()? {
                Stop::Full(end) if end <= self.size - self.base => self.make_room(end + ROOM),
                Stop::Full(_) => return None,
                Stop::Ended => {
                    self.ended = true;
                    break;
                }
                Stop::Reached => break,
            }
        }
        (self.decoder.at >= least && self.decoder.at <= self.size - self.base).then_some(())
    }

    fn make_room(&mut self, size: usize) {
        if self.piece.len() < size {
            self.piece.resize(size, 0);
        }
    }

    /// Tells whether the block ends where the list does.
    fn ends(&mut self, block: &[u8]) -> bool {
        let end = self.size - self.base;
        if !self.ended {
            let stop = self.decoder.run(block, &mut self.piece[..end], usize::MAX);
            self.ended = matches!(stop, Ok(Stop::Ended));
        }
        self.ended && self.decoder.at == end
    }
}

/// Counts the groups of a compressed list, in memory only in part where they are where groups are mostly found; `None`
/// when it cannot be decompressed or walked.
pub fn count_groups(block: &[u8], size: usize) -> Option<usize> {
    let (mut unpacking, mut groups) = (Unpacking::new(size, Vec::new()), Groups::default());
    loop {
        match unpacking.next(block, &mut groups) {
            Some(Next::Group(..)) => {}
            Some(Next::End) => return Some(groups.count()),
            None => break,
        }
    }
    unpacking.make_whole(block).ok()?;
    wire::count_groups(unpacking.bytes()).ok()
}

/// What comes next in a list.
pub enum Next {
    /// A group: its number, and where it is in `Unpacking::bytes`.
    Group(usize, Part),
    End,
}

/// Reads the tag and the length of a group; `None` when it is anything else.
fn lead_of(bytes: &[u8]) -> Option<(usize, usize)> {
    if bytes.first() != Some(&0x0A) {
        return None;
    }
    let mut size = 0;
    for (place, &byte) in bytes.iter().enumerate().take(6).skip(1) {
        size |= usize::from(byte & 0x7F) << (7 * (place - 1));
        if byte < 0x80 {
            return Some((place + 1, size));
        }
    }
    None
}
