//! Shortens an event that is a list of named members until it fits, as the reference's `members` defines it. Slow.

use crate::fields::{LogView, TIME, TIME_NS};
use crate::form::{Format, REPLAY};
use crate::jsonvalue::embeddable;
use crate::layout::label;
use crate::names::Names;
use crate::text::{escaped, Boundary, Json, Kv, Plain};

const TRUNCATED: &[u8] = b"__truncated__";
pub const MARKER_JSON: &[u8] = b"\"__truncated__\":true}";
pub const MARKER_KV: &[u8] = b"__truncated__=true";

/// One member as written: `label value close`; `embedded`: label and text to use when the value is embedded.
pub struct Member {
    label: Vec<u8>,
    value: Vec<u8>,
    close: &'static [u8],
    fixed: bool,
    embedded: Option<(Vec<u8>, Vec<u8>)>,
}

impl Member {
    fn fixed(label: Vec<u8>, value: Vec<u8>) -> Member {
        Member { label, value, close: b"", fixed: true, embedded: None }
    }

    /// Bytes of the value as written when nothing is cut.
    fn size(&self) -> usize {
        self.embedded.as_ref().map_or(self.value.len(), |(_, text)| text.len())
    }

    /// Bytes of the member with an empty value, if it may be empty.
    fn least(&self) -> usize {
        self.label.len() + if self.fixed { self.value.len() } else { self.close.len() }
    }

    fn cut(&self, size: usize, boundary: Boundary) -> Vec<u8> {
        match &self.embedded {
            Some((label, text)) if text.len() <= size => [&label[..], text].concat(),
            _ if self.fixed => [&self.label[..], &self.value].concat(),
            _ => {
                let end = boundary.before(&self.value, 0, size);
                [&self.label[..], &self.value[..end], self.close].concat()
            }
        }
    }
}

/// Finds the greatest size such that everything fits in `room` when nothing is longer than it.
pub fn level(sizes: &[usize], room: i64) -> i64 {
    let mut sorted = sizes.to_vec();
    sorted.sort_unstable();
    let (mut room, mut left) = (room, sorted.len() as i64);
    for &size in &sorted {
        if size as i64 * left > room {
            return room.div_euclid(left);
        }
        room -= size as i64;
        left -= 1;
    }
    sorted.last().map_or(0, |&size| size as i64)
}

/// Writes as much of the members as fits in `room`, each with a separator after it.
pub fn shorten(members: &[Member], room: i64, separator: &[u8], boundary: Boundary) -> Vec<Vec<u8>> {
    let mut room = room;
    let mut kept = 0;
    for member in members {
        let least = (member.least() + separator.len()) as i64;
        if least > room {
            break;
        }
        room -= least;
        kept += 1;
    }
    let kept = &members[..kept];
    let sizes: Vec<usize> = kept.iter().filter(|member| !member.fixed).map(Member::size).collect();
    let size = level(&sizes, room) as usize;
    kept.iter().map(|member| member.cut(size, boundary)).collect()
}

/// Lists all members of an event in `json`.
pub fn json_members(format: &Format, log: LogView, ident: &[u8]) -> Vec<Member> {
    members(format, log, ident, &|name, label, value| {
        let text = if format.is_embedded(name) { embeddable(value) } else { None };
        let embedded = text.map(|text| (label.clone(), text));
        let label = [&label[..], b"\""].concat();
        Member { label, value: escaped::<Json>(value), close: b"\"", fixed: false, embedded }
    })
}

/// Lists all members of an event in `kv`.
pub fn kv_members(format: &Format, log: LogView, ident: &[u8]) -> Vec<Member> {
    members(format, log, ident, &|_, label, value| Member {
        label,
        value: escaped::<Kv>(value),
        close: b"",
        fixed: false,
        embedded: None,
    })
}

type Make<'a> = &'a dyn Fn(&[u8], Vec<u8>, &[u8]) -> Member;

fn members(format: &Format, log: LogView, ident: &[u8], make: Make) -> Vec<Member> {
    let mut names = Names::with([TRUNCATED]);
    let mut claim = |name: &[u8]| label(format, &names.claim(name.to_vec()));
    let quoted = |text: &[u8]| {
        if format.is_kv() {
            text.to_vec()
        } else {
            [b"\"", text, b"\""].concat()
        }
    };
    let mut found = vec![Member::fixed(claim(TIME), log.log.time.to_string().into_bytes())];
    if let Some(ns) = log.log.ns {
        found.push(Member::fixed(claim(TIME_NS), ns.to_string().into_bytes()));
    }
    for (name, value) in log.group.shared() {
        found.push(make(&name, claim(&name), value));
    }
    if !format.id_field.is_empty() {
        found.push(Member::fixed(claim(&format.id_field), quoted(ident)));
    }
    if format.replay {
        found.push(Member::fixed(claim(REPLAY), quoted(b"1")));
    }
    for (key, value) in log.shape.keys.iter().zip(&log.log.values) {
        let name = escaped::<Plain>(key);
        found.push(make(&name, claim(&name), value.of(log.group.body)));
    }
    found
}
