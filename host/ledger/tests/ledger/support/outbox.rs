//! Happenings and messages for tests.

use std::time::Duration;

use tollgate_ledger::{
    Delivery, DeliveryFilter, Ledger, NewDelivery, Outcome, Sending, State, Worded,
};

use super::{Kind, Site};

pub(crate) const NOW: Duration = Duration::ZERO;
pub(crate) const HOUR: Duration = Duration::from_secs(3_600);

/// A message to a route such as `slack:ops`.
pub(crate) fn message(key: &str, to: &str) -> NewDelivery {
    let (channel, route) = to.split_once(':').unwrap();
    NewDelivery {
        key: key.into(),
        channel: channel.into(),
        route: route.into(),
        severity: "warning".into(),
        title: format!("title of {key}"),
        body: "예산의 90 %".into(),
        delay: NOW,
        outcome: None,
        error: None,
        generation: 1,
    }
}

pub(crate) fn failed(attempts_max: u32) -> Sending {
    Sending::Failed { error: "no answer".into(), wait: HOUR, attempts_max }
}

impl Site {
    /// Writes a happening as a charging transaction would.
    pub(crate) async fn happen(&self, key: &str, kind: &str, payload: &str) {
        let sql = format!(
            "INSERT INTO outbox (dedup_key, kind, payload) VALUES ('{key}', '{kind}', '{payload}')"
        );
        self.sql(&sql).await;
    }

    /// Has a new happening of campaign_0 worded with these messages, `key>channel:route`, and gives their ids.
    pub(crate) async fn tell(&self, ledger: &mut Ledger, messages: &[&str]) -> Vec<i64> {
        let happening = messages[0];
        let day = "{\"campaign_id\": \"campaign_0\", \"day\": \"2026-11-21\"}";
        self.happen(happening, "BUDGET_WARNING", day).await;
        let row = ledger.happenings(100).await.unwrap().rows.pop().unwrap();
        assert_eq!(row.key, happening);
        let deliveries = messages.iter().map(|text| {
            let (key, to) = text.split_once('>').unwrap();
            message(key, to)
        });
        let worded = Worded { happening: row.id, deliveries: deliveries.collect() };
        ledger.word(&[worded]).await.unwrap();
        let keys = messages.iter().map(|text| text.split_once('>').unwrap().0);
        let mut ids = vec![];
        for key in keys {
            ids.push(delivery(ledger, key).await.id);
        }
        ids
    }

    /// An instant so many seconds from now, in SQL.
    pub(crate) fn instant(&self, seconds: i64) -> String {
        match self.kind {
            Kind::Postgres => format!("now() + INTERVAL '{seconds} seconds'"),
            Kind::Sqlite => {
                format!("CAST((unixepoch('subsec') + {seconds}) * 1000 AS INTEGER) * 1000")
            }
        }
    }

    /// Lets all routes be open from now on, as time would.
    pub(crate) async fn open_routes(&self) {
        self.sql(&format!("UPDATE relay_routes SET not_before = {}", self.instant(-1))).await;
    }

    /// The only column of a query that counts.
    pub(crate) async fn count(&self, from: &str) -> i64 {
        let sql = format!("SELECT CAST(count(*) AS TEXT) FROM {from}");
        self.rows(&sql).await[0].parse().unwrap()
    }
}

pub(crate) async fn all(ledger: &mut Ledger) -> Vec<Delivery> {
    let filter = DeliveryFilter { state: State::Any, limit: 1_000, ..DeliveryFilter::default() };
    ledger.deliveries(&filter).await.unwrap()
}

pub(crate) async fn delivery(ledger: &mut Ledger, key: &str) -> Delivery {
    let found = all(ledger).await.into_iter().find(|delivery| delivery.key == key);
    found.unwrap_or_else(|| panic!("there is no message {key}"))
}

/// `WAITING`, or what became of it.
pub(crate) async fn state(ledger: &mut Ledger, key: &str) -> &'static str {
    delivery(ledger, key).await.outcome.map_or("WAITING", Outcome::as_str)
}

/// What is due, as `channel:route=key,key channel:route=key`.
pub(crate) async fn due(ledger: &mut Ledger, limit: usize) -> String {
    let routes = ledger.due(limit, &|_, _| false).await.unwrap();
    let routes = routes.iter().map(|due| {
        let keys: Vec<_> = due.deliveries.iter().map(|delivery| delivery.key.as_str()).collect();
        format!("{}:{}={}", due.channel, due.route, keys.join(","))
    });
    routes.collect::<Vec<_>>().join(" ")
}
