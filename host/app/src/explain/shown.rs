//! From rows of the ledger to what an explanation shows of them.

use tollgate_domain::dead::Code;
use tollgate_ledger::{
    CompensationEntry, CrossingEntry, DecisionRecord, Delivery, HistoryEntry, LetterState, Outcome,
    Place, Reached, StoredDeadLetter, Traces,
};

use super::explanation::{
    Again, CallShown, CompensationShown, CrossingShown, DecisionShown, Fate, HistoryShown,
    LetterShown, MessageShown,
};
use crate::channels::rfc3339;

/// What became of an offset, and in words.
pub(super) fn fate(place: &Place, traces: &Traces, reached: &[Reached]) -> (Fate, String) {
    if let Some(compensation) = &traces.compensation {
        let state = &compensation.state;
        return (Fate::Compensation, format!("a compensation; its state is {state}"));
    }
    if let Some(charge) = &traces.history {
        return (Fate::Charged, format!("a click that was charged {}", amount(-charge.amount.0)));
    }
    let letter = traces.letter.as_ref();
    if let Some(letter) = letter.filter(|letter| letter.state() != LetterState::Replayed) {
        return (Fate::DeadLetter, format!("a dead letter: {}", letter.code));
    }
    let here: Vec<_> = reached.iter().filter(|one| one.incarnation == place.incarnation).collect();
    if here.iter().any(|one| one.covers(place.offset)) {
        let sentence =
            "read, and nothing to charge: the record is no click, or the offset has no record";
        return (Fate::Skipped, sentence.to_owned());
    }
    match here.first() {
        Some(one) if place.offset >= one.next_offset => {
            (Fate::NotRead, format!("not read yet; the next offset is {}", one.next_offset))
        }
        Some(one) => {
            let first = one.first_offset;
            (Fate::NotRead, format!("before the first offset of {}, which is {first}", one.group))
        }
        None => {
            let sentence = "never seen: no group has read this partition of this incarnation";
            (Fate::Unknown, sentence.to_owned())
        }
    }
}

/// Why there is nothing to compare with.
pub(super) fn without_record(traces: &Traces, fate: Fate) -> Again {
    let stage = traces.letter.as_ref().map(|letter| letter.stage.as_str());
    let waits = traces.compensation.as_ref().is_some_and(|one| one.state == "WAITING");
    let repeated = traces.compensation.as_ref().is_some_and(|one| one.state == "REPEATED");
    let sentence = match (fate, stage) {
        (Fate::Charged, _) => "no record is kept any more of what this charge was decided on",
        (Fate::DeadLetter, Some("decode" | "resolve")) => "no rule was asked about it",
        (Fate::DeadLetter, _) => "no record is kept any more of what was decided",
        (Fate::Compensation, _) if waits => "it waits; what is decided in the end is recorded",
        (Fate::Compensation, _) if repeated => {
            "it is the same as another one, and no rule was asked"
        }
        (Fate::Compensation, Some("resolve")) => "no rule was asked about it",
        (Fate::Compensation, _) => "no record is kept any more of what was decided",
        (Fate::Skipped | Fate::NotRead | Fate::Unknown, _) => "no rule was asked about it",
    };
    Again::NoRecord { sentence: sentence.to_owned() }
}

/// Why a record of the batch says nothing about this click.
pub(super) fn without_call(traces: &Traces, fate: Fate) -> Again {
    match without_record(traces, fate) {
        Again::NoRecord { .. } if fate == Fate::Charged => {
            let sentence = "the record of its batch does not name this charge".to_owned();
            Again::Damaged { sentence }
        }
        again => again,
    }
}

pub(super) fn decision(
    record: &DecisionRecord,
    clicks: usize,
    calls: Vec<CallShown>,
) -> DecisionShown {
    DecisionShown {
        decided_at: rfc3339(record.decided_at_us),
        generation: record.generation,
        first_offset: record.first_offset,
        next_offset: record.next_offset,
        clicks,
        calls,
    }
}

pub(super) fn history(row: &HistoryEntry) -> HistoryShown {
    HistoryShown {
        place: row.place.clone(),
        kind: row.kind.clone(),
        amount_micros: row.amount.0,
        balance_after_micros: row.balance_after.0,
        advertiser_id: row.advertiser.clone(),
        campaign_id: row.campaign.clone(),
        ad_id: row.ad.clone(),
        device_id: row.device.clone(),
        occurred_at: rfc3339(row.occurred_at_us),
        charged_at: rfc3339(row.created_at_us),
        budget_day: row.day.to_string(),
        price_source: row.price_source.clone(),
        reason: row.reason.clone(),
        generation: row.generation,
    }
}

pub(super) fn letter(row: &StoredDeadLetter) -> LetterShown {
    LetterShown {
        code: row.code.clone(),
        stage: row.stage.clone(),
        sentence: row.sentence.clone(),
        hint: Code::from_name(&row.code).map_or("", Code::hint).to_owned(),
        payload: row.payload.as_ref().map(|bytes| String::from_utf8_lossy(bytes).into_owned()),
        generation: row.generation,
        created_at: rfc3339(row.created_at_us),
    }
}

pub(super) fn compensation(entry: &CompensationEntry) -> CompensationShown {
    let (row, event) = (&entry.row, &entry.row.event);
    CompensationShown {
        id: entry.id,
        place: Place {
            topic: (*row.source.topic).to_owned(),
            incarnation: row.source.incarnation,
            partition: row.source.partition,
            offset: row.offset,
        },
        state: entry.state.clone(),
        reason: entry.settled_reason.clone(),
        detail: entry.detail.clone().filter(|detail| !detail.is_empty()),
        claimed_micros: event.claimed.0,
        refund_micros: entry.refund.0,
        advertiser_id: event.advertiser.clone(),
        campaign_id: event.campaign.clone(),
        ad_id: event.ad.clone(),
        device_id: event.device.clone(),
        duplicate_count: event.duplicate_count,
        timestamps: event.timestamps_us.iter().map(|at_us| rfc3339(*at_us)).collect(),
        detection_window: event.window.clone(),
        received_at: rfc3339(entry.received_at_us),
        settled_at: entry.settled_at_us.map(rfc3339),
        mismatch: entry.mismatch.clone(),
        refunded: entry.refunded.clone(),
    }
}

pub(super) fn crossing(row: &CrossingEntry) -> CrossingShown {
    CrossingShown {
        kind: row.kind.clone(),
        level_ppm: row.level_ppm,
        budget_micros: row.budget.0,
        spent_micros: row.spent.0,
        usage_ppm: row.usage_ppm,
        reason: row.reason.clone(),
        created_at: rfc3339(row.created_at_us),
    }
}

pub(super) fn message(row: &Delivery) -> MessageShown {
    MessageShown {
        key: row.key.clone(),
        kind: row.kind.clone(),
        to: format!("{} {}", row.channel, row.route),
        title: row.title.clone(),
        state: row.outcome.map_or("WAITING", Outcome::as_str).to_owned(),
        created_at: rfc3339(row.created_at_us),
        settled_at: row.settled_at_us.map(rfc3339),
    }
}

/// Micros as an amount of money for people.
pub(super) fn amount(micros: i64) -> tollgate_domain::money::Micros {
    tollgate_domain::money::Micros(micros)
}
