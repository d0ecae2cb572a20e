//! Cost per click × 1: the cached price when there is a sane one, else the price of the database.

use tollgate_sdk::about::{Description, Given, Needs, Param, Reason, Source};
use tollgate_sdk::click::{Click, Quote};

const CACHED_PRICE: Reason =
    Reason::new(1, "CACHED_PRICE", Source::Cached, "Price of the campaign in Redis.");
const STORED_PRICE: Reason = Reason::new(
    2,
    "STORED_PRICE",
    Source::Stored,
    "Price of the campaign in the database; Redis had none.",
);
const CACHED_PRICE_ABSURD: Reason = Reason::new(
    3,
    "CACHED_PRICE_ABSURD",
    Source::Stored,
    "Price of the campaign in the database; the one in Redis was out of bounds.",
);

const PARAMS: &[Param] = &[Param::units("cached_price_highest", 1_000_000)
    .between(1, 1_000_000_000_000_000)
    .help("Highest price that is believed when it comes from Redis; the lowest is above 0.")];

/// What an operator may set.
#[derive(Clone, Debug)]
pub struct Params {
    pub cached_price_highest_micros: i64,
}

impl Params {
    #[must_use]
    pub fn read(given: &Given) -> Self {
        Self { cached_price_highest_micros: given.number("cached_price_highest") }
    }
}

#[must_use]
pub fn describe() -> Description {
    Description::new("cost-per-click", "1.0.0")
        .needs(Needs::CACHED_PRICE)
        .params(PARAMS)
        .reasons(&[CACHED_PRICE, STORED_PRICE, CACHED_PRICE_ABSURD])
}

/// Prices one click.
#[must_use]
pub fn price(click: Click<'_>, params: &Params) -> Quote {
    let campaign = click.campaign();
    match campaign.cached_price_micros() {
        Some(cached) if cached > 0 && cached <= params.cached_price_highest_micros => {
            Quote::new(cached, &CACHED_PRICE)
        }
        Some(_) => Quote::new(campaign.stored_price_micros(), &CACHED_PRICE_ABSURD),
        None => Quote::new(campaign.stored_price_micros(), &STORED_PRICE),
    }
}

#[cfg(test)]
mod tests;
