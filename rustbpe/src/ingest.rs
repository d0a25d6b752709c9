//! Texts out of Python into threads, and the results back, while the main thread stays open to Ctrl-C.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;

use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::{PyBackedBytes, PyBackedStr};
use pyo3::types::{PyIterator, PyString};

use crate::count::Counts;
use crate::split::Splitter;
use crate::train::{self, Failure, Merge};
use crate::words::KeyHasher;

const BATCH: usize = 1 << 20; // bytes that a thread takes at a time
const MOMENT: Duration = Duration::from_micros(500);

/// A text that Python owns, readable without the GIL.
#[derive(Debug)]
pub enum Text {
    Str(PyBackedStr),     // ASCII: the str's own memory
    Bytes(PyBackedBytes), // encoded for us, so that the str does not keep a second copy of itself for ever
}

impl Text {
    pub fn from_python(text: &Bound<'_, PyString>) -> PyResult<Self> {
        if text.call_method0(pyo3::intern!(text.py(), "isascii"))?.is_truthy()? {
            Ok(Self::Str(PyBackedStr::try_from(text.clone())?))
        } else {
            Ok(Self::Bytes(PyBackedBytes::from(text.encode_utf8()?)))
        }
    }

    pub fn as_str(&self) -> PyResult<&str> {
        match self {
            Self::Str(text) => Ok(text),
            Self::Bytes(bytes) => std::str::from_utf8(bytes).map_err(|error| PyValueError::new_err(error.to_string())),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Str(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
        }
    }
}

/// An item that should be a str; where it is none, or holds half a surrogate pair, the error says which.
pub fn item(item: &Bound<'_, PyAny>, argument: &str, index: usize) -> PyResult<Text> {
    let text = item.cast::<PyString>().map_err(|_| {
        let name = item.get_type().name().map_or_else(|_| "something else".to_owned(), |name| name.to_string());
        PyTypeError::new_err(format!("{argument}: item {index} should be str, not {name}"))
    })?;
    Text::from_python(text)
        .map_err(|error| PyValueError::new_err(format!("{argument}: item {index}: {}", error.value(item.py()))))
}

pub fn match_failed(error: fancy_regex::Error) -> PyErr {
    PyValueError::new_err(format!("pattern: {error}"))
}

/// What a thread counts: some texts, or a piece of a single large one.
#[derive(Debug)]
pub struct Work {
    texts: Arc<Vec<Text>>,
}

/// The items of a Python iterable.
pub struct Items<'py> {
    iterator: Bound<'py, PyIterator>,
    seen: usize,
    at_a_time: usize,
}

impl<'py> Items<'py> {
    pub fn new(iterable: &Bound<'py, PyAny>, at_a_time: usize) -> PyResult<Self> {
        if at_a_time == 0 {
            return Err(PyValueError::new_err("buffer_size should be at least 1, not 0"));
        }
        Ok(Self { iterator: iterable.try_iter()?, seen: 0, at_a_time })
    }

    fn next(&mut self) -> PyResult<Option<Work>> {
        let mut texts = Vec::new();
        let mut bytes = 0;
        while bytes < BATCH && texts.len() < self.at_a_time {
            let Some(next) = self.iterator.next() else { break };
            let text = item(&next?, "iterator", self.seen)?;
            self.seen += 1;
            bytes += text.len();
            texts.push(text);
        }
        Ok((!texts.is_empty()).then(|| Work { texts: Arc::new(texts) }))
    }
}

/// Counts the words of all texts of `source` with so many threads.
pub fn count(py: Python<'_>, mut source: Items<'_>, splitter: &Splitter, threads: usize) -> PyResult<Counts> {
    let hasher = KeyHasher::random();
    let stop = AtomicBool::new(false);
    let (sender, receiver) = sync_channel::<Work>(2 * threads);
    let receiver = Mutex::new(receiver);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| scope.spawn(|| count_received(&receiver, splitter, Counts::new(hasher), &stop)))
            .collect();
        let fed = feed(py, &mut source, |work| sender.try_send(work), &stop);
        drop(sender);
        if fed.is_err() {
            stop.store(true, Relaxed);
        }
        let counted = workers.into_iter().map(|worker| wait(py, worker, &stop)).collect::<Vec<_>>();
        fed?;
        let mut all: Vec<Counts> = counted.into_iter().map(|one| one?).collect::<PyResult<_>>()?;
        all.sort_by_key(Counts::len);
        let mut total = all.pop().expect("at least one thread");
        py.detach(|| all.into_iter().for_each(|one| total.absorb(one)));
        Ok(total)
    })
}

fn feed(
    py: Python<'_>,
    source: &mut Items<'_>,
    send: impl Fn(Work) -> Result<(), TrySendError<Work>>,
    stop: &AtomicBool,
) -> PyResult<()> {
    while let Some(mut work) = source.next()? {
        py.check_signals()?;
        while !stop.load(Relaxed) {
            match send(work) {
                Err(TrySendError::Full(again)) => work = again,
                Ok(()) | Err(TrySendError::Disconnected(_)) => break,
            }
            py.detach(|| thread::sleep(MOMENT));
            py.check_signals()?;
        }
        if stop.load(Relaxed) {
            break; // a worker has failed, and its error will be raised
        }
    }
    Ok(())
}

fn count_received(
    receiver: &Mutex<Receiver<Work>>,
    splitter: &Splitter,
    mut counts: Counts,
    stop: &AtomicBool,
) -> PyResult<Counts> {
    loop {
        let next = receiver.lock().map_err(|_| PyRuntimeError::new_err("a thread has failed"))?.recv();
        let Ok(work) = next else { return Ok(counts) };
        if stop.load(Relaxed) {
            continue;
        }
        for text in work.texts.iter() {
            let text = text.as_str()?;
            let counted = splitter.words(text, |start, end| counts.add(text.as_bytes(), start, end, 1));
            if let Err(error) = counted {
                stop.store(true, Relaxed);
                return Err(match_failed(error));
            }
        }
    }
}

/// The result of a thread. On Ctrl-C `stop` becomes true, which the thread is expected to heed.
fn wait<T>(py: Python<'_>, thread: ScopedJoinHandle<'_, T>, stop: &AtomicBool) -> PyResult<T> {
    let mut interrupted = Ok(());
    while !thread.is_finished() {
        py.detach(|| thread::sleep(MOMENT));
        if let Err(error) = py.check_signals() {
            stop.store(true, Relaxed);
            interrupted = Err(error);
        }
    }
    let result = thread.join().map_err(|_| PyRuntimeError::new_err("a thread has failed: this is a defect of rustbpe"));
    interrupted?;
    result
}

/// The merges of what was counted.
pub fn train(py: Python<'_>, counts: Counts, limit: usize) -> PyResult<Vec<Merge>> {
    let stop = AtomicBool::new(false);
    let done = AtomicUsize::new(0);
    let trained = thread::scope(|scope| {
        wait(py, scope.spawn(|| train::train(counts, limit, &done, &|| stop.load(Relaxed))), &stop)
    })?;
    trained.map_err(|failure| match failure {
        Failure::Stopped => PyRuntimeError::new_err("stopped"),
        Failure::TooManyWords => PyValueError::new_err("the different words of the texts have more than 4 GiB"),
    })
}

/// What `encode` makes of each text, with so many threads.
pub fn encode_all<T: Send>(
    py: Python<'_>,
    texts: &[Text],
    threads: usize,
    encode: impl Fn(&Text) -> PyResult<T> + Sync,
) -> PyResult<Vec<T>> {
    let next = AtomicUsize::new(0);
    let stop = AtomicBool::new(false);
    let work = || {
        let mut done = Vec::new();
        while !stop.load(Relaxed) {
            let i = next.fetch_add(1, Relaxed);
            let Some(text) = texts.get(i) else { break };
            done.push((i, encode(text)?));
        }
        PyResult::Ok(done)
    };
    let mut all: Vec<Option<T>> = texts.iter().map(|_| None).collect();
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.min(texts.len())).map(|_| scope.spawn(work)).collect();
        let done: Vec<_> = workers.into_iter().map(|worker| wait(py, worker, &stop)).collect();
        for one in done {
            for (i, result) in one?? {
                all[i] = Some(result);
            }
        }
        PyResult::Ok(())
    })?;
    Ok(all.into_iter().flatten().collect())
}
