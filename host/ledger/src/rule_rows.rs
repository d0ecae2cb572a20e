//! Rule modules, generations and their changes, as they go into and come out of the ledger.

/// A rule module to keep.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Module {
    /// Digest of the bytes in lower-case hexadecimal.
    pub digest: String,
    pub world: String,
    pub name: String,
    pub version: String,
    pub bytes: Vec<u8>,
    /// Who publishes it, and why.
    pub publisher: String,
    pub note: String,
    pub signature: Option<Signature>,
}

/// A signature and whose it is, both in hexadecimal. Whoever loads the module verifies it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Public key.
    pub signer: String,
    pub signature: String,
}

/// What came of publishing a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Published {
    New,
    /// It was there without a signature, or without its bytes; both are there now.
    Completed,
    /// It was there already.
    Known,
}

/// What is known of a published module besides its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleRow {
    pub digest: String,
    pub world: String,
    pub name: String,
    pub version: String,
    pub bytes: i64,
    pub publisher: String,
    pub note: String,
    pub signature: Option<Signature>,
    pub published_us: i64,
    /// When its bytes were taken away.
    pub pruned_us: Option<i64>,
}

/// One rule of a generation.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Part {
    pub world: String,
    pub digest: String,
    /// Parameters as JSON; two generations are the same when these texts are the same.
    pub params: String,
}

/// A numbered set of rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Generation {
    pub number: u64,
    /// Sorted by world.
    pub parts: Vec<Part>,
    pub author: String,
    pub note: String,
    /// The folder that it was activated from, as host:path; empty when it came from no folder.
    pub source: String,
    /// When it was activated, in microseconds since 1970.
    pub since_us: i64,
    pub bad: Option<Bad>,
}

/// Why nobody falls back to a generation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bad {
    pub reason: String,
    /// The world whose rule is bad; empty: all of the generation.
    pub world: String,
}

/// Rules to put in force.
#[derive(Clone, Copy, Debug, Default)]
pub struct Activation<'a> {
    pub parts: &'a [Part],
    pub author: &'a str,
    pub note: &'a str,
    /// What kind of change it is; empty: `change::ACTIVATE`.
    pub kind: &'a str,
    /// The folder it comes from; see [`Generation::source`].
    pub source: &'a str,
    /// The generation that has to be in force still; `None`: whichever is.
    pub expected: Option<u64>,
    /// The world whose rule is bad in the generation that is replaced, or empty when all of it is; the note says why.
    /// `None`: nothing is held against it.
    pub bad_world: Option<&'a str>,
}

/// What came of an activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Activated {
    /// The generation in force now.
    pub number: u64,
    /// The one in force before; 0 when none was. The same as `number` when these rules were in force already.
    pub previous: u64,
}

/// Kinds of changes.
pub mod change {
    pub const PUBLISH: &str = "PUBLISH";
    pub const ACTIVATE: &str = "ACTIVATE";
    pub const ROLLBACK: &str = "ROLLBACK";
    pub const PAUSE_RULE: &str = "PAUSE_RULE";
    pub const FALLBACK: &str = "FALLBACK";
    pub const PRUNE: &str = "PRUNE";
    pub const SHADOW_START: &str = "SHADOW_START";
    pub const SHADOW_STOP: &str = "SHADOW_STOP";
    pub const CANARY_START: &str = "CANARY_START";
    pub const CANARY_PROMOTE: &str = "CANARY_PROMOTE";
    pub const CANARY_ABORT: &str = "CANARY_ABORT";
}

/// A change of the registry, to be written down in the transaction that makes it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Change<'a> {
    pub kind: &'a str,
    pub actor: &'a str,
    pub note: &'a str,
    /// The generation that the change makes, and the one in force before.
    pub generation: Option<u64>,
    pub previous: Option<u64>,
    pub digest: Option<&'a str>,
    /// JSON; empty: nothing more to say.
    pub detail: &'a str,
}

/// A change of the registry, as it was written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeRow {
    pub id: i64,
    pub changed_us: i64,
    pub kind: String,
    pub actor: String,
    pub note: String,
    pub generation: Option<u64>,
    pub previous: Option<u64>,
    pub digest: Option<String>,
    /// JSON.
    pub detail: String,
}

/// The first offset that a generation has priced in a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GenerationStart {
    pub group: String,
    pub topic: String,
    pub incarnation: i32,
    pub partition: i32,
    pub first_offset: i64,
}

/// A wish to leave a generation that fails.
#[derive(Clone, Copy, Debug)]
pub struct FallBack<'a> {
    /// The generation that fails.
    pub from: u64,
    pub actor: &'a str,
    /// What it fails with, in a sentence.
    pub reason: &'a str,
    /// How often it has failed.
    pub faults: u64,
}

/// What came of falling back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FellBack {
    /// The generation `number` is in force, with the rules of `good`.
    To { number: u64, good: u64 },
    /// Somebody else was faster: this one is in force.
    Elsewhere { active: u64 },
    /// There is no good generation before it; it stays in force.
    NoneGood,
}

/// Which modules lose their bytes: those that no kept generation uses and that are older than `unused_days`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrunePolicy {
    /// So many of the newest generations are kept, and every one that anything refers to which can be explained.
    pub generations: u64,
    pub unused_days: u32,
}

/// A module that lost its bytes, or would.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pruned {
    pub digest: String,
    pub name: String,
    pub version: String,
    pub bytes: i64,
}
