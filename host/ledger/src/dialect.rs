//! SQL that is written once for both databases: a few words differ, and rows are read alike.

use std::future::Future;

use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{Decode, Postgres, Row, Sqlite, Type};

use crate::error::{LedgerError, Result};
use crate::session::Connection;

/// Instants from here on are nonsense, and Postgres does not take all of them.
pub(crate) const YEAR_9999_US: i64 = 253_370_764_800_000_000;

/// A value for a place `$1`, `$2` and so on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Arg<'a> {
    Int(Option<i64>),
    Text(Option<&'a str>),
    Bytes(&'a [u8]),
}

/// Words of a statement that differ. A statement writes them in braces.
pub(crate) struct Words {
    /// `{now}`: the instant at which the transaction or statement began.
    pub(crate) now: &'static str,
    /// `{clock}`: the clock at this very moment, in microseconds since 1970.
    pub(crate) clock: &'static str,
    /// `{after:$1}`: so many microseconds later than now.
    pub(crate) after: (&'static str, &'static str),
    /// `{at:$1}`: the instant that so many microseconds since 1970 are.
    pub(crate) at: (&'static str, &'static str),
    /// `{us:column}`: an instant as microseconds since 1970.
    pub(crate) us: (&'static str, &'static str),
    /// `{days:column}`: a day as days since 1970-01-01.
    pub(crate) days: (&'static str, &'static str),
    /// `{ids:$1}`: the numbers of a JSON list, to stand after IN.
    pub(crate) ids: (&'static str, &'static str),
    /// `{keys:$1}`: the texts of a JSON list, to stand after IN.
    pub(crate) keys: (&'static str, &'static str),
    /// `{json:$1}`: a text as what a column of JSON holds.
    pub(crate) json: (&'static str, &'static str),
    /// `{elements:$1} AS e`: the elements of a JSON list as rows with the column `value`.
    pub(crate) elements: (&'static str, &'static str),
    /// `column {among:$1}`: an instant is among those of a JSON list of microseconds since 1970.
    pub(crate) among: (&'static str, &'static str),
    /// `{day:$1}`: the day that so many days since 1970-01-01 are.
    pub(crate) day: (&'static str, &'static str),
    /// `{unhex:$1}`: the bytes that hexadecimal digits stand for.
    pub(crate) unhex: (&'static str, &'static str),
    /// `{bytes:$1}`: a text as bytes in UTF-8.
    pub(crate) bytes: (&'static str, &'static str),
    /// `{digest:column}`: what the index on a long text holds of it.
    pub(crate) digest: (&'static str, &'static str),
    /// `{share}`: nobody changes the rows of a SELECT until the transaction ends.
    pub(crate) share: &'static str,
    /// `{lock}`: the rows of a SELECT are this transaction's to change.
    pub(crate) lock: &'static str,
    /// `{lock_free}`: likewise, and rows that others have locked are left out.
    pub(crate) lock_free: &'static str,
}

/// A connection that takes statements with such words.
pub(crate) trait Dialect: Connection {
    type Row: Cells + Send;
    const WORDS: Words;

    /// Settings for statements that read whole tables; a transaction on one snapshot, during which no day of history is
    /// made or taken away.
    fn begin_snapshot(&mut self) -> impl Future<Output = Result<()>> + Send;

    /// In a transaction: charges are found by their instants and days, until `end_search`.
    fn begin_search(&mut self) -> impl Future<Output = Result<()>> + Send;

    fn end_search(&mut self) -> impl Future<Output = Result<()>> + Send;

    /// Begins a transaction that writes whole days.
    fn begin_bulk(&mut self) -> impl Future<Output = Result<()>> + Send;

    /// In a transaction, before anything else: no day of history is retired until it ends.
    fn hold_days(&mut self) -> impl Future<Output = Result<()>> + Send;

    /// Rows of a statement; `sql` is already translated.
    fn fetch(
        &mut self,
        sql: &str,
        args: &[Arg<'_>],
    ) -> impl Future<Output = Result<Vec<Self::Row>>> + Send;

    /// Number of rows that a statement has changed; `sql` is already translated.
    fn change(&mut self, sql: &str, args: &[Arg<'_>]) -> impl Future<Output = Result<u64>> + Send;
}

/// Rows of a statement in the common words.
///
/// # Panics
/// `sql` has a word in braces that `Words` does not know.
pub(crate) async fn rows<D: Dialect>(
    conn: &mut D,
    sql: &str,
    args: &[Arg<'_>],
) -> Result<Vec<D::Row>> {
    conn.fetch(&translate(&D::WORDS, sql), args).await
}

/// Number of rows that a statement in the common words has changed.
///
/// # Panics
/// As `rows`.
pub(crate) async fn change<D: Dialect>(conn: &mut D, sql: &str, args: &[Arg<'_>]) -> Result<u64> {
    conn.change(&translate(&D::WORDS, sql), args).await
}

/// The database's clock, in microseconds since 1970.
pub(crate) async fn clock_us<D: Dialect>(conn: &mut D) -> Result<i64> {
    Ok(one(conn, "SELECT {clock}", &[]).await?.cell(0))
}

/// The row of a statement that always gives one.
pub(crate) async fn one<D: Dialect>(conn: &mut D, sql: &str, args: &[Arg<'_>]) -> Result<D::Row> {
    let first = rows(conn, sql, args).await?.into_iter().next();
    first.ok_or_else(|| LedgerError::Unexpected("a statement gave no row".to_owned()))
}

/// Numbers as `{ids}` takes them.
pub(crate) fn ids(ids: &[i64]) -> String {
    serde_json::json!(ids).to_string()
}

/// Texts as `{keys}` takes them.
pub(crate) fn texts(texts: &[String]) -> String {
    serde_json::json!(texts).to_string()
}

/// A row that both databases give.
pub(crate) trait Cells {
    /// # Panics
    /// When the statement gives another type at this place, which no data can bring about.
    fn cell<T: Cell>(&self, at: usize) -> T;
}

/// A type that both databases have.
pub(crate) trait Cell:
    for<'r> Decode<'r, Postgres> + Type<Postgres> + for<'r> Decode<'r, Sqlite> + Type<Sqlite>
{
}

impl<T> Cell for T where
    T: for<'r> Decode<'r, Postgres> + Type<Postgres> + for<'r> Decode<'r, Sqlite> + Type<Sqlite>
{
}

impl Cells for PgRow {
    fn cell<T: Cell>(&self, at: usize) -> T {
        self.get(at)
    }
}

impl Cells for SqliteRow {
    fn cell<T: Cell>(&self, at: usize) -> T {
        self.get(at)
    }
}

impl From<i64> for Arg<'_> {
    fn from(value: i64) -> Self {
        Self::Int(Some(value))
    }
}

impl<'a> From<&'a str> for Arg<'a> {
    fn from(value: &'a str) -> Self {
        Self::Text(Some(value))
    }
}

impl<'a> From<&'a String> for Arg<'a> {
    fn from(value: &'a String) -> Self {
        Self::Text(Some(value))
    }
}

impl<'a> From<&'a [u8]> for Arg<'a> {
    fn from(value: &'a [u8]) -> Self {
        Self::Bytes(value)
    }
}

impl<'a> From<Option<&'a str>> for Arg<'a> {
    fn from(value: Option<&'a str>) -> Self {
        Self::Text(value)
    }
}

fn translate(words: &Words, sql: &str) -> String {
    let mut text = String::with_capacity(sql.len() + 64);
    let mut rest = sql;
    while let Some((before, after)) = rest.split_once('{') {
        text.push_str(before);
        let (word, after) = after.split_once('}').unwrap_or((after, ""));
        let (name, inner) = word.split_once(':').unwrap_or((word, ""));
        let (left, right) = match name {
            "after" => words.after,
            "at" => words.at,
            "us" => words.us,
            "days" => words.days,
            "ids" => words.ids,
            "keys" => words.keys,
            "json" => words.json,
            "elements" => words.elements,
            "among" => words.among,
            "day" => words.day,
            "unhex" => words.unhex,
            "bytes" => words.bytes,
            "digest" => words.digest,
            "share" => (words.share, ""),
            "lock" => (words.lock, ""),
            "lock_free" => (words.lock_free, ""),
            "clock" => (words.clock, ""),
            "now" => (words.now, ""),
            other => panic!("no word `{other}` in `Words`"),
        };
        text.push_str(left);
        text.push_str(inner);
        text.push_str(right);
        rest = after;
    }
    text.push_str(rest);
    text
}
