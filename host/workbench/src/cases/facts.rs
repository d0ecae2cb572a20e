//! Facts from elsewhere than files of cases: events, and lines of JSON with the same names.

use std::collections::HashMap;

use tollgate_domain::day::Zone;
use tollgate_domain::event::ClickEvent;
use tollgate_domain::fence::FenceLimits;
use tollgate_domain::rule::World;
use tollgate_engine::Rule;
use toml::de::DeTable;

use super::reading::{Layers, Problem, Reader};
use super::running::{Answered, ask};
use super::tables::{self, CampaignRow};
use super::{AnswerRow, CasesError, Given, pricing, read_given};

/// Facts of one call.
#[derive(Clone, Debug)]
pub struct Facts(pub(super) Given);

/// What is known of a campaign.
#[derive(Clone, Debug)]
pub struct Campaign {
    row: CampaignRow,
    zone: Option<Zone>,
}

/// Campaigns by their ids.
#[derive(Clone, Debug, Default)]
pub struct Campaigns {
    by_id: HashMap<String, Campaign>,
}

impl Campaigns {
    /// Reads lines of JSON such as `{"id": "campaign_1", "stored_price": "1.20"}`, with the names that cases use, and
    /// `zone` for the time zone.
    ///
    /// # Errors
    /// Every line that cannot be used.
    pub fn parse(file: &str, text: &str) -> Result<Self, CasesError> {
        let mut campaigns = Self::default();
        let mut problems = Vec::new();
        for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            match campaign(line) {
                Ok(campaign) => drop(campaigns.by_id.insert(campaign.row.id.clone(), campaign)),
                Err(sentence) => {
                    problems.push(Problem { file: file.to_owned(), line: at + 1, sentence });
                }
            }
        }
        if problems.is_empty() { Ok(campaigns) } else { Err(CasesError::Unreadable { problems }) }
    }

    #[must_use]
    pub fn find(&self, id: &str) -> Option<&Campaign> {
        self.by_id.get(id)
    }
}

impl Campaign {
    #[must_use]
    pub fn advertiser(&self) -> &str {
        &self.row.advertiser
    }
}

impl Facts {
    /// A click and its campaign. One that nothing is known of costs 1 and belongs to whom the event says.
    #[must_use]
    pub fn of_click(click: &ClickEvent<'_>, campaign: Option<&Campaign>, zone: &Zone) -> Self {
        let row = match campaign {
            Some(campaign) => campaign.row.clone(),
            None => CampaignRow::plain(&click.campaign, &click.advertiser),
        };
        let zone = campaign.and_then(|campaign| campaign.zone.as_ref()).unwrap_or(zone);
        Self(Given::Pricing(pricing::Given::of_click(row, click, zone)))
    }

    /// What a case has under `given`, as JSON.
    ///
    /// # Errors
    /// Everything that cannot be read, in one sentence.
    pub fn of_json(world: World, json: &str) -> Result<Self, String> {
        read_json(json, |reader, layers| Self(reader.table(layers, |row| read_given(row, world))))
    }
}

/// The rows that a rule answers, or the code and the sentence of what failed.
pub(crate) fn ask_facts(
    rule: &mut Rule,
    facts: &Facts,
    fence: &FenceLimits,
) -> Result<Vec<AnswerRow>, (String, String)> {
    match ask(rule, &facts.0, fence) {
        Answered::Rows(rows) => Ok(rows),
        Answered::Fault(fault) => Err((fault.code.as_str().to_owned(), fault.sentence)),
        Answered::Host(sentence) => Err(("HOST_FAILURE".to_owned(), sentence)),
    }
}

fn campaign(json: &str) -> Result<Campaign, String> {
    read_json(json, |reader, layers| {
        reader.table(layers, |row| {
            if row.value("id").is_none() {
                reader.problem(1, "a campaign needs its `id`");
            }
            let zone = row.text("zone").map(|name| Zone::new(&name));
            let zone = zone.transpose().unwrap_or_else(|error| {
                reader.problem(1, error.to_string());
                None
            });
            Campaign { row: tables::campaign(row, 1), zone }
        })
    })
}

/// Reads a line of JSON with the reader of cases.
fn read_json<T>(json: &str, read: impl FnOnce(&Reader<'_>, Layers<'_>) -> T) -> Result<T, String> {
    let value: toml::Table = serde_json::from_str(json).map_err(|error| error.to_string())?;
    let text = toml::to_string(&value).map_err(|error| error.to_string())?;
    let document = DeTable::parse(&text).map_err(|error| error.message().to_owned())?;
    let reader = Reader::new("", &text);
    let value = read(&reader, Layers::of(document.get_ref(), 1));
    let problems: Vec<_> =
        reader.into_problems().into_iter().map(|problem| problem.sentence).collect();
    if problems.is_empty() { Ok(value) } else { Err(problems.join("; ")) }
}
