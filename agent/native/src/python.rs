//! The door to Python: settings come in as plain values, bodies as `bytes` or as what decompression gave, payloads go out
//! as `bytes`.
//!
//! Every call that does work releases the GIL for all of it, but for the one copy of a payload into its `bytes`.

use crate::body::Buffer;
use crate::encoder::{Codec, Input, Run, Scratch, Task};
use crate::inflate;
use crate::packer::{Item, Span};
use crate::panics::caught;
use crate::settings::{Settings, SyslogOptions};
use crate::transform::{Changed, Transform};
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

/// A LogGroupList, decompressed. Its memory is used again for another; `bytes` of it takes its place, so that it is not
/// in memory twice.
#[pyclass(frozen, module = "sls_siem_codec")]
struct Body {
    held: Mutex<Arc<Held>>,
}

enum Held {
    Buffer(Buffer),
    Bytes(PyBackedBytes),
}

impl Held {
    fn as_slice(&self) -> &[u8] {
        match self {
            Held::Buffer(buffer) => buffer.as_slice(),
            Held::Bytes(bytes) => bytes,
        }
    }
}

impl Body {
    fn locked(&self) -> MutexGuard<'_, Arc<Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl Body {
    fn __len__(&self) -> usize {
        self.locked().as_slice().len()
    }

    fn __bytes__<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let mut held = self.locked();
        if let Held::Bytes(bytes) = &**held {
            return bytes.into_pyobject(py).unwrap_or_else(|never| match never {});
        }
        let bytes = PyBytes::new(py, held.as_slice());
        *held = Arc::new(Held::Bytes(bytes.clone().into()));
        bytes
    }
}

/// A LogGroupList as it is given.
#[derive(FromPyObject)]
enum Given {
    Body(Py<Body>),
    Bytes(PyBackedBytes),
}

impl Given {
    fn held(self) -> Arc<Held> {
        match self {
            Given::Body(body) => body.get().locked().clone(),
            Given::Bytes(bytes) => Arc::new(Held::Bytes(bytes)),
        }
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
        let (body, task) = (body.held(), task_of(batch));
        let change = |transform: &Transform| Ok(transform.apply(body.as_slice(), task.shard, task.regrouped));
        let changed = match &self.shared.codec.transform {
            Some(transform) => Some(detached(py, || change(transform))?),
            None => None,
        };
        let run = self.shared.codec.start(task, self.shared.take_scratch());
        Ok(Encoding { shared: self.shared.clone(), body, changed, run: Some(run) })
    }

    /// Names the event with that ordinal, counted over all events of the body.
    fn event_id(&self, py: Python, body: Given, batch: BatchArguments, ordinal: u64) -> PyResult<String> {
        let body = body.held();
        let found = detached(py, || self.shared.codec.event_id(task_of(batch), body.as_slice(), ordinal))?;
        found.ok_or_else(|| PyIndexError::new_err(format!("the batch has no event {ordinal}")))
    }
}

/// The encoding of one batch, payload by payload; to be used by one thread at a time.
#[pyclass(module = "sls_siem_codec")]
struct Encoding {
    shared: Arc<Shared>,
    body: Arc<Held>,
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
        let changed = self.changed.as_ref();
        let input = Input { body: changed.map_or(self.body.as_slice(), |changed| &changed.body), changed };
        if let Some(item) = detached(py, || next_of(&mut run, codec, input))? {
            let taken = encoded(py, item, &run);
            self.run = Some(run);
            return Ok(Some(taken));
        }
        self.give_back(run);
        Ok(None)
    }
}

/// The next item; a panic is an error of the group in which it happened, after all that comes before it.
fn next_of(run: &mut Run, codec: &Codec, input: Input) -> Result<Option<Item>, Malformed> {
    caught(|| run.next(codec, input)).or_else(|fault| {
        run.fault(&fault);
        run.next(codec, input).map(Ok)
    })?
}

impl Encoding {
    fn give_back(&self, run: Run) {
        if let Some(scratch) = run.into_scratch() {
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

/// Counts the log groups of a LogGroupList; None when it cannot be walked.
#[pyfunction]
fn count_groups(py: Python, body: Given) -> Option<usize> {
    let body = body.held();
    py.detach(|| caught(|| wire::count_groups(body.as_slice()).ok())).ok().flatten()
}

/// Counts the logs of each group of a LogGroupList.
#[pyfunction]
fn group_sizes(py: Python, body: Given) -> PyResult<Vec<usize>> {
    let body = body.held();
    detached(py, || wire::group_sizes(body.as_slice()))
}

/// Counts the logs of a LogGroupList.
#[pyfunction]
fn count_events(py: Python, body: Given) -> PyResult<usize> {
    Ok(group_sizes(py, body)?.into_iter().sum())
}

type Inflate = fn(&[u8], &mut [u8]) -> Result<(), String>;

fn inflated(py: Python, data: &[u8], size: usize, inflate: Inflate) -> PyResult<Body> {
    let undo = || {
        let mut buffer = Buffer::take(size);
        inflate(data, buffer.as_mut_slice()).map(|()| buffer)
    };
    let buffer = py.detach(|| caught(undo)).and_then(|done| done).map_err(PyValueError::new_err)?;
    Ok(Body { held: Mutex::new(Arc::new(Held::Buffer(buffer))) })
}

/// Undoes a raw block of lz4 that holds `size` bytes.
#[pyfunction]
fn lz4_decompress(py: Python, data: PyBackedBytes, size: usize) -> PyResult<Body> {
    inflated(py, &data, size, inflate::lz4)
}

/// Undoes frames of zstd that hold `size` bytes.
#[pyfunction]
fn zstd_decompress(py: Python, data: PyBackedBytes, size: usize) -> PyResult<Body> {
    inflated(py, &data, size, inflate::zstd)
}

#[pymodule]
fn sls_siem_codec(module: &Bound<PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    // Changes whenever something here is called in another way; the agent uses only the one it knows.
    module.add("INTERFACE", 3)?;
    module.add("EncodeError", module.py().get_type::<EncodeError>())?;
    module.add_class::<Body>()?;
    module.add_class::<Encoder>()?;
    module.add_class::<Encoding>()?;
    module.add_function(wrap_pyfunction!(count_groups, module)?)?;
    module.add_function(wrap_pyfunction!(group_sizes, module)?)?;
    module.add_function(wrap_pyfunction!(count_events, module)?)?;
    module.add_function(wrap_pyfunction!(lz4_decompress, module)?)?;
    module.add_function(wrap_pyfunction!(zstd_decompress, module)?)?;
    Ok(())
}
