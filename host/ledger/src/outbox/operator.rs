//! What an operator sees of the messages and does with them.

use super::count;
use super::sending::{COLUMNS, delivery_row};
use crate::dialect::{Arg, Dialect, change, rows, texts};
use crate::error::Result;
use crate::outbox_rows::{Delivery, DeliveryFilter, Outcome, State, Which};
use crate::session::ended;

/// A route that failed is open again. One that was closed for its pace or at the receiver's wish keeps its time.
const OPEN_ROUTES: &str = "
UPDATE relay_routes SET failures = 0, not_before = CASE WHEN failures > 0 THEN {now} ELSE not_before END
WHERE EXISTS (SELECT 1 FROM deliveries d WHERE d.channel = relay_routes.channel AND d.route = relay_routes.route AND ";

const RETRY: &str = "
UPDATE deliveries SET outcome = NULL, settled_at = NULL, attempts = 0, next_attempt_at = {now}
WHERE (outcome IS NULL OR outcome IN ('DEAD', 'DROPPED')) AND ";

const DROP: &str = "
UPDATE deliveries SET outcome = 'DROPPED', settled_at = {now} WHERE (outcome IS NULL OR outcome = 'DEAD') AND ";

pub(super) async fn deliveries<D: Dialect>(
    conn: &mut D,
    filter: &DeliveryFilter,
) -> Result<Vec<Delivery>> {
    let sql = "SELECT ".to_owned()
        + COLUMNS
        + " FROM deliveries
           WHERE ($1 = '' OR coalesce(outcome, 'WAITING') = $1) AND ($2 = '' OR channel = $2)
             AND ($3 = '' OR campaign_id = $3)
           ORDER BY id DESC LIMIT $4";
    let state = match filter.state {
        State::Any => "",
        State::Waiting => "WAITING",
        State::Settled(outcome) => outcome.as_str(),
    };
    let channel = filter.channel.as_deref().unwrap_or_default();
    let campaign = filter.campaign.as_deref().unwrap_or_default();
    let args = [state.into(), channel.into(), campaign.into(), count(filter.limit)];
    Ok(rows(conn, &sql, &args).await?.iter().map(delivery_row).collect())
}

pub(super) async fn retry<D: Dialect>(conn: &mut D, which: &Which, note: &str) -> Result<u64> {
    conn.begin().await?;
    let done = retry_inside(conn, which, note).await;
    ended(conn, done).await
}

async fn retry_inside<D: Dialect>(conn: &mut D, which: &Which, note: &str) -> Result<u64> {
    let meant = Meant::new(which);
    change(conn, &(OPEN_ROUTES.to_owned() + meant.filter + ")"), &meant.args()).await?;
    let retried = change(conn, &(RETRY.to_owned() + meant.filter), &meant.args()).await?;
    write_action(conn, "RETRY_DELIVERIES", &meant, retried, note).await
}

pub(super) async fn drop_them<D: Dialect>(conn: &mut D, which: &Which, note: &str) -> Result<u64> {
    conn.begin().await?;
    let done = drop_inside(conn, which, note).await;
    ended(conn, done).await
}

async fn drop_inside<D: Dialect>(conn: &mut D, which: &Which, note: &str) -> Result<u64> {
    let meant = Meant::new(which);
    let dropped = change(conn, &(DROP.to_owned() + meant.filter), &meant.args()).await?;
    write_action(conn, "DROP_DELIVERIES", &meant, dropped, note).await
}

/// The messages that an operator means, as a condition.
struct Meant {
    filter: &'static str,
    keys: Option<String>,
    subject: String,
}

impl Meant {
    fn new(which: &Which) -> Self {
        match which {
            Which::Keys(keys) => Self {
                filter: "key IN {keys:$1}",
                keys: Some(texts(keys)),
                subject: keys.join(", "),
            },
            Which::AllDead => {
                let subject = format!("all {}", Outcome::Dead.as_str());
                Self { filter: "outcome = 'DEAD'", keys: None, subject }
            }
        }
    }

    fn args(&self) -> Vec<Arg<'_>> {
        self.keys.iter().map(Arg::from).collect()
    }
}

/// What changed nothing was no action.
async fn write_action<D: Dialect>(
    conn: &mut D,
    action: &str,
    meant: &Meant,
    changed: u64,
    note: &str,
) -> Result<u64> {
    if changed > 0 {
        let detail = format!("{changed} messages");
        let sql =
            "INSERT INTO operator_actions (action, subject, detail, note) VALUES ($1, $2, $3, $4)";
        let args = [action.into(), (&meant.subject).into(), (&detail).into(), note.into()];
        change(conn, sql, &args).await?;
    }
    Ok(changed)
}
