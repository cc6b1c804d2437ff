//! The header of a syslog message, as the reference's `syslog_header` defines it.

use crate::fields::{GroupView, LogView, Template};
use crate::members::level;
use crate::out::Out;
use crate::priority::Priority;
use crate::stamp::{rfc3164, rfc3339, Zone};

/// Bytes of a frame that a header leaves for the message.
pub const LEAST_ROOM: usize = 64;

const LENGTHS_5424: [usize; 4] = [255, 48, 128, 32];

/// A form of header as configured.
#[derive(Clone)]
pub struct Header {
    /// Of host, app, procid and, in RFC 5424, msgid.
    pub templates: Vec<Template>,
    pub priority: Priority,
    /// Most bytes of a header.
    pub room: usize,
    pub form: Form,
}

#[derive(Clone)]
pub enum Form {
    Rfc5424 {
        /// The structured data around the event id; `None`: no structured data.
        data: Option<Data>,
    },
    Rfc3164 {
        zone: Zone,
    },
}

#[derive(Clone)]
pub struct Data {
    before_id: Vec<u8>,
    after_id: Vec<u8>,
    with_id: bool,
}

impl Data {
    pub fn new(sd_id: &str, logstore: &str, with_id: bool, replay: bool) -> Data {
        let mut after_id = if with_id { b"\"".to_vec() } else { Vec::new() };
        after_id.extend_from_slice(b" logstore=\"");
        for &byte in logstore.as_bytes() {
            if matches!(byte, b'\\' | b'"' | b']') {
                after_id.push(b'\\');
            }
            after_id.push(byte);
        }
        after_id.extend_from_slice(if replay { b"\" replay=\"1\"" } else { b"\"" });
        let before_id = if with_id { format!("[{sd_id} id=\"") } else { format!("[{sd_id}") };
        Data { before_id: before_id.into_bytes(), after_id, with_id }
    }
}

/// What is kept while the headers of one group's logs are written.
#[derive(Default)]
pub struct HeaderGroup {
    /// The fields, and as they are joined; `None` when they take the log itself.
    shared: Option<(Vec<Vec<u8>>, Vec<u8>)>,
    /// The header up to the event id of logs without fraction, and the time it was written for.
    lead: Vec<u8>,
    lead_time: Option<u32>,
    /// The last time stamp, without fraction and `Z`.
    stamp: Vec<u8>,
    stamp_time: Option<u32>,
}

impl Header {
    /// The event id, the mark of a replay and the part of a split message stand in the header.
    pub fn carries_marks(&self) -> bool {
        matches!(self.form, Form::Rfc5424 { data: Some(_) })
    }

    pub fn open(&self, state: &mut HeaderGroup, group: GroupView) {
        let shared = |template: &Template| {
            let mut filled = Vec::new();
            template.shared(group, &mut filled).then_some(filled)
        };
        let fields: Option<Vec<Vec<u8>>> = self.templates.iter().map(shared).collect();
        state.lead_time = None;
        state.shared = fields.map(|fields| {
            let fields = self.clean(fields);
            let joined = self.join(&fields);
            (fields, joined)
        });
    }

    /// Writes the header of one log, or of one part of it, with the space before the message.
    #[inline]
    pub fn write(&self, state: &mut HeaderGroup, out: &mut Out, log: LogView, ident: &[u8], part: &[u8]) {
        let start = out.len();
        let pri = self.priority.of(log);
        let reusable = self.fraction(log).is_none() && state.shared.is_some() && self.priority.is_constant();
        if reusable && state.lead_time == Some(log.log.time) {
            out.push(&state.lead);
        } else {
            self.stamp(state, log.log.time);
            match &state.shared {
                Some((_, joined)) => self.begin(out, pri, &state.stamp, joined, log),
                None => self.begin(out, pri, &state.stamp, &self.join(&self.fields(log)), log),
            }
            if reusable {
                state.lead.clear();
                state.lead.extend_from_slice(&out.as_slice()[start..]);
                state.lead_time = Some(log.log.time);
            }
        }
        self.end(out, ident, part);
        let written = out.len() - start - part.len();
        if written > self.room {
            out.truncate(start);
            self.stamp(state, log.log.time);
            let own = if state.shared.is_none() { self.fields(log) } else { Vec::new() };
            let fields = state.shared.as_ref().map_or(&own, |(fields, _)| fields);
            let joined = self.join(&shortened(fields, written - self.room));
            self.begin(out, pri, &state.stamp, &joined, log);
            self.end(out, ident, part);
        }
    }

    /// The nanoseconds of a log, where the header carries them.
    #[inline]
    fn fraction(&self, log: LogView) -> Option<u32> {
        let ns = log.log.ns.filter(|&ns| ns <= 999_999_999)?;
        matches!(self.form, Form::Rfc5424 { .. }).then_some(ns)
    }

    fn fields(&self, log: LogView) -> Vec<Vec<u8>> {
        self.clean(self.templates.iter().map(|template| template.filled(log)).collect())
    }

    fn stamp(&self, state: &mut HeaderGroup, time: u32) {
        if state.stamp_time == Some(time) {
            return;
        }
        let mut out = Out::default();
        match &self.form {
            Form::Rfc5424 { .. } => rfc3339(&mut out, time),
            Form::Rfc3164 { zone } => rfc3164(&mut out, time, zone),
        }
        state.stamp.clear();
        state.stamp.extend_from_slice(out.as_slice());
        state.stamp_time = Some(time);
    }

    /// Writes up to the event id.
    fn begin(&self, out: &mut Out, pri: u32, stamp: &[u8], joined: &[u8], log: LogView) {
        out.byte(b'<');
        out.decimal(u64::from(pri));
        let Form::Rfc5424 { data } = &self.form else {
            out.byte(b'>');
            out.push(stamp);
            out.push(joined);
            return;
        };
        out.push(b">1 ");
        out.push(stamp);
        if let Some(ns) = self.fraction(log) {
            out.byte(b'.');
            out.padded(ns / 1000, 6);
        }
        out.byte(b'Z');
        out.push(joined);
        out.push(data.as_ref().map_or(b"- ", |data| &data.before_id));
    }

    /// Writes the event id, if it stands in the header, and what is behind it.
    #[inline]
    fn end(&self, out: &mut Out, ident: &[u8], part: &[u8]) {
        let Form::Rfc5424 { data: Some(data) } = &self.form else { return };
        if data.with_id {
            out.push(ident);
        }
        out.push(&data.after_id);
        if !part.is_empty() {
            out.byte(b' ');
            out.push(part);
        }
        out.push(b"] ");
    }

    /// Makes fields of what the templates gave.
    fn clean(&self, fields: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        let is_5424 = matches!(self.form, Form::Rfc5424 { .. });
        let clean_one = |(index, mut field): (usize, Vec<u8>)| {
            let in_tag = !is_5424 && index > 0;
            for byte in &mut field {
                if !matches!(*byte, 33..=126) || (in_tag && matches!(*byte, b':' | b'[' | b']')) {
                    *byte = b'_';
                }
            }
            if is_5424 {
                field.truncate(LENGTHS_5424[index]);
            }
            if field.is_empty() {
                field.push(b'-');
            }
            field
        };
        fields.into_iter().enumerate().map(clean_one).collect()
    }

    /// Writes the fields and what stands between them and around them.
    fn join(&self, fields: &[Vec<u8>]) -> Vec<u8> {
        if matches!(self.form, Form::Rfc5424 { .. }) {
            return [b" ", &fields.join(&b' ')[..], b" "].concat();
        }
        let (host, app, procid) = (&fields[0][..], &fields[1][..], &fields[2][..]);
        if procid == b"-" {
            return [b" ", host, b" ", app, b": "].concat();
        }
        [b" ", host, b" ", app, b"[", procid, b"]: "].concat()
    }
}

/// Cuts the longest fields until they are `excess` bytes shorter, none to nothing.
fn shortened(fields: &[Vec<u8>], excess: usize) -> Vec<Vec<u8>> {
    let sizes: Vec<usize> = fields.iter().map(Vec::len).collect();
    let room = sizes.iter().sum::<usize>() as i64 - excess as i64;
    let size = level(&sizes, room).max(1) as usize;
    fields.iter().map(|field| field[..size.min(field.len())].to_vec()).collect()
}
