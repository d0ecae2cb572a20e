//! What a lap reads of history, summed up.

use std::collections::{BTreeMap, BTreeSet};

use tollgate_domain::money::Micros;

use crate::dialect::{Arg, Cells, Dialect, one, rows};
use crate::error::{Result, too_much};

/// Rows at offsets out of order that one lap reads at most, of each table.
const LATE_MAX: i64 = 20_000;

/// A partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Part {
    pub(super) topic: String,
    pub(super) incarnation: i32,
    pub(super) partition: i32,
}

/// What progress and watch say of a partition.
#[derive(Clone, Debug)]
pub(super) struct Mark {
    pub(super) part: Part,
    pub(super) first_offset: i64,
    pub(super) next_offset: i64,
    /// Counter of the progress, number of offsets that were consumed, and the sum of their fates.
    pub(super) charged: i64,
    pub(super) consumed: i64,
    pub(super) fates: i64,
    /// What earlier laps have watched: offsets below, and the charges or compensations there.
    pub(super) upto_offset: i64,
    pub(super) seen: i64,
}

/// A campaign and a day, the day as days since 1970-01-01.
pub(super) type CampaignDay = (String, i32);

/// Money of a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct DayMoney {
    pub(super) charged: Micros,
    pub(super) refunded: Micros,
}

/// Sums over what a lap has read.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) rows: i64,
    /// Marks that have moved: the new offset and the charges to add.
    pub(super) marks: BTreeMap<Part, (i64, i64)>,
    pub(super) balances: BTreeMap<String, Micros>,
    pub(super) days: BTreeMap<CampaignDay, DayMoney>,
    /// Clicks by minute, campaign and advertiser.
    pub(super) minutes: BTreeMap<(i64, String, String), i64>,
    /// Rows to mark as watched, by table and column.
    pub(super) late: BTreeMap<(&'static str, &'static str), BTreeSet<(Part, i64)>>,
    /// Whether rows out of order are left.
    pub(super) is_late_left: bool,
}

/// What stands at offsets that may have been watched before it was written. Each is announced by a row of `table` at the
/// same offset, whose `column` says whether it was seen.
struct Late {
    table: &'static str,
    column: &'static str,
    /// Which rows of the table, known as `a`, announce one.
    announced: &'static str,
    what: What,
}

/// What is announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// A refund, which is read in no other way.
    Refund,
    /// The charge of a replayed dead letter.
    Charge,
    /// A compensation that a replay has taken in.
    Intake,
}

impl What {
    /// Type of its row in history; a compensation that was only taken in has none.
    fn history_type(self) -> &'static str {
        match self {
            Self::Refund => "REFUND",
            Self::Charge => "DEDUCT",
            Self::Intake => "",
        }
    }
}

const LATE: &[Late] = &[
    Late {
        table: "compensations",
        column: "watched",
        announced: "a.state = 'REFUNDED'",
        what: What::Refund,
    },
    Late {
        table: "compensations",
        column: "intake_watched",
        announced: "1 = 1",
        what: What::Intake,
    },
    Late {
        table: "dead_letters",
        column: "watched",
        announced: "a.replayed_at IS NOT NULL",
        what: What::Charge,
    },
];

const MARKS: &str = "
SELECT p.topic, p.incarnation, p.part, p.first_offset, p.next_offset, p.charged, p.consumed, p.fates,
  coalesce(m.upto_offset, 0), coalesce(m.charged, 0)
FROM (
  SELECT topic, incarnation, kafka_partition AS part, min(first_offset) AS first_offset,
    max(next_offset) AS next_offset, CAST(sum(charged) AS BIGINT) AS charged,
    CAST(sum(next_offset - first_offset) AS BIGINT) AS consumed,
    CAST(sum(charged + skipped + dead + absent) AS BIGINT) AS fates
  FROM (
    SELECT topic, incarnation, kafka_partition, first_offset, next_offset, charged, skipped, dead, absent
    FROM consumer_progress
    UNION ALL
    SELECT topic, incarnation, kafka_partition, first_offset, next_offset, charged, skipped, dead, absent
    FROM retired_progress
  ) AS every GROUP BY topic, incarnation, kafka_partition
) AS p LEFT JOIN watch_marks m ON m.topic = p.topic AND m.incarnation = p.incarnation AND m.kafka_partition = p.part
ORDER BY p.topic, p.incarnation, p.part";

const WINDOW: &str = "
SELECT advertiser_id, campaign_id, {days:budget_day}, {us:occurred_at} / 60000000,
  CAST(sum(amount_micros) AS BIGINT), count(*)
FROM ad_balance_histories
WHERE kafka_partition = $1 AND kafka_offset >= $2 AND kafka_offset < $3 AND incarnation = $4 AND kafka_topic = $5
  AND type = 'DEDUCT'
GROUP BY 1, 2, 3, 4";

const COMPENSATIONS: &str = "
SELECT count(*) FROM compensations
WHERE kafka_partition = $1 AND kafka_offset >= $2 AND kafka_offset < $3 AND incarnation = $4 AND topic = $5";

/// What partitions and watch say, in one snapshot.
pub(super) async fn marks<D: Dialect>(conn: &mut D) -> Result<Vec<Mark>> {
    let found = rows(conn, MARKS, &[]).await?;
    let mark = |row: &D::Row| Mark {
        part: Part { topic: row.cell(0), incarnation: row.cell(1), partition: row.cell(2) },
        first_offset: row.cell(3),
        next_offset: row.cell(4),
        charged: row.cell(5),
        consumed: row.cell(6),
        fates: row.cell(7),
        upto_offset: row.cell(8),
        seen: row.cell(9),
    };
    Ok(found.iter().map(mark).collect())
}

/// Reads what is new at the marks, and moves them; gives the number of offsets that are left.
pub(super) async fn read<D: Dialect>(
    conn: &mut D,
    marks: &mut [Mark],
    offsets_max: i64,
) -> Result<(Seen, i64)> {
    let (mut seen, mut room, mut left) = (Seen::default(), offsets_max, 0);
    let before = marks.to_vec();
    for mark in marks.iter_mut() {
        // Below the first offset there is nothing, or something that should not be there and is found this way.
        let reach = mark.upto_offset.max(mark.first_offset).saturating_add(room);
        let target = mark.next_offset.min(reach);
        room -= (target - mark.upto_offset.max(mark.first_offset)).max(0);
        left += (mark.next_offset - target).max(0);
        if target != mark.upto_offset {
            seen.window(conn, mark, target).await?;
        }
    }
    for late in LATE {
        seen.late(conn, late, &before, marks).await?;
    }
    Ok((seen, left))
}

impl Seen {
    /// Takes in the offsets from the mark up to `target`. When somebody has put the progress back, what was taken in
    /// beyond it is taken out, because it will come again.
    async fn window<D: Dialect>(
        &mut self,
        conn: &mut D,
        mark: &mut Mark,
        target: i64,
    ) -> Result<()> {
        let (from, to) = (mark.upto_offset.min(target), mark.upto_offset.max(target));
        let sign = if target < mark.upto_offset { -1 } else { 1 };
        let Part { topic, incarnation, partition } = &mark.part;
        let args: [Arg<'_>; 5] = [
            i64::from(*partition).into(),
            from.into(),
            to.into(),
            i64::from(*incarnation).into(),
            topic.into(),
        ];
        let mut charged = one(conn, COMPENSATIONS, &args).await?.cell::<i64>(0);
        for row in rows(conn, WINDOW, &args).await? {
            let (clicks, amount) = (row.cell::<i64>(5), Micros(row.cell(4)));
            charged += clicks;
            let signed = if sign < 0 { opposite(amount)? } else { amount };
            let day = (row.cell::<String>(1), row.cell(2));
            self.charge(row.cell(0), day, signed)?;
            let minute = (row.cell(3), row.cell(1), row.cell(0));
            *self.minutes.entry(minute).or_default() += sign * clicks;
            self.rows += clicks;
        }
        mark.upto_offset = target;
        self.marks.insert(mark.part.clone(), (target, sign * charged));
        Ok(())
    }

    async fn late<D: Dialect>(
        &mut self,
        conn: &mut D,
        late: &Late,
        before: &[Mark],
        after: &[Mark],
    ) -> Result<()> {
        let sql = format!(
            "SELECT a.topic, a.incarnation, a.kafka_partition, a.kafka_offset, h.advertiser_id, h.campaign_id,
               {{days:h.budget_day}}, {{us:h.occurred_at}} / 60000000, h.amount_micros
             FROM {} a LEFT JOIN ad_balance_histories h ON h.kafka_partition = a.kafka_partition
               AND h.kafka_offset = a.kafka_offset AND h.incarnation = a.incarnation AND h.kafka_topic = a.topic
               AND h.type = '{}'
             WHERE {} AND NOT a.{}
             ORDER BY a.topic, a.incarnation, a.kafka_partition, a.kafka_offset LIMIT $1",
            late.table,
            late.what.history_type(),
            late.announced,
            late.column
        );
        let found = rows(conn, &sql, &[LATE_MAX.into()]).await?;
        self.is_late_left |= found.len() as i64 == LATE_MAX;
        let upto = |marks: &[Mark], part: &Part| {
            let mark = marks.iter().find(|mark| mark.part == *part);
            mark.map_or(0, |mark| mark.upto_offset)
        };
        for row in &found {
            let part =
                Part { topic: row.cell(0), incarnation: row.cell(1), partition: row.cell(2) };
            let offset: i64 = row.cell(3);
            // What lies in a window is counted there: this one, or one of a later lap.
            let is_refund = late.what == What::Refund;
            if !is_refund && offset >= upto(after, &part) {
                continue;
            }
            if is_refund || offset < upto(before, &part) {
                self.take_late(row, &part, after, late.what)?;
            }
            self.late.entry((late.table, late.column)).or_default().insert((part, offset));
        }
        Ok(())
    }

    /// A row that is announced and missing is not taken in, and the comparison shows it.
    fn take_late(
        &mut self,
        row: &impl Cells,
        part: &Part,
        after: &[Mark],
        what: What,
    ) -> Result<()> {
        if what == What::Intake {
            self.count_late(part, after);
        }
        let Some(amount) = row.cell::<Option<i64>>(8).map(Micros) else { return Ok(()) };
        let (advertiser, campaign): (String, String) = (row.cell(4), row.cell(5));
        let day = (campaign.clone(), row.cell(6));
        self.rows += 1;
        if what == What::Refund {
            return self.refund(advertiser, day, amount);
        }
        self.charge(advertiser.clone(), day, amount)?;
        *self.minutes.entry((row.cell(7), campaign, advertiser)).or_default() += 1;
        self.count_late(part, after);
        Ok(())
    }

    /// One charge or compensation more below the mark.
    fn count_late(&mut self, part: &Part, after: &[Mark]) {
        let upto = after.iter().find(|mark| mark.part == *part).map_or(0, |mark| mark.upto_offset);
        self.marks.entry(part.clone()).or_insert((upto, 0)).1 += 1;
    }

    fn charge(&mut self, advertiser: String, day: CampaignDay, amount: Micros) -> Result<()> {
        let money = self.days.entry(day).or_default();
        money.charged = money.charged.checked_sub(amount).ok_or_else(too_much)?;
        self.move_balance(advertiser, amount)
    }

    fn refund(&mut self, advertiser: String, day: CampaignDay, amount: Micros) -> Result<()> {
        let money = self.days.entry(day).or_default();
        money.refunded = money.refunded.checked_add(amount).ok_or_else(too_much)?;
        self.move_balance(advertiser, amount)
    }

    fn move_balance(&mut self, advertiser: String, amount: Micros) -> Result<()> {
        let moved = self.balances.entry(advertiser).or_default();
        *moved = moved.checked_add(amount).ok_or_else(too_much)?;
        Ok(())
    }
}

fn opposite(amount: Micros) -> Result<Micros> {
    amount.checked_neg().ok_or_else(too_much)
}
