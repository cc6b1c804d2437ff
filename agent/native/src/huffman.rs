//! Huffman codes for DEFLATE (RFC 1951, section 3.2.2): lengths from frequencies, codes from lengths.

/// Finds the length of each symbol's code, none longer than `longest`; 0 for symbols that do not occur.
///
/// At least two symbols get a code, as decoders want it.
pub fn lengths(frequencies: &[u32], longest: usize, lengths: &mut [u8]) {
    lengths.fill(0);
    let mut leaves: Vec<(u32, u16)> =
        frequencies.iter().zip(0..).filter(|(count, _)| **count > 0).map(|(count, symbol)| (*count, symbol)).collect();
    for symbol in 0..2 {
        if leaves.len() < 2 && !leaves.iter().any(|leaf| leaf.1 == symbol) {
            leaves.push((1, symbol));
        }
    }
    leaves.sort_unstable();
    let mut counts = counts_by_length(&leaves, longest);
    fit(&mut counts, longest);
    // The rarest symbols come first and get the longest codes.
    let mut symbols = leaves.iter().map(|leaf| usize::from(leaf.1));
    for length in (1..=longest).rev() {
        for symbol in symbols.by_ref().take(counts[length]) {
            lengths[symbol] = length as u8;
        }
    }
}

/// Builds the tree of sorted leaves and counts the leaves at each depth; those deeper than `longest` count there.
fn counts_by_length(leaves: &[(u32, u16)], longest: usize) -> [usize; 16] {
    let mut weights: Vec<u64> = leaves.iter().map(|leaf| u64::from(leaf.0)).collect();
    let mut parents = vec![0u32; 2 * leaves.len() - 1];
    // Both leaves and inner nodes come in the order of their weights, so the two least are at the front of either.
    let (mut leaf, mut inner) = (0, leaves.len());
    while weights.len() < parents.len() {
        let mut sum = 0;
        for _ in 0..2 {
            let take_leaf = leaf < leaves.len() && (inner == weights.len() || weights[leaf] <= weights[inner]);
            let taken = if take_leaf { &mut leaf } else { &mut inner };
            sum += weights[*taken];
            parents[*taken] = weights.len() as u32;
            *taken += 1;
        }
        weights.push(sum);
    }
    let mut depths = vec![0u8; parents.len()];
    let mut counts = [0; 16];
    for node in (0..parents.len() - 1).rev() {
        depths[node] = (depths[parents[node] as usize] + 1).min(64);
        if node < leaves.len() {
            counts[usize::from(depths[node]).min(longest)] += 1;
        }
    }
    counts
}

/// Makes the code complete again after leaves were moved up to `longest` (the sum of 2^-length must be 1).
fn fit(counts: &mut [usize; 16], longest: usize) {
    let mut used: usize = (1..=longest).map(|length| counts[length] << (longest - length)).sum();
    while used > 1 << longest {
        // A leaf above takes one of the deepest as its brother: both one level below where it was.
        counts[longest] -= 1;
        if let Some(length) = (1..longest).rev().find(|&length| counts[length] > 0) {
            counts[length] -= 1;
            counts[length + 1] += 2;
        }
        used -= 1;
    }
}

/// A code as it is written: its bits, the first one lowest, and their number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Code {
    pub bits: u16,
    pub count: u8,
}

/// Gives each symbol its code.
pub fn codes(lengths: &[u8], codes: &mut [Code]) {
    let mut counts = [0u16; 16];
    for &length in lengths {
        counts[usize::from(length)] += 1;
    }
    counts[0] = 0;
    let mut next = [0u16; 16];
    for length in 1..16 {
        next[length] = (next[length - 1] + counts[length - 1]) << 1;
    }
    for (code, &count) in codes.iter_mut().zip(lengths) {
        let bits = next[usize::from(count)];
        next[usize::from(count)] += u16::from(count > 0);
        *code = if count == 0 { Code::default() } else { Code { bits: bits.reverse_bits() >> (16 - count), count } };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fibonacci(count: usize) -> Vec<u32> {
        let mut found = vec![1, 1];
        while found.len() < count {
            found.push(found[found.len() - 1] + found[found.len() - 2]);
        }
        found
    }

    fn sum(lengths: &[u8]) -> u32 {
        lengths.iter().filter(|&&length| length > 0).map(|&length| 1 << (15 - length)).sum()
    }

    #[test]
    fn a_deep_tree_is_made_shallow_and_stays_complete() {
        for longest in [7, 15] {
            let mut found = [0; 40];
            lengths(&fibonacci(40), longest, &mut found);

            assert_eq!(sum(&found), 1 << 15);
            assert!(found.iter().all(|&length| usize::from(length) <= longest));
        }
    }

    #[test]
    fn two_symbols_have_a_code_at_least() {
        let mut found = [9; 4];
        lengths(&[0, 0, 7, 0], 15, &mut found);
        assert_eq!(found, [1, 0, 1, 0]);
        lengths(&[0, 0, 0, 0], 15, &mut found);
        assert_eq!(found, [1, 1, 0, 0]);
    }

    proptest! {
        #[test]
        fn any_code_is_complete_and_prefers_what_is_frequent(frequencies in prop::collection::vec(0u32..1000, 2..286)) {
            let mut found = vec![0; frequencies.len()];
            lengths(&frequencies, 15, &mut found);

            prop_assert_eq!(sum(&found), 1 << 15);
            for (one, first) in frequencies.iter().zip(&found) {
                for (other, second) in frequencies.iter().zip(&found) {
                    prop_assert!(*other == 0 || one <= other || first <= second);
                }
            }
        }
    }
}
