//! Which rules this host runs on, for the admin listener.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tokio::sync::watch;
use tollgate_ledger::Part;

use crate::channels::rfc3339;

/// Safe to share.
#[derive(Debug)]
pub struct RuleBoard {
    inner: Mutex<Inner>,
    /// Number of the generation in force that this host has loaded; 0 while there is none.
    loaded: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Inner {
    active: Option<ActivePage>,
    /// What the generation on the page is made of.
    parts: Vec<Part>,
    trouble: Option<Trouble>,
    folder: Option<FolderRules>,
}

/// The rules of this host's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FolderRules {
    pub dir: String,
    /// Sorted by world.
    pub parts: Vec<Part>,
    /// The generation that a folder has made of them.
    pub generation: u64,
    /// The generation in force when that was found out, and whether it had other rules.
    pub in_force: u64,
    pub is_idle: bool,
}

/// As `/status` shows it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct RulePage {
    pub active: Option<ActivePage>,
    /// Why the generation in force cannot be loaded here; nothing is charged while there is such a reason.
    pub trouble: Option<Trouble>,
    /// That the rules of this host's folder are not those in force, why not, and what to do.
    pub folder: Option<String>,
}

/// The generation in force.
#[derive(Clone, Debug, Serialize)]
pub struct ActivePage {
    pub number: u64,
    pub since: String,
    pub author: String,
    pub note: String,
    pub modules: Vec<ModuleLine>,
}

#[derive(Clone, Debug, Serialize)]
pub struct ModuleLine {
    pub world: String,
    pub name: String,
    pub version: String,
    pub digest: String,
}

/// Why a generation cannot be loaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Trouble {
    pub generation: u64,
    pub code: &'static str,
    pub sentence: String,
}

impl Default for RuleBoard {
    fn default() -> Self {
        Self { inner: Mutex::default(), loaded: watch::Sender::new(0) }
    }
}

impl RuleBoard {
    /// The generation in force was loaded.
    pub fn set_active(&self, generation: &tollgate_ledger::Generation, modules: Vec<ModuleLine>) {
        let mut inner = self.lock();
        inner.trouble = None;
        inner.parts.clone_from(&generation.parts);
        inner.active = Some(ActivePage {
            number: generation.number,
            since: rfc3339(generation.since_us),
            author: generation.author.clone(),
            note: generation.note.clone(),
            modules,
        });
        drop(inner);
        self.loaded.send_replace(generation.number);
    }

    /// It cannot be loaded. True: that is new.
    pub fn set_trouble(&self, trouble: Trouble) -> bool {
        let mut inner = self.lock();
        let is_new = inner.trouble.as_ref() != Some(&trouble);
        inner.trouble = Some(trouble);
        is_new
    }

    /// The folder's rules were put in force, or left alone because they were in force before. Gives the sentence of
    /// [`RulePage::folder`] when they are not in force.
    pub fn set_folder(&self, rules: FolderRules) -> Option<String> {
        let sentence = rules.is_idle.then(|| rules.sentence());
        self.lock().folder = Some(rules);
        sentence
    }

    /// Changes when another generation was loaded.
    #[must_use]
    pub fn loaded(&self) -> watch::Receiver<u64> {
        self.loaded.subscribe()
    }

    /// Why the host is not ready.
    #[must_use]
    pub fn complaint(&self) -> Option<String> {
        let trouble = self.lock().trouble.clone()?;
        let Trouble { generation, code, sentence } = trouble;
        Some(format!(
            "rule generation {generation} cannot be loaded ({code}): {sentence}; mend it, or run `tollgate rule rollback`"
        ))
    }

    #[must_use]
    pub fn page(&self) -> RulePage {
        let inner = self.lock();
        let folder = inner.folder.as_ref().filter(|folder| inner.is_idle(folder));
        RulePage {
            active: inner.active.clone(),
            trouble: inner.trouble.clone(),
            folder: folder.map(FolderRules::sentence),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Whether the folder's rules are others than those in force now.
    fn is_idle(&self, folder: &FolderRules) -> bool {
        match &self.active {
            // Loaded later than the folder was looked at, or at that time.
            Some(active) if active.number >= folder.in_force => self.parts != folder.parts,
            _ => folder.is_idle,
        }
    }
}

impl FolderRules {
    fn sentence(&self) -> String {
        let Self { dir, generation, .. } = self;
        format!(
            "the rules of the folder {dir} are not in force: they are those of generation {generation}, others were put in \
             force since, and a folder is activated once for each change of its content; `tollgate rule rollback --to \
             {generation} --note WHY` puts them in force again"
        )
    }
}
