//! Byte-level BPE: learns merges from text and encodes text with them. See README.md for how and why.

#![deny(unsafe_code)]

#[cfg(feature = "python")]
mod arguments;
pub mod count;
pub mod encode;
#[cfg(feature = "python")]
mod files;
#[cfg(feature = "python")]
mod ingest;
pub mod model;
#[cfg(feature = "python")]
mod python;
pub mod save;
pub mod split;
pub mod train;
pub mod unicode;
pub mod words;
