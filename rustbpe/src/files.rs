//! The texts of files: a column of a parquet file, a text per row, or a whole text file.

use std::fs::File;
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use parquet::basic::Type;
use parquet::column::reader::ColumnReader;
use parquet::data_type::ByteArray;
use parquet::file::reader::{FileReader, SerializedFileReader};

use crate::split::Splitter;

const BLOCK: usize = 1 << 20; // bytes of a text file that are read at once
const ROWS: usize = 256; // of a parquet file, likewise

/// Reads files one after the other, a piece at a time. What is wrong is said in words, with the file's number and name.
pub struct Files {
    paths: Vec<PathBuf>,
    column: String,
    current: usize,
    open: Option<Open>,
}

enum Open {
    Text { file: File, rest: Vec<u8>, before: usize },
    Parquet(Box<Parquet>),
}

struct Parquet {
    reader: SerializedFileReader<File>,
    column: usize,
    next_group: usize,
    values: Option<ColumnReader>,
}

impl Files {
    pub fn new(paths: Vec<PathBuf>, column: String) -> Self {
        Self { paths, column, current: 0, open: None }
    }

    /// Some texts more, or None at the end. A text file comes in pieces where `splitter` knows how to cut it.
    pub fn next(&mut self, splitter: &Splitter) -> Result<Option<Vec<String>>, String> {
        while let Some(path) = self.paths.get(self.current) {
            // the parquet crate may panic on a file that lies about its own lengths
            let found = catch_unwind(AssertUnwindSafe(|| {
                let open = match &mut self.open {
                    Some(open) => open,
                    None => self.open.insert(Open::new(path, &self.column)?),
                };
                open.next(splitter)
            }))
            .unwrap_or_else(|_| Err("it is damaged".to_owned()))
            .map_err(|why| format!("paths: item {} ({}): {why}", self.current, path.display()))?;
            if found.is_some() {
                return Ok(found);
            }
            self.current += 1;
            self.open = None;
        }
        Ok(None)
    }
}

impl Open {
    fn new(path: &Path, column: &str) -> Result<Self, String> {
        let file = File::open(path).map_err(|error| error.to_string())?;
        if path.extension().is_some_and(|extension| extension == "parquet") {
            Ok(Self::Parquet(Box::new(Parquet::new(file, column)?)))
        } else {
            Ok(Self::Text { file, rest: Vec::new(), before: 0 })
        }
    }

    fn next(&mut self, splitter: &Splitter) -> Result<Option<Vec<String>>, String> {
        match self {
            Self::Text { file, rest, before } => Ok(next_piece(file, rest, before, splitter)?.map(|text| vec![text])),
            Self::Parquet(parquet) => parquet.next(),
        }
    }
}

/// The file's next piece, up to where the splitter can cut it; `rest` is what has been read beyond that.
fn next_piece(
    file: &mut File,
    rest: &mut Vec<u8>,
    before: &mut usize,
    splitter: &Splitter,
) -> Result<Option<String>, String> {
    loop {
        let had = rest.len();
        let read = file.take(BLOCK as u64).read_to_end(rest).map_err(|error| error.to_string())?;
        let end = if read == 0 {
            rest.len()
        } else {
            let from = had.saturating_sub(1);
            match splitter.last_cut(&rest[from..]) {
                Some(cut) => from + cut,
                None => continue,
            }
        };
        if end == 0 {
            return Ok(None);
        }
        let following = rest.split_off(end);
        let text = String::from_utf8(std::mem::replace(rest, following))
            .map_err(|error| format!("it is not UTF-8 at byte {}", *before + error.utf8_error().valid_up_to()))?;
        *before += end;
        return Ok(Some(text));
    }
}

impl Parquet {
    fn new(file: File, column: &str) -> Result<Self, String> {
        let reader = SerializedFileReader::new(file).map_err(|error| error.to_string())?;
        let schema = reader.metadata().file_metadata().schema_descr();
        let found = (0..schema.num_columns()).find(|&i| schema.column(i).path().string() == column);
        let names =
            || (0..schema.num_columns()).map(|i| schema.column(i).path().string()).collect::<Vec<_>>().join(", ");
        let index = found.ok_or_else(|| format!("it has no column {column:?}, but {}", names()))?;
        let description = schema.column(index);
        if description.physical_type() != Type::BYTE_ARRAY || description.max_rep_level() > 0 {
            return Err(format!("its column {column:?} holds no strings"));
        }
        Ok(Self { reader, column: index, next_group: 0, values: None })
    }

    fn next(&mut self) -> Result<Option<Vec<String>>, String> {
        loop {
            if self.values.is_none() {
                if self.next_group == self.reader.num_row_groups() {
                    return Ok(None);
                }
                let group = self.reader.get_row_group(self.next_group).map_err(|error| error.to_string())?;
                self.values = Some(group.get_column_reader(self.column).map_err(|error| error.to_string())?);
                self.next_group += 1;
            }
            let Some(ColumnReader::ByteArrayColumnReader(column)) = &mut self.values else {
                return Err("its column changes its type".to_owned());
            };
            let (mut texts, mut levels) = (Vec::<ByteArray>::new(), Vec::new());
            let (rows, ..) =
                column.read_records(ROWS, Some(&mut levels), None, &mut texts).map_err(|error| error.to_string())?;
            if rows == 0 {
                self.values = None;
                continue;
            }
            let utf8 = |text: &ByteArray| String::from_utf8(text.data().to_vec());
            let texts = texts.iter().map(utf8).collect::<Result<_, _>>();
            return texts.map(Some).map_err(|_| "a row is not UTF-8".to_owned());
        }
    }
}
