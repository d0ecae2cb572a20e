//! Ordinary facts in any number, the same ones every time. Every row has a campaign of its own, which is the worst
//! case.

use tollgate_domain::facts::{
    ABSENT_MICROS, CampaignColumns, CampaignDayColumns, ClickColumns, CompensationColumns,
    MovementColumns, PricingFacts, RefundColumns, ThresholdFacts, day_state,
};
use tollgate_domain::fence::MessageLimits;
use tollgate_domain::notice::{Happening, HappeningFacts, HappeningKind};
use tollgate_domain::rule::{Needs, RuleError, World};
use tollgate_engine::{Question, Rule};

const UNIT: i64 = 1_000_000;

pub(super) enum BenchFacts {
    Pricing(PricingFacts),
    Threshold(ThresholdFacts),
    Refund(RefundColumns),
    Notification(Vec<Happening>),
}

impl BenchFacts {
    pub(super) fn new(world: World, needs: Needs, rows: usize) -> Self {
        let rows = Rows { needs, index: (0..u32::try_from(rows).unwrap_or(u32::MAX)).collect() };
        match world {
            World::Pricing => Self::Pricing(rows.pricing()),
            World::Threshold => Self::Threshold(rows.threshold()),
            World::Refund => Self::Refund(rows.refund()),
            World::Notification => Self::Notification(rows.index.iter().map(happening).collect()),
        }
    }

    pub(super) fn ask(&self, rule: &mut Rule) -> Result<(), RuleError> {
        match self {
            Self::Pricing(facts) => rule.price(facts).map(drop),
            Self::Threshold(facts) => rule.judge(facts).map(drop),
            Self::Refund(facts) => rule.decide(facts).map(drop),
            Self::Notification(happenings) => {
                rule.compose(happenings, MessageLimits::default()).map(drop)
            }
        }
    }

    pub(super) fn question(&self) -> Question<'_> {
        match self {
            Self::Pricing(facts) => Question::Price(facts),
            Self::Threshold(facts) => Question::Judge(facts),
            Self::Refund(facts) => Question::Decide(facts),
            Self::Notification(happenings) => Question::Compose(happenings),
        }
    }
}

struct Rows {
    needs: Needs,
    index: Vec<u32>,
}

/// Different texts of each kind: categories and search terms are few, devices are many.
const KINDS: [(&str, u32); 7] = [
    ("campaign", u32::MAX),
    ("advertiser", 50),
    ("category", 20),
    ("term", 200),
    ("device", u32::MAX),
    ("ad", 100),
    ("product", 1_000),
];

impl Rows {
    fn each<T>(&self, value: impl Fn(u32) -> T) -> Vec<T> {
        self.index.iter().map(|row| value(*row)).collect()
    }

    fn when<T>(&self, wanted: bool, value: impl Fn(u32) -> T) -> Vec<T> {
        if wanted { self.each(value) } else { Vec::new() }
    }

    /// Texts in the order of their kinds; index 0 is the empty one.
    fn texts(&self) -> Vec<String> {
        if !self.needs.texts {
            return Vec::new();
        }
        let mut texts = vec![String::new()];
        for (kind, different) in KINDS {
            let count = self.count(different);
            texts.extend((0..count).map(|number| format!("{kind}_{number}")));
        }
        texts
    }

    fn text(&self, wanted: &str) -> Vec<u32> {
        let mut first = 1;
        for (kind, different) in KINDS {
            let count = self.count(different);
            if kind == wanted {
                return self.when(self.needs.texts, |row| first + row % count);
            }
            first += count;
        }
        Vec::new()
    }

    fn count(&self, different: u32) -> u32 {
        u32::try_from(self.index.len()).unwrap_or(u32::MAX).min(different).max(1)
    }

    fn campaigns(&self) -> CampaignColumns {
        let cached = |row| if row % 5 == 0 { ABSENT_MICROS } else { price(row) + 1 };
        CampaignColumns {
            id: self.text("campaign"),
            advertiser: self.text("advertiser"),
            stored_price_micros: self.each(price),
            cached_price_micros: self.when(self.needs.cached_price, cached),
            balance_micros: self.when(self.needs.balance, |_| 1_000 * UNIT),
        }
    }

    fn days(&self) -> CampaignDayColumns {
        let counter =
            |row| if row % 3 == 0 { i64::from(row % 1_000) * UNIT } else { ABSENT_MICROS };
        CampaignDayColumns {
            campaign: self.index.clone(),
            day: self.each(|_| 20_778),
            daily_budget_micros: self.each(|_| 1_000 * UNIT),
            spent_micros: self.each(|row| i64::from(row % 1_000) * UNIT),
            counter_micros: self.when(self.needs.counter, counter),
            warned_ppm: self.each(|_| 0),
            pause_from_micros: self.each(|_| 500 * UNIT),
            state: self.each(|_| day_state::TODAY),
        }
    }

    fn pricing(&self) -> PricingFacts {
        let local = self.needs.local_time;
        PricingFacts {
            texts: self.texts(),
            campaigns: self.campaigns(),
            clicks: ClickColumns {
                campaign: self.index.clone(),
                occurred_at_ms: self.each(|row| 1_790_000_000_000 + u64::from(row)),
                bid_micros: self.each(|row| if row % 4 == 0 { ABSENT_MICROS } else { price(row) }),
                actual_micros: self.each(|_| ABSENT_MICROS),
                placement: self.each(|row| (row % 5).to_le_bytes()[0]),
                local_minute: self.when(local, |row| u16::try_from(row % 1_440).unwrap_or(0)),
                weekday: self.when(local, |row| (1 + row % 7).to_le_bytes()[0]),
                category: self.text("category"),
                search_term: self.text("term"),
                device: self.text("device"),
                ad: self.text("ad"),
                product: self.text("product"),
            },
        }
    }

    fn threshold(&self) -> ThresholdFacts {
        let movements =
            MovementColumns { campaign_day: self.index.clone(), amount_micros: self.each(price) };
        ThresholdFacts {
            texts: self.texts(),
            campaigns: self.campaigns(),
            days: self.days(),
            movements,
        }
    }

    fn refund(&self) -> RefundColumns {
        let matched = self.needs.matched_charges;
        let spent = |row| i64::from(row % 1_000) * UNIT;
        let compensations = CompensationColumns {
            campaign_day: self.index.clone(),
            claimed_micros: self.each(price),
            duplicate_count: self.each(|_| 2),
            timestamp_count: self.each(|_| 2),
            refundable_micros: self.each(spent),
            matched_micros: self.when(matched, |row| 2 * price(row)),
            matched_count: self.when(matched, |_| 2),
            matched_refunded_micros: self.when(matched, |_| 0),
            matched_generation: self.when(matched, |_| 1),
            clicks_complete: self.each(|row| u8::from(row % 10 != 0)),
            device: self.text("device"),
            ad: self.text("ad"),
        };
        RefundColumns {
            texts: self.texts(),
            campaigns: self.campaigns(),
            days: self.days(),
            compensations,
        }
    }
}

fn price(row: u32) -> i64 {
    UNIT + i64::from(row % 7) * 10_000
}

fn happening(row: &u32) -> Happening {
    let row = *row;
    let kind = HappeningKind::ALL[row as usize % HappeningKind::ALL.len()];
    Happening {
        kind,
        facts: HappeningFacts {
            campaign_id: format!("campaign_{row}"),
            advertiser_id: format!("advertiser_{}", row % 50),
            day: "2026-11-21".to_owned(),
            today: !row.is_multiple_of(8),
            level_ppm: 900_000,
            usage_ppm: 912_345,
            spent_micros: Some(912_345_000),
            daily_budget_micros: Some(1_000 * UNIT),
            reason: "LEDGER".to_owned(),
            count: 1,
            detail: "What happened, in a sentence of ordinary length for people to read."
                .to_owned(),
            ..HappeningFacts::default()
        },
        local_minute: u16::try_from(row % 1_440).unwrap_or(0),
        weekday: (1 + row % 7).to_le_bytes()[0],
        sent_today: row % 3,
        minutes_since_last: row.is_multiple_of(2).then_some(row % 600),
    }
}
