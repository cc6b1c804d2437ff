//! Labels: what stands before each value of an event, escaped once and copied often.

use crate::out::Out;

const WIDE: usize = 32;

/// A list of byte strings in one piece of memory with spare bytes behind it, so that a short one is one wide copy.
#[derive(Default)]
pub struct Labels {
    blob: Vec<u8>,
    places: Vec<(u32, u32)>,
}

impl Labels {
    pub fn new<'a>(labels: impl IntoIterator<Item = &'a [u8]>) -> Labels {
        let mut made = Labels::default();
        for label in labels {
            made.places.push((made.blob.len() as u32, label.len() as u32));
            made.blob.extend_from_slice(label);
        }
        made.blob.resize(made.blob.len() + WIDE, 0);
        made
    }

    pub fn bytes(&self) -> usize {
        self.blob.len() + 8 * self.places.len()
    }

    /// Number of labels.
    pub fn count(&self) -> usize {
        self.places.len()
    }

    #[inline(always)]
    pub fn put(&self, out: &mut Out, index: usize) {
        let (start, size) = self.places[index];
        let (start, size) = (start as usize, size as usize);
        if size <= WIDE {
            out.reserve(WIDE);
            out.put32(self.blob[start..][..WIDE].try_into().unwrap(), size);
        } else {
            out.push(&self.blob[start..start + size]);
        }
    }
}
