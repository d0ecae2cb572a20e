//! What happens to campaigns in the demo besides clicks, and the messages that it leads to.
//!
//! A day is too long to wait for, so its end is told by the ledger: one campaign comes into the demo exhausted
//! yesterday, and the host finds it due as it would at any midnight. Another is exhausted by the demo's own clicks, and
//! then its advertiser raises the budget.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use crate::generator::campaigns::Campaign;
use crate::harness::ledger::{DeliveryRow, Ledger};
use crate::wait::wait_until;

/// How often the ledger is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// How many times its old budget the new one is.
const TOP_UP_TIMES: i64 = 4;

/// The ledger, from outside the host.
pub(super) struct Story {
    ledger: Ledger,
    raised: Campaign,
    /// How long it stays paused before its advertiser raises the budget, so that one can see it.
    top_up_after: Duration,
    looked: Instant,
    paused_since: Option<Instant>,
    topped_up: bool,
    told: usize,
    refunds: Refunds,
}

/// What there is to tell after a look.
#[derive(Default)]
pub(super) struct News {
    /// Things that the demo itself has done.
    pub(super) deeds: Vec<String>,
    pub(super) messages: Vec<DeliveryRow>,
    /// As of the last look.
    pub(super) refunds: Refunds,
}

/// What became of compensations.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Refunds {
    pub(super) paid: i64,
    pub(super) micros: i64,
    /// Had to wait for clicks, or still does.
    pub(super) parked: i64,
    pub(super) waiting: i64,
}

/// How often each kind of crossing has happened.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Crossings {
    pub(super) warned: usize,
    pub(super) paused: usize,
    pub(super) resumed: usize,
}

impl Story {
    /// Fills an empty ledger. `raised` will have its budget raised, `exhausted` was exhausted yesterday.
    ///
    /// # Errors
    /// The ledger has no tables.
    pub(super) fn begin(
        ledger_url: &str,
        known: &[Campaign],
        opening_micros: i64,
        (raised, exhausted): (usize, usize),
        top_up_after: Duration,
    ) -> Result<Self> {
        let mut ledger = Ledger::open(ledger_url)?;
        ledger.load(known, opening_micros)?;
        let Campaign { id, time_zone, .. } = &known[exhausted];
        let today = Timestamp::now().to_zoned(TimeZone::get(time_zone)?).date();
        let yesterday = today.checked_sub(1.day())?;
        ledger.execute(&format!(
            "UPDATE campaigns SET status = 'PAUSED', paused_reason = 'BUDGET_EXHAUSTED', paused_day = '{yesterday}' \
             WHERE campaign_id = '{id}'"
        ))?;
        Ok(Self {
            ledger,
            raised: known[raised].clone(),
            top_up_after,
            looked: Instant::now(),
            paused_since: None,
            topped_up: false,
            told: 0,
            refunds: Refunds::default(),
        })
    }

    /// Looks, now and then, at what there is to tell, and raises the budget when it is time.
    ///
    /// # Errors
    /// The ledger does not answer.
    pub(super) fn go_on(&mut self) -> Result<News> {
        if self.looked.elapsed() < LOOK {
            return Ok(News { refunds: self.refunds, ..News::default() });
        }
        self.looked = Instant::now();
        let deeds = self.top_up()?.into_iter().collect();
        let messages = self.ledger.deliveries()?.into_iter().filter(is_for_people);
        let messages: Vec<_> = messages.skip(self.told).collect();
        self.told += messages.len();
        self.refunds = refunds(&mut self.ledger)?;
        Ok(News { deeds, messages, refunds: self.refunds })
    }

    /// Every message, crossing and refund, once the host has settled and worded what it has left behind.
    ///
    /// # Errors
    /// The host settles or words nothing.
    pub(super) fn end(mut self, limit: Duration) -> Result<(Vec<DeliveryRow>, Crossings, Refunds)> {
        let (ledger, raised) = (&mut self.ledger, &self.raised.id);
        if self.topped_up {
            wait_until("the raised budget to resume its campaign", limit, || {
                is_paused(ledger, raised).ok().filter(|paused| !paused)
            })?;
        }
        let refunds = wait_until("the compensations to be settled", limit, || {
            refunds(ledger).ok().filter(|refunds| refunds.waiting == 0)
        })?;
        wait_until("the messages to be worded", limit, || {
            let left = ledger.number("SELECT count(*) FROM outbox WHERE worded_at IS NULL");
            left.ok().filter(|left| *left == 0)
        })?;
        let crossings = ledger.crossings()?;
        let of = |kind: &str| crossings.iter().filter(|row| row.kind == kind).count();
        let counted = Crossings { warned: of("WARN"), paused: of("PAUSE"), resumed: of("RESUME") };
        let messages = ledger.deliveries()?.into_iter().filter(is_for_people).collect();
        Ok((messages, counted, refunds))
    }

    fn top_up(&mut self) -> Result<Option<String>> {
        let Campaign { id, daily_budget_micros, .. } = &self.raised;
        let budget = daily_budget_micros.context("the campaign has a budget")?;
        if self.topped_up {
            return Ok(None);
        }
        if !is_paused(&mut self.ledger, id)? {
            self.paused_since = None;
            return Ok(None);
        }
        if self.paused_since.get_or_insert_with(Instant::now).elapsed() < self.top_up_after {
            return Ok(None);
        }
        let raised = budget.saturating_mul(TOP_UP_TIMES);
        self.ledger.execute(&format!(
            "UPDATE campaigns SET daily_budget_micros = {raised} WHERE campaign_id = '{id}'"
        ))?;
        self.topped_up = true;
        Ok(Some(format!("the advertiser of {id} multiplies its budget by {TOP_UP_TIMES}")))
    }
}

fn refunds(ledger: &mut Ledger) -> Result<Refunds> {
    let mut number = |what: &str| ledger.number(&format!("SELECT {what} FROM compensations"));
    Ok(Refunds {
        paid: number("count(CASE WHEN state = 'REFUNDED' THEN 1 END)")?,
        micros: number("coalesce(sum(refund_micros), 0)")?,
        parked: number("count(CASE WHEN looks > (state <> 'WAITING') THEN 1 END)")?,
        waiting: number("count(CASE WHEN state = 'WAITING' THEN 1 END)")?,
    })
}

fn is_paused(ledger: &mut Ledger, campaign: &str) -> Result<bool> {
    let rows = ledger.campaigns()?;
    Ok(rows.iter().any(|row| row.campaign_id == campaign && row.status == "PAUSED"))
}

/// Records for the ranking are messages too, but nobody reads them.
fn is_for_people(delivery: &DeliveryRow) -> bool {
    matches!(delivery.channel.as_str(), "slack" | "email")
}
