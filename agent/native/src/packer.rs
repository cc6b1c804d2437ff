//! Cuts a run of written events into payloads, and gives each the span of its events, as the reference's `packer`.
//!
//! The events stand one behind the other in one buffer; a payload is a range of it, so nothing is copied here.

use crate::out::Out;
use std::collections::VecDeque;
use std::ops::Range;

/// A run of consecutive events, as `model.Span`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    pub start: i128,
    pub end: i128,
    pub skip: u64,
    pub events: u64,
}

/// What is ready to be taken.
#[derive(Debug)]
pub enum Item {
    /// A payload: a range of the buffer.
    Payload { data: Range<usize>, span: Span, raw_bytes: u64, omitted: Range<usize> },
    /// An event that may not be sent.
    Oversize { event: Vec<u8>, ident: String, span: Span },
}

/// The payload that is being filled, and where the present group is.
#[derive(Clone, Copy, Default)]
struct Filling {
    begin: usize,
    span: Span,
    /// Events that were written; the others of the span were left out.
    written: u64,
    /// Where its events that were left out begin in `Packer::omitted`.
    omitted: usize,
    raw_bytes: u64,
    here: i128,
    beyond: i128,
    before: u64,
}

pub struct Packer {
    limit: usize,
    separator: &'static [u8],
    filling: Filling,
    pub ready: VecDeque<Item>,
    /// Places, in the span of their payload, of the events that were left out.
    pub omitted: Vec<u32>,
}

/// Where one can come back to.
pub struct Mark {
    filling: Filling,
    ready: usize,
    written: usize,
    omitted: usize,
}

impl Filling {
    /// Counts an event of the present group.
    #[inline]
    fn count(&mut self, place: usize, raw: usize) {
        if self.span.events == 0 {
            self.span.start = self.here;
            self.span.skip = self.before + place as u64;
        }
        self.span.end = self.beyond;
        self.span.events += 1;
        self.raw_bytes += raw as u64;
    }
}

impl Packer {
    /// `limit`: most bytes of a payload; 0 when a payload holds one piece only.
    pub fn new(limit: usize, separator: &'static [u8]) -> Packer {
        Packer { limit, separator, filling: Filling::default(), ready: VecDeque::new(), omitted: Vec::new() }
    }

    /// Goes on with a group: positions in front of it and behind it, and events counted before it.
    pub fn enter(&mut self, here: i128, beyond: i128, before: u64) {
        self.filling.here = here;
        self.filling.beyond = beyond;
        self.filling.before = before;
    }

    pub fn mark(&self, out: &Out) -> Mark {
        Mark { filling: self.filling, ready: self.ready.len(), written: out.len(), omitted: self.omitted.len() }
    }

    /// Forgets everything since the mark.
    pub fn back_to(&mut self, mark: &Mark, out: &mut Out) {
        self.filling = mark.filling;
        self.ready.truncate(mark.ready);
        self.omitted.truncate(mark.omitted);
        out.truncate(mark.written);
    }

    /// Forgets the payload that is being filled.
    pub fn drop_filling(&mut self, out: &Out) {
        self.drop_filling_at(out.len());
    }

    /// Moves the payload that is being filled to the front of the buffer; nothing may be ready.
    pub fn compact(&mut self, out: &mut Out) {
        if self.filling.begin > 0 {
            out.drop_front(self.filling.begin);
            self.filling.begin = 0;
        }
    }

    /// Writes what stands before the next event and tells where it begins.
    #[inline]
    pub fn before_event(&mut self, out: &mut Out) -> usize {
        if self.filling.written > 0 {
            out.push(self.separator);
        } else {
            self.filling.begin = out.len();
        }
        out.len()
    }

    /// Adds the event that was written from `start` on.
    ///
    /// `place`: its place in the group; `raw`: its size on the wire in bytes.
    #[inline]
    pub fn add(&mut self, out: &Out, start: usize, place: usize, raw: usize) {
        let filling = &self.filling;
        if filling.written > 0 && out.len() - filling.begin > self.limit {
            self.close(start - self.separator.len());
        }
        let filling = &mut self.filling;
        if filling.written == 0 {
            filling.begin = start;
        }
        filling.written += 1;
        filling.count(place, raw);
    }

    /// Adds an event that is left out: it counts as part of the payload and gives no byte.
    pub fn add_omitted(&mut self, place: usize, raw: usize) {
        self.omitted.push(self.filling.span.events as u32);
        self.filling.count(place, raw);
    }

    /// Adds an event that was written from `start` on as several pieces; all but the last count no event.
    pub fn add_pieces(&mut self, out: &Out, start: usize, lengths: &[usize], place: usize, raw: usize) {
        self.close(start);
        let Some((_, others)) = lengths.split_last() else {
            return;
        };
        let mut at = start;
        for length in others {
            let data = at..at + length;
            self.ready.push_back(Item::Payload { data, span: self.span_of(place, 0), raw_bytes: 0, omitted: 0..0 });
            at += length;
        }
        self.add(out, at, place, raw);
    }

    /// Adds an event that may not be sent; nothing was written of it.
    pub fn add_oversize(&mut self, out: &Out, event: Vec<u8>, ident: &[u8], place: usize) {
        self.close(out.len());
        let ident = String::from_utf8_lossy(ident).into_owned();
        self.ready.push_back(Item::Oversize { event, ident, span: self.span_of(place, 1) });
    }

    /// Ends the payload that is being filled, at `end`.
    pub fn close(&mut self, end: usize) {
        let Filling { begin, span, written, raw_bytes, omitted, .. } = self.filling;
        if span.events > 0 {
            let data = if written > 0 { begin..end } else { end..end };
            self.ready.push_back(Item::Payload { data, span, raw_bytes, omitted: omitted..self.omitted.len() });
        }
        self.drop_filling_at(end);
    }

    fn drop_filling_at(&mut self, end: usize) {
        self.filling.span = Span::default();
        self.filling.written = 0;
        self.filling.omitted = self.omitted.len();
        self.filling.raw_bytes = 0;
        self.filling.begin = end;
    }

    fn span_of(&self, place: usize, events: u64) -> Span {
        let filling = &self.filling;
        Span { start: filling.here, end: filling.beyond, skip: filling.before + place as u64, events }
    }
}
