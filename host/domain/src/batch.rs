//! A batch: slices that are charged in one transaction, and its clicks brought together with the book.

use std::collections::HashMap;
use std::sync::Arc;

use crate::book::{Book, Campaign, DayKey, DayState};
use crate::day::Day;
use crate::dead::{Code, Rejection, Stage};
use crate::money::Micros;
use crate::plan::Advance;
use crate::slice::{Click, Slice};

/// Slices in the order in which their clicks are charged. Slices of one partition follow each other without a gap.
#[derive(Debug)]
pub struct Batch {
    slices: Vec<Slice>,
    parties: Vec<PartyIds>,
    /// For each slice, its parties as indices into `parties`.
    party_of: Vec<Vec<u32>>,
}

/// Campaign and advertiser of an event.
#[derive(Clone, Debug)]
pub struct PartyIds {
    pub campaign: Arc<str>,
    pub advertiser: Arc<str>,
}

/// The clicks of a batch with everything the book knows about them.
#[derive(Debug)]
pub struct Resolved<'b> {
    /// Campaigns with a chargeable click, each once, in order of their first click.
    pub campaigns: Vec<ResolvedCampaign<'b>>,
    pub advertisers: Vec<(Arc<str>, Micros)>,
    pub days: Vec<ResolvedDay>,
    pub clicks: Vec<ResolvedClick>,
    /// Clicks that cannot be charged whatever the rules say.
    pub rejected: Vec<(ClickRef, Rejection)>,
}

#[derive(Clone, Copy, Debug)]
pub struct ResolvedCampaign<'b> {
    pub campaign: &'b Campaign,
    /// Index into `Resolved::advertisers`.
    pub advertiser: u32,
}

#[derive(Clone, Copy, Debug)]
pub struct ResolvedDay {
    /// Index into `Resolved::campaigns`.
    pub campaign: u32,
    pub day: Day,
    pub state: DayState,
    /// It was told already that the fence refused a pause on this day.
    pub refusal_told: bool,
}

/// Names a click of the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClickRef {
    pub slice: u32,
    pub click: u32,
}

#[derive(Clone, Copy, Debug)]
pub struct ResolvedClick {
    pub at: ClickRef,
    /// Index into `Resolved::campaigns`.
    pub campaign: u32,
    /// Index into `Resolved::days`.
    pub day: u32,
}

/// Fates of a slice's records that only the decision knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fates {
    pub charged: i64,
    pub dead: i64,
}

/// Rows that the book must have before the batch can be resolved, each list sorted and without repeats.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Missing {
    pub campaigns: Vec<Arc<str>>,
    pub advertisers: Vec<Arc<str>>,
    pub days: Vec<DayKey>,
}

impl Missing {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.campaigns.is_empty() && self.advertisers.is_empty() && self.days.is_empty()
    }

    fn sort(mut self) -> Self {
        self.campaigns.sort_unstable();
        self.campaigns.dedup();
        self.advertisers.sort_unstable();
        self.advertisers.dedup();
        self.days.sort_unstable();
        self.days.dedup();
        self
    }
}

impl Batch {
    /// A batch of nothing, for decisions that no click has led to.
    #[must_use]
    pub const fn empty() -> Self {
        Self { slices: Vec::new(), parties: Vec::new(), party_of: Vec::new() }
    }

    #[must_use]
    pub fn new(slices: Vec<Slice>, book: &Book) -> Self {
        let mut parties = Vec::new();
        let mut known: HashMap<(&str, &str), u32> = HashMap::new();
        let party_of = slices
            .iter()
            .map(|slice| {
                let ids = slice.parties.iter().map(|party| {
                    let names = (slice.text(party.campaign), slice.text(party.advertiser));
                    *known.entry(names).or_insert_with(|| {
                        parties.push(PartyIds::remembered(names, book));
                        (parties.len() - 1) as u32
                    })
                });
                ids.collect()
            })
            .collect();
        Self { slices, parties, party_of }
    }

    #[must_use]
    pub fn slices(&self) -> &[Slice] {
        &self.slices
    }

    /// The slices back, to be charged in another way.
    #[must_use]
    pub fn into_slices(self) -> Vec<Slice> {
        self.slices
    }

    #[must_use]
    pub fn clicks(&self) -> usize {
        self.slices.iter().map(|slice| slice.clicks.len()).sum()
    }

    /// Clicks and compensations.
    #[must_use]
    pub fn items(&self) -> usize {
        self.slices.iter().map(Slice::items).sum()
    }

    #[must_use]
    pub fn click(&self, at: ClickRef) -> (&Slice, &Click) {
        let slice = &self.slices[at.slice as usize];
        (slice, &slice.clicks[at.click as usize])
    }

    /// How far the batch moves each partition, sorted by topic and partition. `fates` has one entry a slice.
    #[must_use]
    pub fn advances(&self, fates: &[Fates]) -> Vec<Advance> {
        let mut advances: Vec<Advance> = Vec::new();
        for (slice, fates) in self.slices.iter().zip(fates) {
            let same = advances.iter().position(|advance| advance.source == slice.source);
            let at = same.unwrap_or_else(|| {
                advances.push(Advance::nowhere(&slice.source, slice.first_offset));
                advances.len() - 1
            });
            let advance = &mut advances[at];
            advance.next_offset = slice.next_offset;
            advance.charged += fates.charged;
            advance.dead += fates.dead;
            advance.skipped += slice.skipped;
            advance.absent += slice.absent;
        }
        advances.sort_by(|a, b| {
            (&a.source.topic, a.source.partition).cmp(&(&b.source.topic, b.source.partition))
        });
        advances
    }

    /// Brings the clicks together with what the book remembers.
    ///
    /// # Errors
    /// The rows that have to be read first.
    pub fn resolve<'b>(&self, book: &'b Book) -> Result<Resolved<'b>, Missing> {
        let mut resolver = Resolver::new(book);
        let parties: Vec<_> = self.parties.iter().map(|party| resolver.party(party)).collect();
        resolver.clicks.reserve(self.clicks());
        for (slice_at, slice) in self.slices.iter().enumerate() {
            for (click_at, click) in slice.clicks.iter().enumerate() {
                let at = ClickRef { slice: slice_at as u32, click: click_at as u32 };
                let party = self.party_of[slice_at][click.party as usize];
                match &parties[party as usize] {
                    Ok(campaign) => resolver.click(at, *campaign, click.occurred_at_us),
                    Err(rejection) => resolver.rejected.push((at, rejection.clone())),
                }
            }
        }
        resolver.finish()
    }
}

impl<'b> Resolved<'b> {
    /// A fresh look at campaigns, each with its own present day, without any click. Campaigns that the book knows to
    /// be unknown are left out.
    ///
    /// # Errors
    /// The rows that have to be read first.
    pub fn look(
        book: &'b Book,
        campaigns: &[Arc<str>],
        now_us: i64,
    ) -> Result<Resolved<'b>, Missing> {
        let mut resolver = Resolver::new(book);
        for id in campaigns {
            let Some(campaign) = book.campaigns.get(id) else {
                if !book.unknown.contains(id) {
                    resolver.missing.campaigns.push(Arc::clone(id));
                }
                continue;
            };
            let at = resolver.campaign(campaign);
            resolver.day(at, campaign.zone.day(now_us));
        }
        resolver.finish()
    }

    /// Keys of all rows that the batch touches, sorted: what has to be locked.
    #[must_use]
    pub fn keys(&self) -> Missing {
        let campaign = |at: u32| self.campaigns[at as usize].campaign;
        Missing {
            campaigns: Vec::new(),
            advertisers: self.advertisers.iter().map(|(id, _)| Arc::clone(id)).collect(),
            days: self
                .days
                .iter()
                .map(|day| DayKey {
                    campaign: Arc::clone(&campaign(day.campaign).id),
                    day: day.day,
                })
                .collect(),
        }
        .sort()
    }
}

impl PartyIds {
    /// The book's own copy of a known campaign's ids, so that ids are not copied for every batch.
    fn remembered((campaign, advertiser): (&str, &str), book: &Book) -> Self {
        match book.campaigns.get(campaign) {
            Some(known) if &*known.advertiser == advertiser => {
                Self { campaign: Arc::clone(&known.id), advertiser: Arc::clone(&known.advertiser) }
            }
            _ => Self { campaign: campaign.into(), advertiser: advertiser.into() },
        }
    }
}

struct Resolver<'b> {
    book: &'b Book,
    campaigns: Vec<ResolvedCampaign<'b>>,
    /// For each campaign the day of its last click, because clicks of one campaign mostly share their day.
    last_day: Vec<Option<(Day, u32)>>,
    advertisers: Vec<(Arc<str>, Micros)>,
    advertiser_at: HashMap<&'b str, u32>,
    days: Vec<ResolvedDay>,
    day_at: HashMap<(u32, Day), u32>,
    clicks: Vec<ResolvedClick>,
    rejected: Vec<(ClickRef, Rejection)>,
    missing: Missing,
}

impl<'b> Resolver<'b> {
    fn new(book: &'b Book) -> Self {
        Self {
            book,
            campaigns: Vec::new(),
            last_day: Vec::new(),
            advertisers: Vec::new(),
            advertiser_at: HashMap::new(),
            days: Vec::new(),
            day_at: HashMap::new(),
            clicks: Vec::new(),
            rejected: Vec::new(),
            missing: Missing::default(),
        }
    }

    /// The campaign of a party; each accepted party is a campaign of its own, because its advertiser must match.
    fn party(&mut self, party: &PartyIds) -> Result<u32, Rejection> {
        let reject = |code, sentence| Err(Rejection::new(code, Stage::Resolve, sentence));
        let Some(campaign) = self.book.campaigns.get(&party.campaign) else {
            if !self.book.unknown.contains(&party.campaign) {
                self.missing.campaigns.push(Arc::clone(&party.campaign));
            }
            let sentence =
                format!("campaign {:?} is not in `campaigns` or unusable there", &*party.campaign);
            return reject(Code::UnknownCampaign, sentence);
        };
        if campaign.advertiser != party.advertiser {
            let sentence = format!(
                "campaign {:?} belongs to {:?}, the event names {:?}",
                &*campaign.id, &*campaign.advertiser, &*party.advertiser
            );
            return reject(Code::AdvertiserMismatch, sentence);
        }
        Ok(self.campaign(campaign))
    }

    fn campaign(&mut self, campaign: &'b Campaign) -> u32 {
        let advertiser = self.advertiser(&campaign.advertiser);
        self.campaigns.push(ResolvedCampaign { campaign, advertiser });
        self.last_day.push(None);
        (self.campaigns.len() - 1) as u32
    }

    fn advertiser(&mut self, id: &'b Arc<str>) -> u32 {
        if let Some(&at) = self.advertiser_at.get(&**id) {
            return at;
        }
        let balance = self.book.balances.get(id).copied().unwrap_or_else(|| {
            self.missing.advertisers.push(Arc::clone(id));
            Micros::ZERO
        });
        let at = self.advertisers.len() as u32;
        self.advertisers.push((Arc::clone(id), balance));
        self.advertiser_at.insert(id, at);
        at
    }

    fn click(&mut self, at: ClickRef, campaign: u32, occurred_at_us: i64) {
        let day = self.campaigns[campaign as usize].campaign.zone.day(occurred_at_us);
        let day = match self.last_day[campaign as usize] {
            Some((last, day_at)) if last == day => day_at,
            _ => {
                let day_at = self.day(campaign, day);
                self.last_day[campaign as usize] = Some((day, day_at));
                day_at
            }
        };
        self.clicks.push(ResolvedClick { at, campaign, day });
    }

    fn day(&mut self, campaign: u32, day: Day) -> u32 {
        if let Some(&at) = self.day_at.get(&(campaign, day)) {
            return at;
        }
        let id = &self.campaigns[campaign as usize].campaign.id;
        let key = DayKey { campaign: Arc::clone(id), day };
        let refusal_told = self.book.refusals.contains(&key);
        let state = self.book.days.get(&key).copied().unwrap_or_else(|| {
            self.missing.days.push(key);
            DayState::default()
        });
        let at = self.days.len() as u32;
        self.days.push(ResolvedDay { campaign, day, state, refusal_told });
        self.day_at.insert((campaign, day), at);
        at
    }

    fn finish(self) -> Result<Resolved<'b>, Missing> {
        if !self.missing.is_empty() {
            return Err(self.missing.sort());
        }
        Ok(Resolved {
            campaigns: self.campaigns,
            advertisers: self.advertisers,
            days: self.days,
            clicks: self.clicks,
            rejected: self.rejected,
        })
    }
}
