//! The compiled codec: LogGroupList bytes in, payloads of SIEM bytes out, byte for byte what the plain Python codec
//! (`sls_siem.codec`, the reference and the specification) makes of them.
//!
//! Where to find what: `wire` and `shape` read logs; `format` (of the `form` that is configured, with `layout`, `labels`,
//! `members`, `jsonvalue`, `text`) makes messages of them; `hec` and `syslog` (with `header`, `priority`, `stamp`) put
//! around a message what the output wants; `transform` leaves logs out and changes fields before; `encoder` and `packer`
//! make payloads; `inflate` undoes the compression of what comes in, into the memory of a `body`, or `unpacking` does it (with
//! `lz4`) piece by piece as the encoder goes on; `feed` is any of these; `python` is the door to Python.
#![forbid(unsafe_code)]

pub mod body;
pub mod encoder;
pub mod event_id;
pub mod feed;
pub mod field_names;
pub mod fields;
pub mod form;
pub mod format;
pub mod header;
pub mod hec;
pub mod inflate;
pub mod jsonvalue;
pub mod labels;
pub mod layout;
pub mod lz4;
pub mod members;
pub mod names;
pub mod out;
pub mod packer;
pub mod panics;
pub mod priority;
pub mod settings;
pub mod shape;
pub mod stamp;
pub mod syslog;
pub mod text;
pub mod transform;
pub mod unpacking;
pub mod wire;

#[cfg(feature = "python")]
mod python;
