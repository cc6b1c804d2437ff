//! A buffer that is written from the front and used again and again.
//!
//! All its bytes are initialised once and never again, and there always are some spare ones behind the end, so that
//! short pieces can be copied as 16 or 32 bytes, of which only the first count. That is what makes it fast.

/// Spare bytes behind what `reserve` was asked for.
pub const SPARE: usize = 64;

const DIGITS: &[u8; 200] = b"0001020304050607080910111213141516171819\
    2021222324252627282930313233343536373839\
    4041424344454647484950515253545556575859\
    6061626364656667686970717273747576777879\
    8081828384858687888990919293949596979899";

#[derive(Default)]
pub struct Out {
    bytes: Vec<u8>,
    len: usize,
}

impl Out {
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Bytes of memory it holds.
    pub fn capacity(&self) -> usize {
        self.bytes.len()
    }

    pub fn truncate(&mut self, len: usize) {
        self.len = len.min(self.len);
    }

    /// Moves what begins at `from` to the front.
    pub fn drop_front(&mut self, from: usize) {
        self.bytes.copy_within(from..self.len, 0);
        self.len -= from;
    }

    /// Moves the bytes from `from` on by `by`, forward or back.
    pub fn shift(&mut self, from: usize, by: isize) {
        self.reserve(by.max(0) as usize);
        let to = from.wrapping_add_signed(by);
        self.bytes.copy_within(from..self.len, to);
        self.len = self.len.wrapping_add_signed(by);
    }

    /// Overwrites bytes that were written before.
    pub fn overwrite(&mut self, at: usize, piece: &[u8]) {
        self.bytes[at..at + piece.len()].copy_from_slice(piece);
    }

    /// Makes room for so many bytes more, and `SPARE` behind them.
    #[inline(always)]
    pub fn reserve(&mut self, more: usize) {
        if self.bytes.len() - self.len < more + SPARE {
            self.grow(more + SPARE);
        }
    }

    #[cold]
    fn grow(&mut self, more: usize) {
        let wanted = (self.len + more).max(self.bytes.len() * 2).max(4096);
        self.bytes.resize(wanted, 0);
    }

    /// Writes the first `count` of 16 bytes; room must have been reserved.
    #[inline(always)]
    pub fn put16(&mut self, chunk: &[u8; 16], count: usize) {
        self.bytes[self.len..][..16].copy_from_slice(chunk);
        self.len += count;
    }

    /// Writes the first `count` of 32 bytes; room must have been reserved.
    #[inline(always)]
    pub fn put32(&mut self, chunk: &[u8; 32], count: usize) {
        self.bytes[self.len..][..32].copy_from_slice(chunk);
        self.len += count;
    }

    /// Writes one byte; room must have been reserved.
    #[inline(always)]
    pub fn put(&mut self, byte: u8) {
        self.bytes[self.len] = byte;
        self.len += 1;
    }

    #[inline]
    pub fn byte(&mut self, byte: u8) {
        self.reserve(1);
        self.put(byte);
    }

    #[inline]
    pub fn push(&mut self, piece: &[u8]) {
        self.reserve(piece.len());
        self.bytes[self.len..][..piece.len()].copy_from_slice(piece);
        self.len += piece.len();
    }

    /// Writes a number in decimals.
    #[inline]
    pub fn decimal(&mut self, number: u64) {
        let mut digits = [0; 20];
        let first = decimals(number, &mut digits);
        self.push(&digits[first..]);
    }

    /// Writes a number in decimals with zeros in front, `width` digits in all.
    pub fn padded(&mut self, number: u32, width: usize) {
        let mut digits = [b'0'; 20];
        decimals(u64::from(number), &mut digits);
        self.push(&digits[20 - width..]);
    }
}

/// Writes a number at the end of `digits` and tells where it begins.
#[inline]
pub fn decimals(mut number: u64, digits: &mut [u8; 20]) -> usize {
    let mut first = 20;
    while number >= 100 {
        let pair = (number % 100) as usize * 2;
        number /= 100;
        first -= 2;
        digits[first..first + 2].copy_from_slice(&DIGITS[pair..pair + 2]);
    }
    if number >= 10 {
        let pair = number as usize * 2;
        first -= 2;
        digits[first..first + 2].copy_from_slice(&DIGITS[pair..pair + 2]);
    } else {
        first -= 1;
        digits[first] = b'0' + number as u8;
    }
    first
}
