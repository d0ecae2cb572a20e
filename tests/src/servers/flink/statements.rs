//! The statements of `config/flink` and their parameters.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result, bail};

use crate::harness::host::workspace;
use crate::harness::topic::uncommitted;

/// A statement, which is a file of `config/flink` and a job of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Statement {
    Ranking,
    Performance,
    Attribution,
    Duplicates,
    /// The inspector of what the others pass over.
    Unusable,
}

/// Values for the placeholders `${NAME}` of the statements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameters(BTreeMap<String, String>);

impl Statement {
    pub const ALL: [Self; 5] =
        [Self::Ranking, Self::Performance, Self::Attribution, Self::Duplicates, Self::Unusable];

    /// Name of its file, and of its folder of checkpoints.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ranking => "ranking",
            Self::Performance => "performance",
            Self::Attribution => "attribution",
            Self::Duplicates => "duplicates",
            Self::Unusable => "unusable",
        }
    }

    #[must_use]
    pub fn job_name(self) -> String {
        format!("tollgate-{}", self.name())
    }

    /// The parameters that name its consumer group and the topics it reads.
    fn reads(self) -> (&'static str, &'static [&'static str]) {
        const CAMPAIGNS: &str = "CAMPAIGN_EVENTS_TOPIC";
        const ADS: &str = "AD_EVENTS_TOPIC";
        const CONVERSIONS: &str = "CONVERSION_EVENTS_TOPIC";
        match self {
            Self::Ranking => ("RANKING_GROUP", &[CAMPAIGNS]),
            Self::Performance => ("PERFORMANCE_GROUP", &[ADS]),
            Self::Attribution => ("ATTRIBUTION_GROUP", &[ADS, CONVERSIONS]),
            Self::Duplicates => ("DUPLICATES_GROUP", &[ADS]),
            Self::Unusable => ("UNUSABLE_GROUP", &[CAMPAIGNS, ADS, CONVERSIONS]),
        }
    }

    /// Its text, with placeholders.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn sql(self) -> Result<String> {
        read(&format!("{}.sql", self.name()))
    }
}

/// The tables, which every statement needs in its session.
///
/// # Errors
/// The file cannot be read.
pub fn tables() -> Result<String> {
    read("tables.sql")
}

/// The table in Postgres that the attribution writes.
///
/// # Errors
/// The file cannot be read.
pub fn attribution_table() -> Result<String> {
    read("attribution_table.sql")
}

impl Parameters {
    /// Those of `config/flink/defaults.env`.
    ///
    /// # Errors
    /// The file cannot be read, or a line of it is no `NAME=value`.
    pub fn defaults() -> Result<Self> {
        let text = read("defaults.env")?;
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let pair = |line: &str| {
            let (name, value) =
                line.split_once('=').with_context(|| format!("{line:?} has no ="))?;
            Ok((name.to_owned(), value.to_owned()))
        };
        lines.map(pair).collect::<Result<_>>().map(Self)
    }

    /// The defaults with the addresses of servers; `ledger_url` as sqlx has it, `postgres://user[:password]@host:port/database`.
    ///
    /// # Errors
    /// As `defaults`, or the address of the database is none.
    pub fn of_servers(brokers: &str, redis_url: &str, ledger_url: &str) -> Result<Self> {
        let (user, place) = ledger_url
            .strip_prefix("postgres://")
            .and_then(|rest| rest.split_once('@'))
            .context("a Postgres URL is postgres://user@host:port/database")?;
        let (user, password) = user.split_once(':').unwrap_or((user, ""));
        Self::defaults()?
            .with("KAFKA_BROKERS", brokers)?
            .with("REDIS_URL", redis_url)?
            .with("DATABASE_JDBC_URL", format!("jdbc:postgresql://{place}"))?
            .with("DATABASE_USERNAME", user)?
            .with("DATABASE_PASSWORD", password)
    }

    /// With another value.
    ///
    /// # Errors
    /// There is no such parameter, or the value would end a text of SQL.
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Result<Self> {
        let value = value.into();
        let known = self.0.get_mut(name).with_context(|| {
            format!("`config/flink/defaults.env` has no parameter {name}; add it there, or mend the name")
        })?;
        if value.contains('\'') {
            bail!("{name} holds an apostrophe, which would end a text of SQL; leave it out");
        }
        *known = value;
        Ok(self)
    }

    /// # Errors
    /// There is no such parameter.
    pub fn get(&self, name: &str) -> Result<&str> {
        let value = self.0.get(name).with_context(|| format!("there is no parameter {name}"))?;
        Ok(value)
    }

    /// Records that no checkpoint of a statement covers, of all topics it reads.
    ///
    /// # Errors
    /// The broker does not answer.
    pub fn uncovered(&self, statement: Statement) -> Result<i64> {
        let (group, topics) = statement.reads();
        let (brokers, group) = (self.get("KAFKA_BROKERS")?, self.get(group)?);
        topics.iter().map(|topic| uncommitted(brokers, group, self.get(topic)?)).sum()
    }

    /// Fills placeholders in.
    ///
    /// # Errors
    /// A placeholder has no parameter or no end.
    pub fn render(&self, text: &str) -> Result<String> {
        let (mut filled, mut rest) = (String::with_capacity(text.len()), text);
        while let Some((before, after)) = rest.split_once("${") {
            let (name, behind) = after.split_once('}').context("a ${ has no }")?;
            filled += before;
            filled += self.get(name)?;
            rest = behind;
        }
        Ok(filled + rest)
    }
}

fn read(name: &str) -> Result<String> {
    let path = workspace().join("config/flink").join(name);
    fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn placeholders() -> BTreeSet<String> {
        let mut texts: Vec<_> = Statement::ALL.map(|one| one.sql().unwrap()).into();
        texts.push(tables().unwrap());
        let names = texts.iter().flat_map(|text| {
            text.split("${").skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name)
        });
        names.map(str::to_owned).collect()
    }

    #[test]
    fn every_placeholder_has_a_default_and_every_default_is_used() {
        let defaults: BTreeSet<_> = Parameters::defaults().unwrap().0.into_keys().collect();
        assert_eq!(placeholders(), defaults);
    }

    #[test]
    fn parameters_are_strict() {
        let parameters = || Parameters::defaults().unwrap();
        assert_eq!(parameters().render("a ${SCAN_PARALLELISM} b").unwrap(), "a 1 b");
        for (text, part) in [("${NOBODY}", "NOBODY"), ("${SCAN_PARALLELISM", "no }")] {
            let error = parameters().render(text).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        assert!(parameters().with("NOBODY", "1").unwrap_err().to_string().contains("NOBODY"));
        assert!(
            parameters()
                .with("REDIS_PASSWORD", "a'b")
                .unwrap_err()
                .to_string()
                .contains("apostrophe")
        );
    }
}
