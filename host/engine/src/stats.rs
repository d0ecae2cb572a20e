//! What calls have cost.

/// Sums over the calls of one rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallStats {
    pub calls: u64,
    /// Rows asked about.
    pub rows: u64,
    /// Fuel used, also by calls that failed.
    pub fuel: u64,
    /// Most memory that an instance had, in bytes.
    pub memory_bytes: u64,
    /// Time spent, in nanoseconds, with the instance's making and unmaking.
    pub ns: u64,
    /// Calls that failed by the rule's doing.
    pub faults: u64,
    /// Calls that failed by the host's doing.
    pub host_failures: u64,
}
