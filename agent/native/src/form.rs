//! A format as configured.

use crate::field_names::Field;
use crate::text::Boundary;

pub const REPLAY: &[u8] = b"sls_replay";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Json,
    Kv,
    Raw,
}

/// A format as configured.
#[derive(Clone)]
pub struct Format {
    pub kind: Kind,
    /// Names of the fields that are embedded as JSON.
    pub json_fields: Vec<Vec<u8>>,
    /// Name of the member that carries the event id; empty where something around the event does.
    pub id_field: Vec<u8>,
    /// Whether the event itself has to say that it is a replay.
    pub replay: bool,
    pub raw_field: Field,
    /// `raw`: CR, LF and NUL may not appear.
    pub one_line: bool,
}

impl Format {
    /// Where a message may be cut.
    pub fn boundary(&self) -> Boundary {
        match self.kind {
            Kind::Json => Boundary::Json,
            Kind::Kv => Boundary::Kv,
            Kind::Raw => Boundary::Characters,
        }
    }

    /// The form of an event's members; `raw` needs it for a log without its field.
    pub fn is_kv(&self) -> bool {
        self.kind == Kind::Kv
    }

    pub fn is_embedded(&self, name: &[u8]) -> bool {
        self.json_fields.iter().any(|field| field == name)
    }
}
