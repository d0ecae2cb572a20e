//! `tollgate rule rollback`, `tollgate rule pause-rule` and `tollgate rule prune`

use tollgate_ledger::{Activation, PrunePolicy, change};

use super::{Desk, at_desk, persist, short, table, usage};
use crate::cli::rule::registry::{PauseRule, Prune, Rollback, RuleKind};
use crate::exit::Exit;

pub(super) fn roll_back(arguments: &Rollback) -> anyhow::Result<Exit> {
    at_desk(&arguments.common, async |mut desk| {
        let ledger = &mut desk.ledger;
        let active = ledger.active_number().await?;
        let target = match arguments.to {
            Some(number) => ledger.generation(number).await?,
            None => ledger.last_good().await?,
        };
        let Some(target) = target else {
            let sentence = "there is no such generation; `tollgate rule list` shows them";
            return Err(usage(sentence).into());
        };
        let author = arguments.why.actor();
        let activation = Activation {
            parts: &target.parts,
            author: &author,
            note: &arguments.why.note,
            kind: change::ROLLBACK,
            expected: Some(active),
            // Whoever rolls back does not want to see it again, unless by name.
            bad_world: Some(""),
            ..Activation::default()
        };
        let done = persist(async || ledger.activate_rules(&activation).await).await?;
        if done.number == done.previous {
            println!("Generation {} has the rules of {} already.", done.number, target.number);
        } else {
            let (number, previous) = (done.number, done.previous);
            println!(
                "Generation {number} with the rules of {} is in force; {previous} was before.",
                target.number
            );
        }
        Ok(Exit::Ok)
    })
}

pub(super) fn pause_rule(arguments: &PauseRule) -> anyhow::Result<Exit> {
    at_desk(&arguments.common, async |mut desk| {
        let (world, author) = (arguments.kind.world(), arguments.why.actor());
        let note = &arguments.why.note;
        let done = persist(async || desk.ledger.pause_rule(world, &author, note).await).await?;
        println!(
            "Generation {} with the last good {world} rule is in force; {} was before.",
            done.number, done.previous
        );
        Ok(Exit::Ok)
    })
}

pub(super) fn prune(arguments: &Prune) -> anyhow::Result<Exit> {
    at_desk(&arguments.common, async |mut desk| {
        let policy = PrunePolicy {
            generations: arguments.generations.max(1),
            unused_days: arguments.unused_days,
        };
        prune_modules(&mut desk, arguments, policy).await
    })
}

async fn prune_modules(
    desk: &mut Desk,
    arguments: &Prune,
    policy: PrunePolicy,
) -> anyhow::Result<Exit> {
    let (author, note) = (arguments.why.actor(), &arguments.why.note);
    let is_dry = arguments.dry_run;
    let pruned =
        persist(async || desk.ledger.prune_modules(policy, &author, note, is_dry).await).await?;
    let mut rows = table(["module", "digest", "bytes"]);
    for module in &pruned {
        let name = format!("{}@{}", module.name, module.version);
        rows.add_row([name, short(&module.digest).to_owned(), module.bytes.to_string()]);
    }
    println!("{rows}");
    let what = if is_dry { "would lose their bytes" } else { "have lost their bytes" };
    println!("{} modules {what}.", pruned.len());
    Ok(Exit::Ok)
}

impl RuleKind {
    /// Name of the world, as the ledger has it.
    pub(in crate::commands::rule) fn world(self) -> &'static str {
        match self {
            Self::Pricing => "pricing",
            Self::Threshold => "threshold",
            Self::Refund => "refund",
            Self::Notification => "notification",
        }
    }
}
