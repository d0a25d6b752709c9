//! Texts out of Python or files into threads, while the main thread stays open to Ctrl-C and tells of the progress.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::{PyBackedBytes, PyBackedStr};
use pyo3::types::{PyIterator, PyString};

use crate::count::Counts;
use crate::files::Files;
use crate::split::Splitter;
use crate::train::{self, Failure, Merge};
use crate::words::KeyHasher;

const BATCH: usize = 1 << 18; // bytes that a thread takes at a time
const MOMENT: Duration = Duration::from_micros(500);
const TOLD_EVERY: Duration = Duration::from_millis(100);

/// A text that can be read without the GIL.
#[derive(Debug)]
pub enum Text {
    Str(PyBackedStr),     // ASCII: the str's own memory
    Bytes(PyBackedBytes), // encoded for us, so that the str does not keep a second copy of itself for ever
    Owned(String),
}

impl Text {
    pub fn from_python(text: &Bound<'_, PyString>) -> PyResult<Self> {
        if text.call_method0(pyo3::intern!(text.py(), "isascii"))?.is_truthy()? {
            Ok(Self::Str(PyBackedStr::try_from(text.clone())?))
        } else {
            Ok(Self::Bytes(PyBackedBytes::from(text.encode_utf8()?)))
        }
    }

    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Str(text) => text.as_bytes(),
            Self::Bytes(bytes) => bytes,
            Self::Owned(text) => text.as_bytes(),
        }
    }

    pub fn as_str(&self) -> PyResult<&str> {
        match self {
            Self::Str(text) => Ok(text),
            Self::Bytes(bytes) => utf8(bytes),
            Self::Owned(text) => Ok(text),
        }
    }
}

fn utf8(bytes: &[u8]) -> PyResult<&str> {
    std::str::from_utf8(bytes).map_err(|error| PyValueError::new_err(error.to_string()))
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

/// Tells a Python function how far the work is, ten times a second.
pub struct Progress<'py> {
    callback: Option<Bound<'py, PyAny>>,
    told: Option<Instant>,
}

impl<'py> Progress<'py> {
    pub fn new(callback: Option<Bound<'py, PyAny>>) -> PyResult<Self> {
        match callback {
            Some(callback) if !callback.is_callable() => Err(PyTypeError::new_err("progress should be callable")),
            callback => Ok(Self { callback, told: None }),
        }
    }

    fn tell(&mut self, stage: &str, done: usize, total: Option<usize>, last: bool) -> PyResult<()> {
        if let Some(callback) = &self.callback
            && (last || self.told.is_none_or(|told| told.elapsed() >= TOLD_EVERY))
        {
            self.told = Some(Instant::now());
            callback.call1((stage, done, total))?;
        }
        Ok(())
    }
}

/// What a thread counts: some texts, or a piece of a single large one.
#[derive(Debug)]
struct Work {
    texts: Arc<Vec<Text>>,
    piece: Option<(usize, usize)>,
}

/// Where texts come from.
pub enum Source<'py> {
    Items { iterator: Bound<'py, PyIterator>, seen: usize, at_a_time: usize },
    Files(Files),
}

impl<'py> Source<'py> {
    pub fn items(iterable: &Bound<'py, PyAny>, at_a_time: usize) -> PyResult<Self> {
        let iterator = iterable
            .try_iter()
            .map_err(|error| PyTypeError::new_err(format!("iterator: {}", error.value(iterable.py()))))?;
        Ok(Self::Items { iterator, seen: 0, at_a_time })
    }

    /// Some texts more; none at the end.
    fn next(&mut self, py: Python<'py>, splitter: &Splitter) -> PyResult<Vec<Text>> {
        let mut texts = Vec::new();
        match self {
            Self::Items { iterator, seen, at_a_time } => {
                let mut bytes = 0;
                while bytes < BATCH && texts.len() < *at_a_time {
                    let Some(next) = iterator.next() else { break };
                    let text = item(&next?, "iterator", *seen)?;
                    *seen += 1;
                    bytes += text.as_bytes().len();
                    texts.push(text);
                }
            }
            Self::Files(files) => {
                let read = py.detach(|| files.next(splitter)).map_err(PyValueError::new_err)?;
                texts.extend(read.into_iter().flatten().map(Text::Owned));
            }
        }
        Ok(texts)
    }
}

/// The texts as work, large ones in pieces where the splitter knows how to cut them.
fn works(texts: Vec<Text>, splitter: &Splitter) -> VecDeque<Work> {
    let mut works = VecDeque::new();
    let mut small = Vec::new();
    for text in texts {
        if text.as_bytes().len() < 2 * BATCH {
            small.push(text);
            continue;
        }
        let texts = Arc::new(vec![text]);
        let bytes = texts[0].as_bytes();
        let mut start = 0;
        while start < bytes.len() {
            let most = (start + BATCH).min(bytes.len());
            let cut = if most < bytes.len() { splitter.last_cut(&bytes[start..most]) } else { None };
            let end = cut.map_or(bytes.len(), |cut| start + cut);
            works.push_back(Work { texts: texts.clone(), piece: Some((start, end)) });
            start = end;
        }
    }
    if !small.is_empty() {
        works.push_back(Work { texts: Arc::new(small), piece: None });
    }
    works
}

/// Counts the words of all texts with so many threads: what each has counted.
pub fn count<'py>(
    py: Python<'py>,
    mut source: Source<'py>,
    splitter: &Splitter,
    threads: usize,
    progress: &mut Progress<'py>,
) -> PyResult<Vec<Counts>> {
    let hasher = KeyHasher::random();
    let stop = AtomicBool::new(false);
    let (sender, receiver) = sync_channel::<Work>(threads);
    let receiver = Mutex::new(receiver);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| scope.spawn(|| count_received(&receiver, splitter, Counts::new(hasher), &stop)))
            .collect();
        let fed = feed(py, &mut source, splitter, |work| sender.try_send(work), &stop, progress);
        drop(sender);
        if fed.is_err() {
            stop.store(true, Relaxed);
        }
        let counted: Vec<_> = workers.into_iter().map(|worker| wait(py, worker, &stop, || Ok(()))).collect();
        fed?;
        counted.into_iter().map(|one| one?).collect()
    })
}

fn feed<'py>(
    py: Python<'py>,
    source: &mut Source<'py>,
    splitter: &Splitter,
    send: impl Fn(Work) -> Result<(), TrySendError<Work>>,
    stop: &AtomicBool,
    progress: &mut Progress<'py>,
) -> PyResult<()> {
    let mut bytes = 0;
    loop {
        let texts = source.next(py, splitter)?;
        if texts.is_empty() {
            return progress.tell("count", bytes, None, true);
        }
        bytes += texts.iter().map(|text| text.as_bytes().len()).sum::<usize>();
        let mut works = works(texts, splitter);
        while let Some(work) = works.pop_front() {
            py.check_signals()?;
            if stop.load(Relaxed) {
                return Ok(()); // a worker has failed, and its error will be raised
            }
            match send(work) {
                Ok(()) | Err(TrySendError::Disconnected(_)) => {}
                Err(TrySendError::Full(again)) => {
                    works.push_front(again);
                    py.detach(|| thread::sleep(MOMENT));
                }
            }
        }
        progress.tell("count", bytes, None, false)?;
    }
}

fn count_received(
    receiver: &Mutex<Receiver<Work>>,
    splitter: &Splitter,
    mut counts: Counts,
    stop: &AtomicBool,
) -> PyResult<Counts> {
    loop {
        let next = receiver.lock().map_err(|_| PyRuntimeError::new_err("a thread has failed"))?.recv();
        let Ok(Work { texts, piece }) = next else { return Ok(counts) };
        for text in texts.iter() {
            let text = match piece {
                Some((start, end)) => utf8(&text.as_bytes()[start..end]),
                None => text.as_str(),
            };
            let counted = text.and_then(|text| {
                let count = |start, end| {
                    counts.add(text.as_bytes(), start, end, 1);
                    !stop.load(Relaxed)
                };
                splitter.words(text, count).map_err(match_failed)
            });
            if let Err(error) = counted {
                stop.store(true, Relaxed);
                return Err(error);
            }
        }
    }
}

/// The result of a thread. Meanwhile calls `meanwhile`; if that fails or Ctrl-C is pressed, `stop` becomes true, which
/// the thread is expected to heed.
fn wait<T>(
    py: Python<'_>,
    thread: ScopedJoinHandle<'_, T>,
    stop: &AtomicBool,
    mut meanwhile: impl FnMut() -> PyResult<()>,
) -> PyResult<T> {
    let mut first = Ok(());
    while !thread.is_finished() {
        py.detach(|| thread::sleep(MOMENT));
        if let Err(error) = py.check_signals().and_then(|()| meanwhile()) {
            stop.store(true, Relaxed);
            if first.is_ok() {
                first = Err(error);
            }
        }
    }
    let result = thread.join().map_err(|_| PyRuntimeError::new_err("a thread has failed: this is a defect of rustbpe"));
    first?;
    result
}

/// At most `limit` merges of what was counted.
pub fn train(py: Python<'_>, counted: Vec<Counts>, limit: usize, progress: &mut Progress) -> PyResult<Vec<Merge>> {
    let stopped = AtomicBool::new(false);
    let done = AtomicUsize::new(0);
    let work = || {
        let stop = || stopped.load(Relaxed);
        let mut counted = counted;
        counted.sort_by_key(Counts::len);
        let mut total = counted.pop().unwrap_or_else(|| Counts::new(KeyHasher::random()));
        counted.into_iter().for_each(|one| total.absorb(one, &stop));
        train::train(total, limit, &done, &stop)
    };
    let trained = thread::scope(|scope| {
        wait(py, scope.spawn(work), &stopped, || progress.tell("merge", done.load(Relaxed), Some(limit), false))
    })?;
    let merges = trained.map_err(|failure| match failure {
        Failure::Stopped => PyRuntimeError::new_err("stopped"),
        Failure::TooManyWords => PyValueError::new_err("the different words of the texts have more than 4 GiB"),
    })?;
    progress.tell("merge", merges.len(), Some(limit), true)?;
    Ok(merges)
}

/// What `encode`, told when to go on, makes of each text, with so many threads.
pub fn encode_all<T: Send>(
    py: Python<'_>,
    texts: &[Text],
    threads: usize,
    encode: impl Fn(&Text, &dyn Fn() -> bool) -> PyResult<T> + Sync,
) -> PyResult<Vec<T>> {
    let next = AtomicUsize::new(0);
    let stop = AtomicBool::new(false);
    let work = || {
        let mut done = Vec::new();
        while !stop.load(Relaxed) {
            let i = next.fetch_add(1, Relaxed);
            let Some(text) = texts.get(i) else { break };
            let encoded = encode(text, &|| !stop.load(Relaxed));
            if encoded.is_err() {
                stop.store(true, Relaxed);
            }
            done.push((i, encoded?));
        }
        PyResult::Ok(done)
    };
    let mut all: Vec<Option<T>> = texts.iter().map(|_| None).collect();
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.min(texts.len())).map(|_| scope.spawn(work)).collect();
        let done: Vec<_> = workers.into_iter().map(|worker| wait(py, worker, &stop, || Ok(()))).collect();
        for one in done {
            for (i, result) in one?? {
                all[i] = Some(result);
            }
        }
        PyResult::Ok(())
    })?;
    Ok(all.into_iter().flatten().collect())
}
