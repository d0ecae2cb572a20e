//! Lost connections, silent servers and abandoned operations: nothing half-done, and never a wrong claim.

use std::time::Duration;

use sqlx::{Connection, Executor};
use tollgate_ledger::{Ledger, LedgerConfig, LedgerError, LockKeys};

use crate::support::plans::{Batch, click};
use crate::support::{GROUP, Kind, Site, acquire};

const KILL: &str = "SELECT pg_terminate_backend(pid)::text FROM pg_stat_activity \
    WHERE application_name = 'tollgate' AND datname = current_database()";

/// The backend dies while a batch is open or between batches.
async fn check_killed(shape: usize, locked: bool) {
    let site = Site::new(Kind::Postgres).await;
    let mut ledger = site.open_shape(shape).await;
    let mut batch = Batch::new(&acquire(&mut ledger, 0).await, vec![click(0, 1), click(1, 2)]);
    let rows = ledger.load(batch.keys()).await.unwrap();
    let campaigns = ledger.campaigns(&batch.campaigns).await.unwrap();
    let before = site.dump().await;
    if locked {
        let advances = batch.advances();
        let (advertisers, days) = (&batch.advertisers[..], &batch.days[..]);
        ledger
            .lock(LockKeys { generation: 1, advances: &advances, advertisers, days })
            .await
            .unwrap();
    }
    assert_eq!(site.rows(KILL).await, ["true"]);
    let error = ledger.apply(&batch.plan(&rows, &campaigns)).await.unwrap_err();
    assert_eq!(error.code(), "LEDGER_OUTAGE", "{error}");
    assert_eq!(ledger.clock_us().await.unwrap_err().code(), "LEDGER_OUTAGE", "it stays closed");
    ledger.reopen().await.unwrap();
    assert_eq!(ledger.progress(&[]).await.unwrap()[0].next_offset, 0);
    assert_eq!(site.dump().await, before);
    batch.charge(&mut ledger, locked).await.unwrap();
}

#[tokio::test]
async fn a_killed_backend_leaves_nothing() {
    check_killed(usize::MAX, false).await;
    check_killed(usize::MAX, true).await;
    check_killed(0, false).await;
    check_killed(0, true).await;
}

/// Somebody holds a row that the plan needs; the plan waits until something gives.
async fn waiting(site: &Site, config: LedgerConfig, kill: bool) -> (LedgerError, Ledger) {
    let mut ledger = Ledger::open(&config).await.unwrap();
    let batch = Batch::new(&acquire(&mut ledger, 0).await, vec![click(0, 1)]);
    let rows = ledger.load(batch.keys()).await.unwrap();
    let campaigns = ledger.campaigns(&batch.campaigns).await.unwrap();
    let mut blocker = site.pg().await;
    let mut taken = blocker.begin().await.unwrap();
    taken.execute("SELECT 1 FROM consumer_progress FOR UPDATE").await.unwrap();
    let plan = batch.plan(&rows, &campaigns);
    let killer = async {
        if kill {
            site.somebody_waits().await;
            site.rows(KILL).await;
        }
    };
    let (written, ()) = tokio::join!(ledger.apply(&plan), killer);
    taken.rollback().await.unwrap();
    (written.unwrap_err(), ledger)
}

#[tokio::test]
async fn a_wait_ends_with_the_right_claim() {
    let site = Site::new(Kind::Postgres).await;
    let short = Duration::from_millis(100);
    // What comes before the wait has to fit in, too, and no lock may end it.
    let longer = Duration::from_secs(3);
    let patient = || LedgerConfig { lock_timeout: Duration::from_secs(60), ..site.config() };

    let config = LedgerConfig { lock_timeout: short, ..site.config() };
    let (error, mut ledger) = waiting(&site, config, false).await;
    assert!(
        matches!(&error, LedgerError::Transient { sqlstate, .. } if sqlstate == "55P03"),
        "{error}"
    );
    ledger.clock_us().await.unwrap();

    let config = LedgerConfig { statement_timeout: longer, ..patient() };
    let (error, mut ledger) = waiting(&site, config, false).await;
    assert!(
        matches!(&error, LedgerError::Transient { sqlstate, .. } if sqlstate == "57014"),
        "{error}"
    );
    ledger.clock_us().await.unwrap();

    // The statement is its own transaction, so its fate is unknown.
    let (error, _) = waiting(&site, site.config(), true).await;
    assert!(matches!(error, LedgerError::Outage { outcome_unknown: true, .. }), "{error}");

    // In the large shape the commit was not sent yet.
    let config = LedgerConfig { copy_rows_min: 0, ..site.config() };
    let (error, _) = waiting(&site, config, true).await;
    assert!(matches!(error, LedgerError::Outage { outcome_unknown: false, .. }), "{error}");

    let config = LedgerConfig { deadline: longer, ..patient() };
    let (error, mut ledger) = waiting(&site, config, false).await;
    assert!(matches!(error, LedgerError::Outage { outcome_unknown: true, .. }), "{error}");
    assert_eq!(ledger.progress(&[]).await.unwrap_err().code(), "LEDGER_OUTAGE");
}

#[tokio::test]
async fn an_abandoned_operation_closes_the_connection() {
    let site = Site::new(Kind::Postgres).await;
    let mut ledger = site.open().await;
    let batch = Batch::new(&acquire(&mut ledger, 0).await, vec![click(0, 1)]);
    let mut blocker = site.pg().await;
    let mut taken = blocker.begin().await.unwrap();
    taken.execute("SELECT 1 FROM consumer_progress FOR UPDATE").await.unwrap();
    let advances = batch.advances();
    let (advertisers, days) = (&batch.advertisers[..], &batch.days[..]);
    let keys = LockKeys { generation: 1, advances: &advances, advertisers, days };
    tokio::select! {
        _ = ledger.lock(keys) => panic!("the row was free"),
        () = site.somebody_waits() => (),
    }
    taken.rollback().await.unwrap();
    assert_eq!(ledger.load(batch.keys()).await.unwrap_err().code(), "LEDGER_OUTAGE");
    ledger.reopen().await.unwrap();
    ledger.load(batch.keys()).await.unwrap();
}

#[tokio::test]
async fn addresses_are_judged_without_being_shown() {
    async fn check(url: &str, expected: &str) {
        let Err(error) = Ledger::open(&LedgerConfig::new(url, GROUP)).await else {
            panic!("{url} was opened");
        };
        assert_eq!(error.code(), expected, "{url}: {error}");
        assert!(!format!("{error} {error:?}").contains("secret"), "{error}");
    }
    check("mysql://root:secret@localhost/x", "LEDGER_ADDRESS").await;
    check("sqlite://", "LEDGER_ADDRESS").await;
    check("postgres://u:secret@localhost:port/x", "LEDGER_ADDRESS").await;
    check("postgres://u:secret@127.0.0.1:1/x?sslmode=disable", "LEDGER_OUTAGE").await;
    check("sqlite:///nowhere/at/all/ledger.db", "LEDGER_OUTAGE").await;
    let config = LedgerConfig::new("postgres://u:secret@h/x", GROUP);
    assert!(!format!("{config:?}").contains("secret"));
}
