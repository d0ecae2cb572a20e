//! History rows as binary COPY, for the large shape.

use sqlx::postgres::PgConnection;
use tollgate_domain::plan::{HistoryRow, Plan};

use super::database_error;
use crate::error::{LedgerError, Result};
use crate::shape::SourceIndex;

/// Columns that are the same for all rows of a partition come first, so that they are encoded once.
const COPY: &str = "COPY ad_balance_histories (generation, type, kafka_topic, incarnation, kafka_partition, \
    price_source, reason, kafka_offset, amount_micros, balance_after_micros, occurred_at, budget_day, advertiser_id, \
    campaign_id, ad_id, device_id) FROM STDIN (FORMAT BINARY)";
const COLUMNS: i16 = 16;

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";

/// Postgres counts instants and days from 2000-01-01.
const EPOCH_SHIFT_US: i64 = 946_684_800_000_000;
const EPOCH_SHIFT_DAYS: i32 = 10_957;

/// The server parses one piece while the next one is encoded.
const PIECE_BYTES: usize = 64 * 1024;

/// Copies the history of a plan into the table, inside the open transaction.
pub(crate) async fn history(conn: &mut PgConnection, plan: &Plan<'_>) -> Result<()> {
    let mut encoder = Encoder::new(plan);
    let mut copy = conn.copy_in_raw(COPY).await.map_err(database_error)?;
    let mut failure = None;
    for row in &plan.history {
        if let Err(error) = encoder.push(row) {
            failure = Some(error);
            break;
        }
        if encoder.bytes.len() >= PIECE_BYTES {
            copy.send(&encoder.bytes[..]).await.map_err(database_error)?;
            encoder.bytes.clear();
        }
    }
    if let Some(error) = failure {
        copy.abort("the plan cannot be encoded").await.map_err(database_error)?;
        return Err(error);
    }
    encoder.bytes.extend_from_slice(&(-1_i16).to_be_bytes());
    copy.send(&encoder.bytes[..]).await.map_err(database_error)?;
    copy.finish().await.map_err(database_error)?;
    Ok(())
}

/// Writes rows in the format of binary COPY.
struct Encoder<'a> {
    bytes: Vec<u8>,
    /// Encoded columns that depend on the partition only, for each advance.
    by_source: Vec<Vec<u8>>,
    /// Encoded columns that depend on the reason only.
    by_reason: Vec<Vec<u8>>,
    index: SourceIndex<'a>,
}

impl<'a> Encoder<'a> {
    fn new(plan: &'a Plan<'_>) -> Self {
        let by_source = plan.advances.iter().map(|advance| {
            let mut bytes = COLUMNS.to_be_bytes().to_vec();
            put_i64(&mut bytes, plan.generation as i64);
            put_text(&mut bytes, "DEDUCT");
            put_text(&mut bytes, &advance.source.topic);
            put_i32(&mut bytes, advance.source.incarnation);
            put_i32(&mut bytes, advance.source.partition);
            bytes
        });
        let by_reason = plan.reasons.iter().map(|reason| {
            let mut bytes = Vec::new();
            put_text(&mut bytes, reason.source.as_str());
            put_text(&mut bytes, &reason.name);
            bytes
        });
        let mut bytes = Vec::with_capacity(2 * PIECE_BYTES);
        bytes.extend_from_slice(SIGNATURE);
        // Flags and the length of the header's extension.
        bytes.extend_from_slice(&[0; 8]);
        Self {
            bytes,
            by_source: by_source.collect(),
            by_reason: by_reason.collect(),
            index: SourceIndex::new(&plan.advances),
        }
    }

    fn push(&mut self, row: &HistoryRow<'_>) -> Result<()> {
        let source = self.index.find(row.source)?;
        let Some(reason) = self.by_reason.get(usize::from(row.reason)) else {
            return Err(LedgerError::Unexpected(format!("the plan has no reason {}", row.reason)));
        };
        let bytes = &mut self.bytes;
        bytes.extend_from_slice(&self.by_source[source]);
        bytes.extend_from_slice(reason);
        put_i64(bytes, row.offset);
        put_i64(bytes, row.amount.0);
        put_i64(bytes, row.balance_after.0);
        put_i64(bytes, row.occurred_at_us - EPOCH_SHIFT_US);
        put_i32(bytes, row.day.0 - EPOCH_SHIFT_DAYS);
        put_text(bytes, row.advertiser);
        put_text(bytes, row.campaign);
        put_optional(bytes, row.ad);
        put_optional(bytes, row.device);
        Ok(())
    }
}

fn put_i64(bytes: &mut Vec<u8>, value: i64) {
    bytes.extend_from_slice(&8_i32.to_be_bytes());
    bytes.extend_from_slice(&value.to_be_bytes());
}

fn put_i32(bytes: &mut Vec<u8>, value: i32) {
    bytes.extend_from_slice(&4_i32.to_be_bytes());
    bytes.extend_from_slice(&value.to_be_bytes());
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    // Texts are bounded by the decoder far below what 31 bits can count.
    bytes.extend_from_slice(&(text.len() as i32).to_be_bytes());
    bytes.extend_from_slice(text.as_bytes());
}

/// An empty text is NULL, whose length is -1.
fn put_optional(bytes: &mut Vec<u8>, text: &str) {
    if text.is_empty() {
        bytes.extend_from_slice(&(-1_i32).to_be_bytes());
    } else {
        put_text(bytes, text);
    }
}
