//! Finds a field of a log by name, and fills templates in, as the reference's `fields` does.

use crate::field_names::{Field, FieldNames};
use crate::out::decimals;
use crate::shape::Shape;
use crate::text::{escaped, is_written_as, Plain};
use crate::wire::{Log, Meta};

pub const TIME: &[u8] = b"__time__";
pub const TIME_NS: &[u8] = b"__time_ns_part__";
pub const TOPIC: &[u8] = b"__topic__";
pub const SOURCE: &[u8] = b"__source__";
pub const TAG: &[u8] = b"__tag__:";

/// What the logs of a group share, with the body that it is in.
#[derive(Clone, Copy)]
pub struct GroupView<'a> {
    pub body: &'a [u8],
    pub meta: &'a Meta,
    pub names: &'a FieldNames,
}

/// One log of a group.
#[derive(Clone, Copy)]
pub struct LogView<'a> {
    pub group: GroupView<'a>,
    pub log: &'a Log,
    pub shape: &'a Shape,
}

impl<'a> GroupView<'a> {
    /// Looks up a field that all logs of the group share.
    pub fn field(&self, field: Field) -> Option<&'a [u8]> {
        let body = self.body;
        let name = self.names.name(field);
        if name == TOPIC {
            return self.meta.topic.map(|part| part.of(body));
        }
        if name == SOURCE {
            return self.meta.source.map(|part| part.of(body));
        }
        let wanted = name.strip_prefix(TAG)?;
        let mut tags = self.meta.tags.iter();
        tags.find(|(key, _)| is_written_as(key.of(body), wanted)).map(|(_, value)| value.of(body))
    }

    /// Lists what the logs share, by the names as written out, in order.
    pub fn shared(&self) -> Vec<(Vec<u8>, &'a [u8])> {
        let body = self.body;
        let mut fields = Vec::with_capacity(2 + self.meta.tags.len());
        for (name, part) in [(TOPIC, self.meta.topic), (SOURCE, self.meta.source)] {
            if let Some(part) = part {
                fields.push((name.to_vec(), part.of(body)));
            }
        }
        for (key, value) in &self.meta.tags {
            fields.push(([TAG, &escaped::<Plain>(key.of(body))].concat(), value.of(body)));
        }
        fields
    }
}

impl LogView<'_> {
    /// Looks up any field and gives its bytes to `take`; nothing when there is none of this name.
    pub fn field<T>(&self, field: Field, take: impl FnOnce(&[u8]) -> T) -> Option<T> {
        let name = self.group.names.name(field);
        let number = match name {
            TIME => Some(self.log.time),
            TIME_NS => self.log.ns,
            _ => None,
        };
        if let Some(number) = number {
            let mut digits = [0; 20];
            let first = decimals(u64::from(number), &mut digits);
            return Some(take(&digits[first..]));
        }
        if let Some(value) = self.group.field(field) {
            return Some(take(value));
        }
        let index = self.shape.places[field]?;
        Some(take(self.log.values[index as usize].of(self.group.body)))
    }
}

/// A piece of a template.
#[derive(Clone)]
pub enum Piece {
    Text(Vec<u8>),
    Field(Field),
}

/// A template such as `sls:{__topic__}`, ready to be filled in.
#[derive(Clone, Default)]
pub struct Template(pub Vec<Piece>);

impl Template {
    /// What it gives for every log, if it is the same.
    pub fn constant(&self) -> Option<Vec<u8>> {
        let texts = self.0.iter().map(|piece| match piece {
            Piece::Text(text) => Some(text.as_slice()),
            Piece::Field(_) => None,
        });
        Some(texts.collect::<Option<Vec<_>>>()?.concat())
    }

    /// Fills in for all logs of a group at once; false when it takes the log itself.
    pub fn shared(&self, group: GroupView, filled: &mut Vec<u8>) -> bool {
        filled.clear();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => filled.extend_from_slice(text),
                Piece::Field(field) => match group.field(*field) {
                    Some(value) => filled.extend_from_slice(value),
                    None => return false,
                },
            }
        }
        true
    }

    /// Fills in for one log; true.
    pub fn fill(&self, log: LogView, filled: &mut Vec<u8>) -> bool {
        filled.clear();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => filled.extend_from_slice(text),
                Piece::Field(field) => {
                    log.field(*field, |value| filled.extend_from_slice(value));
                }
            }
        }
        true
    }

    /// As `fill`, into a vector of its own.
    pub fn filled(&self, log: LogView) -> Vec<u8> {
        let mut filled = Vec::new();
        self.fill(log, &mut filled);
        filled
    }
}
