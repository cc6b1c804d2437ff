//! Makes a codec of settings that are plain values, as they come from Python or from a test.
//!
//! They were checked before: a template has been cut into its pieces, a time zone into its offsets.

use crate::encoder::{Codec, Output};
use crate::field_names::FieldNames;
use crate::fields::{Piece, Template};
use crate::form::{Format, Kind};
use crate::header::{Data, Form, Header, LEAST_ROOM};
use crate::hec::Hec;
use crate::priority::{Part, Priority};
use crate::stamp::Zone;
use crate::syslog::{Framing, Oversize, Syslog};
use crate::transform::{Transform, TransformOptions};
use std::collections::HashMap;

/// Pieces of a template: whether it is a field, and its text or name.
pub type Pieces = Vec<(bool, String)>;

/// Name of a field, names by its value, default.
pub type ByField = (String, Vec<(String, String)>, String);

const USER: u8 = 1;
const INFO: u8 = 6;

/// As `settings.EncoderSettings`.
#[derive(Clone, Default)]
#[cfg_attr(feature = "python", derive(pyo3::FromPyObject), pyo3(from_item_all))]
pub struct Settings {
    pub output: String,
    pub logstore: String,
    pub format: String,
    pub json_fields: Vec<String>,
    pub raw_field: String,
    pub event_id_field: String,
    pub batch_bytes: u64,
    pub replay: bool,
    /// Templates of host, source, sourcetype, index.
    pub hec: Vec<Pieces>,
    pub transform: Option<TransformOptions>,
}

/// As `settings.SyslogSettings`.
#[derive(Clone, Default)]
#[cfg_attr(feature = "python", derive(pyo3::FromPyObject), pyo3(from_item_all))]
pub struct SyslogOptions {
    pub rfc: u32,
    pub framing: String,
    /// The text and, cut into pieces, the template that it is.
    pub facility: (String, Pieces),
    pub facilities: HashMap<String, u8>,
    /// Likewise; not looked at when `severity_by` is there.
    pub severity: (String, Pieces),
    /// Field, names by value, default.
    pub severity_by: Option<ByField>,
    pub severities: HashMap<String, u8>,
    /// Templates of hostname, app_name, procid, msgid.
    pub header: Vec<Pieces>,
    pub structured_data: String,
    pub max_bytes: u64,
    pub oversize: String,
    /// From when on which offset from UTC holds, in seconds; empty: UTC.
    pub zone: Vec<(u32, i64)>,
}

fn unknown(name: &str, value: &str) -> String {
    format!("{name}: {value:?} is unknown")
}

fn template(names: &mut FieldNames, pieces: &Pieces) -> Template {
    let piece = |(is_field, text): &(bool, String)| match is_field {
        true => Piece::Field(names.add(text.as_bytes())),
        false => Piece::Text(text.clone().into_bytes()),
    };
    Template(pieces.iter().map(piece).collect())
}

impl Settings {
    /// Makes a codec of them; `syslog` must be there for the output `syslog`.
    pub fn codec(&self, syslog: Option<SyslogOptions>) -> Result<Codec, String> {
        let mut names = FieldNames::default();
        let mut format = self.format(&mut names)?;
        let output = match (self.output.as_str(), syslog) {
            ("hec", _) => Output::Hec(self.hec(&mut names)?),
            ("syslog", Some(syslog)) => {
                let frames = syslog.frames(self, &mut names)?;
                format.one_line = frames.framing == Framing::Lf;
                if !frames.header.carries_marks() {
                    format.id_field = self.event_id_field.clone().into_bytes();
                    format.replay = self.replay;
                }
                Output::Syslog(frames)
            }
            (other, _) => return Err(unknown("output", other)),
        };
        let batch_bytes = usize::try_from(self.batch_bytes).unwrap_or(usize::MAX);
        let transform = self.transform.as_ref().map(Transform::new);
        Ok(Codec { output, format, names, batch_bytes, transform, panic_at: None })
    }

    fn format(&self, names: &mut FieldNames) -> Result<Format, String> {
        let kind = match self.format.as_str() {
            "json" => Kind::Json,
            "kv" => Kind::Kv,
            "raw" => Kind::Raw,
            other => return Err(unknown("format", other)),
        };
        Ok(Format {
            kind,
            json_fields: self.json_fields.iter().map(|name| name.clone().into_bytes()).collect(),
            id_field: Vec::new(),
            replay: false,
            raw_field: names.add(self.raw_field.as_bytes()),
            one_line: false,
        })
    }

    fn hec(&self, names: &mut FieldNames) -> Result<Hec, String> {
        let templates: Vec<Template> = self.hec.iter().map(|pieces| template(names, pieces)).collect();
        let templates = <[Template; 4]>::try_from(templates).map_err(|_| "hec: four templates are needed")?;
        Ok(Hec::new(templates, self.event_id_field.as_bytes(), self.replay))
    }
}

impl SyslogOptions {
    fn frames(&self, settings: &Settings, names: &mut FieldNames) -> Result<Syslog, String> {
        let framing = match self.framing.as_str() {
            "octet-counting" | "relp" => Framing::OctetCounting,
            "lf" => Framing::Lf,
            "datagram" => Framing::Datagram,
            other => return Err(unknown("framing", other)),
        };
        let oversize = match self.oversize.as_str() {
            "truncate" => Oversize::Truncate,
            "split" => Oversize::Split,
            "dead-letter" => Oversize::DeadLetter,
            other => return Err(unknown("oversize", other)),
        };
        let line_end = usize::from(framing == Framing::Lf);
        let room = usize::try_from(self.max_bytes).unwrap_or(usize::MAX).saturating_sub(line_end);
        let header = self.header(settings, names, room)?;
        Ok(Syslog { framing, oversize, room, header })
    }

    fn header(&self, settings: &Settings, names: &mut FieldNames, room: usize) -> Result<Header, String> {
        let priority = self.priority(names);
        let mut templates: Vec<Template> = self.header.iter().map(|pieces| template(names, pieces)).collect();
        if templates.len() != 4 {
            return Err("header: four templates are needed".to_owned());
        }
        let room = room.checked_sub(LEAST_ROOM).ok_or("max_bytes: too few for a header")?;
        let form = if self.rfc == 3164 {
            templates.truncate(3);
            Form::Rfc3164 { zone: Zone(self.zone.clone()) }
        } else {
            let with_id = !settings.event_id_field.is_empty();
            let data = || Data::new(&self.structured_data, &settings.logstore, with_id, settings.replay);
            Form::Rfc5424 { data: (!self.structured_data.is_empty()).then(data) }
        };
        Ok(Header { templates, priority, room, form })
    }

    fn priority(&self, names: &mut FieldNames) -> Priority {
        let (text, pieces) = &self.facility;
        let facility = Part::named(text, template(names, pieces), self.facilities.clone(), USER);
        let severity = match &self.severity_by {
            Some((field, words, default)) => {
                Part::by_field(names.add(field.as_bytes()), words, default, &self.severities, INFO)
            }
            None => {
                let (text, pieces) = &self.severity;
                Part::named(text, template(names, pieces), self.severities.clone(), INFO)
            }
        };
        Priority { facility, severity }
    }
}
