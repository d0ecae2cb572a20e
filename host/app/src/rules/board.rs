//! Which rules this host runs on, for the admin listener.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tokio::sync::watch;

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
    trouble: Option<Trouble>,
}

/// As `/status` shows it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct RulePage {
    pub active: Option<ActivePage>,
    /// Why the generation in force cannot be loaded here; nothing is charged while there is such a reason.
    pub trouble: Option<Trouble>,
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
        RulePage { active: inner.active.clone(), trouble: inner.trouble.clone() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
