//! Arguments as they come from Python, checked: an error names the argument and, in a sequence, the item.

use std::path::PathBuf;

use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use crate::split::Splitter;

pub fn splitter(pattern: &str) -> PyResult<Splitter> {
    Splitter::new(pattern).map_err(|error| PyValueError::new_err(format!("pattern does not compile: {error}")))
}

/// A whole number within bounds.
pub fn whole(value: &Bound<'_, PyAny>, name: &str, smallest: usize, greatest: usize) -> PyResult<usize> {
    let py = value.py();
    match value.extract::<usize>() {
        Ok(number) if (smallest..=greatest).contains(&number) => Ok(number),
        Err(error) if !error.is_instance_of::<PyOverflowError>(py) => {
            Err(PyTypeError::new_err(format!("{name}: {}", error.value(py))))
        }
        _ if greatest == usize::MAX => {
            Err(PyValueError::new_err(format!("{name} should be at least {smallest}, not {value}")))
        }
        _ => Err(PyValueError::new_err(format!("{name} should be from {smallest} to {greatest}, not {value}"))),
    }
}

pub fn checked_threads(threads: Option<&Bound<'_, PyAny>>) -> PyResult<usize> {
    match threads {
        Some(threads) => whole(threads, "threads", 1, 1024),
        None => Ok(std::thread::available_parallelism().map_or(1, usize::from)),
    }
}

pub fn checked_paths(paths: &Bound<'_, PyAny>) -> PyResult<Vec<PathBuf>> {
    if paths.is_instance_of::<PyString>() || paths.is_instance_of::<PyBytes>() {
        return Err(PyTypeError::new_err("paths should be several paths, not one"));
    }
    let checked = |(i, path): (usize, PyResult<Bound<'_, PyAny>>)| {
        let path = path?;
        path.extract()
            .map_err(|error: PyErr| PyTypeError::new_err(format!("paths: item {i}: {}", error.value(path.py()))))
    };
    paths.try_iter()?.enumerate().map(checked).collect()
}
