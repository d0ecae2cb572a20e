//! A plan as one statement: progress, money and, when it has any, its rare parts.

use sqlx::postgres::{PgArguments, PgConnection};
use sqlx::query::Query;
use sqlx::{Executor, Postgres};
use tollgate_domain::book::DayState;
use tollgate_domain::dead::DeadLetter;
use tollgate_domain::plan::{Crossing, Plan, StatusChange};

use super::database_error;
use super::history::HistoryColumns;
use crate::error::Result;
use crate::shape::{AdvanceColumns, headers_json, without_nul};

type Statement<'q> = Query<'q, Postgres, PgArguments>;

const ADVANCE: &str =
    "SELECT tollgate_advance_v1($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";

/// The record is written by whoever takes the hot part's answer, so that the hot part runs first.
const APPLY: &str = "SELECT tollgate_record_v1(
    tollgate_apply_v1($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21,
      $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37),
    $2, $3, $4, $6, $7, $8, $38)";

/// The rare part runs last, because it takes the other parts' answer as its first argument.
const APPLY_WITH_RARE: &str = "SELECT tollgate_rare_v2(tollgate_record_v1(
    tollgate_apply_v1($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21,
      $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37),
    $2, $3, $4, $6, $7, $8, $38),
    $39, $40, $41, $42, $43, $44, $45, $46, $47, $48, $49, $50, $51, $52, $53, $54, $55, $56, $57, $58, $59, $60, $61,
    $62, $63, $64, $65, $66, $67, $68, $69, $70)";

/// Writes everything, or everything but the history.
pub(crate) async fn write(
    conn: &mut PgConnection,
    group: &str,
    plan: &Plan<'_>,
    with_history: bool,
) -> Result<()> {
    let rare = !(plan.statuses.is_empty()
        && plan.crossings.is_empty()
        && plan.outbox.is_empty()
        && plan.dead.is_empty());
    let money = !(plan.balances.is_empty() && plan.days.is_empty() && plan.history.is_empty());
    let statement = match (money, rare) {
        (false, false) => bind_advance(sqlx::query(ADVANCE), group, plan),
        (true, false) => bind_hot(sqlx::query(APPLY), group, plan, with_history)?,
        (_, true) => {
            let statement = bind_hot(sqlx::query(APPLY_WITH_RARE), group, plan, with_history)?;
            bind_dead(bind_events(bind_statuses(statement, &plan.statuses), plan), &plan.dead, plan)
        }
    };
    conn.execute(statement).await.map_err(database_error)?;
    Ok(())
}

fn bind_advance<'q>(query: Statement<'q>, group: &'q str, plan: &'q Plan<'_>) -> Statement<'q> {
    let advances = AdvanceColumns::new(&plan.advances);
    let count = |field: fn(&tollgate_domain::plan::Advance) -> i64| {
        plan.advances.iter().map(field).collect::<Vec<_>>()
    };
    query
        .bind(group)
        .bind(plan.generation as i64)
        .bind(advances.topics)
        .bind(advances.partitions)
        .bind(advances.epochs)
        .bind(advances.incarnations)
        .bind(advances.expected)
        .bind(count(|a| a.next_offset))
        .bind(count(|a| a.charged))
        .bind(count(|a| a.skipped))
        .bind(count(|a| a.dead))
        .bind(count(|a| a.absent))
}

fn bind_hot<'q>(
    query: Statement<'q>,
    group: &'q str,
    plan: &'q Plan<'_>,
    with_history: bool,
) -> Result<Statement<'q>> {
    let query = bind_advance(query, group, plan)
        .bind(plan.balances.iter().map(|b| &*b.advertiser).collect::<Vec<_>>())
        .bind(plan.balances.iter().map(|b| b.expected.0).collect::<Vec<_>>())
        .bind(plan.balances.iter().map(|b| b.new.0).collect::<Vec<_>>());
    let rows = if with_history { &plan.history[..] } else { &[] };
    let history = HistoryColumns::new(plan, rows)?;
    Ok(bind_days(query, plan)
        .bind(history.sources)
        .bind(history.offsets)
        .bind(history.amounts)
        .bind(history.after)
        .bind(history.at_us)
        .bind(history.days)
        .bind(history.advertisers)
        .bind(history.campaigns)
        .bind(history.ads)
        .bind(history.devices)
        .bind(history.reasons)
        .bind(history.reason_sources)
        .bind(history.reason_names)
        .bind(plan.record.as_deref()))
}

fn bind_days<'q>(query: Statement<'q>, plan: &'q Plan<'_>) -> Statement<'q> {
    let days = &plan.days;
    let state =
        |field: fn(&DayState) -> i64| days.iter().map(|d| field(&d.new)).collect::<Vec<_>>();
    query
        .bind(days.iter().map(|d| &*d.key.campaign).collect::<Vec<_>>())
        .bind(days.iter().map(|d| d.key.day.0).collect::<Vec<_>>())
        .bind(days.iter().map(|d| d.campaign_version).collect::<Vec<_>>())
        .bind(days.iter().map(|d| d.expected_version).collect::<Vec<_>>())
        .bind(state(|d| d.spent.0))
        .bind(state(|d| i64::from(d.warned_ppm)))
        .bind(state(|d| i64::from(d.paused_ppm)))
        .bind(days.iter().map(|d| d.new.crossing_budget.map(|b| b.0)).collect::<Vec<_>>())
        .bind(state(|d| d.overspent.0))
}

fn bind_statuses<'q>(query: Statement<'q>, changes: &'q [StatusChange]) -> Statement<'q> {
    query
        .bind(changes.iter().map(|c| &*c.campaign).collect::<Vec<_>>())
        .bind(changes.iter().map(|c| c.expected_version).collect::<Vec<_>>())
        .bind(changes.iter().map(|c| c.new_version).collect::<Vec<_>>())
        .bind(changes.iter().map(|c| c.status.as_str()).collect::<Vec<_>>())
        .bind(changes.iter().map(|c| c.paused_reason).collect::<Vec<_>>())
        .bind(changes.iter().map(|c| c.paused_day.map(|day| day.0)).collect::<Vec<_>>())
}

fn bind_events<'q>(query: Statement<'q>, plan: &'q Plan<'_>) -> Statement<'q> {
    let crossings = &plan.crossings;
    let number = |field: fn(&Crossing) -> i64| crossings.iter().map(field).collect::<Vec<_>>();
    query
        .bind(crossings.iter().map(|c| &*c.key.campaign).collect::<Vec<_>>())
        .bind(crossings.iter().map(|c| c.key.day.0).collect::<Vec<_>>())
        .bind(crossings.iter().map(|c| c.kind.as_str()).collect::<Vec<_>>())
        .bind(number(|c| i64::from(c.level_ppm)))
        .bind(number(|c| c.budget.map_or(-1, |budget| budget.0)))
        .bind(number(|c| c.round))
        .bind(crossings.iter().map(|c| &*c.advertiser).collect::<Vec<_>>())
        .bind(number(|c| i64::from(c.usage_ppm)))
        .bind(number(|c| c.spent.0))
        .bind(crossings.iter().map(|c| c.reason.as_str()).collect::<Vec<_>>())
        .bind(plan.outbox.iter().map(|m| m.key.as_str()).collect::<Vec<_>>())
        .bind(plan.outbox.iter().map(|m| m.kind.as_str()).collect::<Vec<_>>())
        .bind(plan.outbox.iter().map(|m| m.payload.as_str()).collect::<Vec<_>>())
}

fn bind_dead<'q>(query: Statement<'q>, dead: &'q [DeadLetter], plan: &Plan<'_>) -> Statement<'q> {
    query
        .bind(dead.iter().map(|d| &*d.topic).collect::<Vec<_>>())
        .bind(dead.iter().map(|d| crate::shape::incarnation(d, plan)).collect::<Vec<_>>())
        .bind(dead.iter().map(|d| d.partition).collect::<Vec<_>>())
        .bind(dead.iter().map(|d| d.offset).collect::<Vec<_>>())
        .bind(dead.iter().map(|d| d.rejection.code.as_str()).collect::<Vec<_>>())
        .bind(dead.iter().map(|d| d.rejection.stage.as_str()).collect::<Vec<_>>())
        .bind(dead.iter().map(|d| without_nul(&d.rejection.sentence)).collect::<Vec<_>>())
        .bind(dead.iter().map(|d| d.record_at_ms).collect::<Vec<_>>())
        .bind(dead.iter().map(|d| d.key.as_deref()).collect::<Vec<_>>())
        .bind(dead.iter().map(|d| d.payload.as_deref()).collect::<Vec<_>>())
        .bind(dead.iter().map(|d| headers_json(&d.headers)).collect::<Vec<_>>())
        .bind(dead.iter().map(|d| d.generation as i64).collect::<Vec<_>>())
        .bind(dead.iter().map(|d| d.campaign.as_deref()).collect::<Vec<_>>())
}
