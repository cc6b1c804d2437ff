//! What is computed once for many logs: the names of an event's members, as they are written, for given metadata
//! (an *opening*) and given keys after it (a *layout*). Bounded in number and size.

use crate::fields::{GroupView, TIME, TIME_NS};
use crate::form::{Format, REPLAY};
use crate::labels::Labels;
use crate::names::Names;
use crate::out::Out;
use crate::shape::Shape;
use crate::text::{escaped, json_string, KvKey, Plain};
use std::collections::HashMap;

const MOST: usize = 2048;
const MOST_BYTES: usize = 2 << 20;

/// What comes before the contents.
pub struct Opening {
    /// All names up to the contents.
    taken: Vec<Vec<u8>>,
    /// For each member that the logs of a group share: everything before its value.
    pub labels: Vec<Vec<u8>>,
    /// Which of these may be embedded.
    pub embedded: Vec<bool>,
    /// Before the event id, or the mark of a replay where there is no id.
    pub marks: Vec<u8>,
    /// After the event id.
    pub after: Vec<u8>,
}

/// The contents of logs with the same keys: everything before each value, and behind the last.
pub struct Layout {
    pub labels: Labels,
    pub embedded: Vec<bool>,
    pub any_embedded: bool,
}

#[derive(Default)]
pub struct Layouts {
    openings: Vec<Opening>,
    by_metadata: HashMap<Vec<u8>, usize>,
    layouts: Vec<Layout>,
    by_opening_and_shape: HashMap<(usize, usize), usize>,
    last: Option<((usize, usize), usize)>,
    opening_bytes: usize,
    layout_bytes: usize,
    scratch: Vec<u8>,
    /// The metadata that were looked up last, and the number found.
    last_opening: (Vec<u8>, usize),
}

impl Layouts {
    /// Forgets everything when it has become too much; to be called between two groups.
    pub fn tidy(&mut self) {
        if self.openings.len() > MOST || self.opening_bytes > MOST_BYTES {
            *self = Layouts::default();
        }
    }

    /// Forgets what belongs to shapes.
    pub fn forget_shapes(&mut self) {
        self.layouts.clear();
        self.by_opening_and_shape.clear();
        self.last = None;
        self.layout_bytes = 0;
    }

    pub fn opening(&self, number: usize) -> &Opening {
        &self.openings[number]
    }

    /// Finds the opening for the metadata of a group.
    pub fn open(&mut self, format: &Format, group: GroupView, with_ns: bool) -> usize {
        let meta = group.meta;
        self.scratch.clear();
        self.scratch.extend([u8::from(with_ns), u8::from(meta.topic.is_some()), u8::from(meta.source.is_some())]);
        for (key, _) in &meta.tags {
            self.scratch.extend_from_slice(&(key.len() as u32).to_le_bytes());
            self.scratch.extend_from_slice(key.of(group.body));
        }
        if self.scratch == self.last_opening.0 {
            return self.last_opening.1;
        }
        let found = match self.by_metadata.get(&self.scratch) {
            Some(&found) => found,
            None => self.add_opening(format, group, with_ns),
        };
        self.last_opening.0.clone_from(&self.scratch);
        self.last_opening.1 = found;
        found
    }

    fn add_opening(&mut self, format: &Format, group: GroupView, with_ns: bool) -> usize {
        let opening = Opening::new(format, group, with_ns);
        self.opening_bytes +=
            2 * self.scratch.len() + 2 * opening.taken.iter().map(|name| name.len() + 64).sum::<usize>();
        self.openings.push(opening);
        self.by_metadata.insert(self.scratch.clone(), self.openings.len() - 1);
        self.openings.len() - 1
    }

    /// Finds the layout of logs with that opening and shape.
    #[inline]
    pub fn get(&mut self, format: &Format, opening: usize, index: usize, shape: &Shape) -> &Layout {
        let wanted = (opening, index);
        if let Some((last, found)) = self.last {
            if last == wanted {
                return &self.layouts[found];
            }
        }
        let found = self.find(format, wanted, shape);
        self.last = Some((wanted, found));
        &self.layouts[found]
    }

    fn find(&mut self, format: &Format, wanted: (usize, usize), shape: &Shape) -> usize {
        if let Some(&found) = self.by_opening_and_shape.get(&wanted) {
            return found;
        }
        if self.layouts.len() >= MOST || self.layout_bytes > MOST_BYTES {
            self.forget_shapes();
        }
        let layout = Layout::new(format, &self.openings[wanted.0].taken, &shape.keys);
        self.layout_bytes += layout.labels.bytes();
        self.layouts.push(layout);
        self.by_opening_and_shape.insert(wanted, self.layouts.len() - 1);
        self.layouts.len() - 1
    }
}

impl Opening {
    fn new(format: &Format, group: GroupView, with_ns: bool) -> Opening {
        let mut names = Names::default();
        let mut taken = vec![names.claim(TIME.to_vec())];
        if with_ns {
            taken.push(names.claim(TIME_NS.to_vec()));
        }
        let mut opening =
            Opening { taken, labels: Vec::new(), embedded: Vec::new(), marks: Vec::new(), after: Vec::new() };
        for (name, _) in group.shared() {
            opening.embedded.push(!format.is_kv() && format.is_embedded(&name));
            let label = opening.claim(format, &mut names, name);
            opening.labels.push(label);
        }
        opening.add_marks(format, &mut names);
        opening
    }

    fn claim(&mut self, format: &Format, names: &mut Names, name: Vec<u8>) -> Vec<u8> {
        let claimed = names.claim(name);
        let label = label(format, &claimed);
        self.taken.push(claimed);
        [if format.is_kv() { &b"||"[..] } else { b"," }, &label].concat()
    }

    fn add_marks(&mut self, format: &Format, names: &mut Names) {
        let quote = if format.is_kv() { &b""[..] } else { b"\"" };
        let with_id = !format.id_field.is_empty();
        if with_id {
            self.marks = [&self.claim(format, names, format.id_field.clone()), quote].concat();
            self.after = quote.to_vec();
        }
        if format.replay {
            let label = self.claim(format, names, REPLAY.to_vec());
            let mark = [&label, quote, b"1", quote].concat();
            if with_id {
                self.after.extend(mark);
            } else {
                self.marks = mark;
            }
        }
    }
}

impl Layout {
    fn new(format: &Format, before: &[Vec<u8>], keys: &[Vec<u8>]) -> Layout {
        let mut names = Names::with(before.iter().map(Vec::as_slice));
        let mut labels = Vec::with_capacity(keys.len() + 1);
        let mut embedded = Vec::with_capacity(keys.len());
        let mut close = &b""[..];
        for key in keys {
            let own = escaped::<Plain>(key);
            let embed = !format.is_kv() && format.is_embedded(&own);
            let quote = if format.is_kv() || embed { &b""[..] } else { b"\"" };
            let between = if format.is_kv() { &b"||"[..] } else { b"," };
            labels.push([close, between, &label(format, &names.claim(own)), quote].concat());
            embedded.push(embed);
            close = quote;
        }
        labels.push([close, if format.is_kv() { b"" } else { b"}" }].concat());
        let any_embedded = embedded.contains(&true);
        Layout { labels: Labels::new(labels.iter().map(Vec::as_slice)), embedded, any_embedded }
    }
}

/// Writes a name and what stands between it and its value.
pub fn label(format: &Format, name: &[u8]) -> Vec<u8> {
    if format.is_kv() {
        return [&escaped::<KvKey>(name)[..], b"="].concat();
    }
    let mut out = Out::default();
    json_string(&mut out, name);
    out.byte(b':');
    out.as_slice().to_vec()
}
