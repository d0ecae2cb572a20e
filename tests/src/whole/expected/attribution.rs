//! Each order to the last click before it.

use std::collections::BTreeMap;

use super::{Event, micros};
use crate::model::json::Json;

/// A conversion with the click that it is owed to. Absent texts are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Attributed {
    pub conversion_type: String,
    pub order: String,
    pub device: String,
    pub product: String,
    pub revenue_micros: Option<i64>,
    pub converted_at_us: i64,
    pub clicked_at_us: i64,
    pub ad: String,
    pub campaign: String,
    pub advertiser: String,
}

/// How long before a conversion a click may lie, at most.
const HOURS_MAX: i64 = 24;
const HOUR_US: i64 = 3_600_000_000;

/// What makes two conversions the same: the order and the type; else the device, the product, the time and the type.
type Key = (String, String, String, i64, String);

/// The conversions that clicks have led to, sorted.
#[must_use]
pub fn attributions(conversions: &[Event], ads: &[Event]) -> Vec<Attributed> {
    let mut clicks: BTreeMap<&str, Vec<&Event>> = BTreeMap::new();
    for event in ads.iter().filter(|event| event.text("event_type") == Some("CLICK")) {
        if let (Some(device), Some(_)) = (event.text("device_id"), event.text("campaign_id")) {
            clicks.entry(device).or_default().push(event);
        }
    }
    let mut in_order: Vec<&Event> = conversions.iter().collect();
    in_order.sort_by_key(|event| (event.at_us, event.place));
    let mut found: BTreeMap<Key, Attributed> = BTreeMap::new();
    for conversion in in_order {
        let (Some(device), Some(kind)) =
            (conversion.text("device_id"), conversion.text("conversion_type"))
        else {
            continue;
        };
        let known = clicks.get(device).map_or(&[][..], Vec::as_slice);
        let touches = known.iter().filter(|click| touches(click, conversion));
        let Some(last) = touches.max_by_key(|click| (click.at_us, click.place)) else { continue };
        // The first one that a click has led to counts.
        found
            .entry(key(conversion, device, kind))
            .or_insert_with(|| attributed(conversion, device, kind, last));
    }
    let mut all: Vec<_> = found.into_values().collect();
    all.sort();
    all
}

fn key(conversion: &Event, device: &str, kind: &str) -> Key {
    let text = |name| conversion.text(name).unwrap_or_default().to_owned();
    match conversion.text("order_id") {
        Some(order) => (order.to_owned(), String::new(), String::new(), 0, kind.to_owned()),
        None => {
            let product = text("product_id");
            (String::new(), device.to_owned(), product, conversion.at_us, kind.to_owned())
        }
    }
}

fn touches(click: &Event, conversion: &Event) -> bool {
    let hours = match conversion.value("attribution_window") {
        Some(Json::Number(hours)) => micros(hours).map_or(HOURS_MAX, |hours| hours / 1_000_000),
        _ => HOURS_MAX,
    };
    let earliest_us = conversion.at_us - hours.min(HOURS_MAX) * HOUR_US;
    let product = conversion.text("product_id");
    (earliest_us..=conversion.at_us).contains(&click.at_us)
        && (product.is_none() || click.text("product_id") == product)
}

fn attributed(conversion: &Event, device: &str, kind: &str, click: &Event) -> Attributed {
    let text = |event: &Event, name| event.text(name).unwrap_or_default().to_owned();
    let product = conversion.text("product_id").or_else(|| click.text("product_id"));
    Attributed {
        conversion_type: kind.to_owned(),
        order: text(conversion, "order_id"),
        device: device.to_owned(),
        product: product.unwrap_or_default().to_owned(),
        revenue_micros: conversion.micros("revenue_amount"),
        converted_at_us: conversion.at_us,
        clicked_at_us: click.at_us,
        ad: text(click, "ad_id"),
        campaign: text(click, "campaign_id"),
        advertiser: text(click, "advertiser_id"),
    }
}
