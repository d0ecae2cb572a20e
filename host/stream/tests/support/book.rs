//! A ledger in memory that holds slices to the same rules as the real one.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tollgate_domain::dead::Header;
use tollgate_domain::slice::{Slice, Source};
use tollgate_stream::{Acquired, Acquisition, Positions, PositionsError};

/// What is known of a partition.
#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    pub(crate) topic_id: String,
    pub(crate) incarnation: i32,
    pub(crate) epoch: i64,
    pub(crate) first_offset: i64,
    pub(crate) next_offset: i64,
    /// Devices of the clicks or compensations, in the order of commits.
    pub(crate) devices: Vec<String>,
    /// Offset, code and number of payload bytes.
    pub(crate) dead: Vec<(i64, &'static str, usize)>,
    /// Headers of the dead letters, in the order of commits.
    pub(crate) headers: Vec<Header>,
    pub(crate) skipped: i64,
    pub(crate) absent: i64,
    /// What lanes told about halts.
    pub(crate) halts: Vec<String>,
    /// Why it must not be read.
    pub(crate) halted: Option<String>,
    /// How often lanes wanted it.
    pub(crate) asked: usize,
}

#[derive(Default)]
pub(crate) struct Book {
    rows: Mutex<HashMap<(String, i32), Row>>,
    pub(crate) is_down: AtomicBool,
    /// So many more questions make it panic.
    pub(crate) panics: AtomicUsize,
    pub(crate) refused: AtomicUsize,
    pub(crate) first_sights: AtomicUsize,
}

impl Book {
    pub(crate) fn row(&self, topic: &str, partition: i32) -> Row {
        let rows = self.rows.lock().unwrap();
        rows.get(&(topic.to_owned(), partition)).cloned().unwrap_or_default()
    }

    pub(crate) fn knows(&self, topic: &str, partition: i32) -> bool {
        self.rows.lock().unwrap().contains_key(&(topic.to_owned(), partition))
    }

    /// Number of clicks of a topic.
    pub(crate) fn clicks(&self, topic: &str) -> usize {
        let rows = self.rows.lock().unwrap();
        rows.iter().filter(|((t, _), _)| t == topic).map(|(_, row)| row.devices.len()).sum()
    }

    pub(crate) fn change(&self, topic: &str, partition: i32, change: impl FnOnce(&mut Row)) {
        let mut rows = self.rows.lock().unwrap();
        change(rows.entry((topic.to_owned(), partition)).or_default());
    }

    /// What `tollgate partition go-on` does.
    pub(crate) fn go_on(&self, topic: &str, partition: i32, offset: i64, topic_id: &str) {
        self.change(topic, partition, |row| {
            if row.topic_id != topic_id {
                row.incarnation += 1;
                row.topic_id = topic_id.to_owned();
            }
            row.first_offset = offset;
            row.next_offset = offset;
            row.epoch += 1;
            row.halted = None;
        });
    }

    /// Writes a slice, or says that its fence is lost.
    pub(crate) fn commit(&self, slice: &Slice) -> bool {
        let mut rows = self.rows.lock().unwrap();
        let source = &slice.source;
        let row = rows.get_mut(&(source.topic.to_string(), source.partition)).unwrap();
        let holds = row.epoch == source.epoch && row.next_offset == slice.first_offset;
        if !holds {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        let fates = slice.items() + slice.dead.len();
        assert_eq!(fates as i64 + slice.skipped + slice.absent, slice.len(), "one fate each");
        row.next_offset = slice.next_offset;
        row.devices.extend(slice.clicks.iter().map(|click| slice.text(click.device).to_owned()));
        row.devices.extend(slice.compensations.iter().map(|taken| taken.event.device.clone()));
        row.dead.extend(slice.dead.iter().map(|letter| {
            let bytes = letter.payload.as_ref().map_or(0, Vec::len);
            (letter.offset, letter.rejection.code.as_str(), bytes)
        }));
        row.headers.extend(slice.dead.iter().flat_map(|letter| letter.headers.clone()));
        row.skipped += slice.skipped;
        row.absent += slice.absent;
        true
    }

    fn ask(&self) -> Result<(), PositionsError> {
        let left = |left: usize| left.checked_sub(1);
        let panics = self.panics.fetch_update(Ordering::Relaxed, Ordering::Relaxed, left);
        assert!(panics.is_err(), "out of its mind for the test");
        if self.is_down.load(Ordering::Relaxed) {
            return Err(PositionsError::new("out of order for the test"));
        }
        Ok(())
    }
}

impl Positions for Book {
    fn first_sight(
        &self,
        topic: &str,
        topic_id: &str,
        offsets: &[(i32, i64)],
    ) -> Result<(), PositionsError> {
        self.ask()?;
        self.first_sights.fetch_add(1, Ordering::Relaxed);
        let mut rows = self.rows.lock().unwrap();
        if rows.keys().any(|(known, _)| known == topic) {
            return Ok(());
        }
        for &(partition, offset) in offsets {
            let topic_id = topic_id.to_owned();
            let row = Row { topic_id, first_offset: offset, next_offset: offset, ..Row::default() };
            rows.insert((topic.to_owned(), partition), row);
        }
        Ok(())
    }

    fn acquire(
        &self,
        topic: &str,
        topic_id: &str,
        partitions: &[(i32, i64)],
    ) -> Result<Vec<Acquired>, PositionsError> {
        self.ask()?;
        let mut rows = self.rows.lock().unwrap();
        let acquired = partitions.iter().map(|&(partition, offset)| {
            let row = rows.entry((topic.to_owned(), partition)).or_insert_with(|| Row {
                topic_id: topic_id.to_owned(),
                first_offset: offset,
                next_offset: offset,
                ..Row::default()
            });
            row.asked += 1;
            if let Some(reason) = row.halted.clone() {
                return Acquired { partition, outcome: Acquisition::Halted { reason } };
            }
            if row.topic_id != topic_id {
                let reason =
                    format!("the topic was re-created: {} is now {topic_id}.", row.topic_id);
                return Acquired { partition, outcome: Acquisition::Halted { reason } };
            }
            row.epoch += 1;
            let source = Arc::new(Source {
                topic: topic.into(),
                partition,
                incarnation: row.incarnation,
                epoch: row.epoch,
            });
            let next_offset = row.next_offset;
            Acquired { partition, outcome: Acquisition::Held { source, next_offset } }
        });
        Ok(acquired.collect())
    }

    fn halted(&self, topic: &str, partition: i32, reason: &str) -> Result<(), PositionsError> {
        self.ask()?;
        self.change(topic, partition, |row| {
            row.halts.push(reason.to_owned());
            row.halted = Some(reason.to_owned());
        });
        Ok(())
    }
}
