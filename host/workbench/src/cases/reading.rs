//! Reads tables of TOML with their lines: every problem is found, and a key that nobody asked for is one.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;

use jiff::civil::Date;
use jiff::fmt::temporal::Pieces;
use tollgate_domain::day::Day;
use tollgate_domain::money::{self, AmountError};
use toml::de::{DeArray, DeTable, DeValue};

/// Something in a file of cases that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    pub file: String,
    /// Counted from 1.
    pub line: usize,
    pub sentence: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.sentence)
    }
}

/// A fact that a rule gets only when its `describe` asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    CachedPrice,
    Counter,
    Balance,
    LocalTime,
    Texts,
    MatchedCharges,
}

/// A key of a case whose fact has to be asked for.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) need: Need,
    pub(super) key: &'static str,
    pub(super) line: usize,
}

/// An instant, and the local time that its offset says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Instant {
    pub(super) ms: u64,
    pub(super) local_minute: u16,
    pub(super) weekday: u8,
}

/// One file while it is read.
pub(super) struct Reader<'t> {
    file: &'t str,
    /// Where lines begin, in bytes.
    lines: Vec<usize>,
    problems: RefCell<BTreeSet<Problem>>,
    asked: RefCell<Vec<Asked>>,
}

type Value<'t> = toml::Spanned<DeValue<'t>>;

/// A table over the table of its defaults.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Layers<'t> {
    own: Option<&'t DeTable<'t>>,
    defaults: Option<&'t DeTable<'t>>,
    line: usize,
}

/// A table that is being read.
pub(super) struct Row<'r, 't> {
    reader: &'r Reader<'t>,
    layers: Layers<'t>,
    read: RefCell<BTreeSet<&'static str>>,
}

impl<'t> Reader<'t> {
    pub(super) fn new(file: &'t str, text: &str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let lines = std::iter::once(0).chain(ends.map(|(at, _)| at + 1)).collect();
        Self { file, lines, problems: RefCell::default(), asked: RefCell::default() }
    }

    pub(super) fn line(&self, at: usize) -> usize {
        self.lines.partition_point(|start| *start <= at)
    }

    pub(super) fn problem(&self, line: usize, sentence: impl Into<String>) {
        let problem = Problem { file: self.file.to_owned(), line, sentence: sentence.into() };
        self.problems.borrow_mut().insert(problem);
    }

    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems.into_inner().into_iter().collect()
    }

    /// What was noted since the last time.
    pub(super) fn take_asked(&self) -> Vec<Asked> {
        self.asked.take()
    }

    /// Reads a table; keys that `read` does not ask for are problems.
    pub(super) fn table<T>(&self, layers: Layers<'t>, read: impl FnOnce(&Row<'_, 't>) -> T) -> T {
        let row = Row { reader: self, layers, read: RefCell::default() };
        let value = read(&row);
        let known = row.read.into_inner();
        for (key, _) in [layers.own, layers.defaults].into_iter().flatten().flatten() {
            if !known.contains(key.get_ref().as_ref()) {
                let names: Vec<_> = known.iter().map(|name| format!("`{name}`")).collect();
                let sentence =
                    format!("unknown key `{}`; known here: {}", key.get_ref(), names.join(", "));
                self.problem(self.line(key.span().start), sentence);
            }
        }
        value
    }
}

impl<'t> Layers<'t> {
    pub(super) fn of(table: &'t DeTable<'t>, line: usize) -> Self {
        Self { own: Some(table), defaults: None, line }
    }

    /// The table itself.
    pub(super) fn table(self) -> Option<&'t DeTable<'t>> {
        self.own
    }

    pub(super) fn line(self) -> usize {
        self.line
    }

    /// This table over those defaults; the defaults' own defaults do not count.
    pub(super) fn over(self, defaults: Self) -> Self {
        Self { own: self.own, defaults: defaults.own, line: self.line }
    }
}

impl<'r, 't> Row<'r, 't> {
    pub(super) fn line(&self) -> usize {
        self.layers.line
    }

    pub(super) fn reader(&self) -> &'r Reader<'t> {
        self.reader
    }

    /// The value of a key, which is known from now on.
    pub(super) fn value(&self, key: &'static str) -> Option<(&'t DeValue<'t>, usize)> {
        self.read.borrow_mut().insert(key);
        let found = |table: Option<&'t DeTable<'t>>| table.and_then(|table| table.get(key));
        let value: &'t Value<'t> =
            found(self.layers.own).or_else(|| found(self.layers.defaults))?;
        Some((value.get_ref(), self.reader.line(value.span().start)))
    }

    /// As `value`, and the table of defaults does not count.
    pub(super) fn own_value(&self, key: &'static str) -> Option<(&'t DeValue<'t>, usize)> {
        self.read.borrow_mut().insert(key);
        let value: &'t Value<'t> = self.layers.own?.get(key)?;
        Some((value.get_ref(), self.reader.line(value.span().start)))
    }

    /// A table of this table, over the one of the defaults.
    pub(super) fn inner(&self, key: &'static str) -> Layers<'t> {
        self.read.borrow_mut().insert(key);
        let table = |outer: Option<&'t DeTable<'t>>| {
            let value: &'t Value<'t> = outer?.get(key)?;
            let line = self.reader.line(value.span().start);
            self.as_table(key, value.get_ref(), line).map(|table| (table, line))
        };
        let (own, defaults) = (table(self.layers.own), table(self.layers.defaults));
        Layers {
            own: own.map(|(table, _)| table),
            defaults: defaults.map(|(table, _)| table),
            line: own.map_or(self.layers.line, |(_, line)| line),
        }
    }

    /// Rows of a table, written as one (`click = {…}`) or as several (`clicks = […]`), each over the defaults' one.
    /// When neither is given there is one row of nothing but defaults.
    pub(super) fn rows(&self, one: &'static str, many: &'static str) -> Vec<Layers<'t>> {
        let single = self.inner(one);
        let (own, own_many) = (self.own_value(one), self.own_value(many));
        if let (Some(_), Some((_, line))) = (own, own_many) {
            self.reader.problem(line, format!("give `{one}` or `{many}`, not both"));
        }
        let several = own_many.or_else(|| if own.is_some() { None } else { self.value(many) });
        let Some((several, line)) = several else { return vec![single] };
        let rows = self.tables(many, several, line);
        if rows.is_empty() {
            self.reader.problem(line, format!("`{many}` needs at least one row"));
        }
        let over = |(table, line)| Layers { own: Some(table), defaults: single.defaults, line };
        rows.into_iter().map(over).collect()
    }

    /// The tables of a list.
    pub(super) fn tables(
        &self,
        key: &str,
        value: &'t DeValue<'t>,
        line: usize,
    ) -> Vec<(&'t DeTable<'t>, usize)> {
        let Some(items) = self.as_list(key, value, line) else { return Vec::new() };
        let table = |item: &'t Value<'t>| {
            let line = self.reader.line(item.span().start);
            self.as_table(key, item.get_ref(), line).map(|table| (table, line))
        };
        items.iter().filter_map(table).collect()
    }

    /// Says that a key is given whose fact has to be asked for.
    pub(super) fn note(&self, key: &'static str, need: Need) {
        if let Some((value, line)) = self.value(key)
            && value.as_str() != Some("none")
        {
            self.reader.asked.borrow_mut().push(Asked { need, key, line });
        }
    }

    pub(super) fn text(&self, key: &'static str) -> Option<String> {
        self.read_as(key, "a text", |value| value.as_str().map(str::to_owned))
    }

    pub(super) fn toggle(&self, key: &'static str) -> Option<bool> {
        self.read_as(key, "true or false", DeValue::as_bool)
    }

    /// A whole number, not negative.
    pub(super) fn whole<N: TryFrom<u64>>(&self, key: &'static str) -> Option<N> {
        self.read_as(key, "a whole number that fits", |value| {
            let number = value.as_integer()?;
            u64::from_str_radix(number.as_str(), number.radix()).ok()?.try_into().ok()
        })
    }

    /// An amount in micros; nothing when it is not given or "none".
    pub(super) fn amount(&self, key: &'static str) -> Option<i64> {
        self.scaled(key, "an amount as text, such as \"0.90\"")
    }

    /// A ratio in ppm; nothing when it is not given or "none".
    pub(super) fn ratio(&self, key: &'static str) -> Option<u32> {
        let ratio = self.scaled(key, "a ratio as text, such as \"0.90\"")?;
        let fits = u32::try_from(ratio).ok();
        if fits.is_none() {
            let line = self.value(key).map_or(self.line(), |(_, line)| line);
            self.reader.problem(line, format!("`{key}` is out of bounds, allowed is 0 to 4294"));
        }
        fits
    }

    /// A time of day in minutes.
    pub(super) fn minute(&self, key: &'static str) -> Option<u16> {
        self.read_as(key, "a time such as \"02:30\"", |value| {
            let (hours, minutes) = value.as_str()?.split_once(':')?;
            let (hours, minutes): (u16, u16) = (hours.parse().ok()?, minutes.parse().ok()?);
            (hours < 24 && minutes < 60).then_some(hours * 60 + minutes)
        })
    }

    /// An ISO weekday; Monday is 1.
    pub(super) fn weekday(&self, key: &'static str) -> Option<u8> {
        const DAYS: [&str; 7] =
            ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
        self.read_as(key, "a weekday such as \"monday\"", |value| {
            let at = DAYS.iter().position(|day| value.as_str() == Some(day))?;
            u8::try_from(at + 1).ok()
        })
    }

    /// A date as days since 1970-01-01.
    pub(super) fn day(&self, key: &'static str) -> Option<i32> {
        self.read_as(key, "a date such as \"2026-01-05\"", |value| {
            let text = text_of(value)?;
            text.parse::<Date>().ok().map(|date| Day::from_date(date).0)
        })
    }

    pub(super) fn instant(&self, key: &'static str) -> Option<Instant> {
        self.read_as(key, "an instant such as \"2026-01-05T02:30:00+09:00\"", |value| {
            let text = text_of(value)?;
            let pieces = Pieces::parse(&text).ok()?;
            let offset = pieces.to_numeric_offset()?;
            let local = pieces.date().to_datetime(pieces.time()?);
            let minute = u16::from(local.hour().unsigned_abs()) * 60
                + u16::from(local.minute().unsigned_abs());
            Some(Instant {
                ms: offset.to_timestamp(local).ok()?.as_millisecond().try_into().ok()?,
                local_minute: minute,
                weekday: local.weekday().to_monday_one_offset().unsigned_abs(),
            })
        })
    }

    /// Which of `names` the text is.
    pub(super) fn choice(&self, key: &'static str, names: &[&str]) -> Option<usize> {
        let expected = format!("one of \"{}\"", names.join("\", \""));
        self.read_as(key, &expected, |value| {
            names.iter().position(|name| value.as_str() == Some(name))
        })
    }

    fn scaled(&self, key: &'static str, expected: &str) -> Option<i64> {
        let (value, line) = self.value(key)?;
        if value.as_str() == Some("none") {
            return None;
        }
        let number = scaled(value);
        if let Err(why) = &number {
            let why = why.map_or_else(String::new, |error| format!(": {error}"));
            self.reader.problem(line, format!("`{key}` is not {expected}{why}"));
        }
        number.ok()
    }

    pub(super) fn read_as<T>(
        &self,
        key: &'static str,
        expected: &str,
        read: impl FnOnce(&'t DeValue<'t>) -> Option<T>,
    ) -> Option<T> {
        let (value, line) = self.value(key)?;
        let found = read(value);
        if found.is_none() {
            self.reader.problem(line, format!("`{key}` is not {expected}"));
        }
        found
    }

    fn as_table(&self, key: &str, value: &'t DeValue<'t>, line: usize) -> Option<&'t DeTable<'t>> {
        let table = value.as_table();
        if table.is_none() {
            let found = value.type_str();
            self.reader.problem(line, format!("`{key}` is a {found}, expected a table {{ … }}"));
        }
        table
    }

    fn as_list(&self, key: &str, value: &'t DeValue<'t>, line: usize) -> Option<&'t DeArray<'t>> {
        let list = value.as_array();
        if list.is_none() {
            let found = value.type_str();
            self.reader.problem(line, format!("`{key}` is a {found}, expected a list [ … ]"));
        }
        list
    }
}

/// A decimal text, or a whole number, in millionths.
pub(super) fn scaled(value: &DeValue<'_>) -> Result<i64, Option<AmountError>> {
    let text = match value {
        DeValue::String(text) => text.as_ref(),
        DeValue::Integer(number) if number.radix() == 10 => number.as_str(),
        _ => return Err(None),
    };
    money::parse_scaled(text).map_err(Some)
}

/// A text, or a date or instant that TOML knows itself.
fn text_of(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Datetime(instant) => Some(instant.to_string()),
        _ => None,
    }
}
