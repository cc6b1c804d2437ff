//! The door to Python: settings come in as plain values, lists as `bytes` or as a `Body`, compressed or not, payloads go out
//! as `bytes`.
//!
//! Every call that does work releases the GIL for all of it, but for the one copy of a payload into its `bytes`.

use crate::body::Buffer;
use crate::encoder::{Codec, Run, Scratch, Task};
use crate::feed::Feed;
use crate::inflate;
use crate::packer::{Item, Span};
use crate::panics::caught;
use crate::settings::{Settings, SyslogOptions};
use crate::transform::Changed;
use crate::unpacking::{self, Unpacking};
use crate::wire::{self, Malformed};
use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyIndexError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

create_exception!(sls_siem_codec, EncodeError, PyException, "A batch that cannot be encoded: message, group index.");

/// Most memories that are kept for later batches: as many as batches are encoded at once.
const MOST_KEPT: usize = 4;

impl From<Malformed> for PyErr {
    fn from(error: Malformed) -> PyErr {
        EncodeError::new_err((error.message, error.group_index))
    }
}

/// Does the work without the GIL; a panic is an error like any other.
fn detached<T: Send>(py: Python, work: impl FnOnce() -> Result<T, Malformed> + Send) -> PyResult<T> {
    py.detach(|| caught(work)).unwrap_or_else(|fault| Err(Malformed::by_fault(&fault, -1))).map_err(PyErr::from)
}

struct Shared {
    codec: Codec,
    kept: Mutex<Vec<Scratch>>,
}

impl Shared {
    fn take_scratch(&self) -> Scratch {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    fn give_back(&self, scratch: Scratch) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < MOST_KEPT && scratch.is_worth_keeping() {
            kept.push(scratch);
        }
    }
}

/// A LogGroupList: as it came, a block of lz4, until somebody needs the whole of it; decompressed then. That memory is
/// used again for another; `bytes` of it takes its place, so that it is not in memory twice.
#[pyclass(frozen, module = "sls_siem_codec")]
struct Body {
    held: Mutex<Arc<Held>>,
}

enum Held {
    /// A block of lz4, and the number of bytes in it, as announced.
    Packed(PyBackedBytes, usize),
    Buffer(Buffer),
    Bytes(PyBackedBytes),
}

impl Held {
    /// Size of the list in bytes.
    fn size(&self) -> usize {
        match self {
            Held::Packed(_, size) => *size,
            Held::Buffer(buffer) => buffer.as_slice().len(),
            Held::Bytes(bytes) => bytes.len(),
        }
    }

    /// The list, or the block that it is in.
    fn as_slice(&self) -> &[u8] {
        match self {
            Held::Packed(bytes, _) | Held::Bytes(bytes) => bytes,
            Held::Buffer(buffer) => buffer.as_slice(),
        }
    }

    /// What it takes to read it, if it is compressed; into that memory.
    fn unpacking(&self, piece: Vec<u8>) -> Option<Unpacking> {
        match self {
            Held::Packed(_, size) => Some(Unpacking::new(*size, piece)),
            _ => None,
        }
    }

    fn feed<'a>(&'a self, unpacking: Option<&'a mut Unpacking>) -> Feed<'a> {
        match unpacking {
            Some(unpacking) => Feed::Packed(self.as_slice(), unpacking),
            None => Feed::Whole(self.as_slice()),
        }
    }
}

impl Body {
    fn new(held: Held) -> Body {
        Body { held: Mutex::new(Arc::new(held)) }
    }

    fn locked(&self) -> MutexGuard<'_, Arc<Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The list, decompressed from now on.
    fn whole(&self, py: Python) -> Result<Arc<Held>, String> {
        let held = self.locked().clone();
        let Held::Packed(block, size) = &*held else { return Ok(held) };
        let whole = Arc::new(Held::Buffer(inflated(py, block, *size, inflate::lz4)?));
        *self.locked() = whole.clone();
        Ok(whole)
    }
}

#[pymethods]
impl Body {
    fn __len__(&self) -> usize {
        self.locked().size()
    }

    /// ValueError: it cannot be decompressed.
    fn __bytes__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let held = self.whole(py).map_err(PyValueError::new_err)?;
        if let Held::Bytes(bytes) = &*held {
            return Ok(bytes.into_pyobject(py).unwrap_or_else(|never| match never {}));
        }
        let bytes = PyBytes::new(py, held.as_slice());
        *self.locked() = Arc::new(Held::Bytes(bytes.clone().into()));
        Ok(bytes)
    }
}

/// A LogGroupList as it is given.
#[derive(FromPyObject)]
enum Given {
    Body(Py<Body>),
    Bytes(PyBackedBytes),
}

impl Given {
    /// The list as it is, perhaps still compressed.
    fn held(self) -> Arc<Held> {
        match self {
            Given::Body(body) => body.get().locked().clone(),
            Given::Bytes(bytes) => Arc::new(Held::Bytes(bytes)),
        }
    }

    /// The list, decompressed.
    fn whole(self, py: Python) -> PyResult<Arc<Held>> {
        let Given::Body(body) = self else { return Ok(self.held()) };
        body.get().whole(py).map_err(|text| Malformed::of_list(&text, -1).into())
    }
}

/// An encoder as configured; thread-safe.
#[pyclass(frozen, module = "sls_siem_codec")]
struct Encoder {
    shared: Arc<Shared>,
}

/// A batch without its body: shard, position, next position, groups, regrouped, skip, limit.
type BatchArguments = (i128, i128, i128, u64, bool, u64, Option<u64>);

fn task_of(batch: BatchArguments) -> Task {
    let (shard, position, next_position, groups, regrouped, skip, limit) = batch;
    Task { shard, position, next_position, groups, regrouped, skip, limit }
}

#[pymethods]
impl Encoder {
    #[new]
    #[pyo3(signature = (settings, syslog=None, *, panic_at=None))]
    fn new(settings: Settings, syslog: Option<SyslogOptions>, panic_at: Option<u64>) -> PyResult<Encoder> {
        let mut codec = settings.codec(syslog).map_err(PyValueError::new_err)?;
        codec.panic_at = panic_at;
        Ok(Encoder { shared: Arc::new(Shared { codec, kept: Mutex::default() }) })
    }

    /// Starts to encode a batch.
    fn start(&self, py: Python, body: Given, batch: BatchArguments) -> PyResult<Encoding> {
        let task = task_of(batch);
        let (body, changed) = match &self.shared.codec.transform {
            None => (body.held(), None),
            Some(transform) => {
                let body = body.whole(py)?;
                let apply = || Ok(transform.apply(body.as_slice(), task.shard, task.regrouped));
                let changed = detached(py, apply)?;
                (body, Some(changed))
            }
        };
        let mut scratch = self.shared.take_scratch();
        let unpacking = body.unpacking(std::mem::take(&mut scratch.piece));
        let run = self.shared.codec.start(task, scratch);
        Ok(Encoding { shared: self.shared.clone(), body, unpacking, changed, run: Some(run) })
    }

    /// Names the event with that ordinal, counted over all events of the body.
    fn event_id(&self, py: Python, body: Given, batch: BatchArguments, ordinal: u64) -> PyResult<String> {
        let body = body.held();
        let mut unpacking = body.unpacking(Vec::new());
        let mut feed = body.feed(unpacking.as_mut());
        let found = detached(py, || self.shared.codec.event_id(task_of(batch), &mut feed, ordinal))?;
        found.ok_or_else(|| PyIndexError::new_err(format!("the batch has no event {ordinal}")))
    }
}

/// The encoding of one batch, payload by payload; to be used by one thread at a time.
#[pyclass(module = "sls_siem_codec")]
struct Encoding {
    shared: Arc<Shared>,
    body: Arc<Held>,
    unpacking: Option<Unpacking>,
    changed: Option<Changed>,
    /// `None` when it has ended.
    run: Option<Run>,
}

/// Event id of an event that may not be sent, or None; data; start, end, skip and events of the span; bytes on the wire;
/// places of the events that were left out.
type Encoded<'py> = (Option<String>, Bound<'py, PyBytes>, i128, i128, u64, u64, u64, Vec<u32>);

fn encoded<'py>(py: Python<'py>, item: Item, run: &Run) -> Encoded<'py> {
    let (ident, data, Span { start, end, skip, events }, raw, omitted) = match item {
        Item::Payload { data, span, raw_bytes, omitted } => {
            (None, PyBytes::new(py, &run.bytes()[data]), span, raw_bytes, run.omitted(omitted))
        }
        Item::Oversize { event, ident, span } => (Some(ident), PyBytes::new(py, &event), span, 0, Vec::new()),
    };
    (ident, data, start, end, skip, events, raw, omitted)
}

#[pymethods]
impl Encoding {
    /// The next payload, or None at the end of the batch.
    fn next<'py>(&mut self, py: Python<'py>) -> PyResult<Option<Encoded<'py>>> {
        let Some(mut run) = self.run.take() else {
            return Ok(None);
        };
        let codec = &self.shared.codec;
        let mut feed = match &self.changed {
            Some(changed) => Feed::Changed(changed),
            None => self.body.feed(self.unpacking.as_mut()),
        };
        if let Some(item) = detached(py, || next_of(&mut run, codec, &mut feed))? {
            let taken = encoded(py, item, &run);
            self.run = Some(run);
            return Ok(Some(taken));
        }
        self.give_back(run);
        Ok(None)
    }
}

/// The next item; a panic is an error of the group in which it happened, after all that comes before it.
fn next_of(run: &mut Run, codec: &Codec, feed: &mut Feed) -> Result<Option<Item>, Malformed> {
    caught(|| run.next(codec, feed)).or_else(|fault| {
        run.fault(&fault);
        run.next(codec, feed).map(Ok)
    })?
}

impl Encoding {
    fn give_back(&mut self, run: Run) {
        if let Some(mut scratch) = run.into_scratch() {
            scratch.piece = self.unpacking.take().map_or_else(Vec::new, Unpacking::into_piece);
            self.shared.give_back(scratch);
        }
    }
}

impl Drop for Encoding {
    fn drop(&mut self) {
        if let Some(run) = self.run.take() {
            self.give_back(run);
        }
    }
}

/// Counts the log groups of a LogGroupList; None when it cannot be walked, or is still compressed and `packed` does not
/// ask for those.
#[pyfunction]
#[pyo3(signature = (body, *, packed=false))]
fn count_groups(py: Python, body: Given, packed: bool) -> Option<usize> {
    let body = body.held();
    let count = || match &*body {
        Held::Packed(block, size) if packed => unpacking::count_groups(block, *size),
        Held::Packed(..) => None,
        held => wire::count_groups(held.as_slice()).ok(),
    };
    py.detach(|| caught(count)).ok().flatten()
}

/// Counts the logs of each group of a LogGroupList.
#[pyfunction]
fn group_sizes(py: Python, body: Given) -> PyResult<Vec<usize>> {
    let body = body.whole(py)?;
    detached(py, || wire::group_sizes(body.as_slice()))
}

/// Counts the logs of a LogGroupList.
#[pyfunction]
fn count_events(py: Python, body: Given) -> PyResult<usize> {
    Ok(group_sizes(py, body)?.into_iter().sum())
}

type Inflate = fn(&[u8], &mut [u8]) -> Result<(), String>;

fn inflated(py: Python, data: &[u8], size: usize, inflate: Inflate) -> Result<Buffer, String> {
    let undo = || {
        let mut buffer = Buffer::take(size);
        inflate(data, buffer.as_mut_slice()).map(|()| buffer)
    };
    py.detach(|| caught(undo)).and_then(|done| done)
}

fn decompressed(py: Python, data: &[u8], size: usize, inflate: Inflate) -> PyResult<Body> {
    inflated(py, data, size, inflate).map(|buffer| Body::new(Held::Buffer(buffer))).map_err(PyValueError::new_err)
}

/// Keeps a raw block of lz4 that is said to hold `size` bytes, to be undone when it is read.
#[pyfunction]
fn lz4_packed(data: PyBackedBytes, size: usize) -> Body {
    Body::new(Held::Packed(data, size))
}

/// Undoes a raw block of lz4 that holds `size` bytes.
#[pyfunction]
fn lz4_decompress(py: Python, data: PyBackedBytes, size: usize) -> PyResult<Body> {
    decompressed(py, &data, size, inflate::lz4)
}

/// Undoes frames of zstd that hold `size` bytes.
#[pyfunction]
fn zstd_decompress(py: Python, data: PyBackedBytes, size: usize) -> PyResult<Body> {
    decompressed(py, &data, size, inflate::zstd)
}

#[pymodule]
fn sls_siem_codec(module: &Bound<PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    // Changes whenever something here is called in another way; the agent uses only the one it knows.
    module.add("INTERFACE", 5)?;
    module.add("EncodeError", module.py().get_type::<EncodeError>())?;
    module.add_class::<Body>()?;
    module.add_class::<Encoder>()?;
    module.add_class::<Encoding>()?;
    module.add_function(wrap_pyfunction!(count_groups, module)?)?;
    module.add_function(wrap_pyfunction!(group_sizes, module)?)?;
    module.add_function(wrap_pyfunction!(count_events, module)?)?;
    module.add_function(wrap_pyfunction!(lz4_decompress, module)?)?;
    module.add_function(wrap_pyfunction!(lz4_packed, module)?)?;
    module.add_function(wrap_pyfunction!(zstd_decompress, module)?)?;
    Ok(())
}
