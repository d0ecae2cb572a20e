use super::*;
use tollgate_sdk::campaign::CampaignTable;
use tollgate_sdk::click::{ClickTable, ClickTables};

const UNIT: i64 = tollgate_sdk::UNIT_MICROS;

fn check(stored: i64, cached: i64, expected: i64, reason: Reason) {
    let (stored, cached) = ([stored], [cached]);
    let tables = ClickTables {
        campaigns: CampaignTable {
            stored_price_micros: &stored,
            cached_price_micros: &cached,
            ..CampaignTable::default()
        },
        clicks: ClickTable { campaign: &[0], ..ClickTable::default() },
        ..ClickTables::default()
    };
    let params = Params::read(&Given::defaults(PARAMS));
    let quotes: Vec<Quote> = tables.rows().map(|click| price(click, &params)).collect();
    assert_eq!(quotes, [Quote::new(expected, &reason)], "stored {stored:?}, cached {cached:?}");
}

#[test]
fn a_sane_cached_price_wins_and_the_database_stands_in() {
    check(5 * UNIT, 7 * UNIT, 7 * UNIT, CACHED_PRICE);
    check(5 * UNIT, 1, 1, CACHED_PRICE);
    check(5 * UNIT, 1_000_000 * UNIT, 1_000_000 * UNIT, CACHED_PRICE);
    check(5 * UNIT, 1_000_000 * UNIT + 1, 5 * UNIT, CACHED_PRICE_ABSURD);
    check(5 * UNIT, i64::MAX, 5 * UNIT, CACHED_PRICE_ABSURD);
    check(5 * UNIT, 0, 5 * UNIT, CACHED_PRICE_ABSURD);
    check(5 * UNIT, -2, 5 * UNIT, CACHED_PRICE_ABSURD);
    check(5 * UNIT, -1, 5 * UNIT, STORED_PRICE);
    check(0, -1, 0, STORED_PRICE);
}

#[test]
#[should_panic(expected = "has to ask for it")]
fn a_fact_that_was_not_asked_for_cannot_be_read() {
    let tables = ClickTables {
        clicks: ClickTable { campaign: &[0], ..ClickTable::default() },
        ..ClickTables::default()
    };
    let _ = tables.rows().next().map(|click| click.local_minute());
}
