//! Compresses bytes by DEFLATE (RFC 1951), for log events: fast above all, and about as small as zlib's level 1.
//!
//! One pass finds repetitions with a small hash table that stays in the first-level cache, newest occurrence only, and
//! notes *tokens*: literals and matches. Every so many tokens the best code for them is made, and they are written.

use crate::huffman::{codes, lengths, Code};

const WINDOW: usize = 32_768;
const LONGEST: usize = 258;
/// More bits find more, but then the table and the window do not fit in the cache together.
const HASH_BITS: u32 = 13;
/// Tokens of one block.
const BLOCK: usize = 1 << 15;
const LITERALS: usize = 286;
const DISTANCES: usize = 30;
const END: usize = 256;
/// Symbols of code lengths, in the order in which their own lengths are written.
const LENGTH_ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/// Symbol and number of extra bits of a match's length, by length minus 3.
const LENGTHS: [(u16, u8); 256] = {
    let mut table = [(0, 0); 256];
    let mut length = 3;
    while length <= LONGEST {
        let rest = length - 3;
        table[rest] = if length == LONGEST {
            (285, 0)
        } else if rest < 8 {
            (257 + rest as u16, 0)
        } else {
            let extra = rest.ilog2() - 2;
            (257 + 4 * extra as u16 + (rest >> extra) as u16, extra as u8)
        };
        length += 1;
    }
    table
};

/// Symbol and number of extra bits of a distance.
#[inline(always)]
fn distance_symbol(distance: u32) -> (usize, u32) {
    let rest = distance - 1;
    if rest < 4 {
        return (rest as usize, 0);
    }
    let extra = rest.ilog2() - 1;
    ((2 * extra + (rest >> extra)) as usize, extra)
}

/// A literal, or a match: length minus 3 above the distance, and a bit that tells it from a literal.
type Token = u32;
const MATCH: Token = 1 << 31;

/// Memory for compressing one piece of data after the other.
pub struct Deflater {
    /// The low bits of where each hash was seen last.
    table: Box<[u16; 1 << HASH_BITS]>,
    tokens: Box<[Token; BLOCK]>,
    count: usize,
    literals: [u32; LITERALS],
    distances: [u32; DISTANCES],
}

impl Default for Deflater {
    fn default() -> Deflater {
        Deflater {
            table: Box::new([0; 1 << HASH_BITS]),
            tokens: Box::new([0; BLOCK]),
            count: 0,
            literals: [0; LITERALS],
            distances: [0; DISTANCES],
        }
    }
}

#[inline(always)]
fn eight(data: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(data[at..at + 8].try_into().unwrap())
}

#[inline(always)]
fn hash(word: u64) -> usize {
    // Five bytes: four find too many short matches in logs.
    ((word << 24).wrapping_mul(0x9E37_79B1_85EB_CA87) >> (64 - HASH_BITS)) as usize
}

impl Deflater {
    /// Appends the compressed data to `out`.
    pub fn compress(&mut self, data: &[u8], out: &mut Vec<u8>) {
        self.table.fill(0);
        let mut bits = Bits { len: out.len(), bytes: std::mem::take(out), bits: 0, count: 0 };
        let mut at = 0;
        loop {
            at = self.find(data, at);
            let last = at == data.len();
            self.write_block(&mut bits, last);
            if last {
                break;
            }
        }
        *out = bits.finish();
    }

    /// Finds the tokens of the next block, from `at` on, and tells where it ends.
    fn find(&mut self, data: &[u8], mut at: usize) -> usize {
        self.count = 0;
        self.literals.fill(0);
        self.distances.fill(0);
        self.literals[END] = 1;
        // Near the end one cannot look eight bytes ahead.
        let end = data.len().saturating_sub(8);
        while at < end && self.count < BLOCK {
            let word = eight(data, at);
            let slot = &mut self.table[hash(word)];
            let distance = usize::from((at as u16).wrapping_sub(*slot));
            *slot = at as u16;
            // Never beyond the start, since the slot's bits are those of an earlier place; a distance of 0 wraps.
            if distance.wrapping_sub(1) < WINDOW {
                let other = eight(data, at - distance) ^ word;
                if other as u32 == 0 {
                    let length = match_length(data, at, distance, other);
                    self.add_match(length, distance);
                    at = self.pass(data, at, length, end);
                    continue;
                }
            }
            self.add_literal(data[at]);
            at += 1;
        }
        while at >= end && at < data.len() && self.count < BLOCK {
            self.add_literal(data[at]);
            at += 1;
        }
        at
    }

    /// Notes a few places of a match, so that what follows it is found again, and tells where it ends.
    #[inline(always)]
    fn pass(&mut self, data: &[u8], at: usize, length: usize, end: usize) -> usize {
        let after = at + length;
        if after < end {
            for place in [at + 1, after - 2, after - 1] {
                self.table[hash(eight(data, place))] = place as u16;
            }
        }
        after
    }

    #[inline(always)]
    fn add_literal(&mut self, byte: u8) {
        self.literals[usize::from(byte)] += 1;
        self.add(Token::from(byte));
    }

    #[inline(always)]
    fn add(&mut self, token: Token) {
        self.tokens[self.count & (BLOCK - 1)] = token;
        self.count += 1;
    }

    #[inline(always)]
    fn add_match(&mut self, length: usize, distance: usize) {
        let index = (length - 3) & 255;
        self.literals[usize::from(LENGTHS[index].0)] += 1;
        self.distances[distance_symbol(distance as u32).0] += 1;
        self.add(MATCH | (index as u32) << 16 | (distance as u32 - 1));
    }

    fn write_block(&mut self, bits: &mut Bits, last: bool) {
        bits.put(u64::from(last), 1);
        let plan = Plan::dynamic(&self.literals, &self.distances);
        let fixed = Plan::fixed();
        if fixed.size(&self.literals, &self.distances) <= plan.size(&self.literals, &self.distances) {
            bits.put(1, 2);
            self.write_tokens(bits, &fixed);
        } else {
            bits.put(2, 2);
            plan.write_header(bits);
            self.write_tokens(bits, &plan);
        }
    }

    fn write_tokens(&self, bits: &mut Bits, plan: &Plan) {
        let mut matches = [(0u32, 0u8); 256];
        for (entry, &(symbol, extra)) in matches.iter_mut().zip(&LENGTHS) {
            let code = plan.literals[usize::from(symbol)];
            *entry = (u32::from(code.bits), code.count + extra);
        }
        for (rest, entry) in matches.iter_mut().enumerate() {
            let extra = LENGTHS[rest].1;
            // 258 is written as a length of its own, without extra bits.
            let low = rest as u32 & ((1 << extra) - 1);
            entry.0 |= low << (entry.1 - extra);
        }
        bits.reserve(8 * self.count + 16);
        for &token in &self.tokens[..self.count] {
            if token & MATCH == 0 {
                let code = plan.literals[token as usize & 255];
                bits.add(u64::from(code.bits), u32::from(code.count));
            } else {
                let (value, count) = matches[(token >> 16) as usize & 255];
                let distance = token & 0xFFFF;
                let (symbol, extra) = distance_symbol(distance + 1);
                let code = plan.distances[symbol & 31];
                let far = u64::from(code.bits) | u64::from(distance & ((1 << extra) - 1)) << code.count;
                bits.add(u64::from(value) | far << count, u32::from(count) + u32::from(code.count) + extra);
            }
            bits.flush();
        }
        let end = plan.literals[END];
        bits.put(u64::from(end.bits), u32::from(end.count));
    }
}

/// Measures a match; `other` is the difference of its first eight bytes.
#[inline(always)]
fn match_length(data: &[u8], at: usize, distance: usize, other: u64) -> usize {
    if other != 0 {
        return other.trailing_zeros() as usize / 8;
    }
    let end = data.len().min(at + LONGEST);
    let mut place = at + 8;
    while place + 8 <= end {
        let other = eight(data, place) ^ eight(data, place - distance);
        if other != 0 {
            return place - at + other.trailing_zeros() as usize / 8;
        }
        place += 8;
    }
    while place < end && data[place] == data[place - distance] {
        place += 1;
    }
    place - at
}

/// The codes of one block.
struct Plan {
    literal_lengths: [u8; 288],
    distance_lengths: [u8; 32],
    literals: [Code; 288],
    distances: [Code; 32],
}

impl Plan {
    fn new(literal_lengths: [u8; 288], distance_lengths: [u8; 32]) -> Plan {
        let mut plan = Plan {
            literal_lengths,
            distance_lengths,
            literals: [Code::default(); 288],
            distances: [Code::default(); 32],
        };
        codes(&plan.literal_lengths, &mut plan.literals);
        codes(&plan.distance_lengths, &mut plan.distances);
        plan
    }

    fn dynamic(literals: &[u32; LITERALS], distances: &[u32; DISTANCES]) -> Plan {
        let (mut literal_lengths, mut distance_lengths) = ([0; 288], [0; 32]);
        lengths(literals, 15, &mut literal_lengths[..LITERALS]);
        lengths(distances, 15, &mut distance_lengths[..DISTANCES]);
        Plan::new(literal_lengths, distance_lengths)
    }

    fn fixed() -> Plan {
        let mut literal_lengths = [8; 288];
        literal_lengths[144..256].fill(9);
        literal_lengths[256..280].fill(7);
        Plan::new(literal_lengths, [5; 32])
    }

    /// Bits of all tokens, without extra bits; of dynamic codes, with a rough size of their header.
    fn size(&self, literals: &[u32; LITERALS], distances: &[u32; DISTANCES]) -> u64 {
        let sum = |counts: &[u32], lengths: &[u8]| -> u64 {
            counts.iter().zip(lengths).map(|(count, length)| u64::from(*count) * u64::from(*length)).sum()
        };
        let header = if self.distance_lengths[31] == 5 { 0 } else { 400 };
        header + sum(literals, &self.literal_lengths) + sum(distances, &self.distance_lengths)
    }

    /// Writes the lengths of the codes (RFC 1951, section 3.2.7).
    fn write_header(&self, bits: &mut Bits) {
        let literals = 1 + (0..LITERALS).rev().find(|&symbol| self.literal_lengths[symbol] > 0).unwrap_or(0).max(256);
        let distances = 1 + (0..DISTANCES).rev().find(|&symbol| self.distance_lengths[symbol] > 0).unwrap_or(0);
        let all = [&self.literal_lengths[..literals], &self.distance_lengths[..distances]].concat();
        let runs = runs(&all);
        let mut counts = [0; 19];
        for run in &runs {
            counts[usize::from(run.symbol)] += 1;
        }
        let mut own_lengths = [0; 19];
        lengths(&counts, 7, &mut own_lengths);
        let mut own = [Code::default(); 19];
        codes(&own_lengths, &mut own);
        let written = 1 + (0..19).rev().find(|&place| own_lengths[LENGTH_ORDER[place]] > 0).unwrap_or(0).max(3);
        bits.put(literals as u64 - 257, 5);
        bits.put(distances as u64 - 1, 5);
        bits.put(written as u64 - 4, 4);
        for symbol in &LENGTH_ORDER[..written] {
            bits.put(u64::from(own_lengths[*symbol]), 3);
        }
        for run in &runs {
            let code = own[usize::from(run.symbol)];
            bits.put(u64::from(code.bits), u32::from(code.count));
            bits.put(u64::from(run.extra), u32::from(run.extra_bits));
        }
    }
}

/// A code length, or a run of equal ones.
struct LengthRun {
    symbol: u8,
    extra: u8,
    extra_bits: u8,
}

fn runs(lengths: &[u8]) -> Vec<LengthRun> {
    let mut found = Vec::with_capacity(lengths.len());
    let mut rest = lengths;
    while let Some(&first) = rest.first() {
        let equal = rest.iter().take_while(|&&length| length == first).count();
        let (run, taken) = match (first, equal) {
            (0, 11..) => (LengthRun { symbol: 18, extra: equal.min(138) as u8 - 11, extra_bits: 7 }, equal.min(138)),
            (0, 3..) => (LengthRun { symbol: 17, extra: equal as u8 - 3, extra_bits: 3 }, equal),
            (_, 4..) => {
                found.push(LengthRun { symbol: first, extra: 0, extra_bits: 0 });
                let repeated = (equal - 1).min(6);
                (LengthRun { symbol: 16, extra: repeated as u8 - 3, extra_bits: 2 }, repeated + 1)
            }
            _ => (LengthRun { symbol: first, extra: 0, extra_bits: 0 }, 1),
        };
        found.push(run);
        rest = &rest[taken..];
    }
    found
}

/// Writes bits, the lowest first, into bytes that are there already.
struct Bits {
    bytes: Vec<u8>,
    len: usize,
    bits: u64,
    count: u32,
}

impl Bits {
    /// Adds up to 48 bits; `flush` has to follow.
    #[inline(always)]
    fn add(&mut self, value: u64, count: u32) {
        self.bits |= value << self.count;
        self.count += count;
    }

    /// Writes whole bytes; there must be room for eight.
    #[inline(always)]
    fn flush(&mut self) {
        self.bytes[self.len..][..8].copy_from_slice(&self.bits.to_le_bytes());
        self.len += self.count as usize / 8;
        self.bits >>= self.count & !7;
        self.count &= 7;
    }

    fn put(&mut self, value: u64, count: u32) {
        self.reserve(8);
        self.add(value, count);
        self.flush();
    }

    fn reserve(&mut self, bytes: usize) {
        if self.bytes.len() < self.len + bytes {
            self.bytes.resize(self.len + bytes, 0);
        }
    }

    fn finish(mut self) -> Vec<u8> {
        self.put(0, self.count.wrapping_neg() & 7);
        self.bytes.truncate(self.len);
        self.bytes
    }
}
