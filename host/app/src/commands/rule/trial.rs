//! `tollgate rule shadow` and `tollgate rule canary`

mod candidate;
mod shown;

use tollgate_domain::rule::World;
use tollgate_domain::trial::{Limits, Scope};
use tollgate_ledger::{Ledger, LedgerError, NewTrial, TrialKind};

use super::registry::{Desk, at_desk, persist};
use crate::cli::rule::trial::{
    Canary, CanaryStart, CandidateArgs, Shadow, ShadowStart, Trial, TrialEnd, TrialStatus,
};
use crate::exit::{Exit, ExitError};

use candidate::{candidate, parts_per_million};

/// Why a trial cannot be started.
#[derive(Debug, thiserror::Error)]
enum TrialError {
    #[error(
        "{0} is a {1} rule; candidates are pricing and threshold rules: activate it, or replay clicks under it"
    )]
    World(String, World),
    #[error("two of the modules are {0} rules; give one of each world at most")]
    Twice(World),
    #[error(
        "parameters are given for the {0} rule, which the candidate does not have; name its module, too"
    )]
    NoModule(World),
    #[error("{0:?} is no share; write a percentage such as 5% or 0.5%, of at most 4 decimals")]
    Percent(String),
    #[error("a share of nothing; write a percentage above 0")]
    Nobody,
}

impl TrialError {
    fn code(&self) -> &'static str {
        match self {
            Self::World(..) => "TRIAL_WORLD_UNSUPPORTED",
            Self::Twice(_) => "TRIAL_WORLD_TWICE",
            Self::NoModule(_) => "TRIAL_WORLD_MISSING",
            Self::Percent(_) | Self::Nobody => "TRIAL_SHARE",
        }
    }
}

impl From<TrialError> for ExitError {
    fn from(error: TrialError) -> Self {
        Self::new(Exit::Usage, format!("{error} ({})", error.code()))
    }
}

pub(super) fn execute(command: &Trial) -> anyhow::Result<Exit> {
    match command {
        Trial::Shadow(Shadow::Start(arguments)) => start_shadow(arguments),
        Trial::Shadow(Shadow::Status(arguments)) => status(TrialKind::Shadow, arguments, false),
        Trial::Shadow(Shadow::Stop(arguments)) => stop_shadow(arguments),
        Trial::Canary(Canary::Start(arguments)) => start_canary(arguments),
        Trial::Canary(Canary::Status(arguments)) => {
            status(TrialKind::Canary, &arguments.status, arguments.touched)
        }
        Trial::Canary(Canary::Promote(arguments)) => end_canary(arguments, true),
        Trial::Canary(Canary::Abort(arguments)) => end_canary(arguments, false),
    }
}

fn start_shadow(arguments: &ShadowStart) -> anyhow::Result<Exit> {
    let share_ppm = share(&arguments.share)?;
    start(&arguments.candidate, Scope { share_ppm, ..Scope::default() }, None)
}

fn start_canary(arguments: &CanaryStart) -> anyhow::Result<Exit> {
    let share_ppm = arguments.share.as_deref().map(share).transpose()?.unwrap_or(0);
    let campaigns = arguments.campaign.iter().cloned().collect();
    let limits = Limits {
        drift_max_ppm: parts_per_million(&arguments.drift_max).map_err(ExitError::from)?,
        clicks_min: arguments.clicks_min.into(),
        faults_max: arguments.faults_max.into(),
        fuel_max: arguments.fuel_max.map(i64::from),
    };
    let scope = Scope { campaigns, share_ppm, salt: String::new() };
    start(&arguments.candidate, scope, Some(limits))
}

fn share(text: &str) -> Result<u32, ExitError> {
    match parts_per_million(text)? {
        0 => Err(TrialError::Nobody.into()),
        ppm @ 1..=1_000_000 => Ok(ppm as u32),
        _ => Err(TrialError::Percent(text.to_owned()).into()),
    }
}

fn start(arguments: &CandidateArgs, scope: Scope, limits: Option<Limits>) -> anyhow::Result<Exit> {
    at_desk(&arguments.common, async |mut desk| {
        let charge_max = desk.loader.charge_max();
        let parts = candidate(&mut desk, arguments).await?;
        let Desk { ledger, .. } = &mut desk;
        let now_us = ledger.clock_us().await?;
        let salt = arguments.salt.clone().unwrap_or_else(|| now_us.to_string());
        let (parts, scope) = (&parts, &Scope { salt, ..scope });
        let (author, note) = (&arguments.why.actor(), &arguments.why.note);
        let trial = NewTrial { parts, scope, charge_max, limits, author, note };
        if limits.is_some() {
            let number = persist(async || ledger.start_canary(&trial).await).await?;
            println!("The canary is generation {number}. Look with: tollgate rule canary status");
        } else {
            persist(async || ledger.start_shadow(&trial).await).await?;
            println!("The shadow runs. Look with: tollgate rule shadow status");
        }
        Ok(Exit::Ok)
    })
}

fn stop_shadow(arguments: &TrialEnd) -> anyhow::Result<Exit> {
    change(arguments, async |ledger, author, note| {
        ledger.stop_shadow(author, note).await?;
        Ok("The shadow has ended. Look with: tollgate rule shadow status".to_owned())
    })
}

fn end_canary(arguments: &TrialEnd, is_good: bool) -> anyhow::Result<Exit> {
    change(arguments, async |ledger, author, note| {
        let (what, (_, number)) = if is_good {
            ("candidate", ledger.promote_canary(author, note).await?)
        } else {
            ("rules of before", ledger.abort_canary(author, note).await?)
        };
        Ok(format!("Generation {number} with the {what} is in force."))
    })
}

fn change(
    arguments: &TrialEnd,
    work: impl AsyncFn(&mut Ledger, &str, &str) -> Result<String, LedgerError>,
) -> anyhow::Result<Exit> {
    let (author, note) = (arguments.why.actor(), arguments.why.note.as_str());
    at_desk(&arguments.common, async |mut desk| {
        println!("{}", persist(async || work(&mut desk.ledger, &author, note).await).await?);
        Ok(Exit::Ok)
    })
}

fn status(kind: TrialKind, arguments: &TrialStatus, touched: bool) -> anyhow::Result<Exit> {
    let found = at_desk(&arguments.common, async |mut desk| {
        let Some(trial) = desk.ledger.newest_trial(kind).await? else { return Ok(None) };
        let campaigns = desk.ledger.trial_campaigns(trial.id, arguments.top).await?;
        let touched = if touched { Some(desk.ledger.touched_by(&trial).await?) } else { None };
        Ok(Some((trial, campaigns, touched)))
    })?;
    match found {
        None if arguments.json => println!("null"),
        None => println!("No {} was ever started.", kind.as_str().to_lowercase()),
        Some((trial, campaigns, touched)) if arguments.json => {
            let page = shown::json(&trial, &campaigns, touched.as_deref());
            println!("{}", serde_json::to_string_pretty(&page)?);
        }
        Some((trial, campaigns, touched)) => {
            print!("{}", shown::text(&trial, &campaigns, touched.as_deref()));
        }
    }
    Ok(Exit::Ok)
}
