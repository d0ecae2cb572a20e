//! Campaigns from a file: TOML, JSON or CSV, with the names of the table `campaigns`.

use std::collections::HashMap;
use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use tollgate_domain::book::{Campaign, Status};
use tollgate_domain::day::Zone;
use tollgate_domain::decide::Hint;
use tollgate_domain::money::{Micros, parse_scaled};

use super::{Beginning, Known};
use crate::replay::ReplayError;

/// Campaigns of a file.
#[derive(Clone, Debug, Default)]
pub struct CampaignFile {
    campaigns: HashMap<Arc<str>, Known>,
}

/// A list of campaigns in TOML, and one way of JSON.
#[derive(Deserialize)]
struct Table {
    #[serde(alias = "campaign")]
    campaigns: Vec<Row>,
}

/// A campaign. Amounts are decimal texts in currency units, or whole micros.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    #[serde(alias = "id")]
    campaign_id: String,
    #[serde(alias = "advertiser")]
    advertiser_id: String,
    #[serde(default)]
    cpc: Option<Amount>,
    #[serde(default)]
    cpc_micros: Option<i64>,
    #[serde(default)]
    daily_budget: Option<Amount>,
    #[serde(default)]
    daily_budget_micros: Option<i64>,
    #[serde(default)]
    cached_price: Option<Amount>,
    /// Of the advertiser.
    #[serde(default)]
    balance: Option<Amount>,
    #[serde(default)]
    balance_micros: Option<i64>,
    #[serde(default)]
    time_zone: Option<String>,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    paused_reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "an amount is a text such as \"0.25\", or a whole number")]
enum Amount {
    Text(String),
    Whole(i64),
}

impl CampaignFile {
    /// Reads a file by the ending of its name: `.toml`, `.json` or `.csv`.
    ///
    /// # Errors
    /// The file cannot be read, or a campaign in it cannot be used.
    pub fn open(path: &Path) -> Result<Self, ReplayError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| wrong(format_args!("{}: {error}", path.display())))?;
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        Self::parse(&text, ending)
            .map_err(|error| wrong(format_args!("{}: {error}", path.display())))
    }

    fn parse(text: &str, ending: &str) -> Result<Self, String> {
        let rows = match ending {
            "toml" => toml::from_str::<Table>(text).map_err(said)?.campaigns,
            "json" if text.trim_start().starts_with('[') => {
                serde_json::from_str(text).map_err(said)?
            }
            "json" => serde_json::from_str::<Table>(text).map_err(said)?.campaigns,
            "csv" => from_csv(text)?,
            _ => return Err("the name must end in .toml, .json or .csv".to_owned()),
        };
        let mut campaigns = HashMap::new();
        for row in rows {
            let id = row.campaign_id.clone();
            let known = row.known().map_err(|error| format!("campaign {id:?}: {error}"))?;
            if campaigns.insert(Arc::clone(&known.campaign.id), known).is_some() {
                return Err(format!("campaign {id:?} is given twice"));
            }
        }
        Ok(Self { campaigns })
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.campaigns.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.campaigns.is_empty()
    }
}

impl Beginning for CampaignFile {
    fn campaigns(&mut self, ids: &[Arc<str>], _: i64) -> Result<Vec<Known>, ReplayError> {
        Ok(ids.iter().filter_map(|id| self.campaigns.get(id).cloned()).collect())
    }
}

impl FromIterator<Known> for CampaignFile {
    fn from_iter<I: IntoIterator<Item = Known>>(known: I) -> Self {
        let by_id = |known: Known| (Arc::clone(&known.campaign.id), known);
        Self { campaigns: known.into_iter().map(by_id).collect() }
    }
}

impl Row {
    fn known(self) -> Result<Known, String> {
        let cpc = amount("cpc", self.cpc, self.cpc_micros)?
            .ok_or("it has no price; give `cpc` or `cpc_micros`")?;
        let budget = amount("daily_budget", self.daily_budget, self.daily_budget_micros)?;
        let cached_price = amount("cached_price", self.cached_price, None)?;
        let balance = signed("balance", self.balance, self.balance_micros)?;
        let status = given(self.status).unwrap_or_else(|| "ACTIVE".to_owned());
        let zone = given(self.time_zone).unwrap_or_else(|| "Asia/Seoul".to_owned());
        Ok(Known {
            campaign: Campaign {
                id: self.campaign_id.into(),
                advertiser: self.advertiser_id.into(),
                status: Status::from_name(&status)
                    .ok_or_else(|| format!("{status:?} is no status; use ACTIVE or PAUSED"))?,
                paused_reason: given(self.paused_reason),
                daily_budget: budget,
                cpc,
                zone: Zone::new(&zone).map_err(said)?,
                version: 1,
            },
            balance: balance.unwrap_or_default(),
            days: Vec::new(),
            hint: Hint { cached_price, counter: None },
        })
    }
}

/// Columns of the table `campaigns` that charging does not depend on, so that an export of the table can be used.
const UNUSED: [&str; 11] = [
    "approval_status",
    "bid_micros",
    "category",
    "effective_from",
    "paused_day",
    "placement",
    "product_id",
    "rtb_impact",
    "targeting",
    "updated_at",
    "version",
];

fn from_csv(text: &str) -> Result<Vec<Row>, String> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let names = reader.headers().map_err(said)?.clone();
    let row = |record: csv::Result<csv::StringRecord>| {
        let record = record.map_err(said)?;
        let cells = names.iter().zip(&record);
        let used = cells.filter(|(name, cell)| !cell.is_empty() && !UNUSED.contains(name));
        // Only whole micros are numbers; the type of a text is not for its digits to say.
        let value = |(name, cell): (&str, &str)| match cell.parse::<i64>() {
            Ok(micros) if name.ends_with("_micros") => (name.to_owned(), micros.into()),
            _ => (name.to_owned(), cell.into()),
        };
        let line = record.position().map_or(0, csv::Position::line);
        let fields: serde_json::Map<_, serde_json::Value> = used.map(value).collect();
        serde_json::from_value(fields.into()).map_err(|error| format!("line {line}: {error}"))
    };
    reader.records().map(row).collect()
}

/// What is absent is as good as an empty text.
fn given(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

fn amount(
    name: &str,
    units: Option<Amount>,
    micros: Option<i64>,
) -> Result<Option<Micros>, String> {
    let amount = signed(name, units, micros)?;
    match amount {
        Some(amount) if amount.is_negative() => Err(format!("`{name}` is negative")),
        amount => Ok(amount),
    }
}

fn signed(
    name: &str,
    units: Option<Amount>,
    micros: Option<i64>,
) -> Result<Option<Micros>, String> {
    let units = match units {
        Some(Amount::Text(text)) if text.is_empty() => None,
        Some(Amount::Text(text)) => Some(text),
        Some(Amount::Whole(whole)) => Some(whole.to_string()),
        None => None,
    };
    match (units, micros) {
        (Some(_), Some(_)) => Err(format!("`{name}` is given twice, in units and in micros")),
        (Some(text), None) => {
            let scaled = parse_scaled(&text);
            scaled.map(|scaled| Some(Micros(scaled))).map_err(|error| format!("`{name}`: {error}"))
        }
        (None, micros) => Ok(micros.map(Micros)),
    }
}

fn said(error: impl Display) -> String {
    error.to_string().trim_end().to_owned()
}

fn wrong(error: impl Display) -> ReplayError {
    ReplayError::Campaigns(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(ending: &str, text: &str, expected: Result<&str, &str>) {
        let found = CampaignFile::parse(text, ending).map(|file| {
            let mut known: Vec<_> = file.campaigns.values().collect();
            known.sort_by_key(|known| Arc::clone(&known.campaign.id));
            let shown = known.iter().map(|known| {
                let campaign = &known.campaign;
                let budget = campaign.daily_budget.map_or("none".into(), |b| b.to_string());
                let (id, cpc, zone) = (&campaign.id, campaign.cpc, campaign.zone.name());
                let (status, balance) = (campaign.status.as_str(), known.balance);
                format!("{id} {cpc} {budget} {zone} {status} {balance}")
            });
            shown.collect::<Vec<_>>().join("; ")
        });
        match (found, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{text}"),
            (Err(found), Err(expected)) => assert!(found.contains(expected), "{text}: {found}"),
            (found, expected) => panic!("{text}: {found:?} instead of {expected:?}"),
        }
    }

    #[test]
    fn campaigns_come_in_three_formats() {
        let (toml, json, csv) = ("toml", "json", "csv");
        check(
            toml,
            "[[campaigns]]\nid = \"c\"\nadvertiser = \"a\"\ncpc = \"0.25\"\n\
             daily_budget = 100\ntime_zone = \"UTC\"\nbalance = \"-5\"",
            Ok("c 0.25 100 UTC ACTIVE -5"),
        );
        let one = r#"{"campaign_id":"c","advertiser_id":"a","cpc_micros":7,"status":"PAUSED"}"#;
        check(json, &format!("[{one}]"), Ok("c 0.000007 none Asia/Seoul PAUSED 0"));
        let list = format!(r#"{{"campaigns":[{one}]}}"#);
        check(json, &list, Ok("c 0.000007 none Asia/Seoul PAUSED 0"));
        check(
            csv,
            "campaign_id,advertiser_id,cpc_micros,daily_budget_micros,time_zone\n\
             d,a,1000000,,UTC\nc,a,2000000,5000000,",
            Ok("c 2 5 Asia/Seoul ACTIVE 0; d 1 none UTC ACTIVE 0"),
        );
        check(csv, "id,advertiser,cpc,version\nc,a,0.5,77", Ok("c 0.5 none Asia/Seoul ACTIVE 0"));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let json = |fields: &str| format!(r#"[{{"id":"c","advertiser":"a",{fields}}}]"#);
        check("yaml", "", Err(".toml, .json or .csv"));
        check("json", &json(r#""time_zone":"UTC""#), Err("it has no price"));
        check("json", &json(r#""cpc":"1","cpc_micros":1"#), Err("given twice"));
        check("json", &json(r#""cpc":"-1""#), Err("negative"));
        check("json", &json(r#""cpc":0.25"#), Err("an amount is a text"));
        check("json", &json(r#""cpc":"1","budget":"1""#), Err("unknown field `budget`"));
        check("json", &json(r#""cpc":"1","time_zone":"Mars""#), Err("Mars"));
        check("json", &json(r#""cpc":"1","status":"ON""#), Err("no status"));
        let twice = r#"[{"id":"c","advertiser":"a","cpc":1},{"id":"c","advertiser":"a","cpc":1}]"#;
        check("json", twice, Err("given twice"));
    }
}
