//! Puts the frame of gzip (RFC 1952) around compressed data.

use crate::deflate::Deflater;

/// No name, no time, "fastest algorithm", unknown system.
const HEADER: [u8; 10] = [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 4, 255];

/// Compresses data into a gzip file of one member.
pub fn gzip(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len() / 4 + 64);
    out.extend_from_slice(&HEADER);
    Deflater::default().compress(data, &mut out);
    out.extend_from_slice(&crc32fast::hash(data).to_le_bytes());
    out.extend_from_slice(&(data.len() as u32).to_le_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use miniz_oxide::inflate::decompress_to_vec;
    use proptest::prelude::*;

    fn undone(data: &[u8]) -> Vec<u8> {
        let whole = gzip(data);
        let (head, rest) = whole.split_at(HEADER.len());
        let (compressed, tail) = rest.split_at(rest.len() - 8);
        assert_eq!(head, HEADER);
        assert_eq!(tail[..4], crc32fast::hash(data).to_le_bytes());
        assert_eq!(tail[4..], (data.len() as u32).to_le_bytes());
        decompress_to_vec(compressed).unwrap()
    }

    #[test]
    fn runs_and_noise_of_any_length_come_back() {
        let mut state = 1u64;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        })
        .take(300_000)
        .collect();
        for length in (0..40).chain([257, 258, 259, 266, 300, 65_535, 65_536, 65_544, 300_000]) {
            assert!(undone(&noise[..length]) == noise[..length], "noise of {length}");
            assert!(undone(&vec![b'a'; length]) == vec![b'a'; length], "a run of {length}");
        }
    }

    #[test]
    fn a_repetition_at_the_far_end_of_the_window_comes_back() {
        for distance in 32_760..32_776 {
            let mut data = b"0123456789abcdef".to_vec();
            data.extend((0..distance - 16).map(|at| (at % 251) as u8));
            data.extend_from_slice(b"0123456789abcdef and more");
            assert!(undone(&data) == data, "{distance}");
        }
    }

    proptest! {
        #[test]
        fn anything_comes_back(pieces in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..40), 1usize..60), 0..30)) {
            let data: Vec<u8> = pieces.iter().flat_map(|(piece, times)| piece.repeat(*times)).collect();
            prop_assert!(undone(&data) == data);
        }
    }
}
