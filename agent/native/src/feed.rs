//! Where the bytes of a batch come from: the whole list, one that is decompressed as it is read, or one that was changed.

use crate::transform::Changed;
use crate::unpacking::{Next, Unpacking};
use crate::wire::{Groups, Malformed, Part};

pub enum Feed<'a> {
    /// The whole list.
    Whole(&'a [u8]),
    /// The list as it came, a block of lz4, and how far it is decompressed.
    Packed(&'a [u8], &'a mut Unpacking),
    /// The list with logs left out or changed.
    Changed(&'a Changed),
}

/// The bytes that the parts of the present group point to; `changed` when logs were left out or changed.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    pub body: &'a [u8],
    pub changed: Option<&'a Changed>,
}

impl Feed<'_> {
    pub fn input(&self) -> Input<'_> {
        match self {
            Feed::Whole(body) => Input { body, changed: None },
            Feed::Packed(_, unpacking) => Input { body: unpacking.bytes(), changed: None },
            Feed::Changed(changed) => Input { body: &changed.body, changed: Some(changed) },
        }
    }

    /// It is decompressed piece by piece, so that faults are found, but only the whole list tells what they are.
    pub fn is_in_pieces(&self) -> bool {
        matches!(self, Feed::Packed(_, unpacking) if !unpacking.is_whole())
    }

    /// Goes on with the whole list; false when it is whole already.
    pub fn make_whole(&mut self) -> Result<bool, String> {
        match self {
            Feed::Packed(block, unpacking) if !unpacking.is_whole() => unpacking.make_whole(block).map(|()| true),
            _ => Ok(false),
        }
    }

    /// Finds the next group: its number, and where it is.
    pub fn next(&mut self, groups: &mut Groups) -> Result<Option<(usize, Part)>, Malformed> {
        match self {
            Feed::Packed(block, unpacking) if !unpacking.is_whole() => match unpacking.next(block, groups) {
                Some(Next::Group(number, part)) => Ok(Some((number, part))),
                Some(Next::End) => Ok(None),
                None => Err(Malformed::unusual()),
            },
            _ => Ok(groups.next(self.list())?.map(|(number, start, end)| (number, Part::new(start, end)))),
        }
    }

    /// The list itself, or the piece of it that is decompressed.
    pub fn list(&self) -> &[u8] {
        match self {
            Feed::Changed(changed) => &changed.body[..changed.list],
            _ => self.input().body,
        }
    }
}
