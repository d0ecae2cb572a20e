//! Every metric of the host, with its meaning. `ARCHITECTURE.md` repeats none of this; `/metrics` shows the help.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// A metric: its name, and what it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    Clicks,
    DeadLetters,
    ChargedMicros,
    Batches,
    BatchClicks,
    ChargeLatency,
    CommitSeconds,
    Retries,
    Crossings,
    PausesRefused,
    OverspentMicros,
    Looks,
    Relay,
    Happenings,
    Deliveries,
    DeliveryLatency,
    OutboxWaiting,
    OutboxOldestSeconds,
    SpendPublished,
    Settlements,
    RefundedMicros,
    RefundLatency,
    CompensationsWaiting,
    DeadLettersPublished,
    HistoryDefaultRows,
    HistoryDaysAhead,
    DecisionRecordBytes,
    DecisionRecordsLost,
    AuditFindings,
    AuditWatchedRows,
    AuditLaps,
    AuditBehind,
    AuditCaughtUpSeconds,
    WindowClicks,
    WindowDuplicates,
    DuplicateRate,
    RuleCalls,
    RuleRows,
    RuleFuel,
    RuleNanoseconds,
    RuleAnswers,
    RuleFailures,
    RuleFaults,
    RulesRefused,
    TrialClicks,
    TrialFuel,
    TrialNanoseconds,
    TrialDriftMicros,
    TrialGrossMicros,
    TrialActiveMicros,
    TrialCampaignDriftMicros,
    CanariesAborted,
    RedisLookups,
    RedisBreakerOpen,
    KafkaLag,
    KafkaHalted,
    KafkaRebalances,
    KafkaRecords,
    KafkaCommitFailures,
    Generation,
    Ready,
}

enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Metric {
    pub const ALL: [Self; 61] = [
        Self::Clicks,
        Self::DeadLetters,
        Self::ChargedMicros,
        Self::Batches,
        Self::BatchClicks,
        Self::ChargeLatency,
        Self::CommitSeconds,
        Self::Retries,
        Self::Crossings,
        Self::PausesRefused,
        Self::OverspentMicros,
        Self::Looks,
        Self::Relay,
        Self::Happenings,
        Self::Deliveries,
        Self::DeliveryLatency,
        Self::OutboxWaiting,
        Self::OutboxOldestSeconds,
        Self::SpendPublished,
        Self::Settlements,
        Self::RefundedMicros,
        Self::RefundLatency,
        Self::CompensationsWaiting,
        Self::DeadLettersPublished,
        Self::HistoryDefaultRows,
        Self::HistoryDaysAhead,
        Self::DecisionRecordBytes,
        Self::DecisionRecordsLost,
        Self::AuditFindings,
        Self::AuditWatchedRows,
        Self::AuditLaps,
        Self::AuditBehind,
        Self::AuditCaughtUpSeconds,
        Self::WindowClicks,
        Self::WindowDuplicates,
        Self::DuplicateRate,
        Self::RuleCalls,
        Self::RuleRows,
        Self::RuleFuel,
        Self::RuleNanoseconds,
        Self::RuleAnswers,
        Self::RuleFailures,
        Self::RuleFaults,
        Self::RulesRefused,
        Self::TrialClicks,
        Self::TrialFuel,
        Self::TrialNanoseconds,
        Self::TrialDriftMicros,
        Self::TrialGrossMicros,
        Self::TrialActiveMicros,
        Self::TrialCampaignDriftMicros,
        Self::CanariesAborted,
        Self::RedisLookups,
        Self::RedisBreakerOpen,
        Self::KafkaLag,
        Self::KafkaHalted,
        Self::KafkaRebalances,
        Self::KafkaRecords,
        Self::KafkaCommitFailures,
        Self::Generation,
        Self::Ready,
    ];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Clicks => "tollgate_offsets_total",
            Self::DeadLetters => "tollgate_dead_letters_total",
            Self::ChargedMicros => "tollgate_charged_micros_total",
            Self::Batches => "tollgate_batches_total",
            Self::BatchClicks => "tollgate_batch_clicks",
            Self::ChargeLatency => "tollgate_charge_latency_seconds",
            Self::CommitSeconds => "tollgate_commit_seconds",
            Self::Retries => "tollgate_batch_retries_total",
            Self::Crossings => "tollgate_crossings_total",
            Self::PausesRefused => "tollgate_pauses_refused_total",
            Self::OverspentMicros => "tollgate_overspent_micros_total",
            Self::Looks => "tollgate_budget_looks_total",
            Self::Relay => "tollgate_relay",
            Self::Happenings => "tollgate_happenings_total",
            Self::Deliveries => "tollgate_deliveries_total",
            Self::DeliveryLatency => "tollgate_delivery_latency_seconds",
            Self::OutboxWaiting => "tollgate_outbox_waiting",
            Self::OutboxOldestSeconds => "tollgate_outbox_oldest_seconds",
            Self::SpendPublished => "tollgate_spend_published_total",
            Self::Settlements => "tollgate_compensations_settled_total",
            Self::RefundedMicros => "tollgate_refunded_micros_total",
            Self::RefundLatency => "tollgate_refund_latency_seconds",
            Self::CompensationsWaiting => "tollgate_compensations_waiting",
            Self::DeadLettersPublished => "tollgate_dead_letters_published_total",
            Self::HistoryDefaultRows => "tollgate_history_default_rows",
            Self::HistoryDaysAhead => "tollgate_history_days_ahead",
            Self::DecisionRecordBytes => "tollgate_decision_record_bytes_total",
            Self::DecisionRecordsLost => "tollgate_decision_records_lost_total",
            Self::AuditFindings => "tollgate_audit_findings",
            Self::AuditWatchedRows => "tollgate_audit_watched_rows_total",
            Self::AuditLaps => "tollgate_audit_laps_total",
            Self::AuditBehind => "tollgate_audit_behind_offsets",
            Self::AuditCaughtUpSeconds => "tollgate_audit_caught_up_seconds",
            Self::WindowClicks => "tollgate_clicks",
            Self::WindowDuplicates => "tollgate_duplicate_clicks",
            Self::DuplicateRate => "tollgate_duplicate_rate_ppm",
            Self::RuleCalls => "tollgate_rule_calls_total",
            Self::RuleRows => "tollgate_rule_rows_total",
            Self::RuleFuel => "tollgate_rule_fuel_total",
            Self::RuleNanoseconds => "tollgate_rule_nanoseconds_total",
            Self::RuleAnswers => "tollgate_rule_answers_total",
            Self::RuleFailures => "tollgate_rule_failures_total",
            Self::RuleFaults => "tollgate_rule_faults_total",
            Self::RulesRefused => "tollgate_rules_refused_total",
            Self::TrialClicks => "tollgate_trial_clicks_total",
            Self::TrialFuel => "tollgate_trial_fuel_total",
            Self::TrialNanoseconds => "tollgate_trial_nanoseconds_total",
            Self::TrialDriftMicros => "tollgate_trial_drift_micros",
            Self::TrialGrossMicros => "tollgate_trial_gross_micros",
            Self::TrialActiveMicros => "tollgate_trial_active_micros",
            Self::TrialCampaignDriftMicros => "tollgate_trial_campaign_drift_micros",
            Self::CanariesAborted => "tollgate_canaries_aborted_total",
            Self::RedisLookups => "tollgate_redis_lookups_total",
            Self::RedisBreakerOpen => "tollgate_redis_breaker_open",
            Self::KafkaLag => "tollgate_kafka_consumer_lag",
            Self::KafkaHalted => "tollgate_kafka_partition_halted",
            Self::KafkaRebalances => "tollgate_kafka_rebalances_total",
            Self::KafkaRecords => "tollgate_kafka_records_total",
            Self::KafkaCommitFailures => "tollgate_kafka_commit_failures_total",
            Self::Generation => "tollgate_rule_generation",
            Self::Ready => "tollgate_ready",
        }
    }

    /// What it means.
    #[must_use]
    pub fn help(self) -> &'static str {
        self.describe().2
    }

    fn describe(self) -> (Kind, Unit, &'static str) {
        use Kind::{Counter, Gauge, Histogram};
        match self {
            Self::Clicks => (
                Counter,
                Unit::Count,
                "offsets by their fate (label fate: charged, skipped, dead, absent)",
            ),
            Self::DeadLetters => (Counter, Unit::Count, "dead letters (labels code, stage)"),
            Self::ChargedMicros => (Counter, Unit::Count, "sum of charges in micros"),
            Self::Batches => {
                (Counter, Unit::Count, "committed batches (label path: remembered, locked)")
            }
            Self::BatchClicks => (Histogram, Unit::Count, "clicks of a committed batch"),
            Self::ChargeLatency => (
                Histogram,
                Unit::Seconds,
                "time from the timestamp of a batch's oldest click to its committed charge",
            ),
            Self::CommitSeconds => (Histogram, Unit::Seconds, "time to write and commit a batch"),
            Self::Retries => (Counter, Unit::Count, "batches tried again (label code)"),
            Self::Crossings => {
                (Counter, Unit::Count, "budget crossings (label kind: WARN, PAUSE, RESUME)")
            }
            Self::PausesRefused => (
                Counter,
                Unit::Count,
                "pauses that the fence refused because the ledger's spend was below the floor",
            ),
            Self::OverspentMicros => {
                (Counter, Unit::Count, "sum in micros of what was charged after a pause")
            }
            Self::Looks => {
                (Counter, Unit::Count, "campaigns looked at without a click (resume, new budgets)")
            }
            Self::Relay => (Gauge, Unit::Count, "1 on the host that sends messages"),
            Self::Happenings => (
                Counter,
                Unit::Count,
                "happenings that were worded (labels kind, by: rule, host; the host words what the rule cannot)",
            ),
            Self::Deliveries => (
                Counter,
                Unit::Count,
                "messages by channel and outcome (sent, busy, failed, refused, given_up)",
            ),
            Self::DeliveryLatency => (
                Histogram,
                Unit::Seconds,
                "time from what happened to the receiver's acceptance of a message about it (label channel)",
            ),
            Self::OutboxWaiting => {
                (Gauge, Unit::Count, "happenings not yet worded and messages not yet sent")
            }
            Self::OutboxOldestSeconds => {
                (Gauge, Unit::Seconds, "age of the oldest message that is due and not sent")
            }
            Self::SpendPublished => (
                Counter,
                Unit::Count,
                "spends written to Redis (label result: written, failed, dropped)",
            ),
            Self::Settlements => (
                Counter,
                Unit::Count,
                "compensations by what became of them (label state: REFUNDED, REJECTED, EXPIRED)",
            ),
            Self::RefundedMicros => (Counter, Unit::Count, "sum of refunds in micros"),
            Self::RefundLatency => (
                Histogram,
                Unit::Seconds,
                "time from the timestamp of a compensation to its committed refund",
            ),
            Self::CompensationsWaiting => {
                (Gauge, Unit::Count, "compensations that wait for their clicks, or to be settled")
            }
            Self::DeadLettersPublished => {
                (Counter, Unit::Count, "dead letters written to their topics by this host")
            }
            Self::HistoryDefaultRows => {
                (Gauge, Unit::Count, "rows of history whose day has no partition; should be 0")
            }
            Self::HistoryDaysAhead => {
                (Gauge, Unit::Count, "days after today whose partition of history is there")
            }
            Self::DecisionRecordBytes => (
                Counter,
                Unit::Bytes,
                "bytes of what rules were given and answered, as kept for `tollgate explain`",
            ),
            Self::DecisionRecordsLost => (
                Counter,
                Unit::Count,
                "decisions that were written without a record because it could not be encoded",
            ),
            Self::AuditFindings => (Gauge, Unit::Count, "places where the ledger does not add up"),
            Self::AuditWatchedRows => {
                (Counter, Unit::Count, "rows of history that the running audit has read")
            }
            Self::AuditLaps => (
                Counter,
                Unit::Count,
                "laps of the running audit (label result: compared, behind, overtaken, failed)",
            ),
            Self::AuditBehind => (
                Gauge,
                Unit::Count,
                "offsets that have their fate and that the running audit has not read yet",
            ),
            Self::AuditCaughtUpSeconds => {
                (Gauge, Unit::Seconds, "age of the running audit's last complete view")
            }
            Self::WindowClicks => (
                Gauge,
                Unit::Count,
                "clicks charged (label window: 5m, 1h, 1d), on the host that watches",
            ),
            Self::WindowDuplicates => (
                Gauge,
                Unit::Count,
                "charges that refunds gave back as duplicates (label window), on the host that watches",
            ),
            Self::DuplicateRate => (
                Gauge,
                Unit::Count,
                "duplicates of clicks in ppm, the highest only (labels scope: advertiser, campaign; id; window), on the host that watches",
            ),
            Self::RuleCalls => (
                Counter,
                Unit::Count,
                "calls of rules (labels world, rule, version, generation: the newest only)",
            ),
            Self::RuleRows => {
                (Counter, Unit::Count, "rows given to rules: clicks, for pricing (labels as calls)")
            }
            Self::RuleFuel => (Counter, Unit::Count, "fuel used by rules (labels as calls)"),
            Self::RuleNanoseconds => (
                Counter,
                Unit::Nanoseconds,
                "time spent in rules, instance included (labels as calls)",
            ),
            Self::RuleAnswers => (
                Counter,
                Unit::Count,
                "answers of rules, also those of a batch that is tried again (labels as calls, and reason)",
            ),
            Self::RuleFailures => (
                Counter,
                Unit::Count,
                "clicks, compensations, happenings and looks that a rule has failed on (labels as calls, and code: RULE_TRAP, RULE_OUT_OF_FUEL, FENCE_BREACH and so on)",
            ),
            Self::RuleFaults => (
                Counter,
                Unit::Count,
                "failed calls of rules, before and while searching the poison click",
            ),
            Self::RulesRefused => (
                Counter,
                Unit::Count,
                "generations and folders of rules that this host refused to load (label code)",
            ),
            Self::TrialClicks => (
                Counter,
                Unit::Count,
                "clicks of trials by what came of comparing (labels kind: shadow, canary; result: same, different, failed, refused, skipped)",
            ),
            Self::TrialFuel => (Counter, Unit::Count, "fuel used by candidates (label kind)"),
            Self::TrialNanoseconds => (
                Counter,
                Unit::Nanoseconds,
                "time spent in candidates, instance included (label kind)",
            ),
            Self::TrialDriftMicros => (
                Gauge,
                Unit::Count,
                "what the candidate charges more or less than the rules in force, on all hosts (labels kind, trial)",
            ),
            Self::TrialGrossMicros => (
                Gauge,
                Unit::Count,
                "the differences, each taken as positive, on all hosts (labels kind, trial)",
            ),
            Self::TrialActiveMicros => (
                Gauge,
                Unit::Count,
                "what the rules in force charge for the clicks that were compared, on all hosts (labels kind, trial)",
            ),
            Self::TrialCampaignDriftMicros => (
                Gauge,
                Unit::Count,
                "drift of the campaigns that differ most (labels kind, trial, campaign)",
            ),
            Self::CanariesAborted => (
                Counter,
                Unit::Count,
                "canaries that this host has ended because a limit was passed (label code)",
            ),
            Self::RedisLookups => (
                Counter,
                Unit::Count,
                "lookups in Redis (label result: hit, miss, absurd, failed, skipped)",
            ),
            Self::RedisBreakerOpen => {
                (Gauge, Unit::Count, "1 while Redis is left alone after failures")
            }
            Self::KafkaLag => {
                (Gauge, Unit::Count, "records not yet read (labels topic, partition)")
            }
            Self::KafkaHalted => (
                Gauge,
                Unit::Count,
                "1 for a partition that waits for an operator (labels topic, partition)",
            ),
            Self::KafkaRebalances => {
                (Counter, Unit::Count, "rebalances seen by this process (label topic)")
            }
            Self::KafkaRecords => (Counter, Unit::Count, "records read (label topic)"),
            Self::KafkaCommitFailures => (
                Counter,
                Unit::Count,
                "failed offset commits to Kafka, which are only hints (label topic)",
            ),
            Self::Generation => (Gauge, Unit::Count, "rule generation of the last batch"),
            Self::Ready => (Gauge, Unit::Count, "1 while /readyz answers 200"),
        }
    }
}

/// Buckets for latencies in seconds, fine around the goal of 50 ms.
pub const LATENCY_BUCKETS: [f64; 16] = [
    0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0,
    60.0,
];

/// Buckets for the clicks of a batch.
pub const BATCH_BUCKETS: [f64; 10] =
    [1.0, 2.0, 5.0, 10.0, 50.0, 100.0, 500.0, 1_000.0, 5_000.0, 20_000.0];

/// Tells the recorder what every metric means.
pub fn describe_all() {
    for metric in Metric::ALL {
        let (kind, unit, help) = metric.describe();
        match kind {
            Kind::Counter => describe_counter!(metric.name(), unit, help),
            Kind::Gauge => describe_gauge!(metric.name(), unit, help),
            Kind::Histogram => describe_histogram!(metric.name(), unit, help),
        }
    }
}

/// An id as the value of a label, for gauges that are written without the recorder.
pub(crate) fn escaped(id: &str) -> String {
    id.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_conventions() {
        for metric in Metric::ALL {
            let name = metric.name();
            let (kind, _, help) = metric.describe();
            assert!(name.starts_with("tollgate_"), "{name}");
            assert_eq!(name.ends_with("_total"), matches!(kind, Kind::Counter), "{name}");
            assert!(!help.is_empty() && !help.ends_with('.'), "{name}");
        }
        let mut names: Vec<_> = Metric::ALL.iter().map(|metric| metric.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Metric::ALL.len());
    }
}
