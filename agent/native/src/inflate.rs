//! Undoes the compression of an answer of SLS: a raw block of lz4, or frames of zstd, of known size.
//!
//! What comes out goes into the buffer that the caller has made; what a frame of zstd claims can only reserve its window,
//! at most 100 MB, which is not touched before it is filled.

use crate::lz4::{Decoder, Stop};
use ruzstd::decoding::FrameDecoder;

/// Undoes a raw block of lz4; `out` has to be full in the end.
pub fn lz4(data: &[u8], out: &mut [u8]) -> Result<(), String> {
    let mut decoder = Decoder::default();
    match decoder.run(data, out, usize::MAX) {
        Ok(Stop::Ended) => full("lz4", decoder.at, out),
        Ok(_) => Err(format!("lz4: more than {} bytes come out", out.len())),
        Err(why) => Err(format!("lz4: {why}")),
    }
}

/// Undoes frames of zstd; `out` has to be full in the end.
pub fn zstd(data: &[u8], out: &mut [u8]) -> Result<(), String> {
    let size = FrameDecoder::new().decode_all(data, out).map_err(|error| format!("zstd: {error}"))?;
    full("zstd", size, out)
}

fn full(name: &str, size: usize, out: &[u8]) -> Result<(), String> {
    if size == out.len() {
        return Ok(());
    }
    Err(format!("{name}: {size} bytes came out, not {} as announced", out.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_bytes_come_out() {
        let mut out = [0; 11];
        // A token (6 literals, match of 5), the literals, a distance of 2; then a last token without anything.
        assert_eq!(lz4(b"\x61abcdef\x02\x00\x00", &mut out), Ok(()));
        assert_eq!(&out, b"abcdefefefe");
        assert!(lz4(b"\x61abcdef\x02\x00\x00", &mut [0; 12]).is_err());
        assert!(lz4(b"\x61abcdef\x02\x00\x00", &mut [0; 10]).is_err());
        // No distance; one that reaches before the first byte; in a short sequence and in one with room around it.
        for distance in [0, 7] {
            let block = [b"\x61abcdef", &[distance, 0][..], &[0xE0; 15], &[0]].concat();
            assert!(lz4(&block, &mut [0; 200]).unwrap_err().starts_with("lz4: a match"), "{distance}");
            assert!(lz4(&block[..9], &mut [0; 11]).unwrap_err().starts_with("lz4: a match"), "{distance}");
        }

        // RFC 8878: magic, frame header (single segment, one byte of content size), a raw block that is the last.
        let frame = b"\x28\xb5\x2f\xfd\x20\x05\x29\x00\x00hello";
        let mut out = [0; 10];
        assert_eq!(zstd(frame, &mut out[..5]), Ok(()));
        assert_eq!(&out[..5], b"hello");
        assert_eq!(zstd(&[&frame[..], frame].concat(), &mut out), Ok(()));
        assert_eq!(&out, b"hellohello");
        assert!(zstd(frame, &mut [0; 4]).is_err());
        assert!(zstd(frame, &mut [0; 6]).unwrap_err().contains("not 6 as announced"));
    }

    proptest! {
        #[test]
        fn noise_is_an_error_or_not_but_no_panic(data in prop::collection::vec(any::<u8>(), 0..200), size in 0usize..400) {
            let mut out = vec![0; size];
            let _ = lz4(&data, &mut out);
            let framed = [b"\x28\xb5\x2f\xfd", &data[..]].concat();
            let _ = zstd(&framed, &mut out);
        }
    }
}
