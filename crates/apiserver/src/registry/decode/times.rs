//! Points in time as Go reads them, and what it says about those that it does not.

/// How a point in time is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// To the second; a fraction is passed over.
    Seconds,
    /// To the microsecond, with six digits always.
    Microseconds,
}

impl Precision {
    /// Go's example of the form.
    const fn layout(self) -> &'static str {
        match self {
            Self::Seconds => "2006-01-02T15:04:05Z07:00",
            Self::Microseconds => "2006-01-02T15:04:05.000000Z07:00",
        }
    }
}

/// What is wrong with a point in time, if anything is.
#[must_use]
pub fn fault(text: &str, precision: Precision) -> Option<String> {
    let why = match Parser(text).time(precision) {
        Ok(()) => return None,
        Err(Fault::Range(what)) => format!("{text:?}: {what} out of range"),
        Err(Fault::Extra(rest)) => format!("{text:?}: extra text: {rest:?}"),
        Err(Fault::Part { rest, expected }) => {
            format!("{text:?} as {:?}: cannot parse {rest:?} as {expected:?}", precision.layout())
        }
    };
    Some(format!("parsing time {why}"))
}

enum Fault<'a> {
    Range(&'static str),
    Extra(&'a str),
    Part { rest: &'a str, expected: &'static str },
}

struct Parser<'a>(&'a str);

impl<'a> Parser<'a> {
    fn time(&mut self, precision: Precision) -> Result<(), Fault<'a>> {
        let year = self.digits(4, "2006")?;
        self.literal("-")?;
        let month = within(self.digits(2, "01")?, 1, 12, "month")?;
        self.literal("-")?;
        let day = self.digits(2, "02")?;
        self.literal("T")?;
        within(self.digits(2, "15")?, 0, 23, "hour")?;
        self.literal(":")?;
        within(self.digits(2, "04")?, 0, 59, "minute")?;
        self.literal(":")?;
        within(self.digits(2, "05")?, 0, 59, "second")?;
        self.fraction(precision)?;
        self.zone()?;
        within(day, 1, days(year, month), "day")?;
        if self.0.is_empty() { Ok(()) } else { Err(Fault::Extra(self.0)) }
    }

    fn digits(&mut self, count: usize, expected: &'static str) -> Result<u32, Fault<'a>> {
        let rest = self.0;
        let found = rest.get(..count).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
        let number = found.and_then(|digits| digits.parse().ok()).ok_or(Fault::Part { rest, expected })?;
        self.0 = &rest[count..];
        Ok(number)
    }

    fn literal(&mut self, expected: &'static str) -> Result<(), Fault<'a>> {
        self.0 = self.0.strip_prefix(expected).ok_or(Fault::Part { rest: self.0, expected })?;
        Ok(())
    }

    fn fraction(&mut self, precision: Precision) -> Result<(), Fault<'a>> {
        let rest = self.0;
        let digits = rest
            .strip_prefix(['.', ','])
            .map_or(0, |digits| digits.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(digits.len()));
        match precision {
            Precision::Seconds if digits > 0 => self.0 = &rest[digits + 1..],
            Precision::Seconds => {}
            Precision::Microseconds if digits >= 6 => self.0 = &rest[7..],
            Precision::Microseconds => return Err(Fault::Part { rest, expected: ".000000" }),
        }
        Ok(())
    }

    fn zone(&mut self) -> Result<(), Fault<'a>> {
        if let Some(rest) = self.0.strip_prefix('Z') {
            self.0 = rest;
            return Ok(());
        }
        let bad = Fault::Part { rest: self.0, expected: "Z07:00" };
        let Some(offset) = self.0.strip_prefix(['+', '-']) else { return Err(bad) };
        let mut parts = Parser(offset);
        let hours = parts.digits(2, "07");
        let colon = parts.literal(":");
        match (hours, colon, parts.digits(2, "00")) {
            (Ok(hours), Ok(()), Ok(minutes)) => {
                within(hours, 0, 24, "time zone offset hour")?;
                within(minutes, 0, 60, "time zone offset minute")?;
                self.0 = parts.0;
                Ok(())
            }
            _ => Err(bad),
        }
    }
}

fn within(number: u32, least: u32, most: u32, what: &'static str) -> Result<u32, Fault<'static>> {
    if (least..=most).contains(&number) { Ok(number) } else { Err(Fault::Range(what)) }
}

fn days(year: u32, month: u32) -> u32 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::{Precision::*, fault};

    #[test]
    fn times_are_read_as_go_reads_them() {
        for text in ["2024-02-29T23:59:59Z", "2024-01-02T03:04:05.123456789Z", "2024-01-02T03:04:05+02:00"] {
            assert_eq!(fault(text, Seconds), None, "{text}");
        }
        for text in ["2024-01-02T03:04:05.000000Z", "2024-01-02T03:04:05.123456-01:30"] {
            assert_eq!(fault(text, Microseconds), None, "{text}");
        }
    }

    #[test]
    fn others_are_refused_in_its_words() {
        let cases = [
            (Seconds, "abc", r#""abc" as "2006-01-02T15:04:05Z07:00": cannot parse "abc" as "2006""#),
            (Seconds, "", r#""" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "2006""#),
            (
                Seconds,
                "2024-01-02 03:04:05Z",
                r#""2024-01-02 03:04:05Z" as "2006-01-02T15:04:05Z07:00": cannot parse " 03:04:05Z" as "T""#,
            ),
            (Seconds, "2024-13-02T03:04:05Z", r#""2024-13-02T03:04:05Z": month out of range"#),
            (Seconds, "2023-02-29T03:04:05Z", r#""2023-02-29T03:04:05Z": day out of range"#),
            (Seconds, "2024-01-02T03:04:05Zx", r#""2024-01-02T03:04:05Zx": extra text: "x""#),
            (
                Microseconds,
                "2024-01-02T03:04:05Z",
                r#""2024-01-02T03:04:05Z" as "2006-01-02T15:04:05.000000Z07:00": cannot parse "Z" as ".000000""#,
            ),
        ];
        for (precision, text, words) in cases {
            assert_eq!(fault(text, precision), Some(format!("parsing time {words}")));
        }
    }
}
