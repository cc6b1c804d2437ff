//! Names an event, as the reference's `event_id` defines it.

use crate::fields::GroupView;
use crate::out::Out;
use crate::text::hex;
use crate::wire::{Log, Part};
use sha2::{Digest, Sha256};

/// The name of the event being written; `prefix` is what the events of a group share.
#[derive(Default)]
pub struct Ident {
    text: Out,
    prefix: usize,
}

impl Ident {
    pub fn as_slice(&self) -> &[u8] {
        self.text.as_slice()
    }

    /// Turns to the events of a group that has a position of its own.
    pub fn turn(&mut self, shard: i128, position: i128) {
        self.text.truncate(0);
        signed(&mut self.text, shard);
        self.text.byte(b'-');
        signed(&mut self.text, position);
        self.text.byte(b'-');
        self.prefix = self.text.len();
    }

    /// Names the event at that place of the group.
    #[inline]
    pub fn place(&mut self, place: usize) {
        self.text.truncate(self.prefix);
        self.text.decimal(place as u64);
    }

    /// Takes a name that was made before.
    pub fn be(&mut self, name: &[u8]) {
        self.text.truncate(0);
        self.text.push(name);
    }

    /// Names an event of a regrouped answer.
    pub fn hash(&mut self, shard: i128, group: GroupView, log: &Log, keys: &[Vec<u8>]) {
        let digest = digest(group, log, keys);
        self.text.truncate(0);
        signed(&mut self.text, shard);
        self.text.push(b"-x");
        for &byte in &digest[..16] {
            hex(&mut self.text, byte);
        }
    }
}

fn signed(out: &mut Out, number: i128) {
    match u64::try_from(number) {
        Ok(number) => out.decimal(number),
        Err(_) => out.push(number.to_string().as_bytes()),
    }
}

fn digest(group: GroupView, log: &Log, keys: &[Vec<u8>]) -> [u8; 32] {
    let (body, meta) = (group.body, group.meta);
    let mut sha = Sha256::new();
    sha.update(log.time.to_be_bytes());
    match log.ns {
        None => sha.update([0]),
        Some(ns) => {
            sha.update([1]);
            sha.update(ns.to_be_bytes());
        }
    }
    for part in [meta.topic, meta.source] {
        match part {
            None => sha.update([0]),
            Some(part) => {
                sha.update([1]);
                sized(&mut sha, part.of(body));
            }
        }
    }
    sha.update((meta.tags.len() as u32).to_be_bytes());
    for (key, value) in &meta.tags {
        sized(&mut sha, key.of(body));
        sized(&mut sha, value.of(body));
    }
    sha.update((keys.len() as u32).to_be_bytes());
    for (key, value) in keys.iter().zip(&log.values) {
        sized(&mut sha, key);
        sized(&mut sha, Part::of(*value, body));
    }
    sha.finalize().into()
}

fn sized(sha: &mut Sha256, value: &[u8]) {
    sha.update((value.len() as u32).to_be_bytes());
    sha.update(value);
}
