//! The customer's topic of campaign events, from which ranking learns that a campaign was paused or resumed.

use serde::Serialize;
use serde_json::value::RawValue;
use tollgate_domain::book::{BUDGET_EXHAUSTED, Status};
use tollgate_domain::money::Micros;
use tollgate_ledger::CampaignCard;
use tollgate_stream::Publisher;

use super::{Attempt, Outgoing, rfc3339};

/// Name of the record header that carries the stable key, by which a reader can tell an event that comes twice.
const KEY_HEADER: &str = "tollgate-key";

/// A pause or resume takes a campaign out of its ranking or puts it back, whatever else it does. Too high an impact
/// costs ranking one computation; too low a one goes on showing ads that nobody pays for.
const IMPACT_UNKNOWN: &str = "HIGH";

/// A record of the topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Key of the record, so that all events of a ranking share a partition.
    pub key: String,
    /// JSON.
    pub payload: String,
}

/// The event `CAMPAIGN_STATUS_CHANGED`: the campaign as `card` has it, in `status` since `changed_at_us`, the ledger's
/// present when it changed. Not the time of the click that has led to it: a click may come late, and readers take the
/// newest event for the truth. What is not known is left out, and so is a time that is still to come where a pause is told:
/// readers let an event wait for it, and a pause holds at once.
#[must_use]
pub fn status_changed(card: &CampaignCard, status: Status, changed_at_us: i64) -> Event {
    let holds_at_once = |from_us: &i64| status != Status::Paused || *from_us <= changed_at_us;
    let effective_from_us = card.effective_from_us.filter(holds_at_once);
    let payload = StatusChanged {
        event_type: "CAMPAIGN_STATUS_CHANGED",
        timestamp: rfc3339(changed_at_us),
        campaign_id: &card.id,
        advertiser_id: &card.advertiser,
        product_id: known(&card.product_id),
        placement: known(&card.placement),
        category: known(&card.category),
        bid_price: card.bid.and_then(number),
        daily_budget: card.daily_budget.and_then(number),
        status: status.as_str(),
        paused_reason: (status == Status::Paused).then_some(BUDGET_EXHAUSTED),
        approval_status: known(&card.approval_status),
        targeting: card.targeting.as_deref().and_then(object),
        effective_from: effective_from_us.map(rfc3339),
        rtb_impact: known(&card.rtb_impact).unwrap_or(IMPACT_UNKNOWN),
    };
    // A struct of texts and JSON that was read before cannot fail to become JSON.
    let payload = serde_json::to_string(&payload).unwrap_or_default();
    Event { key: record_key(card), payload }
}

/// Writes events to the topic.
#[derive(Debug)]
pub struct CampaignEvents {
    pub publisher: Publisher,
    pub topic: String,
}

impl CampaignEvents {
    /// Writes a message whose title and body are the key and the payload of an [`Event`].
    pub async fn send(&self, message: &Outgoing<'_>) -> Attempt {
        let headers = [(KEY_HEADER, Some(message.key.as_bytes()))];
        let (key, payload) = (Some(message.title.as_bytes()), Some(message.body.as_bytes()));
        match self.publisher.send(&self.topic, key, payload, &headers).await {
            Ok(()) => Attempt::Sent,
            Err(error) if error.may_pass_later() => Attempt::failed(error.to_string()),
            Err(error) => Attempt::refused(error.to_string()),
        }
    }
}

/// The customer's schema.
#[derive(Serialize)]
struct StatusChanged<'a> {
    event_type: &'static str,
    timestamp: String,
    campaign_id: &'a str,
    advertiser_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    product_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    placement: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    category: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bid_price: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    daily_budget: Option<Box<RawValue>>,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    paused_reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    approval_status: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    targeting: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    effective_from: Option<String>,
    rtb_impact: &'a str,
}

/// As the ranking's key in Redis, `rtb:{placement}:{category}`, goes on.
fn record_key(card: &CampaignCard) -> String {
    match (known(&card.placement), known(&card.category)) {
        (None, None) => card.id.clone(),
        (placement, category) => {
            format!("{}:{}", placement.unwrap_or_default(), category.unwrap_or_default())
        }
    }
}

fn known(text: &Option<String>) -> Option<&str> {
    text.as_deref().filter(|text| !text.is_empty())
}

/// An amount as a JSON number, exactly: its decimal notation is one.
fn number(amount: Micros) -> Option<Box<RawValue>> {
    RawValue::from_string(amount.to_string()).ok()
}

/// JSON that is an object; anything else is not what the schema means.
fn object(json: &str) -> Option<&RawValue> {
    let value: &RawValue = serde_json::from_str(json).ok()?;
    value.get().starts_with('{').then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bare() -> CampaignCard {
        CampaignCard {
            id: "campaign_100".into(),
            advertiser: "advertiser_50".into(),
            time_zone: "Asia/Seoul".into(),
            daily_budget: None,
            cpc: Micros(300_000_000),
            bid: None,
            product_id: None,
            placement: None,
            category: None,
            approval_status: None,
            rtb_impact: None,
            targeting: None,
            effective_from_us: None,
        }
    }

    /// 2024-01-15T10:30:00Z
    const CHANGED_AT_US: i64 = 1_705_314_600_000_000;

    #[test]
    fn an_event_has_the_customers_schema() {
        let card = CampaignCard {
            daily_budget: Some(Micros(100_000_000_000)),
            bid: Some(Micros(1_500_250_000)),
            product_id: Some("product_200".into()),
            placement: Some("CATEGORY".into()),
            category: Some("전자제품/컴퓨터".into()),
            approval_status: Some("APPROVED".into()),
            rtb_impact: Some("MEDIUM".into()),
            targeting: Some(
                r#"{"device_types": ["MOBILE"], "share": 0.1000000000000000001}"#.into(),
            ),
            effective_from_us: Some(1_705_312_800_000_001),
            ..bare()
        };
        let event = status_changed(&card, Status::Paused, CHANGED_AT_US);
        assert_eq!(event.key, "CATEGORY:전자제품/컴퓨터");
        assert_eq!(
            event.payload,
            r#"{"event_type":"CAMPAIGN_STATUS_CHANGED","timestamp":"2024-01-15T10:30:00Z","campaign_id":"campaign_100","advertiser_id":"advertiser_50","product_id":"product_200","placement":"CATEGORY","category":"전자제품/컴퓨터","bid_price":1500.25,"daily_budget":100000,"status":"PAUSED","paused_reason":"BUDGET_EXHAUSTED","approval_status":"APPROVED","targeting":{"device_types": ["MOBILE"], "share": 0.1000000000000000001},"effective_from":"2024-01-15T10:00:00.000001Z","rtb_impact":"MEDIUM"}"#
        );
    }

    #[test]
    fn what_is_unknown_is_left_out() {
        let event = status_changed(&bare(), Status::Active, CHANGED_AT_US);
        assert_eq!(
            event.payload,
            r#"{"event_type":"CAMPAIGN_STATUS_CHANGED","timestamp":"2024-01-15T10:30:00Z","campaign_id":"campaign_100","advertiser_id":"advertiser_50","status":"ACTIVE","rtb_impact":"HIGH"}"#
        );
    }

    fn check_effective_from(from_us: i64, status: Status, expected: bool) {
        let card = CampaignCard { effective_from_us: Some(from_us), ..bare() };
        let payload = status_changed(&card, status, CHANGED_AT_US).payload;
        assert_eq!(payload.contains("effective_from"), expected, "{payload}");
    }

    #[test]
    fn a_pause_waits_for_nothing() {
        check_effective_from(CHANGED_AT_US, Status::Paused, true);
        check_effective_from(CHANGED_AT_US + 1, Status::Paused, false);
        check_effective_from(CHANGED_AT_US, Status::Active, true);
        check_effective_from(CHANGED_AT_US + 1, Status::Active, true);
    }

    fn check_key(placement: Option<&str>, category: Option<&str>, expected: &str) {
        let card = CampaignCard {
            placement: placement.map(str::to_owned),
            category: category.map(str::to_owned),
            ..bare()
        };
        assert_eq!(status_changed(&card, Status::Paused, CHANGED_AT_US).key, expected);
    }

    #[test]
    fn the_key_is_the_rankings() {
        check_key(Some("HOME"), Some("books"), "HOME:books");
        check_key(Some("HOME"), None, "HOME:");
        check_key(None, Some("books"), ":books");
        check_key(None, None, "campaign_100");
        check_key(Some(""), Some(""), "campaign_100");
    }

    fn check_amount(micros: i64, expected: &str) {
        let card = CampaignCard { daily_budget: Some(Micros(micros)), ..bare() };
        let payload = status_changed(&card, Status::Paused, CHANGED_AT_US).payload;
        assert!(payload.contains(&format!("\"daily_budget\":{expected},")), "{payload}");
        let parsed: serde_json::Value = serde_json::from_str(&payload).unwrap();
        assert!(parsed["daily_budget"].is_number());
    }

    #[test]
    fn amounts_are_exact() {
        check_amount(0, "0");
        check_amount(1, "0.000001");
        check_amount(1_500_000_000, "1500");
        check_amount(10_000_000, "10");
        check_amount(99_999_999_999_999_999, "99999999999.999999");
        check_amount(i64::MAX, "9223372036854.775807");
    }

    #[test]
    fn targeting_that_is_no_object_is_left_out() {
        for targeting in ["", "null", "[1]", "\"a\"", "{", "{\"a\":1} extra"] {
            let card = CampaignCard { targeting: Some(targeting.into()), ..bare() };
            let payload = status_changed(&card, Status::Paused, CHANGED_AT_US).payload;
            assert!(!payload.contains("targeting"), "{payload}");
        }
    }
}
