//! `tollgate topics`

use comfy_table::{Table, presets};
use serde_json::{Value, json};
use tollgate_stream::StreamError;
use tollgate_stream::admin::{Ensured, Outcome, TopicSpec, ensure_topics};
use tollgate_stream::topics::{Difference, TopicShape, differences, shape, shape_when_made};

use super::load;
use crate::cli::{Topics, TopicsOf};
use crate::config::Config;
use crate::exit::{Exit, ExitError};

/// What is said about one topic.
struct Finding {
    spec: TopicSpec,
    /// `None`: it does not exist.
    shape: Option<TopicShape>,
    /// What this command did about it; `None` when it only looked.
    outcome: Option<Outcome>,
    differences: Vec<Difference>,
}

/// Code of a topic that the brokers refused to make.
const REFUSED: &str = "TOPIC_REFUSED";

pub(super) fn execute(command: &Topics) -> anyhow::Result<Exit> {
    match command {
        Topics::Create(arguments) => tell(arguments, true),
        Topics::Check(arguments) => tell(arguments, false),
    }
}

fn tell(arguments: &TopicsOf, make: bool) -> anyhow::Result<Exit> {
    let mut config = load(&arguments.common, None)?;
    if let Some(copies) = arguments.replication {
        config.topics.replication = copies;
    }
    let findings = findings(&config, make).map_err(|error| unavailable(&error))?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&to_json(&findings))?);
    } else {
        print(&findings);
    }
    Ok(if findings.iter().all(Finding::is_well) { Exit::Ok } else { Exit::Findings })
}

fn findings(config: &Config, make: bool) -> Result<Vec<Finding>, StreamError> {
    let (brokers, properties) = (&config.kafka.brokers, &config.kafka.properties);
    let specs = config.topic_specs();
    let made = if make { ensure_topics(brokers, properties, &specs)? } else { Vec::new() };
    let outcome = |name: &str| {
        let is_it = |ensured: &&Ensured| ensured.name == name;
        made.iter().find(is_it).map(|ensured| ensured.outcome.clone())
    };
    let found = specs.into_iter().map(|spec| {
        let outcome = outcome(&spec.name);
        let shape = match &outcome {
            Some(Outcome::Refused(_)) => None,
            Some(Outcome::Created) => shape_when_made(brokers, properties, &spec.name)?,
            _ => shape(brokers, properties, &spec.name)?,
        };
        let differences = differences(&spec, shape.as_ref());
        Ok(Finding { spec, shape, outcome, differences })
    });
    found.collect()
}

impl Finding {
    fn is_well(&self) -> bool {
        self.shape.is_some() && self.differences.iter().all(|found| found.kind.is_harmless())
    }

    fn mark(&self) -> &'static str {
        match (&self.outcome, self.is_well()) {
            (Some(Outcome::Created), true) => "made",
            (_, true) => "ok",
            (_, false) => "WRONG",
        }
    }

    /// Code and sentence of all there is to say.
    fn notes(&self) -> Vec<(&'static str, bool, String)> {
        if let Some(Outcome::Refused(cause)) = &self.outcome {
            let name = &self.spec.name;
            let sentence = format!(
                "the brokers refused to make {name}: {cause}; check topics.replication against the number of brokers, and \
                 that we may create topics"
            );
            return vec![(REFUSED, false, sentence)];
        }
        let note = |found: &Difference| {
            (found.kind.code(), found.kind.is_harmless(), found.sentence.clone())
        };
        self.differences.iter().map(note).collect()
    }
}

fn print(findings: &[Finding]) {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_BORDERS_ONLY);
    table.set_header(["", "topic", "partitions", "designed", "copies", "kept for, designed"]);
    for finding in findings {
        let Finding { spec, shape, .. } = finding;
        let number = |of: fn(&TopicShape) -> i32| {
            shape.as_ref().map_or("-".to_owned(), |shape| of(shape).to_string())
        };
        let days = spec.retention_ms.map_or(0, |ms| ms / 86_400_000);
        table.add_row([
            finding.mark().to_owned(),
            spec.name.clone(),
            number(|shape| shape.partitions),
            spec.partitions.to_string(),
            number(|shape| shape.replicas_min),
            if days > 0 { format!("{days} days") } else { "ever".to_owned() },
        ]);
    }
    println!("{table}");
    for (code, is_harmless, sentence) in findings.iter().flat_map(Finding::notes) {
        let level = if is_harmless { "note" } else { "error" };
        println!("{level}[{code}]: {sentence}");
    }
    let made = findings.iter().filter(|finding| finding.outcome == Some(Outcome::Created)).count();
    let wrong = findings.iter().filter(|finding| !finding.is_well()).count();
    match (made, wrong) {
        (0, 0) => println!("All {} topics are as designed.", findings.len()),
        (made, 0) => println!("{made} topics were made; all {} are as designed.", findings.len()),
        (_, wrong) => println!("{wrong} of {} topics are NOT as designed.", findings.len()),
    }
}

fn to_json(findings: &[Finding]) -> Value {
    let note = |(code, harmless, sentence): (&str, bool, String)| json!({ "code": code, "harmless": harmless, "sentence": sentence });
    let topic = |finding: &Finding| {
        let Finding { spec, shape, .. } = finding;
        json!({
            "topic": spec.name,
            "ok": finding.is_well(),
            "made": finding.outcome == Some(Outcome::Created),
            "designed": { "partitions": spec.partitions, "retention_ms": spec.retention_ms },
            "found": shape.as_ref().map(|shape| json!({
                "partitions": shape.partitions,
                "replicas_min": shape.replicas_min,
                "settings": shape.settings,
            })),
            "notes": finding.notes().into_iter().map(note).collect::<Vec<_>>(),
        })
    };
    json!({
        "as_designed": findings.iter().all(Finding::is_well),
        "topics": findings.iter().map(topic).collect::<Vec<_>>(),
    })
}

fn unavailable(error: &StreamError) -> ExitError {
    let exit = match error {
        StreamError::Kafka { .. } => Exit::Unavailable,
        StreamError::Setting { .. } | StreamError::Property(_) => Exit::Usage,
        _ => Exit::Failed,
    };
    ExitError::new(exit, format!("{error} ({})", error.code()))
}
