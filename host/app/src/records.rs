//! The bytes of a decision's record: one for the format, then the transcript in postcard, which zstd compresses when
//! there is enough of it.
//!
//! What the bytes mean follows from the transcript's types in `tollgate_domain`; whoever changes them takes new formats
//! and goes on decoding the ones before.

use metrics::counter;
use tollgate_domain::transcript::Transcript;
use zstd::bulk::Compressor;
use zstd::zstd_safe::{CParameter, get_frame_content_size};

use crate::metrics::Metric;

/// Formats: postcard as it is, and compressed.
const PLAIN: u8 = 1;
const PACKED: u8 = 2;

/// Bytes from which compressing is worth its fixed cost; single clicks under light load stay below it.
const PACKED_MIN: usize = 1_024;

/// Decompressed bytes at most, so that damaged bytes cannot ask for all memory.
const BYTES_MAX: usize = 256 * 1024 * 1024;

/// Encodes transcripts; keeps what it needs for the next one.
pub struct RecordEncoder {
    compressor: Compressor<'static>,
    plain: Vec<u8>,
}

/// Why bytes are not a record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    #[error(
        "the record has the format {0}, this program knows {PLAIN} and {PACKED}; use the version that wrote it"
    )]
    Format(u8),
    #[error("the record is damaged: {0}; it cannot be explained from it")]
    Damaged(String),
    #[error(
        "the record cannot be encoded: {0}; set decisions.retention_days = 0 to go on without records"
    )]
    Encoding(String),
}

impl RecordError {
    /// Stable code of the error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Format(_) => "RECORD_FORMAT",
            Self::Damaged(_) => "RECORD_DAMAGED",
            Self::Encoding(_) => "RECORD_ENCODING",
        }
    }
}

impl RecordEncoder {
    /// # Errors
    /// No memory for the compressor.
    pub fn new() -> Result<Self, RecordError> {
        let encoding = |error: std::io::Error| RecordError::Encoding(error.to_string());
        let mut compressor = Compressor::new(1).map_err(encoding)?;
        compressor.set_parameter(CParameter::ChecksumFlag(true)).map_err(encoding)?;
        Ok(Self { compressor, plain: vec![0; 1 << 16] })
    }

    /// # Errors
    /// None that is known; whoever gets one writes the plan without its record.
    pub fn encode(&mut self, transcript: &Transcript) -> Result<Vec<u8>, RecordError> {
        let encoding = |error: String| RecordError::Encoding(error);
        let used = self.serialize(transcript).map_err(|error| encoding(error.to_string()))?;
        let plain = &self.plain[..used];
        if used < PACKED_MIN {
            return Ok(framed(PLAIN, plain));
        }
        let packed =
            self.compressor.compress(plain).map_err(|error| encoding(error.to_string()))?;
        Ok(framed(PACKED, &packed))
    }

    /// Writes into the buffer, which grows to what the largest batch needs, and gives the number of bytes.
    fn serialize(&mut self, transcript: &Transcript) -> postcard::Result<usize> {
        loop {
            let used = postcard::to_slice(transcript, &mut self.plain).map(|used| used.len());
            match used {
                Err(postcard::Error::SerializeBufferFull) if self.plain.len() < BYTES_MAX => {
                    self.plain.resize(2 * self.plain.len(), 0);
                }
                used => return used,
            }
        }
    }
}

fn framed(format: u8, bytes: &[u8]) -> Vec<u8> {
    let mut framed = Vec::with_capacity(1 + bytes.len());
    framed.push(format);
    framed.extend_from_slice(bytes);
    framed
}

/// The bytes to keep, if any are wanted. Money is not held up by a record that cannot be encoded; it is counted.
pub(crate) fn encoded(
    encoder: Option<&mut RecordEncoder>,
    transcript: Option<&Transcript>,
) -> Option<Vec<u8>> {
    match encoder?.encode(transcript?) {
        Ok(bytes) => {
            counter!(Metric::DecisionRecordBytes.name()).increment(bytes.len() as u64);
            Some(bytes)
        }
        Err(error) => {
            counter!(Metric::DecisionRecordsLost.name()).increment(1);
            tracing::error!(code = error.code(), %error, "a decision is not recorded");
            None
        }
    }
}

/// Decodes what `RecordEncoder` has made.
///
/// # Errors
/// The bytes are of another format or damaged.
pub fn decode(bytes: &[u8]) -> Result<Transcript, RecordError> {
    match bytes.split_first() {
        Some((&PLAIN, plain)) => parse(plain),
        Some((&PACKED, packed)) => parse(&unpacked(packed)?),
        Some((format, _)) => Err(RecordError::Format(*format)),
        None => Err(RecordError::Damaged("it has no bytes".to_owned())),
    }
}

fn unpacked(packed: &[u8]) -> Result<Vec<u8>, RecordError> {
    // Whoever compresses in one piece writes the size down.
    let size = get_frame_content_size(packed).ok().flatten();
    let size = size.and_then(|size| usize::try_from(size).ok()).filter(|size| *size <= BYTES_MAX);
    let size =
        size.ok_or_else(|| RecordError::Damaged("it says no size that it could have".to_owned()))?;
    let plain = zstd::bulk::decompress(packed, size);
    plain.map_err(|error| RecordError::Damaged(error.to_string()))
}

fn parse(plain: &[u8]) -> Result<Transcript, RecordError> {
    match postcard::take_from_bytes(plain) {
        Ok((transcript, [])) => Ok(transcript),
        Ok((_, rest)) => Err(RecordError::Damaged(format!("{} bytes too many", rest.len()))),
        Err(error) => Err(RecordError::Damaged(error.to_string())),
    }
}

#[cfg(test)]
mod tests;
