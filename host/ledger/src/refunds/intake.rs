//! Storing compensations, inside the transaction that moves the progress of their partitions.

use serde_json::{Value, json};
use tollgate_domain::compensation::CompensationRow;

use crate::dialect::{Dialect, change};
use crate::error::{LedgerError, Result};
use crate::shape::{headers_json, hex, without_nul};

/// Rows of one statement at most, to keep its text within bounds.
const ROWS_MAX: usize = 500;

/// The columns of a stored compensation from the elements of `$1`; `$2` is its generation.
const COLUMNS: &str = "topic, incarnation, kafka_partition, kafka_offset, identity, advertiser_id, campaign_id, ad_id,
  device_id, duplicate_count, claimed_micros, timestamps, detection_window, reason, compensation_type, occurred_at,
  record_at_ms, message_key, payload, headers, generation, state";
const VALUES: &str = "CAST(e.value ->> 'topic' AS TEXT), CAST(e.value ->> 'incarnation' AS INTEGER),
  CAST(e.value ->> 'partition' AS INTEGER), CAST(e.value ->> 'offset' AS BIGINT),
  CAST(e.value ->> 'identity' AS TEXT), CAST(e.value ->> 'advertiser' AS TEXT), CAST(e.value ->> 'campaign' AS TEXT),
  nullif(CAST(e.value ->> 'ad' AS TEXT), ''), nullif(CAST(e.value ->> 'device' AS TEXT), ''),
  CAST(e.value ->> 'count' AS BIGINT), CAST(e.value ->> 'claimed' AS BIGINT), e.value -> 'timestamps',
  CAST(e.value ->> 'window' AS TEXT), CAST(e.value ->> 'reason' AS TEXT), CAST(e.value ->> 'kind' AS TEXT),
  {at:CAST(e.value ->> 'occurred_at_us' AS BIGINT)}, CAST(e.value ->> 'record_at_ms' AS BIGINT),
  {unhex:e.value ->> 'key'}, CAST(e.value ->> 'payload' AS TEXT), e.value -> 'headers', CAST($2 AS BIGINT)";

/// Stores compensations; one whose identity waits or was paid is stored as a repetition. In the order of identities,
/// because whoever stores the same one at the same moment is waited for.
pub(crate) async fn store<D: Dialect>(
    conn: &mut D,
    generation: u64,
    compensations: &[CompensationRow],
) -> Result<()> {
    let mut elements: Vec<_> = compensations.iter().map(element).collect::<Result<_>>()?;
    elements.sort_by(|(one, _), (other, _)| one.cmp(other));
    for part in elements.chunks(ROWS_MAX) {
        let values: Vec<_> = part.iter().map(|(_, value)| value).collect();
        let values = json!(values).to_string();
        let args = [(&values).into(), (generation as i64).into()];
        let first = format!(
            "INSERT INTO compensations ({COLUMNS}) SELECT {VALUES}, 'WAITING' FROM {{elements:$1}} AS e
             WHERE true ORDER BY e.value ->> 'identity', CAST(e.value ->> 'partition' AS INTEGER),
               CAST(e.value ->> 'offset' AS BIGINT)
             ON CONFLICT DO NOTHING"
        );
        let stored = change(conn, &first, &args).await?;
        if stored == part.len() as u64 {
            continue;
        }
        let again = format!(
            "INSERT INTO compensations ({COLUMNS}) SELECT {VALUES}, 'REPEATED' FROM {{elements:$1}} AS e
             WHERE NOT EXISTS (
               SELECT 1 FROM compensations c WHERE c.topic = CAST(e.value ->> 'topic' AS TEXT)
                 AND c.incarnation = CAST(e.value ->> 'incarnation' AS INTEGER)
                 AND c.kafka_partition = CAST(e.value ->> 'partition' AS INTEGER)
                 AND c.kafka_offset = CAST(e.value ->> 'offset' AS BIGINT))"
        );
        change(conn, &again, &args).await?;
    }
    Ok(())
}

fn element(row: &CompensationRow) -> Result<(String, Value)> {
    let (source, event) = (&row.source, &row.event);
    let identity = without_nul(&event.identity());
    let headers: Value = serde_json::from_str(&headers_json(&row.headers))
        .map_err(|error| LedgerError::Unexpected(error.to_string()))?;
    let value = json!({
        "topic": &*source.topic, "incarnation": source.incarnation, "partition": source.partition,
        "offset": row.offset, "identity": identity, "advertiser": event.advertiser, "campaign": event.campaign,
        "ad": event.ad, "device": event.device, "count": event.duplicate_count, "claimed": event.claimed.0,
        "timestamps": event.timestamps_us, "window": event.window, "reason": event.reason, "kind": event.kind,
        "occurred_at_us": event.occurred_at_us, "record_at_ms": row.record_at_ms,
        "key": row.key.as_deref().map(hex), "payload": row.payload, "headers": headers,
    });
    Ok((identity, value))
}
