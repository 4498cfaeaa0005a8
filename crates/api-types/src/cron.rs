//! When a cron job runs: a schedule of five fields, as Go's cron library reads it, in its words, and follows it.

use jiff::{
    SignedDuration, Timestamp,
    civil::{Date, DateTime, time},
    tz::{Offset, TimeZone},
};

/// A schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// After so many seconds, again and again.
    Every(u64),
    /// Whenever the time is in every one of these sets.
    At(Times),
}

/// Sets of numbers, one bit each. A star sets [`Times::STAR`], too: days of months and weeks are then joined otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// 0 to 59.
    pub minutes: u64,
    /// 0 to 23.
    pub hours: u64,
    /// 1 to 31.
    pub days: u64,
    /// 1 to 12.
    pub months: u64,
    /// 0 (Sunday) to 6.
    pub weekdays: u64,
}

impl Times {
    /// Marks a set that was written as a star.
    pub const STAR: u64 = 1 << 63;
}

/// Numbers that a field may have, with names for some.
struct Bounds {
    min: u32,
    max: u32,
    names: &'static [&'static str],
}

const MINUTES: Bounds = Bounds { min: 0, max: 59, names: &[] };
const HOURS: Bounds = Bounds { min: 0, max: 23, names: &[] };
const DAYS: Bounds = Bounds { min: 1, max: 31, names: &[] };
const MONTHS: Bounds = Bounds {
    min: 1,
    max: 12,
    names: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
};
const WEEKDAYS: Bounds = Bounds { min: 0, max: 6, names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"] };

/// Short forms.
const DESCRIPTORS: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// No time is looked for beyond so many years.
const YEARS: i16 = 5;

impl Schedule {
    /// The first time after `after`, by the clocks of `zone`; none when there is none within five years.
    ///
    /// Where clocks are put forward, times that do not exist are passed over; where they are put back, times that exist
    /// twice count twice. Both as that library has it, also where a day has no midnight.
    #[must_use]
    pub fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let second = Timestamp::from_second(after.as_nanosecond().div_euclid(1_000_000_000).try_into().ok()?).ok()?;
        match self {
            Self::Every(seconds) => later(second, i64::try_from(*seconds).ok()?),
            Self::At(times) => times.next(later(second, 1)?, zone),
        }
    }
}

fn later(time: Timestamp, seconds: i64) -> Option<Timestamp> {
    time.checked_add(SignedDuration::from_secs(seconds)).ok()
}

impl Times {
    /// The first time not before `from`. Field by field, the largest first; whenever one begins anew, all are looked at again.
    fn next(&self, from: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let mut at = from;
        let last_year = local(at, zone).year().checked_add(YEARS)?;
        let mut moved = false;
        'again: loop {
            if local(at, zone).year() > last_year {
                return None;
            }
            while !has(self.months, local(at, zone).month()) {
                let now = local(at, zone);
                let (first, clock) =
                    if moved { (now.date(), now.time()) } else { (now.date().first_of_month(), time(0, 0, 0, 0)) };
                moved = true;
                at = instant(next_month(first)?.to_datetime(clock), zone)?;
                if local(at, zone).month() == 1 {
                    continue 'again;
                }
            }
            while !self.has_day(local(at, zone).date()) {
                let now = local(at, zone);
                let clock = if moved { now.time() } else { time(0, 0, 0, 0) };
                moved = true;
                at = midnight(instant(now.date().tomorrow().ok()?.to_datetime(clock), zone)?, zone)?;
                if local(at, zone).day() == 1 {
                    continue 'again;
                }
            }
            while !has(self.hours, local(at, zone).hour()) {
                if !moved {
                    let now = local(at, zone);
                    at = instant(now.date().at(now.hour(), 0, 0, 0), zone)?;
                    moved = true;
                }
                at = later(at, 3600)?;
                if local(at, zone).hour() == 0 {
                    continue 'again;
                }
            }
            while !has(self.minutes, local(at, zone).minute()) {
                if !moved {
                    at = later(at, -at.as_second().rem_euclid(60))?;
                    moved = true;
                }
                at = later(at, 60)?;
                if local(at, zone).minute() == 0 {
                    continue 'again;
                }
            }
            while local(at, zone).second() != 0 {
                moved = true;
                at = later(at, 1)?;
                if local(at, zone).second() == 0 {
                    continue 'again;
                }
            }
            return Some(at);
        }
    }

    /// Days of months and of weeks: both where one of them is a star, else either.
    fn has_day(&self, date: Date) -> bool {
        let of_month = has(self.days, date.day());
        let of_week = has(self.weekdays, date.weekday().to_sunday_zero_offset());
        if (self.days | self.weekdays) & Self::STAR == 0 { of_month || of_week } else { of_month && of_week }
    }
}

fn has(set: u64, number: i8) -> bool {
    u32::try_from(number).is_ok_and(|number| set & 1 << number != 0)
}

fn local(at: Timestamp, zone: &TimeZone) -> DateTime {
    zone.to_datetime(at)
}

/// When clocks show this. As Go's `time.Date`, also for what they never show, or twice.
fn instant(clock: DateTime, zone: &TimeZone) -> Option<Timestamp> {
    let as_utc = Offset::UTC.to_timestamp(clock).ok()?;
    let guess = zone.to_offset(as_utc);
    let at = guess.to_timestamp(clock).ok()?;
    match zone.to_offset(at) {
        offset if offset == guess => Some(at),
        offset => offset.to_timestamp(clock).ok(),
    }
}

fn next_month(first: Date) -> Option<Date> {
    match first.month() {
        12 => Date::new(first.year().checked_add(1)?, 1, first.day()).ok(),
        month => Date::new(first.year(), month + 1, first.day()).ok(),
    }
}

/// Of a time that should be midnight and is not, since clocks jumped over it.
fn midnight(at: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
    match i64::from(local(at, zone).hour()) {
        0 => Some(at),
        hour if hour > 12 => later(at, (24 - hour) * 3600),
        hour => later(at, -hour * 3600),
    }
}

/// The time zone that stands before a schedule, and the schedule.
#[must_use]
pub fn split_zone(text: &str) -> (Option<&str>, &str) {
    match text.strip_prefix("TZ=").or_else(|| text.strip_prefix("CRON_TZ=")) {
        Some(rest) => rest.split_once(' ').map_or((Some(rest), ""), |(zone, rest)| (Some(zone), rest.trim())),
        None => (None, text),
    }
}

/// Reads a schedule, perhaps with a time zone before it, which is passed over.
///
/// # Errors
/// What is wrong with it.
pub fn parse(text: &str) -> Result<Schedule, String> {
    if text.is_empty() {
        return Err("empty spec string".to_owned());
    }
    let (_, text) = split_zone(text);
    if let Some((_, fields)) = DESCRIPTORS.iter().find(|(name, _)| *name == text) {
        return times(fields).map(Schedule::At);
    }
    if let Some(duration) = text.strip_prefix("@every ") {
        return every(duration)
            .ok_or_else(|| format!("failed to parse duration {text}: time: invalid duration {duration:?}"));
    }
    if text.starts_with('@') {
        return Err(format!("unrecognized descriptor: {text}"));
    }
    times(text).map(Schedule::At)
}

/// A duration such as `1h30m`, of at least a second.
fn every(duration: &str) -> Option<Schedule> {
    let mut seconds = 0_f64;
    let mut rest = duration;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(end);
        let unit_end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let scale = match unit {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        seconds += number.parse::<f64>().ok()? * scale;
        rest = tail;
    }
    // A cast of a float saturates.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    (!duration.is_empty()).then(|| Schedule::Every((seconds as u64).max(1)))
}

fn times(text: &str) -> Result<Times, String> {
    let fields: Vec<&str> = text.split_whitespace().collect();
    let [minutes, hours, days, months, weekdays] = fields[..] else {
        return Err(format!("expected exactly 5 fields, found {}: [{}]", fields.len(), fields.join(" ")));
    };
    Ok(Times {
        minutes: field(minutes, &MINUTES)?,
        hours: field(hours, &HOURS)?,
        days: field(days, &DAYS)?,
        months: field(months, &MONTHS)?,
        weekdays: field(weekdays, &WEEKDAYS)?,
    })
}

/// A list of ranges.
fn field(text: &str, bounds: &Bounds) -> Result<u64, String> {
    text.split(',').filter(|range| !range.is_empty()).try_fold(0, |set, part| Ok(set | range(part, bounds)?))
}

/// `number`, `number-number`, `*`, each perhaps with `/number`.
fn range(text: &str, bounds: &Bounds) -> Result<u64, String> {
    let parts: Vec<&str> = text.split('/').collect();
    let limits: Vec<&str> = parts[0].split('-').collect();
    let one = limits.len() == 1;
    let (start, mut end, mut extra) = match limits[..] {
        ["*" | "?"] => (bounds.min, bounds.max, Times::STAR),
        [start] => {
            let start = number_or_name(start, bounds)?;
            (start, start, 0)
        }
        [start, end] => (number_or_name(start, bounds)?, number_or_name(end, bounds)?, 0),
        _ => return Err(format!("too many hyphens: {text}")),
    };
    let step = match parts[..] {
        [_] => 1,
        [_, step] => {
            let step = number(step)?;
            if one {
                end = bounds.max;
            }
            if step > 1 {
                extra = 0;
            }
            step
        }
        _ => return Err(format!("too many slashes: {text}")),
    };
    let Bounds { min, max, .. } = bounds;
    if start < *min {
        return Err(format!("beginning of range ({start}) below minimum ({min}): {text}"));
    }
    if end > *max {
        return Err(format!("end of range ({end}) above maximum ({max}): {text}"));
    }
    if start > end {
        return Err(format!("beginning of range ({start}) beyond end of range ({end}): {text}"));
    }
    if step == 0 {
        return Err(format!("step of range should be a positive number: {text}"));
    }
    let mut set = extra;
    let mut at = start;
    while at <= end {
        set |= 1 << at;
        at = at.saturating_add(step);
    }
    Ok(set)
}

fn number_or_name(text: &str, bounds: &Bounds) -> Result<u32, String> {
    match bounds.names.iter().zip(bounds.min..).find(|(name, _)| name.eq_ignore_ascii_case(text)) {
        Some((_, value)) => Ok(value),
        None => number(text),
    }
}

fn number(text: &str) -> Result<u32, String> {
    let malformed = |why| format!("failed to parse int from {text}: strconv.Atoi: parsing {text:?}: {why}");
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if unsigned.is_empty() || !unsigned.bytes().all(|b| b.is_ascii_digit()) {
        return Err(malformed("invalid syntax"));
    }
    let value: i64 = text.strip_prefix('+').unwrap_or(text).parse().map_err(|_| malformed("value out of range"))?;
    if value < 0 {
        return Err(format!("negative number ({value}) not allowed: {text}"));
    }
    // Beyond any bound in any case.
    Ok(u32::try_from(value).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_are_read() {
        let Schedule::At(times) = parse("*/15 0 1,15 jan-mar ?").unwrap() else { panic!("no times") };
        assert_eq!(times.minutes, 1 | 1 << 15 | 1 << 30 | 1 << 45);
        assert_eq!((times.hours, times.days), (1, 1 << 1 | 1 << 15));
        assert_eq!((times.months, times.weekdays), (0b1110, 0b111_1111 | Times::STAR));
        assert_eq!(parse("@every 1h30m"), Ok(Schedule::Every(5400)));
        assert!(parse("TZ=Europe/Rome @daily").is_ok());
        assert!(parse("59-59/5 * * * sun").is_ok());
    }

    #[test]
    fn times_follow_one_another() {
        // Schedule, zone, after, and the times that follow.
        let cases: &[(&str, &str, &str, &[&str])] = &[
            ("*/5 * * * *", "UTC", "2026-01-01T00:00:00Z", &["2026-01-01T00:05:00Z", "2026-01-01T00:10:00Z"]),
            ("*/5 * * * *", "UTC", "2025-12-31T23:59:59.5Z", &["2026-01-01T00:00:00Z"]),
            ("0 12 29 2 *", "UTC", "2025-01-01T00:00:00Z", &["2028-02-29T12:00:00Z"]),
            ("0 0 30 2 *", "UTC", "2025-01-01T00:00:00Z", &[]),
            // Either day when neither is a star, both when one is.
            ("0 0 13 * fri", "UTC", "2026-03-07T00:00:00Z", &["2026-03-13T00:00:00Z", "2026-03-20T00:00:00Z"]),
            ("0 0 1 * *", "UTC", "2026-01-31T10:30:15Z", &["2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z"]),
            ("0 0 * * sun", "UTC", "2026-01-01T00:00:00Z", &["2026-01-04T00:00:00Z"]),
            ("0 9 * * *", "Asia/Kolkata", "2026-01-01T00:00:00Z", &["2026-01-01T03:30:00Z", "2026-01-02T03:30:00Z"]),
            // Clocks are put forward: half past two is left out; and back: half past one is there twice.
            ("30 2 * * *", "America/New_York", "2026-03-07T12:00:00Z", &["2026-03-09T06:30:00Z"]),
            (
                "30 1 * * *",
                "America/New_York",
                "2026-10-31T12:00:00Z",
                &["2026-11-01T05:30:00Z", "2026-11-01T06:30:00Z", "2026-11-02T06:30:00Z"],
            ),
            (
                "0 * * * *",
                "America/New_York",
                "2026-03-08T06:30:00Z",
                &["2026-03-08T07:00:00Z", "2026-03-08T08:00:00Z"],
            ),
            // A day without midnight.
            (
                "30 * 6 9 *",
                "America/Santiago",
                "2026-09-05T12:00:00Z",
                &["2026-09-06T04:30:00Z", "2026-09-06T05:30:00Z"],
            ),
            ("@every 90s", "UTC", "2026-01-01T00:00:00.7Z", &["2026-01-01T00:01:30Z", "2026-01-01T00:03:00Z"]),
        ];
        for (schedule, zone, after, expected) in cases {
            let zone = TimeZone::get(zone).unwrap();
            let schedule = parse(schedule).unwrap();
            let mut at: Timestamp = after.parse().unwrap();
            for expected in *expected {
                at = schedule.next(at, &zone).unwrap();
                assert_eq!(at, expected.parse::<Timestamp>().unwrap(), "{schedule:?} after {after}");
            }
            if expected.is_empty() {
                assert_eq!(schedule.next(at, &zone), None, "{schedule:?}");
            }
        }
    }

    #[test]
    fn mistakes_are_told_in_upstreams_words() {
        let cases = [
            ("", "empty spec string"),
            ("* * *", "expected exactly 5 fields, found 3: [* * *]"),
            ("60 * * * *", "end of range (60) above maximum (59): 60"),
            ("a * * * *", "failed to parse int from a: strconv.Atoi: parsing \"a\": invalid syntax"),
            ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
            ("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1"),
            ("*/0 * * * *", "step of range should be a positive number: */0"),
            ("1/2/3 * * * *", "too many slashes: 1/2/3"),
            ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
            ("@never", "unrecognized descriptor: @never"),
            (
                "99999999999999999999 * * * *",
                "failed to parse int from 99999999999999999999: strconv.Atoi: parsing \"99999999999999999999\": value out of range",
            ),
        ];
        for (text, message) in cases {
            assert_eq!(parse(text), Err(message.to_owned()), "{text}");
        }
    }
}
