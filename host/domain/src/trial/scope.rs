//! Which campaigns a trial is about.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

use crate::money::PPM;

/// Campaigns by name, and a share of all campaigns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    pub campaigns: BTreeSet<String>,
    /// Of all campaigns, in ppm.
    pub share_ppm: u32,
    /// Another salt chooses another share; with the same salt, a larger share contains a smaller one.
    pub salt: String,
}

impl Scope {
    /// All campaigns.
    #[must_use]
    pub fn all() -> Self {
        Self { share_ppm: PPM as u32, ..Self::default() }
    }

    #[must_use]
    pub fn contains(&self, campaign: &str) -> bool {
        self.campaigns.contains(campaign)
            || match self.share_ppm {
                0 => false,
                // Every place is below a million.
                share_ppm if share_ppm >= PPM as u32 => true,
                share_ppm => place_ppm(&self.salt, campaign) < share_ppm,
            }
    }
}

/// The place of a campaign among a million: the first 8 bytes of SHA-256 over the salt, a byte of 0 and the campaign's
/// id, as a big-endian number, times 1,000,000, divided by 2^64.
fn place_ppm(salt: &str, campaign: &str) -> u32 {
    let digest =
        Sha256::new().chain_update(salt).chain_update([0]).chain_update(campaign).finalize();
    let first = digest[..8].iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    ((u128::from(first) * PPM as u128) >> 64) as u32
}
