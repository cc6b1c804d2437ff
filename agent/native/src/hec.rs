//! The envelope of Splunk's HTTP Event Collector, as the reference's `hec` defines it.

use crate::fields::{GroupView, LogView, Template};
use crate::format::{Format, Writing, REPLAY};
use crate::out::Out;
use crate::text::json_string;
use crate::wire::Log;

/// The envelope as configured.
#[derive(Clone)]
pub struct Hec {
    templates: Vec<(Vec<u8>, Template)>,
    /// Between event and event id; empty without an id.
    fields: Vec<u8>,
    /// Behind the event id, or the event.
    close: Vec<u8>,
}

/// What is kept while the logs of a group are written.
#[derive(Default)]
pub struct HecGroup {
    /// The members between `time` and `event`; `None` when they take the log itself.
    shared: Option<Vec<u8>>,
    /// The envelope up to the event, and the time it was written for.
    head: Vec<u8>,
    head_time: Option<u32>,
}

impl Hec {
    /// `templates`: of host, source, sourcetype and index.
    pub fn new(templates: [Template; 4], id_field: &[u8], replay: bool) -> Hec {
        let labels = ["host", "source", "sourcetype", "index"].map(|key| format!(",\"{key}\":").into_bytes());
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
        Hec { templates: labels.into_iter().zip(templates).collect(), fields, close }
    }

    pub fn open(&self, state: &mut HecGroup, group: GroupView) {
        state.head_time = None;
        state.shared = self.envelope(|template| template.shared(group));
    }

    /// Writes one log with its envelope.
    #[inline]
    pub fn write(
        &self,
        state: &mut HecGroup,
        writing: &mut Writing,
        format: &Format,
        out: &mut Out,
        log: LogView,
        shape: usize,
        ident: &[u8],
    ) {
        self.head(state, out, log);
        writing.json_value(format, out, log, shape, ident);
        if !self.fields.is_empty() {
            out.push(&self.fields);
            out.push(ident);
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
            Some(shared) => out.push(shared),
            None => out.push(&self.envelope(|template| Some(template.fill(log))).unwrap_or_default()),
        }
        out.push(b",\"event\":");
        if reusable {
            state.head.clear();
            state.head.extend_from_slice(&out.as_slice()[start..]);
            state.head_time = Some(log.log.time);
        }
    }

    fn envelope(&self, fill: impl Fn(&Template) -> Option<Vec<u8>>) -> Option<Vec<u8>> {
        let mut out = Out::default();
        for (label, template) in &self.templates {
            let value = fill(template)?;
            if !value.is_empty() {
                out.push(label);
                json_string(&mut out, &value);
            }
        }
        Some(out.as_slice().to_vec())
    }
}

fn write_time(out: &mut Out, log: &Log) {
    out.decimal(u64::from(log.time));
    if let Some(ns) = log.ns.filter(|&ns| ns <= 999_999_999) {
        out.byte(b'.');
        out.padded(ns, 9);
    }
}
