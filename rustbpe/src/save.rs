//! A tokenizer as a JSON file, checked when it is read.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use serde_json::{Value, json};

use crate::model::Model;
use crate::split::Splitter;
use crate::train::Merge;

const FORMAT: u64 = 1;

/// Writes the file whole or not at all.
pub fn save(model: &Model, path: &Path) -> io::Result<()> {
    let content = json!({
        "format": FORMAT,
        "pattern": model.pattern,
        "special_tokens": model.special,
        "merges": model.merges,
    });
    let mut name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
    name.push(format!(".{}.part", std::process::id()));
    let part = path.with_file_name(name);
    let written = File::create(&part).and_then(|mut file| {
        file.write_all(content.to_string().as_bytes())?;
        file.sync_all()?;
        fs::rename(&part, path)
    });
    if written.is_err() {
        _ = fs::remove_file(&part);
    }
    written
}

/// The tokenizer of a file's content, or what is wrong with it.
pub fn parse(content: &[u8]) -> Result<Model, String> {
    let content: Value = serde_json::from_slice(content).map_err(|error| format!("not JSON: {error}"))?;
    if content["format"] != FORMAT {
        return Err(format!("not of format {FORMAT}"));
    }
    let pattern = content["pattern"].as_str().ok_or("without a pattern")?;
    let splitter = Splitter::new(pattern).map_err(|error| format!("the pattern does not compile: {error}"))?;
    let special = content["special_tokens"].as_array().ok_or("without a list of special tokens")?;
    let special = special.iter().map(|name| name.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>();
    let special = special.ok_or("a special token is no string")?;
    let merges = content["merges"].as_array().ok_or("without a list of merges")?;
    let merges = merges
        .iter()
        .enumerate()
        .map(|(k, merge)| pair(merge).ok_or_else(|| format!("merge {k} is not a pair of ids")))
        .collect::<Result<Vec<_>, _>>()?;
    Model::new(pattern.to_owned(), splitter, merges, special)
}

fn pair(merge: &Value) -> Option<Merge> {
    let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
    match merge.as_array()?.as_slice() {
        [left, right] => Some((id(left)?, id(right)?)),
        _ => None,
    }
}
