//! Messages: worded once, sent in order and at their pace, given up loudly, and one relay among all hosts.

use std::time::Duration;

use tollgate_domain::money::Micros;
use tollgate_domain::notice::HappeningFacts;
use tollgate_ledger::{
    AdDetails, DeliveryFilter, Ledger, NewCampaign, NewDelivery, Outcome, Sending, State, Which,
    Worded,
};

use crate::support::outbox::{HOUR, NOW, all, delivery, due, failed, message, state};
use crate::support::plans::{Batch, click, with_rare_parts};
use crate::support::{Kind, Site, acquire, campaign};

crate::on_both!(
    one_host_leads,
    whoever_publishes_dead_letters_need_not_send_messages,
    a_lease_is_written_again_when_half_of_it_is_over,
    happenings_come_one_of_each,
    facts_tell_what_was_sent,
    a_happening_shows_its_campaign,
    rows_by_hand_are_told_all_the_same,
    a_happening_is_worded_once,
    messages_are_due_in_order,
    a_route_keeps_its_pace,
    every_outcome_is_settled,
    what_is_settled_stays_settled,
    a_loss_is_told_once_an_hour,
    an_operator_retries_and_drops,
    deliveries_are_listed,
    dead_letters_are_told_exactly,
);

async fn one_host_leads(kind: Kind) {
    let site = Site::new(kind).await;
    let mut ledger = site.open().await;
    let lasting = HOUR;
    for (owner, expected) in [("a", true), ("b", false), ("a", true), ("b", false)] {
        assert_eq!(ledger.lead(owner, lasting).await.unwrap(), expected, "{owner}");
    }
    ledger.resign("b").await.unwrap();
    assert!(!ledger.lead("b", lasting).await.unwrap(), "nobody gives back the lease of another");
    ledger.resign("a").await.unwrap();
    assert!(ledger.lead("b", lasting).await.unwrap());
    assert!(!ledger.lead("a", lasting).await.unwrap());
    site.sql(&format!("UPDATE relay_lease SET lease_until = {}", site.instant(-1))).await;

    let racers = (0..8).map(|at| {
        let opened = site.config();
        tokio::spawn(async move {
            let mut ledger = Ledger::open(&opened).await.unwrap();
            ledger.lead(&format!("racer {at}"), HOUR).await.unwrap()
        })
    });
    let mut leaders = 0;
    for racer in racers.collect::<Vec<_>>() {
        leaders += usize::from(racer.await.unwrap());
    }
    assert_eq!(leaders, 1);
}

async fn whoever_publishes_dead_letters_need_not_send_messages(kind: Kind) {
    let site = Site::new(kind).await;
    let mut ledger = site.open().await;
    assert!(ledger.lead_dead_letters("a", HOUR).await.unwrap());
    assert!(ledger.lead("b", HOUR).await.unwrap());
    assert!(!ledger.lead_dead_letters("b", HOUR).await.unwrap());
    assert!(!ledger.lead("a", HOUR).await.unwrap());
    assert!(ledger.lead_watch("c", HOUR).await.unwrap());
    ledger.resign("a").await.unwrap();
    ledger.resign_dead_letters("b").await.unwrap();
    assert!(!ledger.lead_dead_letters("b", HOUR).await.unwrap());
    ledger.resign_dead_letters("a").await.unwrap();
    assert!(ledger.lead_dead_letters("b", HOUR).await.unwrap());
    assert!(!ledger.lead("a", HOUR).await.unwrap());
}

async fn a_lease_is_written_again_when_half_of_it_is_over(kind: Kind) {
    let site = Site::new(kind).await;
    let mut ledger = site.open().await;
    let until = async || site.rows("SELECT CAST(lease_until AS TEXT) FROM relay_lease").await;
    assert!(ledger.lead("a", HOUR).await.unwrap());
    let first = until().await;
    assert!(ledger.lead("a", HOUR).await.unwrap());
    assert_eq!(until().await, first);
    site.sql(&format!("UPDATE relay_lease SET lease_until = {}", site.instant(1_799))).await;
    let low = until().await;
    assert!(ledger.lead("a", HOUR).await.unwrap());
    assert!(until().await > low);
}

/// Happenings `kind campaign day`, in order, and the keys that are to be worded, turn by turn.
async fn check_turns(kind: Kind, limit: usize, happenings: &[&str], expected: &[&str]) {
    let site = Site::new(kind).await;
    let mut ledger = site.open().await;
    for (at, happening) in happenings.iter().enumerate() {
        let [kind, campaign, day] = happening.split('.').collect::<Vec<_>>()[..] else {
            panic!("{happening}");
        };
        let facts = HappeningFacts {
            campaign_id: campaign.into(),
            day: day.into(),
            ..HappeningFacts::default()
        };
        site.happen(&at.to_string(), kind, &facts.to_json()).await;
    }
    for turn in expected.iter().chain([&""]) {
        let rows = ledger.happenings(limit).await.unwrap().rows;
        let keys: Vec<_> = rows.iter().map(|row| row.key.as_str()).collect();
        assert_eq!(keys.join(" "), *turn, "{happenings:?}");
        let silence =
            |row: &tollgate_ledger::HappeningRow| Worded { happening: row.id, deliveries: vec![] };
        ledger.word(&rows.iter().map(silence).collect::<Vec<_>>()).await.unwrap();
    }
}

async fn happenings_come_one_of_each(kind: Kind) {
    check_turns(kind, 100, &[], &[]).await;
    check_turns(kind, 100, &["W.a.1", "W.b.1", "P.a.1", "W.a.2"], &["0 1 2 3"]).await;
    check_turns(kind, 100, &["W.a.1", "W.a.1", "W.b.1"], &["0 2", "1"]).await;
    check_turns(kind, 2, &["W.a.1", "W.b.1", "W.c.1"], &["0 1", "2"]).await;
    check_turns(kind, 1, &["W.a.1", "W.a.1", "W.b.1"], &["0", "1", "2"]).await;
    // A pause that has to wait must not be overtaken by the resume that follows it.
    check_turns(kind, 100, &["P.a.1", "P.a.1", "R.a.1", "R.b.1"], &["0 3", "1 2"]).await;
    // What concerns no campaign holds nothing up.
    check_turns(kind, 100, &["D..", "D..", "F..", "W.a.1"], &["0 2 3", "1"]).await;
}

async fn facts_tell_what_was_sent(kind: Kind) {
    let site = Site::new(kind).await;
    let mut ledger = site.open().await;
    /// What the next happening of this kind and day is told of earlier messages.
    async fn check(site: &Site, ledger: &mut Ledger, day: &str, messages: &[&str], expected: u32) {
        let key = format!("h{}", site.count("outbox").await);
        let payload = format!("{{\"campaign_id\": \"campaign_1\", \"day\": \"{day}\"}}");
        site.happen(&key, "BUDGET_WARNING", &payload).await;
        let happenings = ledger.happenings(9).await.unwrap();
        let row = &happenings.rows[0];
        assert_eq!(row.sent_today, expected, "{day} {messages:?}");
        assert_eq!(row.last_sent_us.is_some(), expected > 0);
        assert!(row.last_sent_us.is_none_or(|at| at <= happenings.now_us));
        let deliveries = messages.iter().enumerate().map(|(at, to)| NewDelivery {
            outcome: (at == 0).then_some(Outcome::Off),
            ..message(&format!("{key}#{at}"), to)
        });
        let worded = Worded { happening: row.id, deliveries: deliveries.collect() };
        ledger.word(&[worded]).await.unwrap();
    }
    check(&site, &mut ledger, "2026-11-20", &["slack:a"], 0).await;
    check(&site, &mut ledger, "2026-11-21", &[], 0).await;
    check(&site, &mut ledger, "2026-11-21", &["topic:t"], 0).await;
    check(&site, &mut ledger, "2026-11-21", &["slack:a", "slack:b", "email:c"], 0).await;
    check(&site, &mut ledger, "2026-11-21", &["email:c"], 1).await;
    check(&site, &mut ledger, "2026-11-21", &[], 2).await;
    check(&site, &mut ledger, "2026-11-20", &[], 1).await;
    // Without a day, the last 24 hours count.
    check(&site, &mut ledger, "", &["slack:a"], 0).await;
    check(&site, &mut ledger, "", &[], 1).await;
    let sql = format!("UPDATE deliveries SET created_at = {}", site.instant(-86_401));
    site.sql(&sql).await;
    check(&site, &mut ledger, "", &[], 0).await;
    check(&site, &mut ledger, "2026-11-20", &[], 1).await;
}

async fn a_happening_shows_its_campaign(kind: Kind) {
    let site = Site::new(kind).await;
    let mut ledger = site.open().await;
    let ad = AdDetails {
        product_id: Some("p1".into()),
        placement: Some("main".into()),
        category: Some("전자".into()),
        approval_status: Some("APPROVED".into()),
        targeting: Some("{\"age\": [20, 29]}".into()),
        effective_from_us: Some(1_795_219_200_123_457),
        rtb_impact: Some("HIGH".into()),
        bid: Some(Micros(1_500_000)),
    };
    ledger.put_campaigns(&[NewCampaign { ad: ad.clone(), ..campaign(1) }]).await.unwrap();
    for at in [1, 0, 9] {
        let payload = format!("{{\"campaign_id\": \"campaign_{at}\"}}");
        site.happen(&format!("h{at}"), "BUDGET_WARNING", &payload).await;
    }
    let happenings = ledger.happenings(9).await.unwrap();
    assert_eq!(happenings.generation, 1);
    let card = happenings.rows[0].campaign.clone().unwrap();
    assert_eq!(
        (&*card.id, &*card.advertiser, &*card.time_zone),
        ("campaign_1", "advertiser_1", "Asia/Seoul")
    );
    assert_eq!(
        (card.daily_budget, card.cpc, card.bid),
        (Some(Micros(10_000)), Micros(100), ad.bid)
    );
    assert_eq!((card.product_id, card.placement), (ad.product_id, ad.placement));
    assert_eq!((card.category, card.approval_status), (ad.category, ad.approval_status));
    assert_eq!((card.targeting, card.rtb_impact), (ad.targeting, ad.rtb_impact));
    assert_eq!(card.effective_from_us, ad.effective_from_us);
    let bare = happenings.rows[1].campaign.clone().unwrap();
    assert_eq!((bare.bid, bare.targeting, bare.effective_from_us), (None, None, None));
    assert_eq!(happenings.rows[2].campaign, None);

    let broken = AdDetails { targeting: Some("{".into()), ..AdDetails::default() };
    let error =
        ledger.put_campaigns(&[NewCampaign { ad: broken, ..campaign(2) }]).await.unwrap_err();
    assert_eq!(error.code(), "REFUSED_BY_DATABASE");
}

async fn rows_by_hand_are_told_all_the_same(kind: Kind) {
    let site = Site::new(kind).await;
    let mut ledger = site.open().await;
    let payloads = [
        "{}",
        "[]",
        "7",
        "\"text\"",
        "{\"occurred_at_us\": \"soon\"}",
        "{\"occurred_at_us\": 9223372036854775807}",
        "{\"occurred_at_us\": -9223372036854775808}",
        "{\"campaign_id\": 5, \"day\": null}",
    ];
    for (at, payload) in payloads.iter().enumerate() {
        site.happen(&at.to_string(), &format!("KIND_{at}"), payload).await;
    }
    let happenings = ledger.happenings(99).await.unwrap();
    assert_eq!(happenings.rows.len(), payloads.len());
    for row in happenings.rows {
        let nul = NewDelivery { body: "a \0".into(), ..message(&row.key, "slack:a") };
        ledger.word(&[Worded { happening: row.id, deliveries: vec![nul] }]).await.unwrap();
        let told = delivery(&mut ledger, &row.key).await;
        assert_eq!(
            (told.occurred_at_us, &*told.body),
            (row.created_at_us, "a \u{fffd}"),
            "{}",
            row.payload
        );
    }
}

async fn a_happening_is_worded_once(kind: Kind) {
    let site = Site::new(kind).await;
    let mut ledger = site.open().await;
    let facts = HappeningFacts {
        campaign_id: "campaign_0".into(),
        advertiser_id: "advertiser_0".into(),
        day: "2026-11-21".into(),
        occurred_at_us: 1_795_219_200_123_457,
        ..HappeningFacts::default()
    };
    site.happen("h", "CAMPAIGN_PAUSED", &facts.to_json()).await;
    let id = ledger.happenings(9).await.unwrap().rows[0].id;
    let worded = |key: &str, to: &str| Worded { happening: id, deliveries: vec![message(key, to)] };
    // Whole or not at all.
    let both = [worded("h#0", "slack:a"), Worded { happening: id, deliveries: vec![] }];
    let broken = Worded {
        happening: id,
        deliveries: vec![message("h#0", "slack:a"), message("h#1", "pigeon:a")],
    };
    assert_eq!(ledger.word(&[broken]).await.unwrap_err().code(), "REFUSED_BY_DATABASE");
    assert_eq!(
        (all(&mut ledger).await.len(), ledger.happenings(9).await.unwrap().rows.len()),
        (0, 1)
    );

    ledger.word(&both).await.unwrap();
    ledger.word(&[worded("h#9", "slack:a")]).await.unwrap();
    let mut told = all(&mut ledger).await;
    assert_eq!(told.len(), 1, "{told:?}");
    let told = told.remove(0);
    assert_eq!((&*told.key, &*told.happening, &*told.kind), ("h#0", "h", "CAMPAIGN_PAUSED"));
    assert_eq!(
        (&*told.campaign, &*told.advertiser, &*told.day),
        ("campaign_0", "advertiser_0", "2026-11-21")
    );
    assert_eq!((told.occurred_at_us, told.generation, told.attempts), (facts.occurred_at_us, 1, 0));
    assert_eq!(
        (&*told.title, &*told.body, &*told.severity),
        ("title of h#0", "예산의 90 %", "warning")
    );
    assert_eq!((told.outcome, told.settled_at_us, told.last_error.as_deref()), (None, None, None));
    assert!(!told.is_delayed());
    assert_eq!(ledger.outbox_depth().await.unwrap().unworded, 0);
    assert!(ledger.audit(&mut |_| ()).await.unwrap().is_exact());

    // Two relays at once: one of them words it.
    site.happen("twice", "CAMPAIGN_PAUSED", "{}").await;
    let id = ledger.happenings(9).await.unwrap().rows[0].id;
    let relays = (0..6).map(|at| {
        let config = site.config();
        tokio::spawn(async move {
            let mut ledger = Ledger::open(&config).await.unwrap();
            let deliveries = vec![message(&format!("twice#{at}"), "slack:a")];
            ledger.word(&[Worded { happening: id, deliveries }]).await.unwrap();
        })
    });
    for relay in relays.collect::<Vec<_>>() {
        relay.await.unwrap();
    }
    assert_eq!(site.count("deliveries WHERE happening = 'twice'").await, 1);
}

async fn messages_are_due_in_order(kind: Kind) {
    let site = Site::new(kind).await;
    let mut ledger = site.open().await;
    assert_eq!(due(&mut ledger, 9).await, "");
    site.tell(&mut ledger, &["1>slack:a", "2>email:a", "3>slack:b", "4>slack:a"]).await;
    site.tell(&mut ledger, &["5>slack:a", "6>topic:t"]).await;
    assert_eq!(due(&mut ledger, 9).await, "email:a=2 slack:a=1,4,5 slack:b=3 topic:t=6");
    assert_eq!(due(&mut ledger, 2).await, "email:a=2 slack:a=1,4 slack:b=3 topic:t=6");
    // What waits longest goes first, whenever it was written.
    site.sql(&format!(
        "UPDATE deliveries SET next_attempt_at = {} WHERE key = '5'",
        site.instant(-9)
    ))
    .await;
    assert_eq!(due(&mut ledger, 9).await, "email:a=2 slack:a=5,1,4 slack:b=3 topic:t=6");
    assert!(delivery(&mut ledger, "4").await.attempts == 0);

    site.happen("later", "BUDGET_WARNING", "{}").await;
    let id = ledger.happenings(9).await.unwrap().rows[0].id;
    let held_back = NewDelivery { delay: HOUR, ..message("7", "slack:a") };
    let for_ever = NewDelivery { delay: Duration::MAX, ..message("8", "slack:a") };
    let off = NewDelivery { outcome: Some(Outcome::Off), ..message("9", "slack:a") };
    ledger
        .word(&[Worded { happening: id, deliveries: vec![held_back, for_ever, off] }])
        .await
        .unwrap();
    assert_eq!(due(&mut ledger, 9).await, "email:a=2 slack:a=5,1,4 slack:b=3 topic:t=6");
    assert!(delivery(&mut ledger, "7").await.is_delayed());
    let depth = ledger.outbox_depth().await.unwrap();
    assert_eq!((depth.unworded, depth.waiting, depth.dead), (0, 8, 0));
    site.sql(&format!(
        "UPDATE deliveries SET created_at = {} WHERE key IN ('1', '7')",
        site.instant(-500)
    ))
    .await;
    site.sql(&format!(
        "UPDATE deliveries SET created_at = {} WHERE key = '7'",
        site.instant(-5_000)
    ))
    .await;
    let age = ledger.outbox_depth().await.unwrap().oldest_due_s;
    assert!((500..5_000).contains(&age), "{age}: what is held back is not late");
    assert_eq!(ledger.overview().await.unwrap().deliveries_waiting, 8);
}

async fn a_route_keeps_its_pace(kind: Kind) {
    let site = Site::new(kind).await;
    let (mut ledger, mut other) = (site.open().await, site.open().await);
    let ids = site.tell(&mut ledger, &["1>slack:a", "2>slack:b", "3>slack:a"]).await;
    assert!(ledger.begin_sending("slack", "a", &ids[..1], HOUR).await.unwrap());
    assert_eq!(due(&mut ledger, 9).await, "slack:b=2");
    assert!(
        !other.begin_sending("slack", "a", &ids[2..], NOW).await.unwrap(),
        "the pace holds for all hosts"
    );
    assert!(other.begin_sending("slack", "b", &ids[1..2], NOW).await.unwrap());
    assert!(ledger.begin_sending("slack", "b", &ids[1..2], NOW).await.unwrap(), "no gap, no wait");
    // Success does not open the route before its time.
    assert_eq!(ledger.settle("slack", "a", &ids[..1], &Sending::Sent).await.unwrap(), 0);
    assert_eq!(due(&mut ledger, 9).await, "slack:b=2");
    let mut attempts = vec![];
    for key in ["1", "2", "3"] {
        attempts.push(delivery(&mut ledger, key).await.attempts);
    }
    assert_eq!(attempts, [1, 2, 0]);
    site.open_routes().await;
    assert_eq!(due(&mut ledger, 9).await, "slack:a=3 slack:b=2");
    assert!(other.begin_sending("slack", "a", &ids[2..], NOW).await.unwrap());

    // Of many who want a route at once, one gets it.
    site.open_routes().await;
    let senders = (0..8).map(|_| {
        let (config, id) = (site.config(), ids[2]);
        tokio::spawn(async move {
            let mut ledger = Ledger::open(&config).await.unwrap();
            ledger.begin_sending("slack", "a", &[id], HOUR).await.unwrap()
        })
    });
    let mut began = 0;
    for sender in senders.collect::<Vec<_>>() {
        began += u32::from(sender.await.unwrap());
    }
    assert_eq!((began, delivery(&mut ledger, "3").await.attempts), (1, 2));
}

/// What becomes of a message and its route: state, attempts, last error; failures, error, open or closed; number of
/// messages given up, and of happenings about that.
async fn check_settled(kind: Kind, results: &[Sending], expected: &str) {
    let site = Site::new(kind).await;
    let mut ledger = site.open().await;
    let ids = site.tell(&mut ledger, &["m>slack:a"]).await;
    let mut given_up = 0;
    for result in results {
        site.open_routes().await;
        assert!(ledger.begin_sending("slack", "a", &ids, NOW).await.unwrap());
        given_up += ledger.settle("slack", "a", &ids, result).await.unwrap();
    }
    let told = delivery(&mut ledger, "m").await;
    let outcome = told.outcome.map_or("WAITING", Outcome::as_str);
    assert_eq!(told.outcome.is_some(), told.settled_at_us.is_some());
    let error = told.last_error.as_deref().unwrap_or("-");
    let closed =
        format!("CASE WHEN not_before > {} THEN 'closed' ELSE 'open' END", site.instant(60));
    let route = format!(
        "SELECT CAST(failures AS TEXT) || ', ' || coalesce(last_error, '-') || ', ' || {closed} FROM relay_routes"
    );
    let route = site.rows(&route).await.join(" ");
    let happenings = site.count("outbox WHERE kind = 'DELIVERY_FAILED'").await;
    let found = format!("{outcome} {}, {error}; {route}; {given_up} {happenings}", told.attempts);
    assert_eq!(found, expected, "{results:?}");
    assert_eq!(ledger.overview().await.unwrap().deliveries_dead, given_up as i64);
}

async fn every_outcome_is_settled(kind: Kind) {
    let busy = || Sending::Busy { error: "429".into(), wait: HOUR };
    let refused = || Sending::Refused { error: "404".into() };
    check_settled(kind, &[], "WAITING 0, -; ; 0 0").await;
    check_settled(kind, &[Sending::Sent], "SENT 1, -; 0, -, open; 0 0").await;
    check_settled(kind, &[failed(2)], "WAITING 1, no answer; 1, no answer, closed; 0 0").await;
    check_settled(kind, &[failed(2), failed(2)], "DEAD 2, no answer; 2, no answer, closed; 1 1")
        .await;
    check_settled(kind, &[failed(1)], "DEAD 1, no answer; 1, no answer, closed; 1 1").await;
    check_settled(kind, &[failed(9), Sending::Sent], "SENT 2, -; 0, -, open; 0 0").await;
    check_settled(kind, &[busy()], "WAITING 0, 429; 0, 429, closed; 0 0").await;
    check_settled(
        kind,
        &[busy(), busy(), failed(2)],
        "WAITING 1, no answer; 1, no answer, closed; 0 0",
    )
    .await;
    check_settled(kind, &[failed(9), busy()], "WAITING 1, 429; 1, 429, closed; 0 0").await;
    check_settled(kind, &[busy(), Sending::Sent], "SENT 1, -; 0, -, open; 0 0").await;
    check_settled(kind, &[refused()], "DEAD 1, 404; 0, -, open; 1 1").await;
    check_settled(kind, &[failed(9), refused()], "DEAD 2, 404; 1, no answer, open; 1 1").await;
}

async fn what_is_settled_stays_settled(kind: Kind) {
    let site = Site::new(kind).await;
    let mut ledger = site.open().await;
    let ids = site.tell(&mut ledger, &["1>slack:a", "2>slack:a"]).await;
    assert_eq!(ledger.drop_deliveries(&Which::Keys(vec!["1".into()]), "").await.unwrap(), 1);
    for result in [
        Sending::Sent,
        failed(0),
        Sending::Busy { error: "429".into(), wait: HOUR },
        Sending::Refused { error: "x".into() },
    ] {
        site.open_routes().await;
        assert!(ledger.begin_sending("slack", "a", &ids, NOW).await.unwrap());
        ledger.settle("slack", "a", &ids, &result).await.unwrap();
        let (dropped, sent) = (delivery(&mut ledger, "1").await, delivery(&mut ledger, "2").await);
        assert_eq!((dropped.outcome, dropped.attempts), (Some(Outcome::Dropped), 0), "{result:?}");
        assert_eq!((sent.outcome, sent.attempts), (Some(Outcome::Sent), 1), "{result:?}");
    }
    assert_eq!(site.count("outbox WHERE kind = 'DELIVERY_FAILED'").await, 0);
}

async fn a_loss_is_told_once_an_hour(kind: Kind) {
    let site = Site::new(kind).await;
    let mut ledger = site.open().await;
    let losses = "outbox WHERE kind = 'DELIVERY_FAILED'";
    let ids = site.tell(&mut ledger, &["1>slack:a", "2>slack:a", "3>email:a", "4>slack:a"]).await;
    assert_eq!(ledger.settle("slack", "a", &ids[..2], &failed(0)).await.unwrap(), 2);
    let hour =
        site.rows("SELECT substr(dedup_key, 25) FROM outbox WHERE kind = 'DELIVERY_FAILED'").await;
    let told = ledger.happenings(9).await.unwrap().rows.remove(0);
    assert_eq!(told.key, format!("delivery-failed:slack:a:{}", hour[0]));
    let now_us = ledger.clock_us().await.unwrap();
    let zone = tollgate_domain::day::Zone::new("UTC").unwrap();
    // Not when the hour has just changed.
    let hours = [now_us, now_us - 60_000_000].map(|at| {
        let local = zone.local_time(at);
        format!("{}T{:02}", local.day, local.minute / 60)
    });
    assert!(hours.contains(&hour[0]), "{hour:?} {hours:?}");
    let facts: HappeningFacts = serde_json::from_str(&told.payload).unwrap();
    assert_eq!(facts.count, 2);
    for part in ["slack route a", "message 1 ", "no answer", "`tollgate outbox list --state dead`"]
    {
        assert!(facts.detail.contains(part), "{part}: {}", facts.detail);
    }
    assert!((now_us - facts.occurred_at_us).abs() < 60_000_000);
    ledger.settle("slack", "a", &ids[3..], &failed(0)).await.unwrap();
    assert!(site.count(losses).await <= 2, "one, or two when the hour has just changed");
    ledger.settle("email", "a", &ids[2..3], &Sending::Refused { error: "x".into() }).await.unwrap();
    assert_eq!(site.count("outbox WHERE dedup_key LIKE 'delivery-failed:email:a:%'").await, 1);

    // Born dead counts as well, but a loss of the message about a loss is not told.
    let born = |key: &str, to: &str| NewDelivery {
        outcome: Some(Outcome::Dead),
        error: Some("no such route".into()),
        ..message(key, to)
    };
    site.happen("w", "BUDGET_WARNING", "{}").await;
    let before = site.count(losses).await;
    for row in ledger.happenings(9).await.unwrap().rows {
        let route = if row.key == "w" { "email:nowhere" } else { "email:told" };
        let worded =
            Worded { happening: row.id, deliveries: vec![born(&(row.key.clone() + "#0"), route)] };
        ledger.word(&[worded]).await.unwrap();
        assert_eq!(state(&mut ledger, &(row.key + "#0")).await, "DEAD");
    }
    assert_eq!(site.count(losses).await, before + 1);
    assert_eq!(
        site.count("outbox WHERE dedup_key LIKE 'delivery-failed:email:nowhere:%'").await,
        1
    );

    // The same holds when it was given up later.
    let row = ledger.happenings(9).await.unwrap().rows.remove(0);
    ledger
        .word(&[Worded { happening: row.id, deliveries: vec![message("loss", "email:late")] }])
        .await
        .unwrap();
    let id = delivery(&mut ledger, "loss").await.id;
    assert_eq!(ledger.settle("email", "late", &[id], &failed(0)).await.unwrap(), 1);
    assert_eq!(site.count("outbox WHERE dedup_key LIKE 'delivery-failed:email:late:%'").await, 0);
    assert!(ledger.audit(&mut |_| ()).await.unwrap().is_exact());
}

async fn an_operator_retries_and_drops(kind: Kind) {
    /// From a state, by an action, to a state; `1` when it was changed.
    async fn check(kind: Kind, from: &str, all_dead: bool, retry: bool, expected: &str) {
        let site = Site::new(kind).await;
        let mut ledger = site.open().await;
        let ids = site.tell(&mut ledger, &["m>slack:a", "other>slack:b"]).await;
        assert!(ledger.begin_sending("slack", "a", &ids[..1], NOW).await.unwrap());
        match from {
            "DEAD" => drop(ledger.settle("slack", "a", &ids[..1], &failed(0)).await.unwrap()),
            "SENT" => drop(ledger.settle("slack", "a", &ids[..1], &Sending::Sent).await.unwrap()),
            "FAILED" => drop(ledger.settle("slack", "a", &ids[..1], &failed(9)).await.unwrap()),
            "WAITING" => (),
            outcome => {
                let sql = format!("UPDATE deliveries SET outcome = '{outcome}' WHERE key = 'm'");
                site.sql(&sql).await;
            }
        }
        let which =
            if all_dead { Which::AllDead } else { Which::Keys(vec!["m".into(), "x".into()]) };
        let changed = if retry {
            ledger.retry_deliveries(&which, "because").await.unwrap()
        } else {
            ledger.drop_deliveries(&which, "because").await.unwrap()
        };
        let told = delivery(&mut ledger, "m").await;
        let open = due(&mut ledger, 9).await.contains("slack:a=m");
        let found = format!(
            "{changed} {} {} {}",
            told.outcome.map_or("WAITING", Outcome::as_str),
            told.attempts,
            if open { "due" } else { "-" }
        );
        assert_eq!(found, expected, "{from} {all_dead} {retry}");
        assert_eq!(told.outcome.is_none(), told.settled_at_us.is_none() && told.outcome.is_none());
        let actions = site.rows("SELECT action || ' ' || subject || ' ' || detail || ' ' || note FROM operator_actions").await;
        let action = if retry { "RETRY" } else { "DROP" };
        let subject = if all_dead { "all DEAD" } else { "m, x" };
        let line = format!("{action}_DELIVERIES {subject} 1 messages because");
        assert_eq!(actions, vec![line; changed as usize]);
        assert_eq!(state(&mut ledger, "other").await, "WAITING");
    }
    for (from, retried, dropped) in [
        ("DEAD", "1 WAITING 0 due", "1 DROPPED 1 -"),
        ("FAILED", "1 WAITING 0 due", "1 DROPPED 1 -"),
        ("WAITING", "1 WAITING 0 due", "1 DROPPED 1 -"),
        ("DROPPED", "1 WAITING 0 due", "0 DROPPED 1 -"),
        ("SENT", "0 SENT 1 -", "0 SENT 1 -"),
        ("OFF", "0 OFF 1 -", "0 OFF 1 -"),
    ] {
        check(kind, from, false, true, retried).await;
        check(kind, from, false, false, dropped).await;
    }
    check(kind, "DEAD", true, true, "1 WAITING 0 due").await;
    check(kind, "DEAD", true, false, "1 DROPPED 1 -").await;
    check(kind, "DROPPED", true, true, "0 DROPPED 1 -").await;
    check(kind, "FAILED", true, true, "0 WAITING 1 -").await;
    check(kind, "FAILED", true, false, "0 WAITING 1 -").await;
}

async fn deliveries_are_listed(kind: Kind) {
    let site = Site::new(kind).await;
    let mut ledger = site.open().await;
    let ids = site.tell(&mut ledger, &["1>slack:a", "2>email:a", "3>slack:a", "4>topic:t"]).await;
    ledger.settle("slack", "a", &ids[..1], &Sending::Sent).await.unwrap();
    ledger.settle("email", "a", &ids[1..2], &failed(0)).await.unwrap();
    site.sql("UPDATE deliveries SET campaign_id = 'campaign_3' WHERE key = '3'").await;
    let mut check =
        async |state: State, channel: &str, campaign: &str, limit: usize, expected: &str| {
            let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
            let filter =
                DeliveryFilter { state, channel: some(channel), campaign: some(campaign), limit };
            let found = ledger.deliveries(&filter).await.unwrap();
            let keys: Vec<_> = found.iter().map(|delivery| delivery.key.as_str()).collect();
            assert_eq!(keys.join(" "), expected, "{filter:?}");
        };
    check(State::Any, "", "", 9, "4 3 2 1").await;
    check(State::Any, "", "", 2, "4 3").await;
    check(State::Any, "", "", 0, "").await;
    check(State::Waiting, "", "", 9, "4 3").await;
    check(State::Settled(Outcome::Sent), "", "", 9, "1").await;
    check(State::Settled(Outcome::Dead), "", "", 9, "2").await;
    check(State::Settled(Outcome::Off), "", "", 9, "").await;
    check(State::Any, "slack", "", 9, "3 1").await;
    check(State::Waiting, "slack", "", 9, "3").await;
    check(State::Any, "", "campaign_3", 9, "3").await;
    check(State::Any, "email", "campaign_3", 9, "").await;
}

async fn dead_letters_are_told_exactly(kind: Kind) {
    let site = Site::new(kind).await;
    let mut ledger = site.open().await;
    assert!(!ledger.alert_dead_letters(NOW).await.unwrap(), "there are none");
    // Every batch leaves one more; whoever counts it first tells it.
    for partition in 0..4 {
        let held = acquire(&mut ledger, partition).await;
        let batch = Batch::new(&held, vec![click(partition as usize, 1)]);
        let rows = ledger.load(batch.keys()).await.unwrap();
        let campaigns = ledger.campaigns(&batch.campaigns).await.unwrap();
        let mut plan = batch.plan(&rows, &campaigns);
        with_rare_parts(&mut plan);
        plan.statuses.clear();
        ledger.apply(&plan).await.unwrap();
        if partition == 2 {
            // A topic that is created again takes its count along.
            let columns = "consumer_group, topic, kafka_partition, topic_id, first_offset, next_offset, charged, \
                skipped, dead, absent";
            let sql = format!(
                "INSERT INTO retired_progress (incarnation, {columns})
                 SELECT 7, {columns} FROM consumer_progress WHERE kafka_partition = 0"
            );
            site.sql(&sql).await;
        }
        let callers = (0..4).map(|_| {
            let config = site.config();
            tokio::spawn(async move {
                let mut ledger = Ledger::open(&config).await.unwrap();
                ledger.alert_dead_letters(NOW).await.unwrap()
            })
        });
        let mut told = 0;
        for caller in callers.collect::<Vec<_>>() {
            told += u32::from(caller.await.unwrap());
        }
        assert_eq!(told, 1, "{partition}");
        assert!(!ledger.alert_dead_letters(NOW).await.unwrap());
    }
    let payloads = site
        .rows("SELECT CAST(payload AS TEXT) FROM outbox WHERE kind = 'DEAD_LETTERS' ORDER BY id")
        .await;
    let facts: Vec<HappeningFacts> =
        payloads.iter().map(|payload| serde_json::from_str(payload).unwrap()).collect();
    assert_eq!(facts.iter().map(|facts| facts.count).collect::<Vec<_>>(), [1, 1, 2, 1]);
    assert!(
        facts[0].detail.starts_with("Mostly 1 NOT_JSON. Look with: tollgate dlq list"),
        "{}",
        facts[0].detail
    );

    site.sql("UPDATE consumer_progress SET dead = dead + 5").await;
    assert!(!ledger.alert_dead_letters(HOUR).await.unwrap(), "the last one is too young");
    site.sql(&format!("UPDATE alert_marks SET at = {}", site.instant(-3_601))).await;
    assert!(ledger.alert_dead_letters(HOUR).await.unwrap());
    assert!(!ledger.alert_dead_letters(HOUR).await.unwrap());
}
