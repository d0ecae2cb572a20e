//! Days of history: partitions are made, late and early days find theirs, and retired days stay in the sums.

use tollgate_domain::book::DayKey;
use tollgate_domain::compensation::CompensationEvent;
use tollgate_domain::day::Day;
use tollgate_domain::money::Micros;
use tollgate_ledger::{
    AuditScope, DaysReport, Expired, HistorySettings, Ledger, LedgerError, ReplayKeys,
    WaitingCompensation,
};

use crate::support::plans::{Batch, Held, TestClick, click};
use crate::support::refunds::{
    COMPENSATIONS, LATER, acquire_compensations, event, intake, paid, refused, rejected, store,
};
use crate::support::{Kind, Site, acquire};

crate::on_both!(
    retired_days_stay_in_the_sums,
    falsified_sums_are_found,
    nothing_is_retired_that_a_compensation_may_mean,
    what_was_paid_before_its_day_was_retired_is_not_paid_again
);

const KEEP: HistorySettings =
    HistorySettings { days_back: 9, days_ahead: 7, retention_days: 0, expired: Expired::Drop };
const RETIRE: HistorySettings = HistorySettings { retention_days: 30, ..KEEP };

async fn today(ledger: &mut Ledger) -> i32 {
    i32::try_from(ledger.clock_us().await.unwrap() / 86_400_000_000).unwrap()
}

/// A click at noon of a day.
fn on(day: i32, campaign: usize, price: i64) -> TestClick {
    let at_us = (i64::from(day) * 24 + 12) * 3_600_000_000 + price;
    TestClick { day: Day(day), at_us, ..click(campaign, price) }
}

async fn charge(ledger: &mut Ledger, held: &mut Held, clicks: Vec<TestClick>) {
    let mut batch = Batch::new(held, clicks);
    batch.charge(ledger, false).await.unwrap();
    *held = batch.held;
}

async fn exact(site: &Site) {
    let report = site.open().await.audit(&mut |_| ()).await.unwrap();
    assert!(report.is_exact(), "{report:#?}");
}

async fn count(site: &Site, table: &str) -> String {
    site.rows(&format!("SELECT CAST(count(*) AS TEXT) FROM {table}")).await.remove(0)
}

/// Where each row of history is, in order.
async fn places(site: &Site) -> Vec<String> {
    let sql = "SELECT tableoid::regclass::text FROM ad_balance_histories ORDER BY kafka_offset";
    site.rows(sql).await
}

fn table(day: i32) -> String {
    format!("ad_balance_histories_{}", Day(day).to_string().replace('-', ""))
}

#[tokio::test]
async fn late_and_early_days_land_right() {
    let site = Site::new(Kind::Postgres).await;
    let mut ledger = site.open().await;
    let mut held = acquire(&mut ledger, 0).await;
    let today = today(&mut ledger).await;
    let report = ledger.maintain_days(&KEEP).await.unwrap();
    assert_eq!((report.days_ahead, report.is_complete), (Some(7), true));
    let days = [today, today - 20, today + 30, today - 20, today + 1_000];
    charge(&mut ledger, &mut held, days.map(|day| on(day, 0, 3)).to_vec()).await;
    let default = "ad_balance_histories_default".to_owned();
    let late = [table(today), default.clone(), default.clone(), default.clone(), default.clone()];
    assert_eq!(places(&site).await, late);
    let report = ledger.maintain_days(&HistorySettings { days_ahead: 9, ..KEEP }).await.unwrap();
    let expected = DaysReport {
        made: [today + 8, today + 9, today - 20, today + 30].map(Day).to_vec(),
        moved_rows: 3,
        retired_rows: 0,
        // Nobody can have clicked in three years.
        default_rows: 1,
        days_ahead: Some(9),
        is_complete: true,
    };
    assert_eq!(report, expected);
    let found = [today, today - 20, today + 30, today - 20].map(table);
    assert_eq!(places(&site).await, [&found[..], &[default]].concat());
    charge(&mut ledger, &mut held, vec![on(today - 20, 1, 3), on(today + 8, 1, 3)]).await;
    assert_eq!(places(&site).await[5..], [table(today - 20), table(today + 8)]);
    exact(&site).await;
    // Every partition has the indexes and the settings, and no constraint of its own.
    let odd = "SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'ad_balance_histories'::regclass AND NOT (cardinality(c.reloptions) = 2
          AND (SELECT count(*) FROM pg_index x WHERE x.indrelid = c.oid AND x.indisvalid) = 3
          AND (SELECT count(*) FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'c') = 1)";
    assert!(site.rows(odd).await.is_empty(), "{:?}", site.rows(odd).await);
}

/// Two old days, one of them with a refund of its last charge, and today.
async fn old_site(kind: Kind) -> (Site, Held, i32) {
    let site = Site::new(kind).await;
    let mut ledger = site.open().await;
    let mut held = acquire(&mut ledger, 0).await;
    let today = today(&mut ledger).await;
    let clicks = [(today - 50, 0), (today - 49, 1), (today - 50, 0), (today, 0), (today - 50, 2)];
    let clicks = clicks.map(|(day, campaign)| on(day, campaign, 100 + 2 * campaign as i64));
    charge(&mut ledger, &mut held, clicks.to_vec()).await;
    ledger.first_sight(COMPENSATIONS, "TID-2", &[(0, 0)]).await.unwrap();
    let mut event = event(0, 100);
    event.timestamps_us = vec![clicks[0].at_us];
    event.occurred_at_us = clicks[0].at_us;
    store(&mut ledger, 0, &[event]).await;
    (site, held, today)
}

/// Pays what waits, for the earlier day.
async fn pay(site: &Site, today: i32) {
    let mut ledger = site.open().await;
    let waiting = ledger.waiting_compensations(1).await.unwrap().remove(0);
    let day = DayKey { campaign: "campaign_0".into(), day: Day(today - 50) };
    let facts = ledger.lock_refund(&waiting, &day, 1).await.unwrap().unwrap();
    assert_eq!(facts.charges.len(), 2);
    ledger.apply_refund(&paid(&waiting, &facts), LATER).await.unwrap();
}

async fn retired_days_stay_in_the_sums(kind: Kind) {
    for expired in [Expired::Drop, Expired::Detach] {
        // In Postgres, rows are retired from partitions in one case and from the default partition in the other.
        for with_partitions in [false, true] {
            let (site, mut held, today) = old_site(kind).await;
            pay(&site, today).await;
            let mut ledger = site.open().await;
            if with_partitions {
                ledger.maintain_days(&KEEP).await.unwrap();
            }
            exact(&site).await;
            let settings = HistorySettings { expired, ..RETIRE };
            let report = ledger.maintain_days(&settings).await.unwrap();
            assert_eq!((report.retired_rows, report.default_rows), (5, 0));
            exact(&site).await;
            assert_eq!(count(&site, "ad_balance_histories").await, "1");
            assert_eq!(count(&site, "refunded_charges").await, "0");
            let own_tables = with_partitions && kind == Kind::Postgres;
            let moved = if expired == Expired::Detach && !own_tables { "5" } else { "0" };
            assert_eq!(count(&site, "expired_history").await, moved);
            if expired == Expired::Detach && own_tables {
                assert_eq!(count(&site, &table(today - 50)).await, "4");
            }
            let again = ledger.maintain_days(&settings).await.unwrap();
            assert_eq!((again.made.len(), again.retired_rows), (0, 0));

            // Charging goes on, also on a retired day, which is retired again.
            let clicks = vec![on(today - 50, 0, 9), on(today, 1, 9)];
            charge(&mut ledger, &mut held, clicks).await;
            exact(&site).await;
            assert_eq!(ledger.maintain_days(&settings).await.unwrap().retired_rows, 1);
            exact(&site).await;
            let rows =
                "SELECT CAST(sum(row_count) AS TEXT) FROM retired_history WHERE type = 'DEDUCT'";
            assert_eq!(site.rows(rows).await, ["5"]);
        }
    }
}

async fn falsified_sums_are_found(kind: Kind) {
    let check = async |accident: &str, expected: &[&str]| {
        let (site, _, today) = old_site(kind).await;
        pay(&site, today).await;
        site.open().await.maintain_days(&RETIRE).await.unwrap();
        site.sql(accident).await;
        let report = site.open().await.audit(&mut |_| ()).await.unwrap();
        let wrong: Vec<_> = report.checks.iter().filter(|c| !c.ok).map(|c| c.name).collect();
        assert_eq!(wrong, expected, "{accident}");
    };
    check("UPDATE retired_history SET row_count = row_count + 0", &[]).await;
    check("UPDATE retired_history SET amount_micros = amount_micros - 1 WHERE campaign_id = 'campaign_1'", &["balances", "spend"]).await;
    check(
        "UPDATE retired_history SET amount_micros = amount_micros + 1 WHERE type = 'REFUND'",
        &["balances", "spend", "retired_refunds"],
    )
    .await;
    check(
        "UPDATE retired_history SET row_count = 3 WHERE campaign_id = 'campaign_1'",
        &["counters"],
    )
    .await;
    check("DELETE FROM retired_points WHERE advertiser_id = 'advertiser_1'", &["chain"]).await;
    check(
        "UPDATE compensations SET retired = false",
        &["refunds", "refunded_charges", "retired_refunds"],
    )
    .await;
    check(
        "UPDATE retired_history SET amount_micros = 1000 WHERE type = 'REFUND'",
        &["balances", "spend", "refund_bounds", "retired_refunds"],
    )
    .await;
}

async fn nothing_is_retired_that_a_compensation_may_mean(kind: Kind) {
    let (site, _, today) = old_site(kind).await;
    let mut ledger = site.open().await;
    assert_eq!(ledger.maintain_days(&RETIRE).await.unwrap().retired_rows, 0);
    pay(&site, today).await;
    assert_eq!(ledger.maintain_days(&RETIRE).await.unwrap().retired_rows, 5);
    exact(&site).await;
}

/// Three clicks on a retired day whose duplicates were paid back, and a compensation for two of them that was refused.
async fn refused_site(kind: Kind, settings: &HistorySettings) -> (Site, WaitingCompensation) {
    let site = Site::new(kind).await;
    let mut ledger = site.open().await;
    let mut held = acquire(&mut ledger, 0).await;
    let first = on(today(&mut ledger).await - 50, 0, 100);
    let clicks = (0..3).map(|at| TestClick { at_us: first.at_us + at, ..first.clone() });
    let clicks: Vec<_> = clicks.collect();
    let timestamps_us: Vec<_> = clicks.iter().map(|click| click.at_us).collect();
    charge(&mut ledger, &mut held, clicks).await;
    if settings.days_back > 0 {
        ledger.maintain_days(&KEEP).await.unwrap();
    }
    ledger.first_sight(COMPENSATIONS, "TID-2", &[(0, 0)]).await.unwrap();
    let occurred_at_us = timestamps_us[2];
    let all = CompensationEvent {
        duplicate_count: 3,
        claimed: Micros(200),
        timestamps_us,
        occurred_at_us,
        ..event(0, 100)
    };
    let timestamps_us = all.timestamps_us[1..].to_vec();
    let some = CompensationEvent {
        duplicate_count: 2,
        claimed: Micros(100),
        timestamps_us,
        ..all.clone()
    };
    store(&mut ledger, 0, &[all, some]).await;
    let mut waiting = ledger.waiting_compensations(2).await.unwrap();
    waiting.sort_by_key(|one| one.row.offset);
    let day = DayKey { campaign: "campaign_0".into(), day: first.day };
    let facts = ledger.lock_refund(&waiting[0], &day, 1).await.unwrap().unwrap();
    ledger.apply_refund(&paid(&waiting[0], &facts), LATER).await.unwrap();
    // Both are given back, and that is known.
    let facts = ledger.lock_refund(&waiting[1], &day, 1).await.unwrap().unwrap();
    assert_eq!(
        (facts.charges.iter().filter(|charge| charge.refunded).count(), facts.retired),
        (2, false)
    );
    ledger.apply_refund(&rejected(&waiting[1], 1), LATER).await.unwrap();
    let retired = ledger.maintain_days(settings).await.unwrap().retired_rows;
    assert_eq!((retired, &*count(&site, "refunded_charges").await), (4, "0"));
    (site, waiting.remove(1))
}

async fn what_was_paid_before_its_day_was_retired_is_not_paid_again(kind: Kind) {
    for (expired, days_back) in [(Expired::Drop, 9), (Expired::Detach, 9), (Expired::Drop, 0)] {
        let settings = HistorySettings { expired, days_back, ..RETIRE };
        let (site, refusal) = refused_site(kind, &settings).await;
        let mut ledger = site.open().await;
        let letter = ledger.unpublished_dead_letters(1, &[]).await.unwrap().remove(0).key();
        let back = ledger.put_back(std::slice::from_ref(&letter), "all", "why").await.unwrap();
        assert_eq!(back.len(), 1);
        let waiting = ledger.waiting_compensations(1).await.unwrap().remove(0);
        assert_eq!(waiting.row.offset, refusal.row.offset);
        let day = DayKey {
            campaign: "campaign_0".into(),
            day: Day::utc(waiting.row.event.timestamps_us[0]),
        };
        let facts = ledger.lock_refund(&waiting, &day, 1).await.unwrap().unwrap();
        // The wanted click would pay for it.
        assert_eq!((facts.charges.len(), facts.state.spent, facts.retired), (0, Micros(100), true));
        let plan = refused(&waiting, &facts);
        assert_eq!((plan.state, &*plan.reason), ("REJECTED", "DAY_RETIRED"));
        ledger.apply_refund(&plan, LATER).await.unwrap();
        let letters = ledger.open_dead_letters(&[letter]).await.unwrap();
        assert_eq!((&*letters[0].code, letters[0].attempts), ("DAY_RETIRED", 2));
        exact(&site).await;
    }
}

/// A compensation comes in when its day is about to be retired, and when it is put back, nobody may be about to.
#[tokio::test]
async fn a_compensation_that_comes_in_keeps_its_day() {
    for with_partitions in [false, true] {
        let (site, _, today) = old_site(Kind::Postgres).await;
        pay(&site, today).await;
        let mut ledger = site.open().await;
        if with_partitions {
            ledger.maintain_days(&KEEP).await.unwrap();
        }
        let held = acquire_compensations(&mut ledger, 0).await;
        let at_us = on(today - 50, 0, 100).at_us;
        let other = CompensationEvent {
            timestamps_us: vec![at_us],
            occurred_at_us: at_us,
            window: "1h".into(),
            ..event(0, 100)
        };
        let plan = intake(&held, &[other]);
        let table =
            if with_partitions { table(today - 50) } else { "ad_balance_histories_default".into() };
        let mut blocker = site.pg().await;
        let mut open = sqlx::Connection::begin(&mut blocker).await.unwrap();
        let sql = format!("LOCK TABLE {table} IN ROW EXCLUSIVE MODE");
        sqlx::Executor::execute(&mut *open, &*sql).await.unwrap();
        let mut retiring = site.open().await;
        let come_in = async {
            site.somebody_waits().await;
            ledger.apply(&plan).await.unwrap();
            open.commit().await.unwrap();
        };
        let (report, ()) = tokio::join!(retiring.maintain_days(&RETIRE), come_in);
        report.unwrap();
        let of_the_day = format!(
            "SELECT CAST(count(*) AS text) FROM ad_balance_histories WHERE budget_day = '{}'",
            Day(today - 50)
        );
        assert_eq!(site.rows(&of_the_day).await, ["4"]);
        exact(&site).await;
    }
}

#[tokio::test]
async fn nobody_retires_days_while_letters_are_replayed() {
    let settings = HistorySettings { days_back: 0, ..RETIRE };
    let (site, _) = refused_site(Kind::Postgres, &settings).await;
    let (mut ledger, mut retiring) = (site.open().await, site.open().await);
    let mut held = acquire(&mut retiring, 1).await;
    let old = on(today(&mut retiring).await - 50, 1, 100);
    charge(&mut retiring, &mut held, vec![old]).await;
    let letters = [ledger.unpublished_dead_letters(1, &[]).await.unwrap().remove(0).key()];
    let keys = ReplayKeys { generation: 1, letters: &letters, advertisers: &[], days: &[] };
    ledger.lock_letters(keys).await.unwrap();
    let report = retiring.maintain_days(&settings).await.unwrap();
    assert_eq!((report.retired_rows, report.is_complete), (0, false));
    ledger.rollback().await.unwrap();
    assert_eq!(retiring.maintain_days(&settings).await.unwrap().retired_rows, 1);

    // Whoever puts letters back waits for the turn of whoever retires days.
    let mut other = site.pg().await;
    let mut open = sqlx::Connection::begin(&mut other).await.unwrap();
    let turn = "SELECT pg_advisory_xact_lock(7205759403792793601)";
    sqlx::Executor::execute(&mut *open, turn).await.unwrap();
    let end = async {
        site.somebody_waits().await;
        open.rollback().await.unwrap();
    };
    let (back, ()) = tokio::join!(ledger.put_back(&letters, "all", "why"), end);
    assert_eq!(back.unwrap(), letters);
}

/// Charges on many days until it is told to stop, as the host does: what was not written is tried again.
async fn charge_on(site: &Site, today: i32, stop: &std::cell::Cell<bool>) -> usize {
    let mut ledger = site.open().await;
    let mut batch = Batch::new(&acquire(&mut ledger, 0).await, vec![]);
    let mut written = 0;
    while !stop.get() {
        let day = [today, today + 1, today - 50, today + 40 + (written % 90) as i32][written % 4];
        batch = Batch::new(&batch.held, vec![on(day, written % 4, 2)]);
        match batch.charge(&mut ledger, false).await {
            Ok(()) => written += 1,
            Err(LedgerError::Transient { .. } | LedgerError::Stale(_)) => (),
            Err(error) => panic!("{error}"),
        }
    }
    written
}

#[tokio::test]
async fn hosts_maintain_while_clicks_are_charged() {
    let site = Site::new(Kind::Postgres).await;
    let today = today(&mut site.open().await).await;
    let stop = std::cell::Cell::new(false);
    let maintain = async |ahead: i32| {
        let mut ledger = site.open().await;
        let mut made = 0;
        for round in 0..20 {
            let settings = HistorySettings { days_ahead: ahead + round, ..RETIRE };
            // A table that is in use is left for the next time.
            loop {
                let report = ledger.maintain_days(&settings).await.unwrap();
                made += report.made.len();
                if report.is_complete {
                    break;
                }
            }
        }
        made
    };
    let both = async {
        let made = tokio::join!(maintain(8), maintain(8));
        stop.set(true);
        made
    };
    let (written, made) = tokio::join!(charge_on(&site, today, &stop), both);
    assert!(written > 0 && made.0 + made.1 >= 20, "{written} {made:?}");
    let mut ledger = site.open().await;
    let report = loop {
        // Vacuum, too, uses tables.
        let report = ledger.maintain_days(&RETIRE).await.unwrap();
        if report.is_complete {
            break report;
        }
    };
    assert_eq!(report.default_rows, 0);
    assert!(report.days_ahead >= Some(27), "{report:?}");
    exact(&site).await;
    let charged = "SELECT CAST(sum(row_count) AS text) FROM history_sums";
    assert_eq!(site.rows(charged).await, [written.to_string()]);
}

/// A click is on its way to the default partition when its day gets a partition: it is tried again, and no dead letter.
#[tokio::test]
async fn a_click_meets_its_new_partition() {
    for copy_rows_min in [0, usize::MAX] {
        let site = Site::new(Kind::Postgres).await;
        let mut ledger = site.open_shape(copy_rows_min).await;
        let mut held = acquire(&mut ledger, 0).await;
        let day = today(&mut ledger).await + 40;
        let mut maintainer = site.pg().await;
        let mut open = sqlx::Connection::begin(&mut maintainer).await.unwrap();
        let sql = format!(
            "LOCK TABLE ad_balance_histories_default IN ACCESS EXCLUSIVE MODE;
             CREATE TABLE new_day (LIKE ad_balance_histories INCLUDING DEFAULTS INCLUDING CONSTRAINTS);
             ALTER TABLE ad_balance_histories ATTACH PARTITION new_day FOR VALUES FROM ('{}') TO ('{}')",
            Day(day),
            Day(day + 1)
        );
        sqlx::Executor::execute(&mut *open, &*sql).await.unwrap();
        let mut batch = Batch::new(&held, vec![on(day, 0, 2)]);
        let commit = async {
            site.somebody_waits().await;
            open.commit().await.unwrap();
        };
        let (charged, ()) = tokio::join!(batch.charge(&mut ledger, false), commit);
        assert_eq!(charged.unwrap_err().code(), "LEDGER_TRANSIENT");
        charge(&mut ledger, &mut held, vec![on(day, 0, 2)]).await;
        assert_eq!(places(&site).await, ["new_day"]);
        exact(&site).await;
    }
}

/// A table in use is left alone, and nothing is lost by it.
#[tokio::test]
async fn a_table_in_use_is_left_for_the_next_time() {
    let (site, _, today) = old_site(Kind::Postgres).await;
    pay(&site, today).await;
    let mut reader = site.pg().await;
    let mut open = sqlx::Connection::begin(&mut reader).await.unwrap();
    let all = "SELECT count(*) FROM ad_balance_histories";
    sqlx::Executor::execute(&mut *open, all).await.unwrap();
    let mut ledger = site.open().await;
    let report = ledger.maintain_days(&KEEP).await.unwrap();
    assert_eq!((report.is_complete, report.moved_rows, report.default_rows), (false, 0, 5));
    open.rollback().await.unwrap();
    let report = ledger.maintain_days(&KEEP).await.unwrap();
    assert_eq!((report.is_complete, report.moved_rows, report.default_rows), (true, 5, 0));
    let mut open = sqlx::Connection::begin(&mut reader).await.unwrap();
    sqlx::Executor::execute(&mut *open, all).await.unwrap();
    let report = ledger.maintain_days(&RETIRE).await.unwrap();
    assert_eq!((report.is_complete, report.retired_rows), (false, 0));
    assert_eq!(count(&site, "retired_history").await, "0");
    open.rollback().await.unwrap();
    assert_eq!(ledger.maintain_days(&RETIRE).await.unwrap().retired_rows, 5);
    exact(&site).await;
}

/// Lets the commit of what retires a day wait for the lock of this connection.
async fn hold_retiring(site: &Site) -> sqlx::postgres::PgConnection {
    site.sql(
        "CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql SET lock_timeout = 0 AS $$
           BEGIN PERFORM pg_advisory_xact_lock(7); RETURN NULL; END $$;
         CREATE CONSTRAINT TRIGGER hold AFTER INSERT ON retired_history DEFERRABLE INITIALLY DEFERRED
           FOR EACH ROW EXECUTE FUNCTION hold()",
    )
    .await;
    let mut holder = site.pg().await;
    sqlx::Executor::execute(&mut holder, "SELECT pg_advisory_lock(7)").await.unwrap();
    holder
}

/// A day is detached and its sums are written, but not committed, when somebody begins to read: it sees the day or its sums.
#[tokio::test]
async fn who_reads_beside_a_retiring_day_sees_it_once() {
    let all = AuditScope::default();
    let one = AuditScope { advertiser: Some("advertiser_0".into()), ..AuditScope::default() };
    for scope in [Some(all), Some(one), None] {
        let (site, _, today) = old_site(Kind::Postgres).await;
        pay(&site, today).await;
        let (mut maintainer, mut reader) = (site.open().await, site.open().await);
        maintainer.maintain_days(&KEEP).await.unwrap();
        // Only history knows whose its money was.
        site.sql("DELETE FROM campaigns WHERE campaign_id = 'campaign_0'").await;
        let holder = hold_retiring(&site).await;
        let read = async {
            site.so_many_wait(1).await;
            match &scope {
                Some(scope) => {
                    let report = reader.audit_part(scope, &mut |_| ()).await.unwrap();
                    assert!(report.is_exact(), "{report:#?}");
                }
                None => {
                    let day = Day(today - 50);
                    let found = reader.statement("advertiser_0", day, 0).await.unwrap().unwrap();
                    let spent = found.spent_before.0 + found.spent.0 + found.spent_after.0;
                    assert_eq!(found.opening.0 - spent, found.balance.0);
                }
            }
        };
        let release = async {
            site.so_many_wait(2).await;
            drop(holder);
        };
        let (days, (), ()) = tokio::join!(maintainer.maintain_days(&RETIRE), read, release);
        days.unwrap();
        exact(&site).await;
    }
}

/// The second of two old days cannot be retired; the first one is, because nobody waits for several days at once.
#[tokio::test]
async fn each_day_is_retired_for_itself_in_sqlite() {
    let (site, _, today) = old_site(Kind::Sqlite).await;
    pay(&site, today).await;
    let hold = format!(
        "CREATE TRIGGER hold BEFORE INSERT ON retired_history WHEN NEW.budget_day = '{}'
         BEGIN SELECT RAISE(ABORT, 'not yet'); END",
        Day(today - 49)
    );
    site.sql(&hold).await;
    let mut ledger = site.open().await;
    ledger.maintain_days(&RETIRE).await.unwrap_err();
    let days = "SELECT budget_day FROM ad_balance_histories ORDER BY budget_day";
    let left = [today - 49, today].map(|day| Day(day).to_string());
    assert_eq!(site.rows(days).await, left);
    site.sql("DROP TRIGGER hold").await;
    exact(&site).await;
    assert_eq!(ledger.maintain_days(&RETIRE).await.unwrap().retired_rows, 1);
    assert_eq!(site.rows(days).await, left[1..]);
    exact(&site).await;
}
