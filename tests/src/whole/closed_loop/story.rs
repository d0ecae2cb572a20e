//! A campaign uses up its budget and gets a new one, and meanwhile everything that can be killed is killed.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Serialize;

use crate::generator::market::Market;
use crate::harness::now_us;
use crate::harness::topic::read_keyed;
use crate::wait::wait_until;
use crate::whole::found::is_ranked;
use crate::whole::system::{CAMPAIGNS, System};

/// The campaign whose budget is used up.
#[derive(Clone, Debug)]
pub(super) struct Star {
    campaign: String,
    placement: &'static str,
    category: &'static str,
}

/// What was seen of it.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Story {
    pub(super) campaign: String,
    /// From the pause in the ledger until it was gone from the ranking.
    pub(super) pause_to_unranked_ms: u64,
    /// From the new budget until it was ranked again.
    pub(super) budget_to_ranked_ms: u64,
    /// What was killed, and how long it took until it was there again.
    pub(super) killed: Vec<(String, u64)>,
}

/// Longest wait for anything of the story, on a machine that has much to do.
const PATIENCE: Duration = Duration::from_secs(180);

impl Star {
    pub(super) fn of(market: &Market, at: usize) -> Self {
        let advertised = market.advertised(at);
        let campaign = market.campaigns()[at].id.clone();
        Self { campaign, placement: advertised.placement, category: advertised.category }
    }

    fn is_ranked(&self, system: &System) -> Option<bool> {
        is_ranked(&system.redis, self.placement, self.category, &self.campaign).ok()
    }

    /// What ledger, topic and Redis say of it, for people who ask why something did not happen.
    fn known(&self, system: &mut System) -> Result<String> {
        let id = &self.campaign;
        let mut lines = system.ledger.texts(&format!(
            "SELECT to_jsonb(c)::text FROM campaigns c WHERE campaign_id = '{id}' \
             UNION ALL (SELECT to_jsonb(d)::text FROM deliveries d WHERE campaign_id = '{id}' ORDER BY id)"
        ))?;
        let told = read_keyed(&system.servers.brokers, CAMPAIGNS)?;
        lines
            .extend(told.into_iter().map(|event| event.payload).filter(|event| event.contains(id)));
        lines.push(format!("ranked in {:?}", system.redis.command(&["HGET", "rtb-places", id])?));
        Ok(lines.join("\n"))
    }
}

/// Tells the story; with `chaos` it is told although servers are killed.
///
/// # Errors
/// Something does not happen, or a server does not come back.
pub(super) fn tell(system: &mut System, star: &Star, chaos: bool, end_us: i64) -> Result<Story> {
    happen(system, star, chaos, end_us).map_err(|error| match star.known(system) {
        Ok(known) => error.context(known),
        Err(_) => error,
    })
}

fn happen(system: &mut System, star: &Star, chaos: bool, end_us: i64) -> Result<Story> {
    let mut story = Story { campaign: star.campaign.clone(), ..Story::default() };
    wait_until("the campaign to be ranked", PATIENCE, || star.is_ranked(system)?.then_some(()))?;
    if chaos {
        story.kill("Flink", || system.restart_flink())?;
    }
    story.pause_to_unranked_ms = wait_unranked(system, star)?;
    if chaos {
        story.kill("host", || system.restart_host())?;
        story.kill("Redis", || system.restart_redis())?;
    }
    story.budget_to_ranked_ms = raise_budget(system, star)?;
    // Once more in the second half, all at once.
    if chaos && now_us() < end_us {
        story.kill("Flink and host", || {
            system.host.kill();
            system.restart_flink()?;
            system.restart_host()
        })?;
    }
    Ok(story)
}

/// Waits until the star's budget has paused it and the ranking has heard of it; gives the time between the two.
fn wait_unranked(system: &mut System, star: &Star) -> Result<u64> {
    let paused = format!(
        "SELECT count(*) FROM budget_crossings WHERE campaign_id = '{}' AND kind = 'PAUSE'",
        star.campaign
    );
    wait_until("the budget to pause the campaign", PATIENCE, || {
        (system.ledger.number(&paused).ok()? > 0).then_some(())
    })?;
    let begin = Instant::now();
    wait_until("the paused campaign to leave the ranking", PATIENCE, || {
        (!star.is_ranked(system)?).then_some(())
    })?;
    Ok(elapsed_ms(begin))
}

fn raise_budget(system: &mut System, star: &Star) -> Result<u64> {
    system.ledger.execute(&format!(
        "UPDATE campaigns SET daily_budget_micros = 1000000000000000 WHERE campaign_id = '{}'",
        star.campaign
    ))?;
    let begin = Instant::now();
    wait_until("the campaign to be ranked again", PATIENCE, || {
        star.is_ranked(system)?.then_some(())
    })?;
    Ok(elapsed_ms(begin))
}

impl Story {
    fn kill(&mut self, what: &str, again: impl FnOnce() -> Result<()>) -> Result<()> {
        let begin = Instant::now();
        println!("killing {what} …");
        again().with_context(|| format!("{what} does not come back"))?;
        self.killed.push((what.to_owned(), elapsed_ms(begin)));
        Ok(())
    }
}

fn elapsed_ms(begin: Instant) -> u64 {
    u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX)
}
