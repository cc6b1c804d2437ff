//! The formats of an event, `json`, `kv` and `raw`: a log becomes the bytes of a message.
//!
//! What stands before the contents of a log is written once for a group and second; the names of the contents once for
//! all logs of a shape (`layout`). What is left to do for a log is to copy its values.

use crate::fields::{GroupView, LogView, TIME, TIME_NS};
use crate::form::{Format, Kind};
use crate::jsonvalue::embed;
use crate::layout::{Layout, Layouts};
use crate::members::{json_members, kv_members, shorten, MARKER_JSON, MARKER_KV};
use crate::out::Out;
use crate::text::{escape, escape_all, escaped, json_string, Boundary, Json, Kv, OneLine, Plain};
use crate::wire::Part;

/// One log, and all that it takes to write it.
pub struct Entry<'a> {
    pub format: &'a Format,
    pub log: LogView<'a>,
    /// Number of the log's shape.
    pub shape: usize,
    pub ident: &'a [u8],
}

/// What comes before the contents of the logs of one group, with or without nanoseconds.
#[derive(Default)]
struct Opened {
    ready: bool,
    /// Number of the names in `Layouts`.
    opening: usize,
    /// From behind the numbers up to the event id, or the contents.
    shared: Out,
}

/// What is kept while the logs of a group are written.
#[derive(Default)]
pub struct Writing {
    pub layouts: Layouts,
    opened: [Opened; 2],
    /// The message of a log without nanoseconds up to `shared`'s end, and the time it was written for.
    lead: Vec<u8>,
    lead_time: Option<u32>,
    inner: Out,
}

impl Writing {
    /// Turns to the logs of another group.
    pub fn turn(&mut self) {
        self.lead_time = None;
        self.opened.iter_mut().for_each(|opened| opened.ready = false);
    }

    /// Writes a log as a message.
    pub fn message(&mut self, entry: &Entry, out: &mut Out) {
        let Entry { format, log, .. } = *entry;
        if format.kind == Kind::Raw {
            if let Some(value) = raw_value(format, log) {
                return write_raw(format, out, value);
            }
        }
        self.event(entry, out);
    }

    /// Writes a log as one JSON value, never empty.
    pub fn json_value(&mut self, entry: &Entry, out: &mut Out) {
        let Entry { format, log, .. } = *entry;
        match format.kind {
            Kind::Json => self.event(entry, out),
            Kind::Kv => {
                let mut inner = std::mem::take(&mut self.inner);
                inner.truncate(0);
                self.event(entry, &mut inner);
                json_string(out, inner.as_slice());
                self.inner = inner;
            }
            Kind::Raw => match raw_value(format, log) {
                Some(value) if !value.is_empty() => json_string(out, value),
                _ => self.event(entry, out),
            },
        }
    }

    /// Writes a log as a list of members.
    fn event(&mut self, entry: &Entry, out: &mut Out) {
        let Entry { format, log, shape, ident } = *entry;
        let opening = self.lead(format, out, log);
        let after = &self.layouts.opening(opening).after;
        if !format.id_field.is_empty() {
            out.push(ident);
            out.push(after);
        }
        let layout = self.layouts.get(format, opening, shape, log.shape);
        let (body, values) = (log.group.body, &log.log.values);
        if format.is_kv() {
            for (index, value) in values.iter().enumerate() {
                layout.labels.put(out, index);
                escape::<Kv>(out, body, value.start as usize, value.end as usize);
            }
            return;
        }
        for (index, value) in values.iter().enumerate() {
            layout.labels.put(out, index);
            if layout.is_embedded(index) {
                write_embedded(out, body, *value);
            } else {
                escape::<Json>(out, body, value.start as usize, value.end as usize);
            }
        }
        layout.labels.put(out, values.len());
    }

    /// Writes what comes before the event id, or the contents, and tells the number of the opening.
    #[inline]
    fn lead(&mut self, format: &Format, out: &mut Out, log: LogView) -> usize {
        let (time, ns) = (log.log.time, log.log.ns);
        let index = usize::from(ns.is_some());
        if !self.opened[index].ready {
            self.open(format, log.group, index);
        }
        let opened = &self.opened[index];
        if ns.is_none() && self.lead_time == Some(time) {
            out.push(&self.lead);
            return opened.opening;
        }
        let start = out.len();
        write_number(format, out, if format.is_kv() { b"" } else { b"{" }, TIME, time);
        if let Some(ns) = ns {
            write_number(format, out, if format.is_kv() { b"||" } else { b"," }, TIME_NS, ns);
        }
        out.push(opened.shared.as_slice());
        if ns.is_none() {
            self.lead.clear();
            self.lead.extend_from_slice(&out.as_slice()[start..]);
            self.lead_time = Some(time);
        }
        opened.opening
    }

    fn open(&mut self, format: &Format, group: GroupView, index: usize) {
        let number = self.layouts.open(format, group, index == 1);
        let opening = self.layouts.opening(number);
        let opened = &mut self.opened[index];
        opened.ready = true;
        opened.opening = number;
        let out = &mut opened.shared;
        out.truncate(0);
        let (meta, body) = (group.meta, group.body);
        let singles = [meta.topic, meta.source].into_iter().flatten();
        for (index, value) in singles.chain(meta.tags.iter().map(|(_, value)| *value)).enumerate() {
            out.push(&opening.labels[index]);
            if format.is_kv() {
                escape_all::<Kv>(out, value.of(body));
            } else if opening.embedded[index] {
                write_embedded(out, body, value);
            } else {
                out.byte(b'"');
                escape::<Json>(out, body, value.start as usize, value.end as usize);
                out.byte(b'"');
            }
        }
        out.push(&opening.marks);
    }
}

fn write_number(format: &Format, out: &mut Out, between: &[u8], name: &[u8], number: u32) {
    out.push(between);
    if format.is_kv() {
        out.push(name);
        out.byte(b'=');
    } else {
        out.byte(b'"');
        out.push(name);
        out.push(b"\":");
    }
    out.decimal(u64::from(number));
}

fn write_embedded(out: &mut Out, body: &[u8], value: Part) {
    if !embed(out, body, value.start as usize, value.end as usize) {
        json_string(out, value.of(body));
    }
}

/// The value that `raw` sends; `None` when the log has none.
fn raw_value<'a>(format: &Format, log: LogView<'a>) -> Option<&'a [u8]> {
    let index = log.shape.places[format.raw_field]?;
    Some(log.log.values[index as usize].of(log.group.body))
}

fn write_raw(format: &Format, out: &mut Out, value: &[u8]) {
    if format.one_line {
        escape_all::<OneLine>(out, value);
    } else {
        escape_all::<Plain>(out, value);
    }
}

/// Writes the event as a message of at most `room` bytes; slow.
pub fn shortened(entry: &Entry, room: usize) -> Vec<u8> {
    let Entry { format, log, ident, .. } = *entry;
    if format.kind == Kind::Raw {
        if let Some(value) = raw_value(format, log) {
            let mut text = if format.one_line { escaped::<OneLine>(value) } else { escaped::<Plain>(value) };
            text.truncate(Boundary::Characters.before(&text, 0, room));
            return text;
        }
    }
    if format.is_kv() {
        let room = room as i64 - MARKER_KV.len() as i64;
        let mut parts = shorten(&kv_members(format, log, ident), room, b"||", Boundary::Kv);
        parts.push(MARKER_KV.to_vec());
        return parts.join(&b"||"[..]);
    }
    let room = room as i64 - 1 - MARKER_JSON.len() as i64;
    let mut whole = b"{".to_vec();
    for part in shorten(&json_members(format, log, ident), room, b",", Boundary::Json) {
        whole.extend_from_slice(&part);
        whole.push(b',');
    }
    whole.extend_from_slice(MARKER_JSON);
    whole
}

/// The labels of the contents of one kind of logs.
impl Layout {
    #[inline(always)]
    fn is_embedded(&self, index: usize) -> bool {
        self.any_embedded && self.embedded[index]
    }
}
