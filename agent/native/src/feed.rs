//! Where the bytes of a batch come from: the whole list, one that is decompressed as it is read, or one that was changed.

use crate::transform::Changed;
use crate::unpacking::Unpacking;

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

    /// The list itself, or the piece of it that is decompressed.
    pub fn list(&self) -> &[u8] {
        match self {
            Feed::Changed(changed) => &changed.body[..changed.list],
            _ => self.input().body,
        }
    }
}
