//! Walks a batch, writes each log and packs it, as the reference's `encoder` does.
//!
//! A group is all or nothing: either every wanted log of it can be walked, or none of it comes out. So its events are
//! written at once and taken back when one cannot be walked. When a payload is full and much of the group is written,
//! the rest of the group is walked for errors, and then that payload may go.

use crate::event_id::Ident;
use crate::feed::{Feed, Input};
use crate::field_names::FieldNames;
use crate::fields::{GroupView, LogView};
use crate::form::Format;
use crate::format::{Entry, Writing};
use crate::hec::{Hec, HecGroup};
use crate::out::Out;
use crate::packer::{Item, Mark, Packer};
use crate::shape::Reader;
use crate::syslog::{Frames, Framing, Syslog, SyslogGroup};
use crate::transform::Transform;
use crate::wire::{count_groups, walk_group, walk_log, Groups, Log, Malformed, Meta, Part, WireError};
use std::ops::Range;

/// Bytes of a group that are written before its rest is walked for errors.
const HELD_BYTES: usize = 1 << 20;
/// A buffer that grew beyond this is not kept.
const KEPT_BYTES: usize = 4 << 20;

pub enum Output {
    Hec(Hec),
    Syslog(Syslog),
}

/// An encoder as configured; shared between threads.
pub struct Codec {
    pub output: Output,
    pub format: Format,
    pub names: FieldNames,
    /// Most bytes of a payload.
    pub batch_bytes: usize,
    /// What is left out and changed before anything is written.
    pub transform: Option<Transform>,
    /// For tests: fail at the event with this ordinal as a fault of the codec would.
    pub panic_at: Option<u64>,
}

/// One batch, as `model.Batch`, without its body.
#[derive(Clone, Copy, Debug)]
pub struct Task {
    pub shard: i128,
    pub position: i128,
    pub next_position: i128,
    pub groups: u64,
    pub regrouped: bool,
    pub skip: u64,
    pub limit: Option<u64>,
}

/// Memory that is used for one batch after the other.
#[derive(Default)]
pub struct Scratch {
    out: Out,
    log: Log,
    reader: Reader,
    generation: u64,
    writing: Writing,
    hec: HecGroup,
    syslog: SyslogGroup,
    ident: Ident,
    meta: Meta,
    bounds: Vec<Part>,
    /// What an `Unpacking` writes into.
    pub piece: Vec<u8>,
}

impl Scratch {
    /// Tells whether it is small enough to be kept.
    pub fn is_worth_keeping(&self) -> bool {
        let lists = 8 * self.bounds.capacity() + 16 * self.log.values.capacity();
        self.out.capacity() + self.piece.capacity() + lists <= KEPT_BYTES
    }
}

/// The group that is being written.
struct Present {
    number: usize,
    /// Places, in the group, of the next log and of the one behind the last wanted.
    next: usize,
    end: usize,
    /// Every log can be walked, or has been.
    whole: bool,
    held: usize,
}

/// Where one is in a list, and what has been written by then.
struct Place {
    groups: Groups,
    skip: u64,
    left: Option<u64>,
    before: u64,
    mark: Mark,
}

/// The encoding of one batch.
pub struct Run {
    task: Task,
    groups: Groups,
    packer: Packer,
    scratch: Scratch,
    present: Option<Present>,
    /// In front of the group that was looked for last.
    place: Place,
    skip: u64,
    left: Option<u64>,
    before: u64,
    started: bool,
    done: bool,
    error: Option<Malformed>,
    faulty: bool,
}

impl Codec {
    pub fn start(&self, task: Task, mut scratch: Scratch) -> Run {
        scratch.out.truncate(0);
        let (limit, separator) = match &self.output {
            Output::Hec(_) => (self.batch_bytes, &b"\n"[..]),
            Output::Syslog(syslog) if syslog.framing == Framing::Datagram => (0, &b""[..]),
            Output::Syslog(_) => (self.batch_bytes, &b""[..]),
        };
        let packer = Packer::new(limit, separator);
        let mark = packer.mark(&scratch.out);
        Run {
            task,
            groups: Groups::default(),
            packer,
            scratch,
            present: None,
            place: Place { groups: Groups::default(), skip: task.skip, left: task.limit, before: 0, mark },
            skip: task.skip,
            left: task.limit,
            before: 0,
            started: false,
            done: false,
            error: None,
            faulty: false,
        }
    }

    /// Names the event with that ordinal, counted over all events of the list; `None` when there is none.
    ///
    /// It reads no further than to that event: whatever was encoded can be named.
    pub fn event_id(&self, task: Task, feed: &mut Feed, ordinal: u64) -> Result<Option<String>, Malformed> {
        self.name(task, feed, ordinal).or_else(|error| match feed.make_whole() {
            Ok(true) => self.name(task, feed, ordinal),
            Ok(false) => Err(error),
            Err(text) => Err(Malformed::of_list(&text, -1)),
        })
    }

    fn name(&self, task: Task, feed: &mut Feed, ordinal: u64) -> Result<Option<String>, Malformed> {
        let mut place = ordinal;
        let (mut groups, mut scratch) = (Groups::default(), Scratch::default());
        while let Some((index, part)) = feed.next(&mut groups)? {
            let body = feed.list();
            let failed = |error: WireError| error.in_group(index);
            let (start, end) = (part.start as usize, part.end as usize);
            walk_group(body, start, end, &mut scratch.meta, &mut scratch.bounds).map_err(failed)?;
            let Some(part) = usize::try_from(place).ok().and_then(|place| scratch.bounds.get(place)) else {
                place -= scratch.bounds.len() as u64;
                continue;
            };
            if task.regrouped {
                walk_log(body, part.start as usize, part.end as usize, &mut scratch.log).map_err(failed)?;
                let keys: Vec<Vec<u8>> = scratch.log.keys.iter().map(|key| key.of(body).to_vec()).collect();
                let group = GroupView { body, meta: &scratch.meta, names: &self.names };
                scratch.ident.hash(task.shard, group, &scratch.log, &keys);
            } else {
                scratch.ident.turn(task.shard, task.position + index as i128);
                scratch.ident.place(place as usize);
            }
            return Ok(Some(String::from_utf8_lossy(scratch.ident.as_slice()).into_owned()));
        }
        Ok(None)
    }
}

impl Run {
    /// The next payload or event that may not be sent; `None` when there is no more.
    ///
    /// A payload's data stay in `bytes` until the next call.
    pub fn next(&mut self, codec: &Codec, feed: &mut Feed) -> Result<Option<Item>, Malformed> {
        loop {
            if self.present.as_ref().is_none_or(|present| present.whole) {
                if let Some(item) = self.packer.ready.pop_front() {
                    return Ok(Some(item));
                }
                if self.done {
                    return self.error.take().map_or(Ok(None), Err);
                }
                self.packer.compact(&mut self.scratch.out);
            }
            if let Err(error) = self.advance(codec, feed) {
                self.look_again(feed, error);
            }
        }
    }

    /// A fault was met: in a piece of the list, the group is encoded again from the whole list, which tells what it is.
    fn look_again(&mut self, feed: &mut Feed, error: Malformed) {
        match feed.make_whole() {
            Ok(true) => self.go_back(),
            Ok(false) => self.fail(error),
            Err(text) => self.fail(Malformed::of_list(&text, self.place.groups.last() + 1)),
        }
    }

    fn go_back(&mut self) {
        let Place { groups, skip, left, before, mark } = &self.place;
        self.present = None;
        self.packer.back_to(mark, &mut self.scratch.out);
        self.groups.clone_from(groups);
        (self.skip, self.left, self.before) = (*skip, *left, *before);
    }

    pub fn bytes(&self) -> &[u8] {
        self.scratch.out.as_slice()
    }

    /// Places, in the payload's span, of the events that were left out.
    pub fn omitted(&self, range: Range<usize>) -> Vec<u32> {
        self.packer.omitted[range].to_vec()
    }

    /// Ends the batch after a panic, as an error of the present group: what was written before it is whole.
    pub fn fault(&mut self, fault: &str) {
        self.faulty = true;
        self.fail(Malformed::by_fault(fault, self.groups.last()));
    }

    /// Gives the memory back for the next batch, if it is to be trusted.
    pub fn into_scratch(self) -> Option<Scratch> {
        (!self.faulty).then_some(self.scratch)
    }

    fn advance(&mut self, codec: &Codec, feed: &mut Feed) -> Result<(), Malformed> {
        match self.present.take() {
            None => self.enter(codec, feed),
            Some(present) => {
                let number = present.number;
                self.write(codec, feed.input(), present).map_err(|error| error.in_group(number))
            }
        }
    }

    /// Takes the present group back, ends the payload before it, and remembers the error for when that was taken.
    fn fail(&mut self, error: Malformed) {
        match self.present.take() {
            // Only a panic ends here; a part of the group has been taken already.
            Some(present) if present.whole => self.packer.drop_filling(&self.scratch.out),
            Some(_) => self.packer.back_to(&self.place.mark, &mut self.scratch.out),
            None => {}
        }
        self.finish();
        self.error = Some(error);
    }

    fn finish(&mut self) {
        self.packer.close(self.scratch.out.len());
        self.done = true;
    }

    /// Goes on to the next group that has wanted logs.
    fn enter(&mut self, codec: &Codec, feed: &mut Feed) -> Result<(), Malformed> {
        while let Some((number, part)) = self.find(feed)? {
            if self.left == Some(0) {
                break;
            }
            let input = feed.input();
            let scratch = &mut self.scratch;
            let (start, end) = (part.start as usize, part.end as usize);
            let walked = walk_group(input.body, start, end, &mut scratch.meta, &mut scratch.bounds);
            walked.map_err(|error| error.in_group(number))?;
            let logs = scratch.bounds.len();
            let first = usize::try_from(self.skip).map_or(logs, |skip| skip.min(logs));
            let left = self.left.and_then(|left| usize::try_from(left).ok()).unwrap_or(usize::MAX);
            let wanted = left.min(logs - first);
            let before = self.before;
            self.skip -= first as u64;
            self.before += logs as u64;
            self.left = self.left.map(|left| left - wanted as u64);
            if wanted > 0 {
                self.open(codec, input, number, first, wanted, before);
                return Ok(());
            }
        }
        self.finish();
        Ok(())
    }

    /// Finds the next group: its number, and where it is.
    fn find(&mut self, feed: &mut Feed) -> Result<Option<(usize, Part)>, Malformed> {
        let mark = self.packer.mark(&self.scratch.out);
        self.place = Place { groups: self.groups.clone(), skip: self.skip, left: self.left, before: self.before, mark };
        let task = &self.task;
        if !feed.is_in_pieces() {
            if !self.started {
                self.started = true;
                check_count(task, feed.list())?;
            }
            return feed.next(&mut self.groups);
        }
        if task.limit.is_some() {
            // The end, where the number of groups is compared, may not be reached.
            return Err(Malformed::unusual());
        }
        let found = feed.next(&mut self.groups)?;
        let count = self.groups.count() as u64;
        if !task.regrouped && (count > task.groups || found.is_none() && count < task.groups) {
            return Err(Malformed::unusual());
        }
        Ok(found)
    }

    fn open(&mut self, codec: &Codec, input: Input, number: usize, first: usize, wanted: usize, before: u64) {
        let task = &self.task;
        let scratch = &mut self.scratch;
        let here = task.position + number as i128;
        if task.regrouped {
            self.packer.enter(task.position, task.next_position, before);
        } else {
            self.packer.enter(here, here + 1, 0);
            scratch.ident.turn(task.shard, here);
        }
        scratch.writing.layouts.tidy();
        scratch.writing.turn();
        if let Some(changed) = input.changed {
            scratch.meta.clone_from(&changed.metas[number]);
        }
        let group = GroupView { body: input.body, meta: &scratch.meta, names: &codec.names };
        match &codec.output {
            Output::Hec(hec) => hec.open(&mut scratch.hec, group),
            Output::Syslog(syslog) => syslog.open(&mut scratch.syslog, group),
        }
        self.present = Some(Present { number, next: first, end: first + wanted, whole: false, held: 0 });
    }

    /// Writes logs of a group, to its end or until something may be taken.
    fn write(&mut self, codec: &Codec, input: Input, present: Present) -> Result<(), WireError> {
        let present = self.present.insert(present);
        let scratch = &mut self.scratch;
        while present.next < present.end {
            let place = present.next;
            present.next += 1;
            let before = scratch.out.len();
            write_log(codec, &self.task, input, scratch, &mut self.packer, place, self.before)?;
            present.held += (scratch.out.len() - before).max(scratch.bounds[place].len());
            if !self.packer.ready.is_empty() {
                if !present.whole && present.held > HELD_BYTES {
                    for part in &scratch.bounds[present.next..present.end] {
                        scratch.reader.read(input.body, *part, &mut scratch.log, &codec.names)?;
                    }
                    present.whole = true;
                }
                if present.whole {
                    return Ok(());
                }
            }
        }
        self.present = None;
        Ok(())
    }
}

/// Writes one log and packs it.
#[inline]
#[allow(clippy::too_many_arguments)]
fn write_log(
    codec: &Codec,
    task: &Task,
    input: Input,
    scratch: &mut Scratch,
    packer: &mut Packer,
    place: usize,
    counted: u64,
) -> Result<(), WireError> {
    let Scratch { out, log, reader, generation, writing, hec, syslog, ident, meta, bounds, .. } = scratch;
    let body = input.body;
    let (mut part, raw) = (bounds[place], bounds[place].len());
    let ordinal = counted - bounds.len() as u64 + place as u64;
    let fate = input.changed.map(|changed| changed.fates[ordinal as usize]);
    if let Some(fate) = fate {
        if fate.omitted {
            packer.add_omitted(place, raw);
            return Ok(());
        }
        part = fate.part;
    }
    let start = packer.before_event(out);
    let shape = reader.read(body, part, log, &codec.names)?;
    if reader.generation != *generation {
        *generation = reader.generation;
        writing.layouts.forget_shapes();
    }
    let group = GroupView { body, meta, names: &codec.names };
    let view = LogView { group, log, shape: reader.shape(shape) };
    match (task.regrouped, fate, input.changed) {
        (true, Some(fate), Some(changed)) => ident.be(changed.ident(fate)),
        (true, _, _) => ident.hash(task.shard, group, log, &view.shape.keys),
        _ => ident.place(place),
    }
    if codec.panic_at == Some(ordinal) {
        panic!("a test asked for it");
    }
    let entry = Entry { format: &codec.format, log: view, shape, ident: ident.as_slice() };
    match &codec.output {
        Output::Hec(envelope) => {
            envelope.write(hec, writing, out, &entry);
            packer.add(out, start, place, raw);
        }
        Output::Syslog(frames) => match frames.write(syslog, writing, out, &entry) {
            Frames::One => packer.add(out, start, place, raw),
            Frames::Several(lengths) => packer.add_pieces(out, start, &lengths, place, raw),
            Frames::TooLong(event) => packer.add_oversize(out, event, entry.ident, place),
        },
    }
    Ok(())
}

/// Refuses a batch whose groups are not those that were announced. A list that is cut off is reported later.
fn check_count(task: &Task, body: &[u8]) -> Result<(), Malformed> {
    if task.regrouped {
        return Ok(());
    }
    let Ok(count) = count_groups(body) else {
        return Ok(());
    };
    if count as u64 == task.groups {
        return Ok(());
    }
    let message = format!("the body holds {count} log groups, not {} as announced", task.groups);
    Err(Malformed { message, group_index: -1 })
}
