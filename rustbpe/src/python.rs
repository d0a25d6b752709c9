//! The Python module: arguments are checked here, the GIL is released for the work, and errors become exceptions.

use std::sync::{Arc, OnceLock, RwLock};

use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyInt, PyList, PyString};

use crate::ingest::{self, Text};
use crate::model::Model;
use crate::split::{DEFAULT_PATTERN, Splitter};

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

#[pymethods]
impl Tokenizer {
    #[new]
    fn new() -> PyResult<Self> {
        let model = model("", Vec::new(), Vec::new())?;
        Ok(Self(RwLock::new(State::new(model))))
    }

    #[pyo3(signature = (iterator, vocab_size, buffer_size=8192, pattern=None, *, threads=None))]
    fn train_from_iterator(
        &self,
        py: Python<'_>,
        iterator: &Bound<'_, PyAny>,
        vocab_size: &Bound<'_, PyAny>,
        buffer_size: usize,
        pattern: Option<&str>,
        threads: Option<usize>,
    ) -> PyResult<()> {
        let size = checked_size(vocab_size)?;
        let pattern = pattern.unwrap_or(DEFAULT_PATTERN);
        let splitter = splitter(pattern)?;
        let source = ingest::Items::new(iterator, buffer_size)?;
        let counts = ingest::count(py, source, &splitter, checked_threads(threads)?)?;
        let merges = ingest::train(py, counts, size - 256)?;
        self.set(Model::new(pattern.to_owned(), splitter, merges, Vec::new()).map_err(PyRuntimeError::new_err)?);
        Ok(())
    }

    fn encode<'py>(&self, py: Python<'py>, text: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyList>> {
        let state = self.get();
        let text = Text::from_python(text)?;
        let ids = py.detach(|| encode(&state.model, &text))?;
        state.list(py, &ids)
    }

    #[pyo3(signature = (texts, threads=None))]
    fn batch_encode<'py>(
        &self,
        py: Python<'py>,
        texts: &Bound<'py, PyAny>,
        threads: Option<usize>,
    ) -> PyResult<Bound<'py, PyList>> {
        let state = self.get();
        if texts.is_instance_of::<PyString>() {
            return Err(PyTypeError::new_err("texts should be a sequence of str, not a str"));
        }
        let mut all = Vec::new();
        for (i, text) in texts.try_iter()?.enumerate() {
            all.push(ingest::item(&text?, "texts", i)?);
        }
        let encoded = ingest::encode_all(py, &all, checked_threads(threads)?, |text| encode(&state.model, text))?;
        let lists = encoded.iter().map(|ids| state.list(py, ids)).collect::<PyResult<Vec<_>>>()?;
        PyList::new(py, lists)
    }

    fn decode<'py>(&self, py: Python<'py>, ids: Vec<u32>) -> PyResult<Bound<'py, PyString>> {
        PyString::from_encoded_object(&PyBytes::new(py, &self.bytes(&ids)?), Some(c"utf-8"), None)
    }

    fn decode_bytes<'py>(&self, py: Python<'py>, ids: Vec<u32>) -> PyResult<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(py, &self.bytes(&ids)?))
    }

    #[getter]
    fn vocab_size(&self) -> usize {
        self.get().model.size()
    }

    fn get_pattern(&self) -> String {
        self.get().model.pattern.clone()
    }

    fn get_mergeable_ranks<'py>(&self, py: Python<'py>) -> Vec<(Bound<'py, PyBytes>, u32)> {
        let state = self.get();
        let model = &state.model;
        (0..model.mergeable() as u32).map(|id| (PyBytes::new(py, model.token(id).unwrap_or_default()), id)).collect()
    }
}

impl Tokenizer {
    fn get(&self) -> Arc<State> {
        self.0.read().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    fn set(&self, model: Model) {
        *self.0.write().unwrap_or_else(|poisoned| poisoned.into_inner()) = State::new(model);
    }

    fn bytes(&self, ids: &[u32]) -> PyResult<Vec<u8>> {
        let state = self.get();
        let mut bytes = Vec::new();
        for (i, &id) in ids.iter().enumerate() {
            let token = state.model.token(id).ok_or_else(|| {
                PyValueError::new_err(format!(
                    "ids[{i}]: unknown token id {id}, the vocabulary has {}",
                    state.model.size()
                ))
            })?;
            bytes.extend_from_slice(token);
        }
        Ok(bytes)
    }
}

fn encode(model: &Model, text: &Text) -> PyResult<Vec<u32>> {
    let text = text.as_str()?;
    let mut ids = Vec::with_capacity(text.len() / 4);
    model.with_encoder(|encoder| model.encode(encoder, text, &mut ids)).map_err(ingest::match_failed)?;
    Ok(ids)
}

fn splitter(pattern: &str) -> PyResult<Splitter> {
    Splitter::new(pattern).map_err(|error| PyValueError::new_err(format!("pattern does not compile: {error}")))
}

fn model(pattern: &str, merges: Vec<(u32, u32)>, special: Vec<String>) -> PyResult<Model> {
    Model::new(pattern.to_owned(), splitter(pattern)?, merges, special).map_err(PyValueError::new_err)
}

fn checked_size(vocab_size: &Bound<'_, PyAny>) -> PyResult<usize> {
    let wrong = || PyValueError::new_err(format!("vocab_size should be from 256 to 2**31, not {vocab_size}"));
    match vocab_size.extract::<i64>() {
        Ok(size @ 256..=0x8000_0000) => Ok(size as usize),
        Ok(_) => Err(wrong()),
        Err(error) if error.is_instance_of::<pyo3::exceptions::PyOverflowError>(vocab_size.py()) => Err(wrong()),
        Err(error) => Err(PyTypeError::new_err(format!("vocab_size: {}", error.value(vocab_size.py())))),
    }
}

fn checked_threads(threads: Option<usize>) -> PyResult<usize> {
    match threads {
        Some(0) => Err(PyValueError::new_err("threads should be at least 1, not 0")),
        Some(threads) => Ok(threads),
        None => Ok(std::thread::available_parallelism().map_or(1, usize::from)),
    }
}

#[pymodule]
fn rustbpe(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Tokenizer>()
}
