//! Events of a file: one JSON object a line, as they stand in the topic.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, stdin};
use std::path::Path;

use super::ReplayError;
use super::source::{Progress, Record, Records};

const BUFFER_BYTES: usize = 1 << 20;

/// Reads events line by line; empty lines do not count. Records of a file have no time of their own.
pub struct FileRecords {
    lines: Box<dyn BufRead + Send>,
    line: Vec<u8>,
    progress: Progress,
    name: String,
}

impl FileRecords {
    /// Opens a file; `-` is standard input.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn open(path: &Path) -> Result<Self, ReplayError> {
        let name = path.display().to_string();
        if name == "-" {
            return Ok(Self::new(stdin(), 0, "standard input"));
        }
        let failed = |error| ReplayError::Source(format!("{name}: {error}"));
        let file = File::open(path).map_err(failed)?;
        let bytes = file.metadata().map_err(failed)?.len();
        Ok(Self::new(file, bytes, &name))
    }

    /// Events of anything that has bytes, `total` of them when that is known.
    pub fn new(bytes: impl Read + Send + 'static, total: u64, name: &str) -> Self {
        Self {
            lines: Box::new(BufReader::with_capacity(BUFFER_BYTES, bytes)),
            line: Vec::new(),
            progress: Progress { done: 0, total },
            name: name.to_owned(),
        }
    }
}

impl Records for FileRecords {
    fn read(
        &mut self,
        count: usize,
        take: &mut dyn FnMut(Record<'_>),
    ) -> Result<bool, ReplayError> {
        let mut left = count;
        while left > 0 {
            self.line.clear();
            let bytes = self.lines.read_until(b'\n', &mut self.line);
            let bytes =
                bytes.map_err(|error| ReplayError::Source(format!("{}: {error}", self.name)))?;
            if bytes == 0 {
                return Ok(false);
            }
            self.progress.done += bytes as u64;
            let line = self.line.trim_ascii();
            if !line.is_empty() {
                take(Record { at_ms: -1, payload: Some(line) });
                left -= 1;
            }
        }
        Ok(true)
    }

    fn progress(&self) -> Progress {
        self.progress
    }
}
