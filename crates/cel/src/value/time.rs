//! Moments and time spans.

use jiff::{SignedDuration, civil::DateTime, tz::TimeZone};

use crate::value::Error;

/// A moment from year 1 to 9999, to the nanosecond, as date and time in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(DateTime);

/// A time span in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration(pub i64);

const BILLION: i64 = 1_000_000_000;
const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

impl Timestamp {
    /// The moment, if it is in the years that have a text.
    #[must_use]
    pub fn new(time: jiff::Timestamp) -> Option<Self> {
        Self::at(TimeZone::UTC.to_datetime(time))
    }

    fn at(time: DateTime) -> Option<Self> {
        (time.year() >= 1).then_some(Self(time))
    }

    /// Seconds since 1970.
    pub(crate) fn from_seconds(seconds: i64) -> Result<Self, Error> {
        EPOCH.checked_add(SignedDuration::from_secs(seconds)).ok().and_then(Self::at).ok_or_else(overflow)
    }

    /// Seconds since 1970, rounded down.
    pub(crate) fn seconds(self) -> i64 {
        let since = self.0.duration_since(EPOCH);
        since.as_secs() - i64::from(since.subsec_nanos() < 0)
    }

    /// Later by so much.
    pub(crate) fn plus(self, duration: Duration) -> Result<Self, Error> {
        self.0.checked_add(SignedDuration::from_nanos(duration.0)).ok().and_then(Self::at).ok_or_else(overflow)
    }

    /// How much later it is than another.
    pub(crate) fn since(self, other: Self) -> Result<Duration, Error> {
        let nanos = self.0.duration_since(other.0).as_nanos();
        i64::try_from(nanos).map(Duration).map_err(|_| overflow())
    }

    /// Date and time in a time zone: UTC, an offset such as `-08:00`, or a name.
    pub(crate) fn within(self, zone: &str) -> Result<DateTime, Error> {
        let unknown = || Error::new(format!("unknown time zone {zone}"));
        let seconds = match zone {
            "" | "UTC" => 0,
            zone if zone.contains(':') => offset(zone).ok_or_else(unknown)?,
            zone => {
                let zone = TimeZone::get(zone).map_err(|_| unknown())?;
                // The last day of 9999 has the offset of the day before.
                let time = jiff::Timestamp::from_second(self.seconds()).unwrap_or(jiff::Timestamp::MAX);
                i64::from(zone.to_offset(time).seconds())
            }
        };
        self.0.checked_add(SignedDuration::from_secs(seconds)).map_err(|_| overflow())
    }
}

/// In seconds.
fn offset(text: &str) -> Option<i64> {
    let (hours, minutes) = text.split_once(':')?;
    let negative = hours.starts_with('-');
    let hours: i64 =
        hours.strip_prefix(['-', '+']).unwrap_or(hours).parse().ok().filter(|hours| (0..24).contains(hours))?;
    let minutes: i64 = minutes.parse().ok().filter(|minutes| (0..60).contains(minutes))?;
    let seconds = hours * 3600 + minutes * 60;
    Some(if negative { -seconds } else { seconds })
}

fn overflow() -> Error {
    Error::new("timestamp overflow")
}

/// RFC 3339, as Go reads it.
pub(crate) fn parse_timestamp(text: &str) -> Result<Timestamp, Error> {
    let malformed =
        || Error::new(format!("parsing time {text:?} as \"2006-01-02T15:04:05Z07:00\": cannot parse {text:?}"));
    let (local, behind) = split_zone(text).ok_or_else(malformed)?;
    let bytes = local.as_bytes();
    let shape = bytes.len() >= 19
        && (bytes[4], bytes[7], bytes[10], bytes[13], bytes[16]) == (b'-', b'-', b'T', b':', b':')
        && bytes[..19].iter().filter(|byte| byte.is_ascii_digit()).count() == 14
        && &bytes[17..19] != b"60"
        && matches!(&bytes[19..], [] | [b'.', b'0'..=b'9', ..])
        && bytes[19..].iter().skip(1).all(u8::is_ascii_digit);
    let time: DateTime = if shape { local.parse().map_err(|_| malformed())? } else { return Err(malformed()) };
    time.checked_sub(SignedDuration::from_secs(behind)).ok().and_then(Timestamp::at).ok_or_else(overflow)
}

/// What is in front of the offset from UTC, and that in seconds.
fn split_zone(text: &str) -> Option<(&str, i64)> {
    if let Some(local) = text.strip_suffix('Z') {
        return Some((local, 0));
    }
    let (local, zone) = text.split_at_checked(text.len().checked_sub(6)?)?;
    let signed = zone.starts_with(['+', '-']) && zone.as_bytes().get(3) == Some(&b':');
    Some((local, offset(zone).filter(|_| signed)?))
}

/// RFC 3339 in UTC with as many digits as it takes.
pub(crate) fn timestamp_text(time: Timestamp) -> String {
    format!("{}Z", time.0)
}

/// Units of Go's durations in nanoseconds.
const UNITS: [(&str, i64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", BILLION),
    ("m", 60 * BILLION),
    ("h", 3600 * BILLION),
];

/// Go's durations: `1h2.5m`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, Error> {
    let invalid = || Error::new(format!("time: invalid duration {text:?}"));
    let negative = text.starts_with('-');
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return Ok(Duration(0));
    }
    let mut total: i128 = 0;
    if rest.is_empty() {
        return Err(invalid());
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(invalid)?;
        let (number, after) = rest.split_at(end);
        let end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let unit = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, nanos)| *nanos).ok_or_else(invalid)?;
        total = total.checked_add(amount(number, unit).ok_or_else(invalid)?).ok_or_else(invalid)?;
        rest = after;
    }
    i64::try_from(if negative { -total } else { total }).map(Duration).map_err(|_| invalid())
}

fn amount(number: &str, unit: i64) -> Option<i128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') || number.len() > 30 {
        return None;
    }
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    // Finer than a nanosecond of hours are 13 digits.
    let digits = fraction.get(..fraction.len().min(18))?;
    let scale = 10_i128.pow(u32::try_from(digits.len()).ok()?);
    let part: i128 = if digits.is_empty() { 0 } else { digits.parse().ok()? };
    whole.checked_mul(i128::from(unit))?.checked_add(part * i128::from(unit) / scale)
}
