//! `tollgate rule publish`

use tollgate_ledger::Published;

use super::pick::{Picked, pick_file};
use super::{Desk, at_desk, short, table, usage};
use crate::cli::rule::registry::Publish;
use crate::exit::Exit;
use crate::rules::folder::signature_beside;
use crate::rules::signatures::{PrivateKey, read_signature};

pub(super) fn execute(arguments: &Publish) -> anyhow::Result<Exit> {
    if arguments.signature.is_some() && arguments.files.len() != 1 {
        return Err(usage("--signature is of one module; publish it alone").into());
    }
    at_desk(&arguments.common, async |mut desk| publish(&mut desk, arguments).await)
}

async fn publish(desk: &mut Desk, arguments: &Publish) -> anyhow::Result<Exit> {
    // All are judged before any is published.
    let picked = pick_all(desk, arguments)?;
    let mut rows = table(["module", "world", "digest", "signed by", ""]);
    let (actor, note) = (arguments.why.actor(), &arguments.why.note);
    for picked in &picked {
        let published = picked.publish(&mut desk.ledger, &actor, note, arguments.take_over).await?;
        let outcome = match published {
            Published::New => "published",
            Published::Completed => "completed",
            Published::Known => "was published already",
        };
        let description = picked.module.description();
        let signer = picked.file.as_ref().and_then(|file| file.signature.as_ref());
        let signer = signer.map(|signature| {
            desk.loader.trust().name(&signature.signer).unwrap_or(short(&signature.signer))
        });
        rows.add_row([
            &format!("{}@{}", description.name, description.version),
            picked.module.world().as_str(),
            picked.module.digest(),
            signer.unwrap_or("nobody"),
            outcome,
        ]);
    }
    println!("{rows}");
    Ok(Exit::Ok)
}

fn pick_all(desk: &Desk, arguments: &Publish) -> anyhow::Result<Vec<Picked>> {
    let key = arguments.key.as_deref().map(PrivateKey::read).transpose()?;
    let mut picked = Vec::new();
    for path in &arguments.files {
        let signature_of = |module: &_| match (&key, &arguments.signature) {
            (Some(key), _) => Ok(Some(key.sign(module))),
            (None, Some(signature)) => read_signature(signature).map(Some),
            (None, None) => signature_beside(path),
        };
        picked.push(pick_file(&desk.loader, path, signature_of)?);
    }
    Ok(picked)
}
