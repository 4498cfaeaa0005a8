//! Formats of strings. Others than these are not looked at, as upstream.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use cel::Duration;

use crate::{
    jiff::{Timestamp, civil::Date},
    validation::names::{dns1035_label, dns1123_label, dns1123_subdomain},
};

/// A format that strings are checked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Format {
    /// As the schema writes it.
    pub name: &'static str,
    check: fn(&str) -> bool,
}

/// By their names without hyphens.
const ALL: &[(&str, Format)] = &[
    ("bsonobjectid", of("bsonobjectid", |text| text.len() == 24 && hex(text))),
    ("uri", of("uri", uri)),
    ("email", of("email", email)),
    ("hostname", of("hostname", hostname)),
    ("ipv4", of("ipv4", |text| text.parse::<Ipv4Addr>().is_ok())),
    ("ipv6", of("ipv6", |text| text.parse::<Ipv6Addr>().is_ok())),
    ("cidr", of("cidr", cidr)),
    ("mac", of("mac", mac)),
    ("uuid", of("uuid", |text| uuid(text, None))),
    ("uuid3", of("uuid3", |text| uuid(text, Some('3')))),
    ("uuid4", of("uuid4", |text| uuid(text, Some('4')))),
    ("uuid5", of("uuid5", |text| uuid(text, Some('5')))),
    ("isbn", of("isbn", |text| isbn10(text) || isbn13(text))),
    ("isbn10", of("isbn10", isbn10)),
    ("isbn13", of("isbn13", isbn13)),
    ("creditcard", of("creditcard", credit_card)),
    ("ssn", of("ssn", |text| groups(text, &['-', ' '], &[3, 2, 4]))),
    ("hexcolor", of("hexcolor", hex_color)),
    ("rgbcolor", of("rgbcolor", rgb_color)),
    ("byte", of("byte", base64)),
    ("password", of("password", |_| true)),
    ("date", of("date", |text| text.len() == 10 && text.parse::<Date>().is_ok())),
    ("duration", of("duration", |text| Duration::parse(text).is_ok())),
    ("datetime", of("date-time", date_time)),
    ("k8sshortname", of("k8s-short-name", |text| dns1123_label(text).is_empty())),
    ("k8slongname", of("k8s-long-name", |text| dns1123_subdomain(text).is_empty())),
    ("k8sdns1035label", of("k8s-dns-1035-label", |text| dns1035_label(text).is_empty())),
];

const fn of(name: &'static str, check: fn(&str) -> bool) -> Format {
    Format { name, check }
}

impl Format {
    /// The format of a name, if it is one that is looked at.
    pub fn named(name: &str) -> Option<Self> {
        let plain = name.replace('-', "");
        ALL.iter().find(|(own, _)| *own == plain).map(|(_, format)| *format)
    }

    /// Whether a text has it.
    pub fn holds(self, text: &str) -> bool {
        (self.check)(text)
    }
}

fn hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Groups of so many digits.
fn groups(text: &str, separators: &[char], lengths: &[usize]) -> bool {
    let parts: Vec<&str> = text.split(separators).collect();
    parts.len() == lengths.len()
        && parts.iter().zip(lengths).all(|(part, length)| part.len() == *length && digits(part))
}

/// An absolute path, or something with a scheme.
fn uri(text: &str) -> bool {
    let plain = text.bytes().all(|byte| byte > b' ' && byte != 0x7f);
    let scheme = |scheme: &str| {
        let rest = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
        scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.chars().all(rest)
    };
    plain && (text.starts_with('/') || text.split_once(':').is_some_and(|(name, _)| scheme(name)))
}

fn email(text: &str) -> bool {
    let address = text.rsplit_once('<').and_then(|(_, rest)| rest.strip_suffix('>')).unwrap_or(text);
    address.rsplit_once('@').is_some_and(|(local, domain)| {
        !local.is_empty() && !domain.is_empty() && !address.contains(|c: char| c.is_whitespace() || c.is_control())
    })
}

fn hostname(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_'))
    };
    text.len() <= 255 && text.trim_end_matches('.').split('.').all(label)
}

fn cidr(text: &str) -> bool {
    let Some((address, length)) = text.split_once('/') else { return false };
    let most = match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    !length.is_empty() && digits(length) && length.parse::<u8>().is_ok_and(|length| length <= most)
}

fn mac(text: &str) -> bool {
    let pairs = |separator: char, width: usize| {
        let parts: Vec<&str> = text.split(separator).collect();
        let octets = parts.len() * width / 2;
        matches!(octets, 6 | 8 | 20) && parts.iter().all(|part| part.len() == width && hex(part))
    };
    pairs(':', 2) || pairs('-', 2) || pairs('.', 4)
}

fn uuid(text: &str, version: Option<char>) -> bool {
    let plain = text.replace('-', "");
    let groups: Vec<usize> = text.split('-').map(str::len).collect();
    let shaped = groups == [8, 4, 4, 4, 12] || groups == [32];
    shaped && hex(&plain) && version.is_none_or(|version| plain.chars().nth(12) == Some(version))
}

fn isbn10(text: &str) -> bool {
    let plain: String = text.chars().filter(|c| !matches!(c, '-' | ' ')).collect();
    let value = |(index, c): (usize, char)| match c {
        'X' | 'x' if index == 9 => Some(10),
        c => c.to_digit(10),
    };
    let values: Option<Vec<u32>> = plain.chars().enumerate().map(value).collect();
    values.is_some_and(|values| {
        values.len() == 10 && values.iter().zip(1..).map(|(value, weight)| value * weight).sum::<u32>() % 11 == 0
    })
}

fn isbn13(text: &str) -> bool {
    let plain: String = text.chars().filter(|c| !matches!(c, '-' | ' ')).collect();
    let values: Option<Vec<u32>> = plain.chars().map(|c| c.to_digit(10)).collect();
    values.is_some_and(|values| {
        let weighted = values.iter().zip([1, 3].into_iter().cycle()).map(|(value, weight)| value * weight);
        values.len() == 13 && weighted.sum::<u32>() % 10 == 0
    })
}

/// Luhn's checksum.
fn credit_card(text: &str) -> bool {
    let plain: String = text.chars().filter(char::is_ascii_digit).collect();
    let values: Vec<u32> = plain.chars().rev().filter_map(|c| c.to_digit(10)).collect();
    let doubled = |value: u32| if value > 4 { 2 * value - 9 } else { 2 * value };
    let sum: u32 = values.iter().enumerate().map(|(i, value)| if i % 2 == 1 { doubled(*value) } else { *value }).sum();
    (13..=19).contains(&values.len()) && sum.is_multiple_of(10)
}

fn hex_color(text: &str) -> bool {
    let plain = text.strip_prefix('#').unwrap_or(text);
    matches!(plain.len(), 3 | 6) && hex(plain)
}

fn rgb_color(text: &str) -> bool {
    let inside = text.strip_prefix("rgb(").and_then(|rest| rest.strip_suffix(')'));
    inside.is_some_and(|inside| {
        let parts: Vec<&str> = inside.split(',').map(str::trim).collect();
        parts.len() == 3 && parts.iter().all(|part| digits(part) && part.parse::<u8>().is_ok())
    })
}

fn base64(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    let padding = text.len() - body.len();
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_');
    text.len().is_multiple_of(4) && padding <= 2 && body.bytes().all(letter)
}

fn date_time(text: &str) -> bool {
    text.as_bytes().get(10).is_some_and(|byte| matches!(byte, b'T' | b't')) && text.parse::<Timestamp>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_have_their_formats_or_not() {
        for (format, good, bad) in [
            ("ipv4", "10.0.0.1", "10.0.0"),
            ("ipv6", "::1", "1.2.3.4"),
            ("cidr", "10.0.0.0/8", "10.0.0.0/33"),
            ("mac", "01:23:45:67:89:ab", "01:23:45"),
            ("uuid", "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "6ba7b810"),
            ("uuid4", "6ba7b810-9dad-41d1-80b4-00c04fd430c8", "6ba7b810-9dad-11d1-80b4-00c04fd430c8"),
            ("isbn10", "0-306-40615-2", "0-306-40615-3"),
            ("isbn13", "978-0-306-40615-7", "978-0-306-40615-8"),
            ("creditcard", "4111 1111 1111 1111", "4111 1111 1111 1112"),
            ("byte", "aGVsbG8=", "a"),
            ("date", "2024-02-29", "2023-02-29"),
            ("duration", "1h30m", "1 fortnight"),
            ("date-time", "2024-01-02T03:04:05Z", "2024-01-02"),
            ("hostname", "www.example.com", "-a"),
            ("uri", "https://example.com/a", "a b"),
            ("email", "a@b.c", "a"),
            ("hexcolor", "#fff", "#ff"),
            ("rgbcolor", "rgb(1, 2, 255)", "rgb(1,2,256)"),
        ] {
            let format = Format::named(format).unwrap();
            assert!(format.holds(good), "{} {good}", format.name);
            assert!(!format.holds(bad), "{} {bad}", format.name);
        }
        assert!(Format::named("int32").is_none());
    }
}
