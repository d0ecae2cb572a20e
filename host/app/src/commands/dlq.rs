//! `tollgate dlq`

mod changing;
mod listing;

use tollgate_ledger::LetterFilter;

use crate::cli::{Dlq, DlqFilter};
use crate::exit::Exit;

pub(super) fn execute(command: &Dlq) -> anyhow::Result<Exit> {
    match command {
        Dlq::List(arguments) => listing::list(arguments),
        Dlq::Show(arguments) => listing::show(arguments),
        Dlq::Replay(arguments) => changing::replay(arguments),
        Dlq::Drop(arguments) => changing::drop_them(arguments),
    }
}

fn letter_filter(given: &DlqFilter) -> LetterFilter {
    LetterFilter {
        topic: given.topic.clone(),
        partition: given.partition,
        offset: given.offset,
        code: given.code.clone(),
        campaign: given.campaign.clone(),
        since_us: given.since.map(jiff::Timestamp::as_microsecond),
        until_us: given.until.map(jiff::Timestamp::as_microsecond),
        ..LetterFilter::default()
    }
}
