//! What the market knows about the events it made, for checks that do not ask the system.

use std::collections::BTreeMap;
use std::mem;

use super::Stream;
use crate::generator::{Kind, Repeat};

/// A click as it was meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Index of the campaign.
    pub campaign: usize,
    pub device: String,
    pub ad: String,
    pub at_us: i64,
    /// When it was sent.
    pub sent_at_us: i64,
    pub price_micros: i64,
    /// Whether the same device had clicked the same ad within the window before.
    pub is_duplicate: bool,
}

/// Counts of what was sent, and every click.
#[derive(Debug, Default)]
pub struct Diary {
    counts: BTreeMap<(Stream, &'static str), u64>,
    clicks: Vec<Note>,
    /// Clicks whose chain nobody has taken yet.
    untold: Vec<Note>,
}

impl Diary {
    /// Events that were sent to a topic, by what they are; those that cannot be read are `bad`.
    #[must_use]
    pub fn count(&self, stream: Stream, kind: &str) -> u64 {
        let is_it = |((of, name), _): &(&(Stream, &str), &u64)| *of == stream && *name == kind;
        self.counts.iter().find(is_it).map_or(0, |(_, count)| *count)
    }

    /// All events that were sent to a topic.
    #[must_use]
    pub fn total(&self, stream: Stream) -> u64 {
        self.counts.iter().filter(|((of, _), _)| *of == stream).map(|(_, count)| count).sum()
    }

    /// Every click that can be charged, in the order of sending.
    #[must_use]
    pub fn clicks(&self) -> &[Note] {
        &self.clicks
    }

    /// Clicks that have to be refunded.
    pub fn duplicates(&self) -> impl Iterator<Item = &Note> {
        self.clicks.iter().filter(|click| click.is_duplicate)
    }

    /// Chains of duplicates whose last click came before this instant; each is told of once. Call it when nothing older
    /// is on its way any more.
    pub fn take_repeats(&mut self, before_us: i64) -> Vec<Repeat> {
        let mut untold = mem::take(&mut self.untold);
        let place = |note: &Note| (note.at_us, note.is_duplicate);
        untold.sort_by(|a, b| (&a.device, &a.ad, place(a)).cmp(&(&b.device, &b.ad, place(b))));
        let mut taken = Vec::new();
        for chain in untold.chunk_by(|_, next| next.is_duplicate) {
            if chain.last().is_some_and(|last| last.at_us >= before_us) {
                self.untold.extend_from_slice(chain);
            } else if let [Note { campaign, device, ad, .. }, _, ..] = chain {
                let (campaign, device, ad) = (*campaign, device.clone(), ad.clone());
                let at_us = chain.iter().map(|note| note.at_us).collect();
                taken.push(Repeat { campaign, device, ad, at_us });
            }
        }
        taken
    }

    pub(super) fn write(
        &mut self,
        stream: Stream,
        kind: Kind,
        sent_at_us: i64,
        note: Option<Note>,
    ) {
        *self.counts.entry((stream, name(kind))).or_default() += 1;
        if let Some(note) = note {
            let note = Note { sent_at_us, ..note };
            self.untold.push(note.clone());
            self.clicks.push(note);
        }
    }
}

fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Impression => "impression",
        Kind::Click(_) => "click",
        Kind::Conversion => "conversion",
        Kind::Compensation => "compensation",
        Kind::Campaign => "campaign",
        Kind::Poison(_) => "bad",
    }
}
