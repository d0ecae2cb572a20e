//! Budget days: the local date of an event in its campaign's IANA time zone.

use std::cell::Cell;
use std::fmt;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

const EPOCH: Date = jiff::civil::date(1970, 1, 1);

/// A calendar day, counted from 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(pub i32);

impl Day {
    /// The calendar date; days that no event can have saturate at the calendar's ends.
    #[must_use]
    pub fn date(self) -> Date {
        EPOCH.saturating_add(self.0.days())
    }

    /// The day of an instant in UTC, in microseconds since 1970.
    #[must_use]
    pub fn utc(at_us: i64) -> Self {
        Self(i32::try_from(at_us.div_euclid(86_400_000_000)).unwrap_or(i32::MAX))
    }

    #[must_use]
    pub fn from_date(date: Date) -> Self {
        let days = EPOCH.until(date).map_or(0, |span| span.get_days());
        Self(days)
    }
}

impl fmt::Display for Day {
    /// `YYYY-MM-DD`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.date().fmt(f)
    }
}

/// Local time of an instant: what a rule may know about the time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalTime {
    pub day: Day,
    /// Minute of the day, 0 to 1439.
    pub minute: u16,
    /// ISO weekday, Monday is 1.
    pub weekday: u8,
}

/// A time zone that remembers the last day it was asked about, because clicks come in time order.
#[derive(Clone, Debug)]
pub struct Zone {
    zone: TimeZone,
    name: String,
    /// Start (inclusive) and end (exclusive) of the remembered day, in microseconds.
    known: Cell<(i64, i64, Day)>,
}

impl Zone {
    /// # Errors
    /// The name is not one of the IANA database's.
    pub fn new(name: &str) -> Result<Self, UnknownZone> {
        let zone = TimeZone::get(name).map_err(|_| UnknownZone(name.to_owned()))?;
        Ok(Self { zone, name: name.to_owned(), known: Cell::new((0, 0, Day(0))) })
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The local date of an instant given in microseconds.
    #[must_use]
    pub fn day(&self, at_us: i64) -> Day {
        let (start, end, day) = self.known.get();
        if start <= at_us && at_us < end {
            return day;
        }
        let date = self.local(at_us).date();
        let day = Day::from_date(date);
        if let (Some(start), Some(end)) = (self.start_us(day), self.end_us(day)) {
            self.known.set((start, end, day));
        }
        day
    }

    /// When a day begins, in microseconds; `None` at the calendar's ends.
    #[must_use]
    pub fn start_us(&self, day: Day) -> Option<i64> {
        let midnight = self.zone.to_ambiguous_zoned(day.date().at(0, 0, 0, 0)).compatible();
        midnight.ok().map(|midnight| midnight.timestamp().as_microsecond())
    }

    /// When the next day begins, 23 to 25 hours later.
    #[must_use]
    pub fn end_us(&self, day: Day) -> Option<i64> {
        day.0.checked_add(1).and_then(|next| self.start_us(Day(next)))
    }

    /// Date, minute and weekday of an instant given in microseconds.
    #[must_use]
    pub fn local_time(&self, at_us: i64) -> LocalTime {
        let local = self.local(at_us);
        LocalTime {
            day: Day::from_date(local.date()),
            minute: u16::from(local.hour().unsigned_abs()) * 60
                + u16::from(local.minute().unsigned_abs()),
            weekday: local.weekday().to_monday_one_offset().unsigned_abs(),
        }
    }

    fn local(&self, at_us: i64) -> jiff::civil::DateTime {
        let instant = Timestamp::from_microsecond(at_us).unwrap_or(if at_us < 0 {
            Timestamp::MIN
        } else {
            Timestamp::MAX
        });
        self.zone.to_datetime(instant)
    }
}

/// The name is not in the IANA time zone database.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an IANA time zone; use a name such as \"Asia/Seoul\"")]
pub struct UnknownZone(pub String);

#[cfg(test)]
mod tests {
    use super::*;

    fn check(zone: &str, instant: &str, expected: &str) {
        let at_us = instant.parse::<Timestamp>().unwrap().as_microsecond();
        let zone = Zone::new(zone).unwrap();
        assert_eq!(zone.day(at_us).to_string(), expected, "{instant} fresh");
        // The remembered day must not change the answer of its neighbours.
        for step in [-90_000_000_000, -3_600_000_000, -1, 0, 1, 3_600_000_000, 90_000_000_000] {
            let fresh = zone.local_time(at_us + step).day;
            assert_eq!(zone.day(at_us + step), fresh, "{instant} {step}");
        }
    }

    #[test]
    fn the_day_is_the_campaigns() {
        check("Asia/Seoul", "2026-11-20T14:59:59.999999Z", "2026-11-20");
        check("Asia/Seoul", "2026-11-20T15:00:00Z", "2026-11-21");
        check("America/New_York", "2026-03-08T04:59:59Z", "2026-03-07");
        check("America/New_York", "2026-03-08T05:00:00Z", "2026-03-08");
        check("America/New_York", "2026-03-09T03:59:59Z", "2026-03-08");
        check("America/New_York", "2026-11-01T04:00:00Z", "2026-11-01");
        check("America/New_York", "2026-11-02T04:59:59Z", "2026-11-01");
        check("Asia/Kathmandu", "2026-11-20T18:15:00Z", "2026-11-21");
        check("Pacific/Apia", "2026-11-20T11:00:00Z", "2026-11-21");
        check("America/Sao_Paulo", "2018-11-04T03:00:00Z", "2018-11-04");
        check("UTC", "1969-12-31T23:59:59Z", "1969-12-31");
    }

    fn check_length(zone: &str, date: jiff::civil::Date, hours: i64) {
        let zone = Zone::new(zone).unwrap();
        let day = Day::from_date(date);
        let (start, end) = (zone.start_us(day).unwrap(), zone.end_us(day).unwrap());
        assert_eq!(end - start, hours * 3_600_000_000, "{} {date}", zone.name());
        assert_eq!((zone.day(start), zone.day(end - 1)), (day, day));
        assert_ne!(zone.day(end), day);
    }

    #[test]
    fn days_have_23_to_25_hours() {
        check_length("Asia/Seoul", jiff::civil::date(2026, 3, 8), 24);
        check_length("America/New_York", jiff::civil::date(2026, 3, 8), 23);
        check_length("America/New_York", jiff::civil::date(2026, 11, 1), 25);
        check_length("Europe/Berlin", jiff::civil::date(2026, 3, 29), 23);
        check_length("Europe/Berlin", jiff::civil::date(2026, 10, 25), 25);
        check_length("America/Sao_Paulo", jiff::civil::date(2018, 11, 4), 23);
    }

    #[test]
    fn local_time_counts_minutes_and_weekdays() {
        let zone = Zone::new("Asia/Seoul").unwrap();
        let at = "2026-11-20T15:30:00Z".parse::<Timestamp>().unwrap().as_microsecond();
        assert_eq!(
            zone.local_time(at),
            LocalTime {
                day: Day::from_date(jiff::civil::date(2026, 11, 21)),
                minute: 30,
                weekday: 6
            }
        );
        assert!(Zone::new("Mars/Olympus").is_err());
    }
}
