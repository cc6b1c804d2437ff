//! The envelope of Splunk's HTTP Event Collector, as the reference's `hec` defines it.

use crate::fields::{GroupView, LogView, Template};
use crate::form::REPLAY;
use crate::format::{Entry, Writing};
use crate::out::Out;
use crate::text::json_string;
use crate::wire::Log;

/// The envelope as configured.
#[derive(Clone)]
pub struct Hec {
    members: Vec<Member>,
    /// Between event and event id; empty without an id.
    fields: Vec<u8>,
    /// Behind the event id, or the event.
    close: Vec<u8>,
}

/// A member between `time` and `event`.
#[derive(Clone)]
enum Member {
    /// Written already, as it is the same for all events.
    Constant(Vec<u8>),
    /// What stands before the value, and the value.
    Filled(Vec<u8>, Template),
}

impl Member {
    fn new(key: &str, template: Template) -> Member {
        let label = format!(",\"{key}\":").into_bytes();
        match template.constant() {
            None => Member::Filled(label, template),
            Some(value) if value.is_empty() => Member::Constant(value),
            Some(value) => {
                let mut out = Out::default();
                out.push(&label);
                json_string(&mut out, &value);
                Member::Constant(out.as_slice().to_vec())
            }
        }
    }
}

/// What is kept while the logs of a group are written.
#[derive(Default)]
pub struct HecGroup {
    /// The members between `time` and `event`; `None` when they take the log itself.
    shared: Option<Out>,
    value: Vec<u8>,
    /// The envelope up to the event, and the time it was written for.
    head: Vec<u8>,
    head_time: Option<u32>,
}

impl Hec {
    /// `templates`: of host, source, sourcetype and index.
    pub fn new(templates: [Template; 4], id_field: &[u8], replay: bool) -> Hec {
        let keys = ["host", "source", "sourcetype", "index"].into_iter();
        let mark = if replay { [b"\"", REPLAY, b"\":\"1\""].concat() } else { Vec::new() };
        let (mut fields, mut close) = (Vec::new(), b"}".to_vec());
        if !id_field.is_empty() {
            let mut label = Out::default();
            json_string(&mut label, id_field);
            fields = [b",\"fields\":{", label.as_slice(), b":\""].concat();
            let between = if replay { &b","[..] } else { b"" };
            close = [b"\"", between, &mark, b"}}"].concat();
        } else if replay {
            close = [b",\"fields\":{", &mark[..], b"}}"].concat();
        }
        let members = keys.zip(templates).map(|(key, template)| Member::new(key, template)).collect();
        Hec { members, fields, close }
    }

    pub fn open(&self, state: &mut HecGroup, group: GroupView) {
        state.head_time = None;
        let mut out = state.shared.take().unwrap_or_default();
        out.truncate(0);
        let is_shared = self.envelope(&mut out, &mut state.value, |template, value| template.shared(group, value));
        state.shared = is_shared.then_some(out);
    }

    /// Writes one log with its envelope.
    #[inline]
    pub fn write(&self, state: &mut HecGroup, writing: &mut Writing, out: &mut Out, entry: &Entry) {
        self.head(state, out, entry.log);
        writing.json_value(entry, out);
        if !self.fields.is_empty() {
            out.push(&self.fields);
            out.push(entry.ident);
        }
        out.push(&self.close);
    }

    #[inline]
    fn head(&self, state: &mut HecGroup, out: &mut Out, log: LogView) {
        let reusable = log.log.ns.is_none() && state.shared.is_some();
        if reusable && state.head_time == Some(log.log.time) {
            out.push(&state.head);
            return;
        }
        let start = out.len();
        out.push(b"{\"time\":");
        write_time(out, log.log);
        match &state.shared {
            Some(shared) => out.push(shared.as_slice()),
            None => drop(self.envelope(out, &mut state.value, |template, value| template.fill(log, value))),
        }
        out.push(b",\"event\":");
        if reusable {
            state.head.clear();
            state.head.extend_from_slice(&out.as_slice()[start..]);
            state.head_time = Some(log.log.time);
        }
    }

    /// Writes the members between `time` and `event`; false when `fill` could not fill one in.
    fn envelope(&self, out: &mut Out, value: &mut Vec<u8>, fill: impl Fn(&Template, &mut Vec<u8>) -> bool) -> bool {
        for member in &self.members {
            match member {
                Member::Constant(written) => out.push(written),
                Member::Filled(label, template) => {
                    if !fill(template, value) {
                        return false;
                    }
                    if !value.is_empty() {
                        out.push(label);
                        json_string(out, value);
                    }
                }
            }
        }
        true
    }
}

fn write_time(out: &mut Out, log: &Log) {
    out.decimal(u64::from(log.time));
    if let Some(ns) = log.ns.filter(|&ns| ns <= 999_999_999) {
        out.byte(b'.');
        out.padded(ns, 9);
    }
}
