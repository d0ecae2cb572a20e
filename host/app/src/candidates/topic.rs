//! Clicks of a topic.

use tollgate_stream::{Range, RangeReader, StreamConfig, StreamError};
use tollgate_workbench::replay::{Progress, Record, Records, ReplayError};

/// Records of a range of a topic, by time.
pub struct TopicRecords(RangeReader);

impl TopicRecords {
    /// # Errors
    /// The topic does not exist, or no longer has where the range begins, or no broker answered.
    pub fn open(config: &StreamConfig, range: &Range) -> Result<Self, StreamError> {
        RangeReader::open(config, range).map(Self)
    }
}

impl Records for TopicRecords {
    fn read(
        &mut self,
        count: usize,
        take: &mut dyn FnMut(Record<'_>),
    ) -> Result<bool, ReplayError> {
        for _ in 0..count {
            let next = self.0.next_record();
            let next =
                next.map_err(|error| ReplayError::Source(format!("{error} ({})", error.code())))?;
            let Some(record) = next else { return Ok(false) };
            take(Record { at_ms: record.at_ms, payload: record.payload.as_deref() });
        }
        Ok(true)
    }

    fn progress(&self) -> Progress {
        let (done, total) = self.0.progress();
        Progress { done, total }
    }
}
