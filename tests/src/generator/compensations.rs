//! Compensations in the customer's schema for clicks that were repeated: honest ones, and every other sort.

use super::campaigns::Campaign;
use super::poison::Poison;
use super::{Fields, Generated, Kind, Repeat, decimal, instant, text, write};

/// What a compensation says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compensation {
    pub advertiser: String,
    pub campaign: String,
    pub ad: String,
    pub device: String,
    pub count: usize,
    pub refund_micros: i64,
    pub at_us: Vec<i64>,
    pub window: &'static str,
    /// When it was found out.
    pub found_at_us: i64,
}

/// How a compensation differs from an honest one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    Honest,
    /// Gives all of its clicks back, the first one too.
    Generous,
    /// Gives back less than its duplicates have cost.
    Mean,
    /// Claims more than its clicks have cost.
    TooLarge,
    /// Counts one click more than it names.
    Overcounted,
    /// Counts one click less than it names.
    Undercounted,
    /// Names an instant at which there was no click.
    Imagined,
    /// Names no instants.
    Untimed,
    /// Names no device and no ad, only the campaign.
    Anonymous,
    Nothing,
    UnknownCampaign,
    ForeignAdvertiser,
}

impl Sort {
    pub const ALL: [Self; 12] = [
        Self::Honest,
        Self::Generous,
        Self::Mean,
        Self::TooLarge,
        Self::Overcounted,
        Self::Undercounted,
        Self::Imagined,
        Self::Untimed,
        Self::Anonymous,
        Self::Nothing,
        Self::UnknownCampaign,
        Self::ForeignAdvertiser,
    ];

    /// Those that come to the same whenever they arrive: they wait for all of their clicks, or for none.
    pub const AT_ANY_TIME: [Self; 10] = [
        Self::Honest,
        Self::Generous,
        Self::Mean,
        Self::TooLarge,
        Self::Overcounted,
        Self::Undercounted,
        Self::Imagined,
        Self::Nothing,
        Self::UnknownCampaign,
        Self::ForeignAdvertiser,
    ];
}

impl Compensation {
    /// The honest one: all but the first click are given back.
    #[must_use]
    pub fn new(repeat: &Repeat, campaigns: &[Campaign], found_at_us: i64) -> Self {
        let campaign = &campaigns[repeat.campaign];
        let mut compensation = Self {
            advertiser: campaign.advertiser.clone(),
            campaign: campaign.id.clone(),
            ad: repeat.ad.clone(),
            device: repeat.device.clone(),
            count: repeat.at_us.len(),
            refund_micros: 0,
            at_us: repeat.at_us.clone(),
            window: "5_MINUTES",
            found_at_us,
        };
        compensation.refund_micros = campaign.cpc_micros * compensation.duplicates();
        compensation
    }

    /// Another sort of the same one.
    #[must_use]
    pub fn sort(mut self, sort: Sort) -> Self {
        let price = self.refund_micros / self.duplicates().max(1);
        match sort {
            Sort::Honest => {}
            Sort::Generous => self.refund_micros += price,
            Sort::Mean => self.refund_micros = (self.refund_micros / 3).max(1),
            Sort::TooLarge => self.refund_micros *= 1_000,
            Sort::Overcounted => self.count += 1,
            Sort::Undercounted => self.count -= 1,
            Sort::Imagined => {
                let last = self.at_us.last().copied().unwrap_or(self.found_at_us);
                self.at_us.push(last + 1);
                self.count += 1;
            }
            Sort::Untimed => self.at_us.clear(),
            Sort::Anonymous => {
                self.at_us.clear();
                self.device.clear();
                self.ad.clear();
            }
            Sort::Nothing => self.refund_micros = 0,
            Sort::UnknownCampaign => "campaign_unheard_of".clone_into(&mut self.campaign),
            Sort::ForeignAdvertiser => "advertiser_of_another".clone_into(&mut self.advertiser),
        }
        self
    }

    /// The event, ready to be produced.
    #[must_use]
    pub fn event(&self) -> Generated {
        let payload = Some(write(&self.fields()).into_bytes());
        Generated { kind: Kind::Compensation, key: self.advertiser.clone(), payload }
    }

    /// The event with some member left out, or written in another way.
    #[must_use]
    pub fn spoiled(&self, malformed: Malformed) -> Generated {
        let payload = malformed.payload(self.fields(), self.found_at_us);
        Generated { kind: Kind::Compensation, key: self.advertiser.clone(), payload }
    }

    fn duplicates(&self) -> i64 {
        i64::try_from(self.count).map_or(0, |count| (count - 1).max(0))
    }

    fn fields(&self) -> Fields {
        let times: Vec<String> = self.at_us.iter().map(|at_us| text(&instant(*at_us))).collect();
        let mut fields = vec![
            ("timestamp", text(&instant(self.found_at_us))),
            ("advertiser_id", text(&self.advertiser)),
            ("campaign_id", text(&self.campaign)),
            ("ad_id", text(&self.ad)),
            ("device_id", text(&self.device)),
            ("duplicate_click_count", self.count.to_string()),
            ("refund_amount", decimal(self.refund_micros)),
            ("original_click_timestamps", format!("[{}]", times.join(","))),
            ("detection_window", text(self.window)),
            ("reason", text("DUPLICATE_CLICK_DETECTED")),
            ("compensation_type", text("BALANCE_REFUND")),
        ];
        fields.retain(|(_, value)| value != "\"\"");
        fields
    }
}

/// A class of compensation that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Malformed {
    /// As clicks can be.
    Like(Poison),
    NoAmount,
    NoCount,
    CountAsText,
    CountNegative,
    CountFraction,
    TimesNoList,
    TimeNoText,
    TimeUnparsable,
    TimeFarPast,
    TimeFarFuture,
    TimesTooMany,
}

impl Malformed {
    /// Classes of clicks that mean something here: a campaign or an advertiser may be unknown yet when it comes in.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let known_later = [Poison::UnknownCampaign, Poison::ForeignAdvertiser];
        let like = Poison::SMALL.into_iter().filter(|class| !known_later.contains(class));
        like.map(Self::Like)
            .chain([
                Self::NoAmount,
                Self::NoCount,
                Self::CountAsText,
                Self::CountNegative,
                Self::CountFraction,
                Self::TimesNoList,
                Self::TimeNoText,
                Self::TimeUnparsable,
                Self::TimeFarPast,
                Self::TimeFarFuture,
                Self::TimesTooMany,
            ])
            .collect()
    }

    /// Code of the dead letter that it must become.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Like(class) => class.code(),
            Self::NoAmount | Self::NoCount => "MISSING_FIELD",
            Self::CountAsText => "NUMBER_AS_TEXT",
            Self::CountNegative => "NUMBER_NEGATIVE",
            Self::CountFraction => "NUMBER_TOO_PRECISE",
            Self::TimesNoList | Self::TimeNoText => "WRONG_TYPE",
            Self::TimeUnparsable => "TIMESTAMP_UNPARSABLE",
            Self::TimeFarPast => "TIMESTAMP_TOO_OLD",
            Self::TimeFarFuture => "TIMESTAMP_IN_FUTURE",
            Self::TimesTooMany => "TEXT_TOO_LONG",
        }
    }

    fn payload(self, mut fields: Fields, at_us: i64) -> Option<Vec<u8>> {
        const DAY_US: i64 = 24 * 3_600 * 1_000_000;
        let times = "original_click_timestamps";
        let count = "duplicate_click_count";
        let (name, value) = match self {
            Self::Like(class) => return class.payload(fields, at_us, ["refund_amount"; 2]),
            Self::NoAmount => ("refund_amount", None),
            Self::NoCount => (count, None),
            Self::CountAsText => (count, Some(text("3"))),
            Self::CountNegative => (count, Some("-3".to_owned())),
            Self::CountFraction => (count, Some("2.5".to_owned())),
            Self::TimesNoList => (times, Some(text(&instant(at_us)))),
            Self::TimeNoText => (times, Some(format!("[{}]", at_us / 1_000))),
            Self::TimeUnparsable => (times, Some(format!("[{}]", text("2026-13-45 10:30")))),
            Self::TimeFarPast => {
                (times, Some(format!("[{}]", text(&instant(at_us - 30 * DAY_US)))))
            }
            Self::TimeFarFuture => {
                (times, Some(format!("[{}]", text(&instant(at_us + 2 * DAY_US)))))
            }
            Self::TimesTooMany => {
                (times, Some(format!("[{}]", vec![text(&instant(at_us)); 101].join(","))))
            }
        };
        fields.retain(|(known, _)| *known != name);
        fields.extend(value.map(|value| (name, value)));
        Some(write(&fields).into_bytes())
    }
}
