//! Syslog frames, as the reference's `syslog` defines them: a header, a message, and what tells where the frame ends.

use crate::fields::GroupView;
use crate::format::{shortened, Entry, Writing};
use crate::header::{Header, HeaderGroup};
use crate::out::{decimals, Out};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// `LEN SP` before each message; also for RELP.
    OctetCounting,
    /// LF after each message.
    Lf,
    /// One bare message to a payload.
    Datagram,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oversize {
    Truncate,
    Split,
    DeadLetter,
}

/// Frames as configured.
#[derive(Clone)]
pub struct Syslog {
    pub framing: Framing,
    pub oversize: Oversize,
    /// Bytes of a frame for header and message.
    pub room: usize,
    pub header: Header,
}

/// What is kept while the frames of a group are written.
#[derive(Default)]
pub struct SyslogGroup {
    header: HeaderGroup,
    /// Digits of the last frame's length, which mostly are as many as the next one's.
    digits: usize,
}

/// What became of a log; all but the first are rare.
pub enum Frames {
    /// The frame was written.
    One,
    /// All frames were written, one behind the other; they may not share a payload. Lengths of each.
    Several(Vec<usize>),
    /// Nothing was written: the message may not be sent.
    TooLong(Vec<u8>),
}

impl Syslog {
    pub fn open(&self, state: &mut SyslogGroup, group: GroupView) {
        self.header.open(&mut state.header, group);
    }

    /// Writes the frames of one log.
    #[inline]
    pub fn write(&self, state: &mut SyslogGroup, writing: &mut Writing, out: &mut Out, entry: &Entry) -> Frames {
        let begin = out.len();
        let start = self.before(state, out);
        self.header.write(&mut state.header, out, entry.log, entry.ident, b"");
        let message = out.len();
        writing.message(entry, out);
        if out.len() - start <= self.room {
            self.after(state, out, begin, start);
            return Frames::One;
        }
        match self.oversize {
            Oversize::Truncate => {
                out.truncate(message);
                let room = self.room - (message - start);
                out.push(&shortened(entry, room));
                self.after(state, out, begin, start);
                Frames::One
            }
            Oversize::DeadLetter => {
                let whole = out.as_slice()[message..].to_vec();
                out.truncate(begin);
                Frames::TooLong(whole)
            }
            Oversize::Split => {
                let whole = out.as_slice()[message..].to_vec();
                out.truncate(begin);
                self.split(state, out, entry, &whole)
            }
        }
    }

    /// Leaves room for the length before a frame and tells where its header begins.
    #[inline]
    fn before(&self, state: &mut SyslogGroup, out: &mut Out) -> usize {
        if self.framing == Framing::OctetCounting {
            state.digits = state.digits.clamp(3, 20);
            out.push(&b"                    "[..state.digits]);
            out.byte(b' ');
        }
        out.len()
    }

    /// Ends a frame that begins at `begin`, its header at `start`.
    #[inline]
    fn after(&self, state: &mut SyslogGroup, out: &mut Out, begin: usize, start: usize) {
        match self.framing {
            Framing::Lf => out.byte(b'\n'),
            Framing::Datagram => {}
            Framing::OctetCounting => {
                let mut digits = [0; 20];
                let first = decimals((out.len() - start) as u64, &mut digits);
                let count = 20 - first;
                if count != state.digits {
                    out.shift(start - 1, count as isize - state.digits as isize);
                    state.digits = count;
                }
                out.overwrite(begin, &digits[first..]);
            }
        }
    }

    fn split(&self, state: &mut SyslogGroup, out: &mut Out, entry: &Entry, message: &[u8]) -> Frames {
        let pieces = self.cut(state, entry, message);
        let mut lengths = Vec::with_capacity(pieces.len());
        for (index, piece) in pieces.iter().enumerate() {
            let part = format!("part=\"{}/{}\"", index + 1, pieces.len());
            let begin = out.len();
            let start = self.before(state, out);
            self.with_part(state, out, entry, part.as_bytes());
            out.push(piece);
            self.after(state, out, begin, start);
            lengths.push(out.len() - begin);
        }
        if self.framing == Framing::Datagram {
            Frames::Several(lengths)
        } else {
            Frames::One
        }
    }

    /// Cuts a message into pieces that fit, with room for as many digits as their number has.
    fn cut<'a>(&self, state: &mut SyslogGroup, entry: &Entry, message: &'a [u8]) -> Vec<&'a [u8]> {
        for digits in 1.. {
            let widest = "9".repeat(digits);
            let mut header = Out::default();
            self.with_part(state, &mut header, entry, format!("part=\"{widest}/{widest}\"").as_bytes());
            let room = self.room.saturating_sub(header.len());
            let mut pieces = Vec::new();
            let mut start = 0;
            while start < message.len() {
                let end = entry.format.boundary().before(message, start, start + room);
                assert!(end > start, "a frame has no room for a character");
                pieces.push(&message[start..end]);
                start = end;
            }
            if pieces.len().to_string().len() <= digits {
                return pieces;
            }
        }
        unreachable!("a message has fewer parts than bytes")
    }

    fn with_part(&self, state: &mut SyslogGroup, out: &mut Out, entry: &Entry, part: &[u8]) {
        if self.header.carries_marks() {
            self.header.write(&mut state.header, out, entry.log, entry.ident, part);
        } else {
            self.header.write(&mut state.header, out, entry.log, entry.ident, b"");
            out.push(part);
            out.byte(b' ');
        }
    }
}
