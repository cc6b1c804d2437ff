//! Memory for what decompression gives, used again once nobody has it any more: to clear 10 MB for each answer took a
//! fifteenth of the whole agent's time.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Most bytes that are kept while nobody needs them.
const MOST_SPARE: usize = 16 << 20;
/// Less than that is cleared at once, and not kept.
const LEAST_SPARE: usize = 64 << 10;
/// Sizes are rounded up, by at most a sixteenth, so that an answer fits in the memory of another of about its size.
const STEPS: usize = 32;

static SPARE: Mutex<Spare> = Mutex::new(Spare { pieces: VecDeque::new(), bytes: 0 });

/// What is kept, the oldest first.
struct Spare {
    pieces: VecDeque<Vec<u8>>,
    bytes: usize,
}

impl Spare {
    fn locked() -> MutexGuard<'static, Spare> {
        SPARE.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a piece of exactly that size.
    fn take(&mut self, size: usize) -> Option<Vec<u8>> {
        let place = self.pieces.iter().position(|piece| piece.len() == size)?;
        self.bytes -= size;
        self.pieces.remove(place)
    }

    fn give_back(&mut self, piece: Vec<u8>) {
        if !(LEAST_SPARE..=MOST_SPARE).contains(&piece.len()) {
            return;
        }
        self.bytes += piece.len();
        self.pieces.push_back(piece);
        while self.bytes > MOST_SPARE {
            self.bytes -= self.pieces.pop_front().map_or(self.bytes, |oldest| oldest.len());
        }
    }
}

/// Bytes of a fixed number, which were another's before; whoever takes it has to fill it.
pub struct Buffer {
    piece: Vec<u8>,
    size: usize,
}

impl Buffer {
    /// Takes memory of that size; what is in it may be anything.
    pub fn take(size: usize) -> Buffer {
        let whole = rounded(size);
        let spare = Spare::locked().take(whole);
        Buffer { piece: spare.unwrap_or_else(|| vec![0; whole]), size }
    }

    pub fn as_slice(&self) -> &[u8] {
        &self.piece[..self.size]
    }

    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.piece[..self.size]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        Spare::locked().give_back(std::mem::take(&mut self.piece));
    }
}

fn rounded(size: usize) -> usize {
    if size < LEAST_SPARE {
        return size;
    }
    let step = size.checked_next_power_of_two().unwrap_or(usize::MAX) / STEPS;
    size.checked_next_multiple_of(step).unwrap_or(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_rounded_up_by_a_sixteenth_at_most() {
        for size in [0, 1, 65_535, 65_536, 65_537, 70_000, 1 << 20, (1 << 20) + 1, 10_000_000, 64 << 20] {
            let whole = rounded(size);
            assert!(whole >= size && whole - size <= size / 16, "{size} {whole}");
            assert_eq!(rounded(whole), whole);
        }
        assert_eq!(rounded(9_998_000), rounded(10_001_000));
        assert_eq!(rounded(usize::MAX), usize::MAX);
    }

    #[test]
    fn memory_is_used_again_but_only_so_much_is_kept() {
        let mut spare = Spare { pieces: VecDeque::new(), bytes: 0 };
        spare.give_back(vec![1; 5 << 20]);
        spare.give_back(vec![2; 6 << 20]);
        assert!(spare.take(4 << 20).is_none());
        assert_eq!(spare.take(6 << 20).map(|piece| piece[0]), Some(2));
        assert_eq!(spare.bytes, 5 << 20);

        spare.give_back(vec![3; 6 << 20]);
        spare.give_back(vec![4; 6 << 20]);
        assert!(spare.take(5 << 20).is_none(), "the oldest makes room");
        spare.give_back(vec![5; MOST_SPARE + 1]);
        spare.give_back(vec![6; LEAST_SPARE - 1]);
        assert_eq!((spare.pieces.len(), spare.bytes), (2, 12 << 20));
    }

    #[test]
    fn a_buffer_has_the_size_that_was_asked_for() {
        for size in [0, 1, 5000, LEAST_SPARE, LEAST_SPARE + 1] {
            let mut buffer = Buffer::take(size);
            buffer.as_mut_slice().fill(7);
            assert_eq!(buffer.as_slice(), vec![7; size]);
        }
    }
}
