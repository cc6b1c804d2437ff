//! Leaves logs out and changes fields before they are written, as the reference's `transform` does.
//!
//! It is done for a whole batch at once, ahead of the encoder, and only where something is to be done. The changed logs
//! are put behind the body, so that everything that was not changed, and every error, keeps its place. A log that cannot
//! be walked stays as it is: the encoder will meet the same error there.

use crate::event_id::Ident;
use crate::field_names::FieldNames;
use crate::fields::{GroupView, SOURCE, TAG, TIME, TIME_NS, TOPIC};
use crate::out::{decimals, Out};
use crate::text::{hex, is_written_as};
use crate::wire::{walk_group, walk_log, Groups, Log, Meta, Part};
use sha2::{Digest, Sha256};
use std::collections::HashMap;

const REDACTED: &[u8] = b"***";
const BLOCK: usize = 64;
const MOST_KEYS: usize = 4096;

/// Fields, each with patterns of its values.
pub type Conditions = Vec<(String, Vec<String>)>;

/// As `settings.TransformSettings`.
#[derive(Clone, Default)]
#[cfg_attr(feature = "python", derive(pyo3::FromPyObject), pyo3(from_item_all))]
pub struct TransformOptions {
    pub keep: Conditions,
    pub drop_logs: Conditions,
    pub drop: Vec<String>,
    pub redact: Vec<String>,
    pub hash: Vec<String>,
    pub truncate: Vec<(String, usize)>,
    pub rename: Vec<(String, String)>,
    pub hash_key: Vec<u8>,
}

/// What becomes of one log.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fate {
    /// Where it is now.
    pub part: Part,
    /// Its size on the wire.
    pub raw: u32,
    pub omitted: bool,
    ident: Part,
}

/// A batch that was changed: its body with the changed logs behind it.
#[derive(Default)]
pub struct Changed {
    pub body: Vec<u8>,
    /// Size of the body as it came.
    pub list: usize,
    /// What the logs share, group by group.
    pub metas: Vec<Meta>,
    /// Log by log, over all groups.
    pub fates: Vec<Fate>,
    idents: Vec<u8>,
}

impl Changed {
    /// The log's name where the service regroups.
    pub fn ident(&self, fate: Fate) -> &[u8] {
        fate.ident.of(&self.idents)
    }
}

/// What to do with the values of one name.
#[derive(Clone, Default, PartialEq)]
struct Action {
    drop: bool,
    redact: bool,
    hash: bool,
    truncate: Option<usize>,
    rename: Option<Vec<u8>>,
}

struct Condition {
    name: Vec<u8>,
    patterns: Vec<Pattern>,
}

/// A text with `*` for any run of bytes, cut at them.
struct Pattern(Vec<Vec<u8>>);

/// Filters and changes as configured; shared between threads.
pub struct Transform {
    keep: Vec<Condition>,
    drop_logs: Vec<Condition>,
    actions: Vec<(Vec<u8>, Action)>,
    hmac: (Sha256, Sha256),
}

/// What was found for keys, by their bytes.
type Known = HashMap<Vec<u8>, Option<usize>>;

impl Transform {
    pub fn new(options: &TransformOptions) -> Transform {
        let mut actions: Vec<(Vec<u8>, Action)> = Vec::new();
        let mut set = |name: &str, change: &dyn Fn(&mut Action)| {
            let found = actions.iter().position(|(other, _)| other == name.as_bytes()).unwrap_or_else(|| {
                actions.push((name.as_bytes().to_vec(), Action::default()));
                actions.len() - 1
            });
            change(&mut actions[found].1);
        };
        options.drop.iter().for_each(|name| set(name, &|action| action.drop = true));
        options.redact.iter().for_each(|name| set(name, &|action| action.redact = true));
        options.hash.iter().for_each(|name| set(name, &|action| action.hash = true));
        options.truncate.iter().for_each(|(name, most)| set(name, &|action| action.truncate = Some(*most)));
        for (name, new) in &options.rename {
            set(name, &|action| action.rename = Some(new.as_bytes().to_vec()));
        }
        let conditions = |wanted: &Conditions| wanted.iter().map(Condition::new).collect();
        Transform {
            keep: conditions(&options.keep),
            drop_logs: conditions(&options.drop_logs),
            actions,
            hmac: keyed(&options.hash_key),
        }
    }

    /// Changes a batch; what comes behind an error of the list or of a group is left alone.
    pub fn apply(&self, body: &[u8], shard: i128, regrouped: bool) -> Changed {
        let mut changed = Changed { body: body.to_vec(), list: body.len(), ..Changed::default() };
        let (mut groups, mut bounds, mut meta) = (Groups::default(), Vec::new(), Meta::default());
        let (mut log, mut known, mut ident) = (Log::default(), Known::new(), Ident::default());
        while let Ok(Some((_, start, end))) = groups.next(body) {
            if walk_group(body, start, end, &mut meta, &mut bounds).is_err() {
                break;
            }
            for part in &bounds {
                let mut fate = Fate { part: *part, raw: part.len() as u32, ..Fate::default() };
                if walk_log(body, part.start as usize, part.end as usize, &mut log).is_ok() {
                    if regrouped {
                        fate.ident = name_of(&mut changed.idents, &mut ident, shard, body, &meta, &log);
                    }
                    fate.omitted = !self.keeps(body, &meta, &log);
                    if !fate.omitted {
                        fate.part = self.log(&mut changed.body, &log, &mut known).unwrap_or(*part);
                    }
                }
                changed.fates.push(fate);
            }
            let shared = self.meta(&mut changed.body, &meta);
            changed.metas.push(shared);
        }
        changed
    }

    fn keeps(&self, body: &[u8], meta: &Meta, log: &Log) -> bool {
        let holds = |condition: &Condition| with_field(body, meta, log, &condition.name, |value| condition.fits(value));
        self.keep.iter().all(holds) && !self.drop_logs.iter().any(holds)
    }

    /// Writes what the logs of a group share as it is to be.
    fn meta(&self, body: &mut Vec<u8>, meta: &Meta) -> Meta {
        let topic = meta.topic.and_then(|part| self.value(body, part, self.action(TOPIC)));
        let source = meta.source.and_then(|part| self.value(body, part, self.action(SOURCE)));
        let mut tags = Vec::with_capacity(meta.tags.len());
        for (key, value) in &meta.tags {
            let mut named = self.actions.iter();
            let written = |name: &[u8]| name.strip_prefix(TAG).is_some_and(|rest| is_written_as(key.of(body), rest));
            let action = named.find(|(name, _)| written(name)).map(|(_, action)| action);
            if let Some(value) = self.value(body, *value, action) {
                tags.push((*key, value));
            }
        }
        Meta { topic, source, tags }
    }

    fn action(&self, name: &[u8]) -> Option<&Action> {
        self.actions.iter().find(|(other, _)| other == name).map(|(_, action)| action)
    }

    /// Writes a value as it is to be behind the body; nothing when it is to be dropped.
    fn value(&self, body: &mut Vec<u8>, part: Part, action: Option<&Action>) -> Option<Part> {
        let Some(action) = action else {
            return Some(part);
        };
        if action.drop {
            return None;
        }
        let start = body.len();
        let value = part.of(body).to_vec();
        self.write_value(body, &value, action);
        Some(Part::new(start, body.len()))
    }

    fn write_value(&self, out: &mut Vec<u8>, value: &[u8], action: &Action) {
        let start = out.len();
        if action.redact {
            out.extend_from_slice(REDACTED);
        } else {
            out.extend_from_slice(value);
        }
        if action.hash {
            let digest = self.hmac(&out[start..]);
            out.truncate(start);
            let mut digits = Out::default();
            digest.iter().for_each(|byte| hex(&mut digits, *byte));
            out.extend_from_slice(digits.as_slice());
        }
        if let Some(most) = action.truncate {
            let kept = cut(&out[start..], most);
            out.truncate(start + kept);
        }
    }

    /// Writes the log as it is to be behind the body; nothing when it stays as it is.
    fn log(&self, body: &mut Vec<u8>, log: &Log, known: &mut Known) -> Option<Part> {
        let mut acts = Vec::with_capacity(log.keys.len());
        for key in &log.keys {
            acts.push(self.known(key.of(body), known));
        }
        if acts.iter().all(Option::is_none) {
            return None;
        }
        let mut written = vec![0x08];
        varint(&mut written, log.time as usize);
        let mut value = Vec::new();
        for (place, act) in acts.into_iter().enumerate() {
            let (key, raw) = (log.keys[place].of(body), log.values[place].of(body));
            match act.map(|index| &self.actions[index].1) {
                Some(action) if action.drop => {}
                Some(action) => {
                    value.clear();
                    self.write_value(&mut value, raw, action);
                    content(&mut written, action.rename.as_deref().unwrap_or(key), &value);
                }
                None => content(&mut written, key, raw),
            }
        }
        if let Some(ns) = log.ns {
            written.push(0x25);
            written.extend_from_slice(&ns.to_le_bytes());
        }
        let start = body.len();
        body.extend_from_slice(&written);
        Some(Part::new(start, body.len()))
    }

    fn known(&self, key: &[u8], known: &mut Known) -> Option<usize> {
        if let Some(found) = known.get(key) {
            return *found;
        }
        let found = self.actions.iter().position(|(name, _)| is_written_as(key, name));
        if known.len() >= MOST_KEYS {
            known.clear();
        }
        known.insert(key.to_vec(), found);
        found
    }

    /// HMAC-SHA256 (RFC 2104).
    fn hmac(&self, value: &[u8]) -> [u8; 32] {
        let mut inner = self.hmac.0.clone();
        inner.update(value);
        let mut outer = self.hmac.1.clone();
        outer.update(inner.finalize());
        outer.finalize().into()
    }
}

impl Condition {
    fn new((name, patterns): &(String, Vec<String>)) -> Condition {
        let cut = |text: &String| Pattern(text.as_bytes().split(|byte| *byte == b'*').map(<[u8]>::to_vec).collect());
        Condition { name: name.as_bytes().to_vec(), patterns: patterns.iter().map(cut).collect() }
    }

    fn fits(&self, value: &[u8]) -> bool {
        self.patterns.iter().any(|pattern| pattern.fits(value))
    }
}

impl Pattern {
    fn fits(&self, value: &[u8]) -> bool {
        let Some((first, rest)) = self.0.split_first() else {
            return false;
        };
        let Some((last, middle)) = rest.split_last() else {
            return value == first.as_slice();
        };
        let Some(mut left) = value.strip_prefix(first.as_slice()).and_then(|left| left.strip_suffix(last.as_slice()))
        else {
            return false;
        };
        for part in middle {
            if part.is_empty() {
                continue;
            }
            match left.windows(part.len()).position(|window| window == part.as_slice()) {
                Some(at) => left = &left[at + part.len()..],
                None => return false,
            }
        }
        true
    }
}

/// Looks up any field, as `LogView::field`, and gives its bytes to `take`; empty when there is none of this name.
fn with_field(body: &[u8], meta: &Meta, log: &Log, name: &[u8], take: impl FnOnce(&[u8]) -> bool) -> bool {
    let number = match name {
        TIME => Some(log.time),
        TIME_NS => log.ns,
        _ => None,
    };
    if let Some(number) = number {
        let mut digits = [0; 20];
        let first = decimals(u64::from(number), &mut digits);
        return take(&digits[first..]);
    }
    let shared = match name {
        TOPIC => meta.topic,
        SOURCE => meta.source,
        _ => name.strip_prefix(TAG).and_then(|rest| {
            meta.tags.iter().find(|(key, _)| is_written_as(key.of(body), rest)).map(|(_, value)| *value)
        }),
    };
    let own = || log.keys.iter().position(|key| is_written_as(key.of(body), name)).map(|place| log.values[place]);
    take(shared.or_else(own).map_or(b"", |part| part.of(body)))
}

fn name_of(idents: &mut Vec<u8>, ident: &mut Ident, shard: i128, body: &[u8], meta: &Meta, log: &Log) -> Part {
    let keys: Vec<Vec<u8>> = log.keys.iter().map(|key| key.of(body).to_vec()).collect();
    ident.hash(shard, GroupView { body, meta, names: &FieldNames::default() }, log, &keys);
    let start = idents.len();
    idents.extend_from_slice(ident.as_slice());
    Part::new(start, idents.len())
}

/// At most so many bytes, and none of a character that does not fit whole.
fn cut(value: &[u8], most: usize) -> usize {
    if value.len() <= most {
        return value.len();
    }
    let begins = |at: &usize| value[*at] & 0xC0 != 0x80;
    (most.saturating_sub(3)..=most).rev().find(begins).unwrap_or(most)
}

fn keyed(key: &[u8]) -> (Sha256, Sha256) {
    let mut block = [0; BLOCK];
    if key.len() > BLOCK {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let padded = |pad: u8| {
        let mut sha = Sha256::new();
        sha.update(block.map(|byte| byte ^ pad));
        sha
    };
    (padded(0x36), padded(0x5C))
}

fn content(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    out.push(0x12);
    varint(out, 2 + size_of_varint(key.len()) + key.len() + size_of_varint(value.len()) + value.len());
    for (tag, text) in [(0x0A, key), (0x12, value)] {
        out.push(tag);
        varint(out, text.len());
        out.extend_from_slice(text);
    }
}

fn size_of_varint(mut value: usize) -> usize {
    let mut size = 1;
    while value >= 0x80 {
        value >>= 7;
        size += 1;
    }
    size
}

fn varint(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push(value as u8 & 0x7F | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
