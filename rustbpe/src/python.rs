//! The Python module: the GIL is released for the work, and errors become exceptions.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock, RwLock};

use pyo3::exceptions::{PyOSError, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyInt, PyList, PyString};

use crate::arguments::{checked_paths, checked_threads, splitter, whole};
use crate::count::Counts;
use crate::files::Files;
use crate::ingest::{self, Progress, Source, Text};
use crate::model::Model;
use crate::save;
use crate::split::{DEFAULT_PATTERN, Splitter};

/// Ids 0-255 are the bytes, 256 + k is merge k, and the special tokens follow the last merge.
#[pyclass(frozen, module = "rustbpe")]
struct Tokenizer(RwLock<Arc<State>>);

/// A model and the Python ints of its ids: to lend one again is faster than to make one.
struct State {
    model: Model,
    ints: OnceLock<Vec<Py<PyInt>>>,
}

impl State {
    fn new(model: Model) -> Arc<Self> {
        Arc::new(Self { model, ints: OnceLock::new() })
    }

    fn list<'py>(&self, py: Python<'py>, ids: &[u32]) -> PyResult<Bound<'py, PyList>> {
        let ints = self.ints.get_or_init(|| {
            (0..self.model.size() as u32).map(|id| id.into_pyobject(py).expect("infallible").unbind()).collect()
        });
        PyList::new(py, ids.iter().map(|&id| ints[id as usize].bind(py)))
    }
}

/// What every way to train asks for.
struct Order<'py> {
    merges: usize,
    pattern: String,
    splitter: Splitter,
    special: Vec<String>,
    threads: usize,
    progress: Progress<'py>,
}

impl<'py> Order<'py> {
    fn new(
        vocab_size: &Bound<'py, PyAny>,
        pattern: Option<&str>,
        special: Option<Vec<String>>,
        threads: Option<&Bound<'py, PyAny>>,
        progress: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Self> {
        let special = special.unwrap_or_default();
        let smallest = 256 + special.len();
        let size = whole(vocab_size, "vocab_size", smallest, 1 << 31)?;
        let pattern = pattern.unwrap_or(DEFAULT_PATTERN);
        Ok(Self {
            merges: size - smallest,
            pattern: pattern.to_owned(),
            splitter: splitter(pattern)?,
            special,
            threads: checked_threads(threads)?,
            progress: Progress::new(progress)?,
        })
    }

    fn carry_out(mut self, py: Python<'py>, source: Source<'py>) -> PyResult<Model> {
        let invalid = |why| PyValueError::new_err(format!("special_tokens: {why}"));
        Model::new(String::new(), self.splitter.clone(), Vec::new(), self.special.clone()).map_err(invalid)?;
        let counted: Vec<Counts> = ingest::count(py, source, &self.splitter, self.threads, &mut self.progress)?;
        let merges = ingest::train(py, counted, self.merges, &mut self.progress)?;
        Model::new(self.pattern, self.splitter, merges, self.special).map_err(PyRuntimeError::new_err)
    }
}

#[pymethods]
impl Tokenizer {
    #[new]
    fn new() -> PyResult<Self> {
        let model = Model::new(String::new(), splitter("")?, Vec::new(), Vec::new());
        Ok(Self(RwLock::new(State::new(model.map_err(PyRuntimeError::new_err)?))))
    }

    /// Learn merges from the str that an iterable yields.
    #[pyo3(signature = (iterator, vocab_size, buffer_size=None, pattern=None, *, special_tokens=None, threads=None,
                        progress=None))]
    #[pyo3(text_signature = "($self, iterator, vocab_size, buffer_size=8192, pattern=None, *, special_tokens=None, \
                             threads=None, progress=None)")]
    #[allow(clippy::too_many_arguments)] // they are the signature
    fn train_from_iterator<'py>(
        &self,
        py: Python<'py>,
        iterator: &Bound<'py, PyAny>,
        vocab_size: &Bound<'py, PyAny>,
        buffer_size: Option<&Bound<'py, PyAny>>,
        pattern: Option<&str>,
        special_tokens: Option<Vec<String>>,
        threads: Option<&Bound<'py, PyAny>>,
        progress: Option<Bound<'py, PyAny>>,
    ) -> PyResult<()> {
        let order = Order::new(vocab_size, pattern, special_tokens, threads, progress)?;
        let at_a_time = buffer_size.map_or(Ok(8192), |size| whole(size, "buffer_size", 1, usize::MAX))?;
        self.set(order.carry_out(py, Source::items(iterator, at_a_time)?)?);
        Ok(())
    }

    /// Learn merges from a column of parquet files, a text per row, or from text files, each one text.
    #[pyo3(signature = (paths, vocab_size, text_column="text", pattern=None, *, special_tokens=None, threads=None,
                        progress=None))]
    #[allow(clippy::too_many_arguments)]
    fn train_from_files<'py>(
        &self,
        py: Python<'py>,
        paths: &Bound<'py, PyAny>,
        vocab_size: &Bound<'py, PyAny>,
        text_column: &str,
        pattern: Option<&str>,
        special_tokens: Option<Vec<String>>,
        threads: Option<&Bound<'py, PyAny>>,
        progress: Option<Bound<'py, PyAny>>,
    ) -> PyResult<()> {
        let order = Order::new(vocab_size, pattern, special_tokens, threads, progress)?;
        let files = Files::new(checked_paths(paths)?, text_column.to_owned());
        self.set(order.carry_out(py, Source::Files(files))?);
        Ok(())
    }

    /// The ids of a text; with special=True names of special tokens in it become those.
    #[pyo3(signature = (text, special=false))]
    fn encode<'py>(&self, py: Python<'py>, text: &Bound<'py, PyAny>, special: bool) -> PyResult<Bound<'py, PyList>> {
        let state = self.get();
        let ids = encode_one(py, &state.model, text, special)?;
        state.list(py, &ids)
    }

    /// The ids of a text as a numpy array, uint32 (n,).
    #[pyo3(signature = (text, special=false))]
    fn encode_to_numpy<'py>(
        &self,
        py: Python<'py>,
        text: &Bound<'py, PyAny>,
        special: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let ids = encode_one(py, &self.get().model, text, special)?;
        array(py, ids.len(), ids.iter().copied().map(u32::to_ne_bytes), "uint32")
    }

    /// How many ids a text has.
    #[pyo3(signature = (text, special=false))]
    fn count_tokens(&self, py: Python<'_>, text: &Bound<'_, PyAny>, special: bool) -> PyResult<usize> {
        Ok(encode_one(py, &self.get().model, text, special)?.len())
    }

    /// The ids of many texts, encoded in parallel.
    #[pyo3(signature = (texts, threads=None, *, special=false))]
    fn batch_encode<'py>(
        &self,
        py: Python<'py>,
        texts: &Bound<'py, PyAny>,
        threads: Option<&Bound<'py, PyAny>>,
        special: bool,
    ) -> PyResult<Bound<'py, PyList>> {
        let state = self.get();
        let encoded = encode_many(py, &state.model, texts, threads, special)?;
        let lists = encoded.iter().map(|ids| state.list(py, ids)).collect::<PyResult<Vec<_>>>()?;
        PyList::new(py, lists)
    }

    /// The ids of many texts one after the other, uint32 (n,), and where each begins and the last ends, int64 (texts + 1,).
    #[pyo3(signature = (texts, threads=None, *, special=false))]
    fn batch_encode_to_numpy<'py>(
        &self,
        py: Python<'py>,
        texts: &Bound<'py, PyAny>,
        threads: Option<&Bound<'py, PyAny>>,
        special: bool,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
        let encoded = encode_many(py, &self.get().model, texts, threads, special)?;
        let mut ends = vec![0i64];
        ends.extend(encoded.iter().scan(0, |end, ids| {
            *end += ids.len() as i64;
            Some(*end)
        }));
        let ids = encoded.iter().flatten().copied().map(u32::to_ne_bytes);
        let count = encoded.iter().map(Vec::len).sum();
        let offsets = ends.iter().copied().map(i64::to_ne_bytes);
        Ok((array(py, count, ids, "uint32")?, array(py, ends.len(), offsets, "int64")?))
    }

    /// The text of ids.
    fn decode<'py>(&self, py: Python<'py>, ids: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyString>> {
        PyString::from_encoded_object(self.decode_bytes(py, ids)?.as_any(), Some(c"utf-8"), None)
    }

    /// The bytes of ids, which need not be UTF-8.
    fn decode_bytes<'py>(&self, py: Python<'py>, ids: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
        let state = self.get();
        let mut bytes = Vec::new();
        for (i, id) in ids.try_iter()?.enumerate() {
            let id = whole(&id?, &format!("ids[{i}]"), 0, state.model.size() - 1)?;
            bytes.extend_from_slice(state.model.token(id as u32).unwrap_or_default());
        }
        Ok(PyBytes::new(py, &bytes))
    }

    /// The bytes of every token, by id; those of a special token are its name's.
    fn token_bytes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let state = self.get();
        let tokens = (0..state.model.size() as u32).map(|id| state.model.token(id).unwrap_or_default());
        PyList::new(py, tokens.map(|token| PyBytes::new(py, token)).collect::<Vec<_>>())
    }

    /// The number of ids: 256 bytes, the merges and the special tokens.
    #[getter]
    fn vocab_size(&self) -> usize {
        self.get().model.size()
    }

    /// The ids of the special tokens, by name.
    #[getter]
    fn special_tokens<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let state = self.get();
        let ids = PyDict::new(py);
        for (name, id) in state.model.special.iter().zip(state.model.mergeable()..) {
            ids.set_item(name, id)?;
        }
        Ok(ids)
    }

    /// The pattern that splits texts into words.
    fn get_pattern(&self) -> String {
        self.get().model.pattern.clone()
    }

    /// The bytes and the id of every token that is not special.
    fn get_mergeable_ranks<'py>(&self, py: Python<'py>) -> Vec<(Bound<'py, PyBytes>, u32)> {
        let state = self.get();
        let model = &state.model;
        (0..model.mergeable() as u32).map(|id| (PyBytes::new(py, model.token(id).unwrap_or_default()), id)).collect()
    }

    /// The pairs of ids that were merged, in the order learned.
    fn get_merges(&self) -> Vec<(u32, u32)> {
        self.get().model.merges.clone()
    }

    /// Write the tokenizer to a JSON file, whole or not at all.
    fn save(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        let state = self.get();
        py.detach(|| save::save(&state.model, &path))
            .map_err(|error| PyOSError::new_err(format!("path: cannot write {}: {error}", path.display())))
    }

    /// The tokenizer that `save` wrote.
    #[staticmethod]
    fn load(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        let loaded =
            py.detach(|| std::fs::read(&path).map_err(|error| error.to_string()).and_then(|c| save::parse(&c)));
        let wrong = |why| PyValueError::new_err(format!("path: {} is no tokenizer: {why}", path.display()));
        Ok(Self(RwLock::new(State::new(loaded.map_err(wrong)?))))
    }
}

impl Tokenizer {
    fn get(&self) -> Arc<State> {
        self.0.read().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    fn set(&self, model: Model) {
        *self.0.write().unwrap_or_else(|poisoned| poisoned.into_inner()) = State::new(model);
    }
}

fn encode_one(py: Python<'_>, model: &Model, text: &Bound<'_, PyAny>, special: bool) -> PyResult<Vec<u32>> {
    let text = text.cast::<PyString>().map_err(|_| {
        PyTypeError::new_err(format!(
            "text should be str, not {}",
            text.get_type().name().map_or_else(|_| String::new(), |name| name.to_string())
        ))
    })?;
    let text = Text::from_python(text)?;
    if text.as_bytes().len() < 1 << 20 {
        return py.detach(|| encode(model, &text, special, || true));
    }
    let encoded = ingest::encode_all(py, &[text], 1, |text, go_on| encode(model, text, special, go_on))?;
    Ok(encoded.into_iter().flatten().collect())
}

fn encode_many(
    py: Python<'_>,
    model: &Model,
    texts: &Bound<'_, PyAny>,
    threads: Option<&Bound<'_, PyAny>>,
    special: bool,
) -> PyResult<Vec<Vec<u32>>> {
    if texts.is_instance_of::<PyString>() {
        return Err(PyTypeError::new_err("texts should be several str, not one"));
    }
    let all = texts
        .try_iter()?
        .enumerate()
        .map(|(i, text)| ingest::item(&text?, "texts", i))
        .collect::<PyResult<Vec<_>>>()?;
    let threads = checked_threads(threads)?;
    ingest::encode_all(py, &all, threads, |text, go_on| encode(model, text, special, go_on))
}

fn encode(model: &Model, text: &Text, special: bool, go_on: impl Fn() -> bool) -> PyResult<Vec<u32>> {
    let text = text.as_str()?;
    let mut ids = Vec::with_capacity(text.len() / 4);
    let encoded = model.with_encoder(|encoder| model.encode(encoder, text, special, &mut ids, go_on));
    encoded.map_err(ingest::match_failed)?;
    Ok(ids)
}

/// A numpy array of numbers that come as their bytes.
fn array<'py, const N: usize>(
    py: Python<'py>,
    count: usize,
    numbers: impl Iterator<Item = [u8; N]>,
    dtype: &str,
) -> PyResult<Bound<'py, PyAny>> {
    let bytes = PyByteArray::new_with(py, count * N, |memory| {
        for (place, number) in memory.chunks_exact_mut(N).zip(numbers) {
            place.copy_from_slice(&number);
        }
        Ok(())
    })?;
    py.import("numpy")?.call_method1("frombuffer", (bytes, dtype))
}

#[pymodule]
fn rustbpe(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Tokenizer>()
}
