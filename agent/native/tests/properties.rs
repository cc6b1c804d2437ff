//! Properties of what reads bytes from outside. (That the output is right is for the tests in Python, which compare it
//! with the reference.)

use lz4_flex::block;
use proptest::prelude::*;
use sls_siem_codec::encoder::{Codec, Scratch, Task};
use sls_siem_codec::feed::Feed;
use sls_siem_codec::field_names::FieldNames;
use sls_siem_codec::inflate;
use sls_siem_codec::lz4::{Decoder, Stop, HISTORY};
use sls_siem_codec::out::Out;
use sls_siem_codec::packer::Item;
use sls_siem_codec::settings::{Pieces, Settings, SyslogOptions};
use sls_siem_codec::shape::Reader;
use sls_siem_codec::text::{escape, Json, Kv, Plain};
use sls_siem_codec::unpacking::{count_groups, Next, Unpacking};
use sls_siem_codec::wire::{group_sizes, walk_log, Groups, Log, Malformed, Part};

fn field(tag: u8, inside: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    let mut size = inside.len();
    while size >= 0x80 {
        out.push(size as u8 | 0x80);
        size >>= 7;
    }
    out.push(size as u8);
    out.extend_from_slice(inside);
    out
}

fn contents() -> impl Strategy<Value = Vec<u8>> {
    let key =
        prop_oneof![Just(b"a".to_vec()), Just(b"a-longer-key".to_vec()), prop::collection::vec(any::<u8>(), 0..20)];
    let value = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        "[ -~]{0,200}".prop_map(String::into_bytes),
        Just(br#"{"a":[1,"x"]}"#.to_vec())
    ];
    (key, value).prop_map(|(key, value)| field(0x12, &[field(0x0A, &key), field(0x12, &value)].concat()))
}

fn log() -> impl Strategy<Value = Vec<u8>> {
    let start = prop_oneof![Just(b"\x08\x80\xc0\xa9\xab\x06".to_vec()), prop::collection::vec(any::<u8>(), 0..4)];
    let end =
        prop_oneof![Just(Vec::new()), Just(b"\x25\x01\x02\x03\x04".to_vec()), prop::collection::vec(any::<u8>(), 0..7)];
    (start, prop::collection::vec(contents(), 0..5), end)
        .prop_map(|(start, parts, end)| [start, parts.concat(), end].concat())
}

fn list() -> impl Strategy<Value = Vec<u8>> {
    let metadata = prop_oneof![
        Just(b"\x1a\x01t\x22\x01s\x32\x05\x0a\x01k\x12\x00".to_vec()),
        prop::collection::vec(any::<u8>(), 0..9)
    ];
    let logs = prop::collection::vec(log().prop_map(|log| field(0x0A, &log)), 0..5);
    let group = (logs, metadata).prop_map(|(logs, metadata)| field(0x0A, &[logs.concat(), metadata].concat()));
    prop::collection::vec(group, 0..4).prop_map(|groups| groups.concat())
}

/// Lists with some bytes changed and the end cut off.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let damage = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    (list(), damage, any::<prop::sample::Index>(), any::<bool>()).prop_map(|(mut body, damage, cut, whole)| {
        for (place, byte) in damage {
            if !body.is_empty() {
                let place = place.index(body.len());
                body[place] = byte;
            }
        }
        let end = if whole { body.len() } else { cut.index(body.len() + 1) };
        body.truncate(end);
        body
    })
}

fn pieces(name: &str) -> Pieces {
    vec![(true, name.to_owned())]
}

fn codec(output: &str, format: &str, framing: &str, oversize: &str, rfc: u32) -> Codec {
    let settings = Settings {
        output: output.to_owned(),
        logstore: "store".to_owned(),
        format: format.to_owned(),
        json_fields: vec!["a".to_owned()],
        raw_field: "a".to_owned(),
        event_id_field: "sls_id".to_owned(),
        batch_bytes: 500,
        replay: true,
        hec: vec![pieces("a"), pieces("__topic__"), Vec::new(), Vec::new()],
        transform: None,
    };
    let syslog = SyslogOptions {
        rfc,
        framing: framing.to_owned(),
        oversize: oversize.to_owned(),
        header: vec![pieces("a"), pieces("__source__"), Vec::new(), Vec::new()],
        structured_data: "sls@32473".to_owned(),
        max_bytes: 480,
        ..SyslogOptions::default()
    };
    settings.codec(Some(syslog)).unwrap()
}

fn task(groups: u64, regrouped: bool) -> Task {
    Task { shard: 1, position: 10, next_position: 20, groups, regrouped, skip: 0, limit: None }
}

/// What came out of an encoding: all items as text, and the error.
fn outcome(codec: &Codec, task: Task, mut feed: Feed) -> (Vec<String>, Option<Malformed>) {
    let mut run = codec.start(task, Scratch::default());
    let mut items = Vec::new();
    loop {
        match run.next(codec, &mut feed) {
            Ok(Some(Item::Payload { data, span, raw_bytes, .. })) => {
                items.push(format!("{span:?} {raw_bytes} {:?}", &run.bytes()[data]));
            }
            Ok(Some(item)) => items.push(format!("{item:?}")),
            Ok(None) => return (items, None),
            Err(error) => return (items, Some(error)),
        }
    }
}

/// Encodes to the end; the number of events, and whether there was an error.
fn encode(codec: &Codec, body: &[u8], groups: u64, regrouped: bool) -> (u64, bool) {
    let mut run = codec.start(task(groups, regrouped), Scratch::default());
    let mut events = 0;
    loop {
        match run.next(codec, &mut Feed::Whole(body)) {
            Ok(Some(Item::Payload { data, span, .. })) => {
                assert!(data.end <= run.bytes().len() && !data.is_empty());
                events += span.events;
            }
            Ok(Some(Item::Oversize { .. })) => events += 1,
            Ok(None) => return (events, false),
            Err(_) => return (events, true),
        }
    }
}

/// Bytes that compress in every way: short and long literals, matches near and far, short and long, and overlapping.
fn compressible() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        prop::collection::vec(any::<u8>(), 200..600),
        prop::collection::vec(0u8..3, 0..60),
    ];
    let repeated = (piece, 1usize..6, prop_oneof![Just(1usize), 1usize..20, 200usize..900]);
    prop::collection::vec(repeated, 0..12).prop_map(|parts| {
        let pieces: Vec<&Vec<u8>> = parts.iter().map(|(piece, ..)| piece).collect();
        let chosen = parts.iter().flat_map(|(_, step, times)| {
            pieces
                .iter()
                .step_by(*step)
                .flat_map(move |piece| piece.iter().copied().cycle().take(piece.len().min(30) * times))
        });
        chosen.collect()
    })
}

/// Undoes a block piece by piece, as much at once as `steps` say, with no more room and no more of the past than needed.
fn in_pieces(block: &[u8], size: usize, steps: &[usize]) -> Result<Vec<u8>, String> {
    let (mut decoder, mut all, mut steps) = (Decoder::default(), Vec::new(), steps.iter().cycle());
    let mut window = vec![0; 1];
    loop {
        let kept = decoder.at.saturating_sub(HISTORY);
        window.copy_within(kept..decoder.at, 0);
        decoder.at -= kept;
        let before = decoder.at;
        let until = before + steps.next().unwrap();
        let stop = decoder.run(block, &mut window, until)?;
        all.extend_from_slice(&window[before..decoder.at]);
        if all.len() > size {
            return Err("more than announced".to_owned());
        }
        match stop {
            Stop::Reached => {}
            Stop::Full(end) if all.len() + end - decoder.at > size => return Err("more than announced".to_owned()),
            Stop::Full(end) => window.resize(end, 0),
            Stop::Ended if all.len() == size => return Ok(all),
            Stop::Ended => return Err("less than announced".to_owned()),
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_are_encoded_or_refused(
        body in damaged(),
        format in prop::sample::select(vec!["json", "kv", "raw"]),
        output in prop::sample::select(vec!["hec", "syslog"]),
        framing in prop::sample::select(vec!["octet-counting", "lf", "datagram"]),
        oversize in prop::sample::select(vec!["truncate", "split", "dead-letter"]),
        rfc in prop::sample::select(vec![5424, 3164]),
        regrouped: bool,
    ) {
        let codec = codec(output, format, framing, oversize, rfc);
        let sizes = group_sizes(&body);
        let groups = sizes.as_ref().map_or(2, |sizes| sizes.len() as u64);
        let (events, failed) = encode(&codec, &body, groups, regrouped);
        if let (Ok(sizes), false) = (&sizes, failed) {
            prop_assert_eq!(events, sizes.iter().sum::<usize>() as u64);
        }
        prop_assert!(failed || sizes.is_ok());
    }

    #[test]
    fn a_packed_list_gives_what_the_whole_one_gives(
        body in damaged(),
        last in list(),
        times in prop_oneof![3 => 0usize..3, 1 => 200usize..2000],
        claimed in prop_oneof![4 => Just(0i64), 1 => -2i64..3],
        regrouped: bool,
        output in prop::sample::select(vec!["hec", "syslog"]),
    ) {
        // Many times over, so that the list is longer than what is decompressed at once.
        let body = [last.repeat(times), body].concat();
        let codec = codec(output, "json", "lf", "split", 5424);
        let groups = group_sizes(&body).map_or(2, |sizes| sizes.len() as i64);
        let task = task((groups + claimed).max(0) as u64, regrouped);
        let block = block::compress(&body);
        let (expected, failed) = outcome(&codec, task, Feed::Whole(&body));
        let (found, error) = outcome(&codec, task, Feed::Packed(&block, &mut Unpacking::new(body.len(), Vec::new())));
        prop_assert_eq!(&error, &failed);
        let counted_at_once = failed.as_ref().is_some_and(|error| error.message.contains("as announced"));
        prop_assert!(found == expected || counted_at_once);

        // One byte too much or too little was announced.
        for size in [body.len() + 1, body.len().saturating_sub(1)] {
            let mut unpacking = Unpacking::new(size, Vec::new());
            let (_, error) = outcome(&codec, task, Feed::Packed(&block, &mut unpacking));
            prop_assert!(error.is_some() || size == body.len());
        }
    }

    #[test]
    fn every_group_is_found_piece_by_piece(
        groups in prop::collection::vec(compressible(), 1..9),
        noise in prop_oneof![60_000usize..66_000, 0usize..200, 200_000usize..400_000],
        seed: u32,
        times in 1usize..12,
    ) {
        // The same again and again, as far back as a match reaches, nearer, and farther.
        let mut number = seed;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (number >> 24) as u8
        }).take(noise).collect();
        let groups: Vec<Vec<u8>> = groups.into_iter().chain([noise]).collect();
        let list = groups.iter().map(|group| field(0x0A, group)).collect::<Vec<_>>().concat().repeat(times);
        let block = block::compress(&list);
        let (mut unpacking, mut place) = (Unpacking::new(list.len(), Vec::new()), Groups::default());
        for (number, group) in groups.iter().cycle().take(groups.len() * times).enumerate() {
            let Some(Next::Group(found, part)) = unpacking.next(&block, &mut place) else {
                return Err(TestCaseError::fail(format!("no group {number}")));
            };
            prop_assert_eq!(found, number);
            prop_assert!(part.of(unpacking.bytes()) == group);
        }
        prop_assert!(matches!(unpacking.next(&block, &mut place), Some(Next::End)));
        prop_assert_eq!(count_groups(&block, list.len()), Some(groups.len() * times));
        prop_assert_eq!(count_groups(&block, list.len() + 1), None);
    }

    #[test]
    fn a_garbled_block_is_encoded_or_refused(
        body in list(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let codec = codec("hec", "json", "lf", "split", 5424);
        let groups = group_sizes(&body).map_or(2, |sizes| sizes.len() as u64);
        let mut block = block::compress(&body);
        for (place, byte) in damage {
            let place = place.index(block.len());
            block[place] = byte;
        }
        for block in [&block[..], &block[..cut.index(block.len())]] {
            let mut out = vec![0; body.len()];
            let whole = inflate::lz4(block, &mut out);
            let mut unpacking = Unpacking::new(body.len(), Vec::new());
            let (items, error) = outcome(&codec, task(groups, false), Feed::Packed(block, &mut unpacking));
            match whole {
                Ok(()) => {
                    let (expected, failed) = outcome(&codec, task(groups, false), Feed::Whole(&out));
                    let counted_at_once = failed.as_ref().is_some_and(|error| error.message.contains("as announced"));
                    prop_assert!(items == expected || counted_at_once);
                    prop_assert_eq!(error, failed);
                }
                Err(why) => prop_assert!(error.is_some_and(|error| error.message.contains(&why))),
            }
        }
    }

    #[test]
    fn blocks_are_undone_whole_and_in_pieces(
        data in compressible(),
        steps in prop::collection::vec(prop_oneof![1usize..40, 1000usize..90_000], 1..5),
    ) {
        let block = block::compress(&data);
        let mut out = vec![0; data.len()];
        prop_assert_eq!(inflate::lz4(&block, &mut out), Ok(()));
        prop_assert_eq!(&out, &data);
        prop_assert_eq!(in_pieces(&block, data.len(), &steps), Ok(data.clone()));
        prop_assert!(inflate::lz4(&block, &mut vec![0; data.len() + 1]).is_err());
        if !data.is_empty() {
            prop_assert!(inflate::lz4(&block, &mut vec![0; data.len() - 1]).is_err());
        }
    }

    #[test]
    fn a_garbled_block_is_undone_as_the_library_undoes_it_or_not_at_all(
        data in compressible(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<prop::sample::Index>(),
        steps in prop::collection::vec(1usize..90_000, 1..5),
    ) {
        let mut block = block::compress(&data);
        for (place, byte) in damage {
            let place = place.index(block.len());
            block[place] = byte;
        }
        for block in [&block[..], &block[..cut.index(block.len())]] {
            let (mut ours, mut theirs) = (vec![0; data.len()], vec![0; data.len()]);
            let found = inflate::lz4(block, &mut ours);
            let expected = block::decompress_into(block, &mut theirs);
            let agreed = matches!(&expected, Ok(size) if *size == data.len()) == found.is_ok();
            prop_assert!(agreed, "{:?} {:?}", found, expected);
            if found.is_ok() {
                prop_assert_eq!(&ours, &theirs);
            }
            prop_assert_eq!(in_pieces(block, data.len(), &steps).ok(), found.is_ok().then_some(ours));
        }
    }

    #[test]
    fn noise_is_encoded_or_refused(body in prop::collection::vec(any::<u8>(), 0..200)) {
        encode(&codec("hec", "json", "lf", "split", 5424), &body, 1, true);
    }

    #[test]
    fn a_log_read_by_its_shape_is_the_log_that_a_walk_finds(logs in prop::collection::vec(log(), 1..12), order in prop::collection::vec(any::<prop::sample::Index>(), 1..30)) {
        let names = FieldNames::default();
        let mut reader = Reader::default();
        let (mut read, mut walked) = (Log::default(), Log::default());
        let mut body = Vec::new();
        let parts: Vec<Part> = order.iter().map(|index| {
            let start = body.len();
            body.extend_from_slice(&logs[index.index(logs.len())]);
            Part::new(start, body.len())
        }).collect();
        for part in parts {
            let found = reader.read(&body, part, &mut read, &names);
            let expected = walk_log(&body, part.start as usize, part.end as usize, &mut walked);
            match found {
                Ok(shape) => {
                    prop_assert_eq!(expected, Ok(()));
                    prop_assert_eq!((read.time, read.ns, &read.values), (walked.time, walked.ns, &walked.values));
                    let keys: Vec<&[u8]> = walked.keys.iter().map(|key| key.of(&body)).collect();
                    prop_assert_eq!(&reader.shape(shape).keys, &keys);
                }
                Err(error) => prop_assert_eq!(Err(error), expected),
            }
        }
    }

    #[test]
    fn escapes_are_those_of_one_character_after_the_other(raw in prop_oneof![prop::collection::vec(any::<u8>(), 0..80), "\\PC{0,40}".prop_map(String::into_bytes)], around in 0usize..20) {
        let body = [vec![0xFF; around], raw.clone(), vec![b'"'; around]].concat();
        let (start, end) = (around, around + raw.len());
        let mut out = Out::default();
        escape::<Plain>(&mut out, &body, start, end);
        let text = String::from_utf8(out.as_slice().to_vec()).unwrap();
        let expected: String = raw.utf8_chunks().flat_map(|chunk| {
            let invalid = chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}"));
            std::iter::once(chunk.valid().to_owned()).chain(invalid)
        }).collect();
        prop_assert_eq!(&text, &expected);

        let mut out = Out::default();
        escape::<Json>(&mut out, &body, start, end);
        let json: String = text.chars().map(json_character).collect();
        prop_assert_eq!(out.as_slice(), json.as_bytes());

        let mut out = Out::default();
        escape::<Kv>(&mut out, &body, start, end);
        let kv: String = text.chars().map(kv_character).collect();
        prop_assert_eq!(out.as_slice(), kv.as_bytes());
    }
}

fn json_character(character: char) -> String {
    match character {
        '"' => "\\\"".to_owned(),
        '\\' => "\\\\".to_owned(),
        '\u{8}' => "\\b".to_owned(),
        '\u{c}' => "\\f".to_owned(),
        '\t' => "\\t".to_owned(),
        '\n' => "\\n".to_owned(),
        '\r' => "\\r".to_owned(),
        '\0'..='\u{1f}' => format!("\\u{:04x}", character as u32),
        other => other.to_string(),
    }
}

fn kv_character(character: char) -> String {
    match character {
        '\\' | '|' => format!("\\{character}"),
        '\r' => "\\r".to_owned(),
        '\n' => "\\n".to_owned(),
        '\0' => "\\0".to_owned(),
        other => other.to_string(),
    }
}
