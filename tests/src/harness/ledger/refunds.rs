//! Rows that compensations leave.

use anyhow::Result;
use sqlx::FromRow;
use sqlx::Row;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;

use super::{Either, Ledger, quoted};

row! {
    /// A row of `compensations`.
    CompensationRow {
        kafka_partition: i64,
        kafka_offset: i64,
        state: String,
        advertiser_id: String,
        campaign_id: String,
        ad_id: String,
        device_id: String,
        duplicate_count: i64,
        claimed_micros: i64,
        refund_micros: i64,
    }
}

row! {
    /// A row of `duplicate_click_logs`, by the record of its compensation. `timestamps` is a JSON list of instants in
    /// microseconds, `refunded` one of charges by topic, incarnation, partition and offset.
    DuplicateRow {
        kafka_partition: i64,
        kafka_offset: i64,
        advertiser_id: String,
        campaign_id: String,
        ad_id: String,
        device_id: String,
        duplicate_count: i64,
        claimed_micros: i64,
        refund_micros: i64,
        timestamps: String,
        mismatch: Option<String>,
        refunded: String,
    }
}

row! {
    /// A row of `refunded_charges`, with the record of its compensation.
    GivenBackRow {
        kafka_partition: i64,
        kafka_offset: i64,
        by_partition: i64,
        by_offset: i64,
    }
}

row! {
    /// A row of `ad_balance_histories` of the type REFUND.
    RefundRow {
        kafka_partition: i64,
        kafka_offset: i64,
        advertiser_id: String,
        campaign_id: String,
        ad_id: String,
        device_id: String,
        amount_micros: i64,
        budget_day: String,
        price_source: String,
    }
}

impl Ledger {
    /// Compensations that came from `topic`.
    ///
    /// # Errors
    /// The database refuses.
    pub fn compensations(&mut self, topic: &str) -> Result<Vec<CompensationRow>> {
        let sql = format!(
            "SELECT CAST(kafka_partition AS bigint) AS kafka_partition, kafka_offset, state, advertiser_id, \
             campaign_id, coalesce(ad_id, '') AS ad_id, coalesce(device_id, '') AS device_id, duplicate_count, \
             claimed_micros, refund_micros FROM compensations WHERE topic = {} \
             ORDER BY kafka_partition, kafka_offset",
            quoted(topic)
        );
        rows!(self, &sql)
    }

    /// # Errors
    /// The database refuses.
    pub fn duplicates(&mut self, topic: &str) -> Result<Vec<DuplicateRow>> {
        let sql = format!(
            "SELECT CAST(kafka_partition AS bigint) AS kafka_partition, kafka_offset, advertiser_id, campaign_id, \
             coalesce(ad_id, '') AS ad_id, coalesce(device_id, '') AS device_id, duplicate_count, claimed_micros, \
             refund_micros, CAST(timestamps AS text) AS timestamps, mismatch, CAST(refunded AS text) AS refunded \
             FROM duplicate_click_logs WHERE topic = {} ORDER BY kafka_partition, kafka_offset",
            quoted(topic)
        );
        rows!(self, &sql)
    }

    /// Charges of `topic` that were given back.
    ///
    /// # Errors
    /// The database refuses.
    pub fn given_back(&mut self, topic: &str) -> Result<Vec<GivenBackRow>> {
        let sql = format!(
            "SELECT CAST(charge.kafka_partition AS bigint) AS kafka_partition, charge.kafka_offset, \
             CAST(by_.kafka_partition AS bigint) AS by_partition, by_.kafka_offset AS by_offset \
             FROM refunded_charges charge JOIN compensations by_ ON by_.id = charge.compensation_id \
             WHERE charge.topic = {} ORDER BY charge.kafka_partition, charge.kafka_offset",
            quoted(topic)
        );
        rows!(self, &sql)
    }

    /// History rows of refunds whose compensations came from `topic`.
    ///
    /// # Errors
    /// The database refuses.
    pub fn refunds(&mut self, topic: &str) -> Result<Vec<RefundRow>> {
        let sql = format!(
            "SELECT CAST(kafka_partition AS bigint) AS kafka_partition, kafka_offset, advertiser_id, campaign_id, \
             coalesce(ad_id, '') AS ad_id, coalesce(device_id, '') AS device_id, amount_micros, \
             CAST(budget_day AS text) AS budget_day, price_source \
             FROM ad_balance_histories WHERE kafka_topic = {} AND type = 'REFUND' \
             ORDER BY kafka_partition, kafka_offset",
            quoted(topic)
        );
        rows!(self, &sql)
    }
}
