//! The safety valve: a partition whose records become dead letters one after the other is halted before a whole topic
//! has gone that way. What counts is the last records, however they are cut into batches.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use tollgate_domain::dead::{Code, DeadLetter};
use tollgate_domain::notice::{HappeningFacts, HappeningKind};
use tollgate_domain::plan::{OutboxMessage, Plan};
use tollgate_domain::slice::{Slice, Source};
use tollgate_stream::Halt;

/// How many dead letters are too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValveLimits {
    /// Records of a partition that are looked at, by their offsets.
    pub window: u32,
    /// Most of them that may be dead letters, in percent; with 100 no partition is ever halted.
    pub percent: u32,
}

/// Remembers the last dead letters of each partition, from its acquisition on.
#[derive(Debug)]
pub struct Valve {
    limits: ValveLimits,
    partitions: HashMap<(Arc<str>, i32), Window>,
}

/// A partition that passes the limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flood {
    pub source: Arc<Source>,
    /// The dead letter with which it does; nothing from here on is written.
    pub offset: i64,
    /// Dead letters of the window, this one included.
    pub dead: usize,
    /// The commonest code, and how many of them have it.
    pub code: Code,
    pub code_count: usize,
    pub window: u32,
}

/// Dead letters of a partition that the window still holds, oldest first.
#[derive(Debug)]
struct Window {
    source: Arc<Source>,
    dead: VecDeque<(i64, Code)>,
}

impl Valve {
    #[must_use]
    pub fn new(limits: ValveLimits) -> Self {
        Self { limits, partitions: HashMap::new() }
    }

    /// Partitions that a plan would take over the limit, each at the first dead letter that does.
    #[must_use]
    pub fn floods(&self, plan: &Plan<'_>) -> Vec<Flood> {
        let advances = plan.advances.iter().filter(|advance| advance.dead > 0);
        advances.filter_map(|advance| self.flood(&advance.source, &plan.dead)).collect()
    }

    /// Takes over what a plan has written.
    pub fn committed(&mut self, plan: &Plan<'_>) {
        for advance in plan.advances.iter().filter(|advance| advance.dead > 0) {
            let source = &advance.source;
            let place = (Arc::clone(&source.topic), source.partition);
            let window = self
                .partitions
                .entry(place)
                .and_modify(|window| window.follow(source))
                .or_insert_with(|| Window::new(source));
            for (offset, code) in dead_of(source, &plan.dead) {
                window.push(offset, code, self.limits.window);
            }
        }
    }

    fn flood(&self, source: &Arc<Source>, dead: &[DeadLetter]) -> Option<Flood> {
        let place = (Arc::clone(&source.topic), source.partition);
        let known = self.partitions.get(&place).filter(|known| known.source == *source);
        let mut window = Window::new(source);
        window.dead.extend(known.iter().flat_map(|known| &known.dead));
        let dead_max = self.dead_max();
        for (offset, code) in dead_of(source, dead) {
            window.push(offset, code, self.limits.window);
            if window.dead.len() > dead_max {
                return Some(window.flood(offset, self.limits.window));
            }
        }
        None
    }

    /// At least one, so that whoever lets a partition go on gets past a record.
    fn dead_max(&self) -> usize {
        let ValveLimits { window, percent } = self.limits;
        let dead_max = u64::from(window) * u64::from(percent) / 100;
        usize::try_from(dead_max).unwrap_or(usize::MAX).max(1)
    }
}

impl Window {
    fn new(source: &Arc<Source>) -> Self {
        Self { source: Arc::clone(source), dead: VecDeque::new() }
    }

    /// Starts anew with another acquisition.
    fn follow(&mut self, source: &Arc<Source>) {
        if self.source != *source {
            *self = Self::new(source);
        }
    }

    fn push(&mut self, offset: i64, code: Code, window: u32) {
        self.dead.push_back((offset, code));
        while self.dead.front().is_some_and(|(oldest, _)| *oldest <= offset - i64::from(window)) {
            self.dead.pop_front();
        }
    }

    fn flood(&self, offset: i64, window: u32) -> Flood {
        let mut codes: BTreeMap<Code, usize> = BTreeMap::new();
        for (_, code) in &self.dead {
            *codes.entry(*code).or_default() += 1;
        }
        let commonest = codes.into_iter().max_by_key(|(code, count)| (*count, *code));
        let (code, code_count) = commonest.unwrap_or((Code::EmptyValue, 0));
        let (source, dead) = (Arc::clone(&self.source), self.dead.len());
        Flood { source, offset, dead, code, code_count, window }
    }
}

impl Flood {
    /// Leaves what lies before the flood, and all other partitions.
    #[must_use]
    pub fn cut_off(&self, slices: Vec<Slice>) -> Vec<Slice> {
        let is_dry =
            |slice: &Slice| slice.source != self.source || slice.first_offset < self.offset;
        let cut = |slice: Slice| {
            if slice.source == self.source && slice.next_offset > self.offset {
                return slice.split_at_offset(self.offset).0;
            }
            slice
        };
        slices.into_iter().filter(is_dry).map(cut).collect()
    }

    /// Why the partition is halted, and how it goes on.
    #[must_use]
    pub fn halt(&self) -> Halt {
        let Self { source, offset, dead, code, code_count, window } = self;
        let sentence = format!(
            "{dead} of the last {window} records are dead letters, {code_count} of them {}. {} Then let the partition \
             go on, and replay the dead letters.",
            code.as_str(),
            code.hint()
        );
        Halt::flooded(&source.topic, source.partition, *offset, sentence)
    }

    /// Tells people, once a halt.
    #[must_use]
    pub fn message(&self, now_us: i64) -> OutboxMessage {
        let Source { topic, partition, incarnation, .. } = &*self.source;
        let facts = HappeningFacts {
            count: self.dead as u64,
            detail: format!("{topic} partition {partition}: {}", self.halt().reason()),
            occurred_at_us: now_us,
            ..HappeningFacts::default()
        };
        OutboxMessage {
            key: format!("partition-halted:{topic}:{incarnation}:{partition}:{}", self.offset),
            kind: HappeningKind::PartitionHalted,
            payload: facts.to_json(),
        }
    }
}

/// Dead letters of a partition, in the order of their offsets.
fn dead_of<'p>(
    source: &Source,
    dead: &'p [DeadLetter],
) -> impl Iterator<Item = (i64, Code)> + use<'p> {
    let (topic, partition) = (Arc::clone(&source.topic), source.partition);
    let of_it = move |dead: &&DeadLetter| dead.partition == partition && dead.topic == topic;
    dead.iter().filter(of_it).map(|dead| (dead.offset, dead.rejection.code))
}

#[cfg(test)]
mod tests;
