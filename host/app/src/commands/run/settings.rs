//! From the configuration to what the parts of the host are made of.

use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use tollgate_domain::event::DecodeLimits;
use tollgate_domain::fence::FenceLimits;
use tollgate_domain::money::{self, Micros};
use tollgate_domain::refund::RefundLimits;
use tollgate_domain::slice::Reading;
use tollgate_stream::{FirstSight, StreamConfig};

use crate::config::{self, Config};
use crate::pipeline::valve::ValveLimits;
use crate::records::RecordEncoder;

/// Name of this process, in leases and for people who look at the ledger. No other process has it, not even one in a
/// container of the same hostname where both have the same id.
pub(in crate::commands) fn owner() -> String {
    static OWNER: OnceLock<String> = OnceLock::new();
    OWNER.get_or_init(new_owner).clone()
}

fn new_owner() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let mut salt = [0; 4];
    if getrandom::fill(&mut salt).is_err() {
        // Two processes hardly begin in the same nanosecond of their seconds.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        salt = now.subsec_nanos().to_be_bytes();
    }
    format!("{}:{}:{:08x}", host.trim(), std::process::id(), u32::from_be_bytes(salt))
}

/// How clicks are read.
pub(in crate::commands) fn stream_config(config: &Config) -> StreamConfig {
    let kafka = &config.kafka;
    StreamConfig {
        brokers: kafka.brokers.clone(),
        group: kafka.group.clone(),
        topic: kafka.topic.clone(),
        client_id: kafka.client_id.clone(),
        lanes: kafka.lanes as usize,
        poll_records_max: kafka.poll_records_max as usize,
        poll_records_behind_max: kafka.poll_records_behind_max as usize,
        session_timeout_ms: kafka.session_timeout_ms,
        first_sight: first_sight(kafka.first_sight),
        topic_ids: kafka.topic_ids,
        properties: kafka.properties.clone(),
        decode: decode_limits(config),
        ..StreamConfig::default()
    }
}

/// What is accepted as an event.
pub(in crate::commands) fn decode_limits(config: &Config) -> DecodeLimits {
    let decode = &config.decode;
    DecodeLimits {
        payload_bytes_max: decode.payload_bytes_max as usize,
        text_bytes_max: decode.text_bytes_max as usize,
        age_ms_max: i64::from(decode.age_hours_max) * 3_600_000,
        ahead_ms_max: i64::from(decode.ahead_minutes_max) * 60_000,
    }
}

/// How compensations are read.
pub(in crate::commands) fn compensation_stream(config: &Config) -> StreamConfig {
    let settings = &config.compensation;
    StreamConfig {
        group: settings.group.clone(),
        topic: settings.topic.clone(),
        client_id: format!("{}-compensation", config.kafka.client_id),
        lanes: settings.lanes as usize,
        first_sight: first_sight(settings.first_sight),
        reading: Reading::Compensations,
        ..stream_config(config)
    }
}

fn first_sight(wanted: config::FirstSight) -> FirstSight {
    match wanted {
        config::FirstSight::Latest => FirstSight::Latest,
        config::FirstSight::Earliest => FirstSight::Earliest,
    }
}

/// How long compensations wait.
pub(in crate::commands) fn refund_limits(config: &Config) -> RefundLimits {
    let us = |seconds: u32| i64::from(seconds) * 1_000_000;
    let settings = &config.compensation;
    RefundLimits { settle_us: us(settings.settle_s), expire_us: us(settings.expire_s) }
}

/// When dead letters halt a partition.
pub(super) fn valve_limits(config: &Config) -> ValveLimits {
    let settings = &config.dead_letters;
    ValveLimits { window: settings.halt_window, percent: settings.halt_percent }
}

/// The money fence.
pub(crate) fn fence_limits(config: &Config) -> anyhow::Result<FenceLimits> {
    let fence = &config.fence;
    let floor = money::parse_scaled(&fence.pause_floor).context("fence.pause_floor")?;
    Ok(FenceLimits {
        charge_max: Micros(money::parse_scaled(&fence.charge_max).context("fence.charge_max")?),
        pause_floor_ppm: u32::try_from(floor).context("fence.pause_floor")?,
    })
}

/// What encodes the records of decisions; `None` when they are not wanted.
pub(in crate::commands) fn recorder(config: &Config) -> anyhow::Result<Option<RecordEncoder>> {
    let is_wanted = config.decisions.retention_days > 0;
    is_wanted.then(RecordEncoder::new).transpose().context("records of decisions")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_one_name_and_no_other_has_it() {
        assert_eq!(owner(), owner());
        // Hostname and id are the same each time, as in two containers that share the host's network.
        let names: std::collections::BTreeSet<_> = (0..100).map(|_| new_owner()).collect();
        assert_eq!(names.len(), 100);
        assert!(owner().contains(&format!(":{}:", std::process::id())), "{}", owner());
    }
}
