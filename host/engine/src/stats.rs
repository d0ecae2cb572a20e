//! What calls have cost, and what they have answered.

use tollgate_domain::rule::Reason;

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

/// How often each reason was answered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answers {
    codes: Vec<u16>,
    counts: Vec<u64>,
}

impl Answers {
    pub(crate) fn new(reasons: &[Reason]) -> Self {
        let codes: Vec<_> = reasons.iter().map(|reason| reason.code).collect();
        Self { counts: vec![0; codes.len()], codes }
    }

    /// Most answers have the reason of the one before, so that is looked at first. Codes that nobody has declared are the
    /// fence's business.
    pub(crate) fn count(&mut self, reasons: &[u16]) {
        let mut last = 0;
        for reason in reasons {
            if self.codes.get(last) != Some(reason) {
                match self.codes.iter().position(|code| code == reason) {
                    Some(at) => last = at,
                    None => continue,
                }
            }
            self.counts[last] += 1;
        }
    }

    pub(crate) fn take(&mut self) -> Vec<u64> {
        let zeros = vec![0; self.counts.len()];
        std::mem::replace(&mut self.counts, zeros)
    }
}
