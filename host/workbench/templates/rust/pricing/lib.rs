//! What a click costs: the campaign's price, and less at night.
//!
//! A quote may depend on its click and its campaign only, not on other clicks. Money is whole micros, a ratio is whole
//! parts per million (ppm); floats are refused.

use tollgate_sdk::about::{Description, Given, Needs, Param, Reason, Source};
use tollgate_sdk::click::{Click, Quote};
use tollgate_sdk::ratio::share_micros;

// Makes a module of this file: `describe`, `Params` and `price`.
tollgate_sdk::pricing_module!(crate);

// Every answer carries a reason; it stands in the ledger beside the charge. `Source` is a promise that the host checks:
// `Stored` charges exactly the database's price, `Cached` exactly the one in Redis, `Computed` what the rule works out.
const CACHED_PRICE: Reason =
    Reason::new(1, "CACHED_PRICE", Source::Cached, "Price of the campaign in Redis.");
const STORED_PRICE: Reason =
    Reason::new(2, "STORED_PRICE", Source::Stored, "Price of the campaign in the database.");
const NIGHT_DISCOUNT: Reason = Reason::new(
    3,
    "NIGHT_DISCOUNT",
    Source::Computed,
    "Less than the price of the campaign, because it is night where the campaign is.",
);

// What operators may set without a new module: name, default, bounds, and one line that explains it.
const PARAMS: &[Param] = &[
    Param::ratio("discount", 100_000)
        .between(0, 1_000_000)
        .help("Share of the price that is not charged at night."),
    Param::minutes("night_ends", 360)
        .between(0, 1_440)
        .help("Local time until which it is night; it begins at 00:00."),
];

/// What an operator may set.
#[derive(Clone, Debug)]
pub struct Params {
    pub discount_ppm: u32,
    pub night_ends: u32,
}

impl Params {
    #[must_use]
    pub fn read(given: &Given) -> Self {
        Self { discount_ppm: given.ratio_ppm("discount"), night_ends: given.whole("night_ends") }
    }
}

/// What the host reads when it admits the module. A rule is given only the facts that it needs.
#[must_use]
pub fn describe() -> Description {
    Description::new("{{name}}", "0.1.0")
        .needs(Needs::CACHED_PRICE.and(Needs::LOCAL_TIME))
        .params(PARAMS)
        .reasons(&[CACHED_PRICE, STORED_PRICE, NIGHT_DISCOUNT])
}

/// Prices one click.
#[must_use]
pub fn price(click: Click<'_>, params: &Params) -> Quote {
    let campaign = click.campaign();
    let (price_micros, reason) = match campaign.cached_price_micros() {
        Some(cached) if cached > 0 => (cached, &CACHED_PRICE),
        _ => (campaign.stored_price_micros(), &STORED_PRICE),
    };
    if u32::from(click.local_minute()) >= params.night_ends {
        return Quote::new(price_micros, reason);
    }
    // A price that is too large to be worked with is charged as it is.
    match share_micros(price_micros, params.discount_ppm) {
        Some(off) if off > 0 => Quote::new(price_micros - off, &NIGHT_DISCOUNT),
        _ => Quote::new(price_micros, reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tollgate_sdk::example::ClickExample;

    fn check(click: ClickExample<'_>, charge_micros: i64, reason: Reason) {
        let params = Params::read(&Given::defaults(PARAMS));
        let quote = click.ask(&describe(), |click| price(click, &params));
        assert_eq!(quote, Quote::new(charge_micros, &reason), "{click:?}");
    }

    #[test]
    fn clicks_of_the_night_cost_less() {
        let at = |local_minute| ClickExample { local_minute, ..ClickExample::default() };
        check(at(0), 900_000, NIGHT_DISCOUNT);
        check(at(359), 900_000, NIGHT_DISCOUNT);
        check(at(360), 1_000_000, STORED_PRICE);
    }
}
