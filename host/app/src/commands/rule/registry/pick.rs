//! Which module a person means.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use tollgate_domain::rule::World;
use tollgate_engine::Module;
use tollgate_ledger::{self as ledger, Ledger, ModuleRow, Published, Signature};

use super::{persist, refused, short, usage};
use crate::exit::ExitError;
use crate::rules::RuleLoader;
use crate::rules::folder::signature_beside;

/// Fewest digits of a digest.
const DIGITS_MIN: usize = 6;

/// A module that this host would run.
pub(in crate::commands::rule) struct Picked {
    pub(in crate::commands::rule) module: Module,
    /// Of a file, which is to be published.
    pub(in crate::commands::rule) file: Option<FileModule>,
}

/// A module of a file.
pub(in crate::commands::rule) struct FileModule {
    pub(in crate::commands::rule) bytes: Vec<u8>,
    pub(in crate::commands::rule) signature: Option<Signature>,
}

/// Finds a module by its file, by NAME@VERSION or by the beginning of its digest, and judges it as this host judges.
///
/// # Errors
/// There is none, there are several, or it must not be used here.
pub(in crate::commands::rule) async fn pick(
    loader: &RuleLoader,
    ledger: &mut Ledger,
    text: &str,
) -> anyhow::Result<Picked> {
    let path = Path::new(text);
    if text.ends_with(".wasm") || text.contains('/') || path.is_file() {
        return pick_file(loader, path, |_| signature_beside(path));
    }
    let known = ledger.modules().await?;
    let row = find(&known, text)?;
    let world = world_of(row)?;
    let module = loader.load_module(ledger, world, &row.digest).await.map_err(refused)?;
    Ok(Picked { module, file: None })
}

/// A module of a file with the signature that `signature_of` finds or makes.
///
/// # Errors
/// It cannot be read, or must not be used here.
pub(in crate::commands::rule) fn pick_file(
    loader: &RuleLoader,
    path: &Path,
    signature_of: impl FnOnce(&Module) -> anyhow::Result<Option<Signature>>,
) -> anyhow::Result<Picked> {
    let shown = path.display();
    let (module, bytes) = read_file(loader, path)?;
    let signature = signature_of(&module)?;
    loader
        .trust()
        .check(&module, signature.as_ref())
        .map_err(|error| usage(format!("{shown}: {error} ({})", error.code())))?;
    Ok(Picked { module, file: Some(FileModule { bytes, signature }) })
}

/// An admitted module of a file, and the file's bytes.
///
/// # Errors
/// It cannot be read, or is refused.
pub(super) fn read_file(loader: &RuleLoader, path: &Path) -> anyhow::Result<(Module, Vec<u8>)> {
    let shown = path.display();
    let bytes = fs::read(path).with_context(|| shown.to_string())?;
    let module = loader
        .admit_any(&bytes)
        .map_err(|error| usage(format!("{shown}: {error} ({})", error.code())))?;
    Ok((module, bytes))
}

impl Picked {
    /// Publishes the module of a file; one of the ledger is published already.
    ///
    /// # Errors
    /// Its name is somebody else's, or the ledger did not answer.
    pub(in crate::commands::rule) async fn publish(
        &self,
        ledger: &mut Ledger,
        publisher: &str,
        note: &str,
        takes_over: bool,
    ) -> Result<Published, ExitError> {
        let Some(file) = &self.file else { return Ok(Published::Known) };
        let description = self.module.description();
        let module = ledger::Module {
            digest: self.module.digest().to_owned(),
            world: self.module.world().to_string(),
            name: description.name.clone(),
            version: description.version.clone(),
            bytes: file.bytes.clone(),
            publisher: publisher.to_owned(),
            note: note.to_owned(),
            signature: file.signature.clone(),
        };
        persist(async || ledger.publish(&module, takes_over).await).await
    }

    /// Runs the cases that the module carries.
    ///
    /// # Errors
    /// One of them does not hold.
    pub(in crate::commands::rule) async fn prove(
        &self,
        loader: &RuleLoader,
        ledger: &mut Ledger,
    ) -> Result<(), ExitError> {
        let proved = match &self.file {
            Some(file) => loader.prove(&self.module, &file.bytes),
            None => {
                let bytes = ledger.module_bytes(self.module.digest()).await;
                loader.prove(&self.module, &bytes.map_err(|error| refused(error.into()))?)
            }
        };
        proved.map_err(refused)
    }

    /// `name@version (digest)`.
    pub(in crate::commands::rule) fn shown(&self) -> String {
        let description = self.module.description();
        let digest = short(self.module.digest());
        format!("{}@{} ({digest})", description.name, description.version)
    }
}

/// The only published module that a text means.
///
/// # Errors
/// There is none, or there are several.
pub(super) fn find<'m>(known: &'m [ModuleRow], text: &str) -> Result<&'m ModuleRow, ExitError> {
    let is_digest = text.len() >= DIGITS_MIN && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let found: Vec<_> = known
        .iter()
        .filter(|row| match text.split_once('@') {
            Some((name, version)) => row.name == name && row.version == version,
            None => (is_digest && row.digest.starts_with(text)) || row.name == text,
        })
        .collect();
    match found[..] {
        [row] => Ok(row),
        [] => Err(usage(format!(
            "no published module is {text}; `tollgate rule list` shows them, and a file is named by its path"
        ))),
        _ => {
            let names: Vec<_> = found
                .iter()
                .take(8)
                .map(|row| format!("{}@{} {}", row.name, row.version, row.digest))
                .collect();
            let names = names.join("\n  ");
            Err(usage(format!("{text} may be any of these; name one by its digest:\n  {names}")))
        }
    }
}

/// # Errors
/// A newer host has published a rule of a world that this one does not know.
pub(super) fn world_of(row: &ModuleRow) -> Result<World, ExitError> {
    let world = World::named(&row.world);
    world.ok_or_else(|| usage(format!("this version knows no rules of the world {}", row.world)))
}

/// What a module of a part is called, as far as the ledger knows it.
pub(super) fn named(known: &[ModuleRow], digest: &str) -> String {
    let row = known.iter().find(|row| row.digest == digest);
    let name = row.map(|row| format!("{}@{} ", row.name, row.version)).unwrap_or_default();
    format!("{name}({})", short(digest))
}
