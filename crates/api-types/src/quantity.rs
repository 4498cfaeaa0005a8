//! Amounts of a resource: `500m`, `1.5Gi`, `2e3`, exact to a billionth.
//!
//! On the wire a quantity is a string; [`Quantity`] is its meaning. Values are kept in billionths and
//! rounded away from zero where finer. Beyond 2^63-1 they are capped, unless they have few digits: as upstream does.

use std::{cmp::Ordering, fmt, ops, str::FromStr};

/// The string on the wire.
pub use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Wire;

const NANOS: i128 = 1_000_000_000;
/// The largest amount that upstream represents, 2^63-1, in billionths.
const MAX: i128 = i64::MAX as i128 * NANOS;
/// Significant digits after the point that are read exactly; further ones only round up.
const FRACTION_DIGITS: usize = 18;

/// Why a string is no quantity; the text is upstream's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not a number with a suffix.
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Format,
    /// A suffix that means nothing, such as `mi`.
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

/// How a quantity is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// `500m`, `2k`, `3M`.
    #[default]
    DecimalSi,
    /// `2e3`.
    DecimalExponent,
    /// `4Ki`, `5Mi`.
    BinarySi,
}

/// An amount. Two quantities are equal when their amounts are, however they are written.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quantity {
    nanos: i128,
    format: Format,
}

impl Quantity {
    /// Nothing.
    pub const ZERO: Self = Self { nanos: 0, format: Format::DecimalSi };

    /// A whole number.
    #[must_use]
    pub const fn new(value: i64, format: Format) -> Self {
        Self { nanos: value as i128 * NANOS, format }
    }

    /// Thousandths, as CPU is counted.
    #[must_use]
    pub const fn from_milli(milli: i64) -> Self {
        Self { nanos: milli as i128 * (NANOS / 1000), format: Format::DecimalSi }
    }

    /// Bytes, written with binary suffixes.
    #[must_use]
    pub const fn from_bytes(bytes: i64) -> Self {
        Self::new(bytes, Format::BinarySi)
    }

    /// The whole number, rounded away from zero.
    #[must_use]
    pub fn value(&self) -> i64 {
        round_away(self.nanos, NANOS)
    }

    /// Thousandths, rounded away from zero and capped.
    #[must_use]
    pub fn milli_value(&self) -> i64 {
        round_away(self.nanos, NANOS / 1000)
    }

    /// Whether it is a whole number.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.nanos % NANOS == 0
    }

    /// Whether it is nothing.
    #[must_use]
    pub const fn is_zero(&self) -> bool {
        self.nanos == 0
    }

    /// Whether it is less than nothing.
    #[must_use]
    pub const fn is_negative(&self) -> bool {
        self.nanos < 0
    }

    /// The same amount rounded away from zero to thousandths, the finest that pods may ask for.
    #[must_use]
    pub fn rounded_to_milli(self) -> Self {
        let unit = NANOS / 1000;
        let away = if self.nanos % unit == 0 { 0 } else { self.nanos.signum() };
        Self { nanos: (self.nanos / unit + away).saturating_mul(unit), ..self }
    }

    /// As a double, which need not be exact.
    #[must_use]
    pub fn approximate(&self) -> f64 {
        self.nanos as f64 / NANOS as f64
    }

    /// The canonical string.
    #[must_use]
    pub fn to_wire(self) -> Wire {
        Wire(self.to_string())
    }
}

fn round_away(nanos: i128, unit: i128) -> i64 {
    let away = if nanos % unit == 0 { 0 } else { nanos.signum() };
    i64::try_from(nanos / unit + away).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX })
}

impl TryFrom<&Wire> for Quantity {
    type Error = Error;

    fn try_from(wire: &Wire) -> Result<Self, Error> {
        // As it is decoded upstream, where a quantity by itself has no spaces around it.
        wire.0.trim().parse()
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

/// Saturating. The sum is written as the left side is, unless that is zero.
impl ops::Add for Quantity {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let format = if self.is_zero() { other.format } else { self.format };
        Self { nanos: self.nanos.saturating_add(other.nanos), format }
    }
}

impl ops::AddAssign for Quantity {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl ops::Neg for Quantity {
    type Output = Self;

    fn neg(self) -> Self {
        Self { nanos: -self.nanos, ..self }
    }
}

impl ops::Sub for Quantity {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self + -other
    }
}

impl ops::SubAssign for Quantity {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

impl std::iter::Sum for Quantity {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, |sum, amount| sum + amount)
    }
}

impl FromStr for Quantity {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (negative, unsigned) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        let number_end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
        let (number, suffix) = unsigned.split_at(number_end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') || !is_suffix_shaped(suffix) {
            return Err(Error::Format);
        }
        let scale = Scale::parse(suffix).ok_or(Error::Suffix)?;
        let nanos = scale.nanos(whole, fraction).unwrap_or(MAX);
        // Upstream keeps a number of few digits and its power of ten apart, so that neither can be too large.
        let short = !matches!(scale, Scale::Binary(_)) && whole.trim_start_matches('0').len() + fraction.len() <= 18;
        let nanos = if short { nanos } else { nanos.min(MAX) };
        Ok(Self { nanos: if negative { -nanos } else { nanos }, format: scale.format() })
    }
}

/// `[eEinumkKMGTP]*[-+]?[0-9]*`.
fn is_suffix_shaped(suffix: &str) -> bool {
    let rest = suffix.trim_start_matches(|c| "eEinumkKMGTP".contains(c));
    let rest = rest.strip_prefix(['+', '-']).unwrap_or(rest);
    rest.bytes().all(|b| b.is_ascii_digit())
}

/// What a suffix multiplies by.
#[derive(Clone, Copy)]
enum Scale {
    /// A power of 1024.
    Binary(u32),
    /// A power of ten, written with a letter.
    Decimal(i32),
    /// A power of ten, written as an exponent.
    Exponent(i32),
}

const DECIMAL: [(&str, i32); 10] =
    [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];
const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

impl Scale {
    fn parse(suffix: &str) -> Option<Self> {
        if let Some((_, power)) = DECIMAL.iter().find(|(name, _)| *name == suffix) {
            return Some(Self::Decimal(*power));
        }
        if let Some(power) = BINARY.iter().position(|name| *name == suffix) {
            return u32::try_from(power).ok().map(Self::Binary);
        }
        let digits = suffix.strip_prefix(['e', 'E'])?;
        let exponent: i64 = digits.parse().ok()?;
        i32::try_from(exponent.clamp(-1000, 1000)).ok().map(Self::Exponent)
    }

    const fn format(self) -> Format {
        match self {
            Self::Binary(_) => Format::BinarySi,
            Self::Decimal(_) => Format::DecimalSi,
            Self::Exponent(_) => Format::DecimalExponent,
        }
    }

    /// `None` when the amount is beyond what is represented.
    fn nanos(self, whole: &str, fraction: &str) -> Option<i128> {
        let fraction = fraction.trim_end_matches('0');
        let zeros = fraction.len() - fraction.trim_start_matches('0').len();
        let significant = if matches!(self, Self::Binary(_)) { 0 } else { zeros } + FRACTION_DIGITS;
        let (kept, dropped) = fraction.split_at(fraction.len().min(significant));
        let digits = whole.trim_start_matches('0').bytes().chain(kept.bytes());
        let mut mantissa: i128 = 0;
        for digit in digits {
            mantissa = mantissa.checked_mul(10)?.checked_add(i128::from(digit - b'0'))?;
        }
        let places = i32::try_from(kept.len()).ok()?;
        if mantissa == 0 && dropped.is_empty() {
            return Some(0);
        }
        let (factor, power) = match self {
            Self::Binary(power) => (1024_i128.checked_pow(power)?, 9 - places),
            Self::Decimal(power) | Self::Exponent(power) => (1, 9 + power - places),
        };
        let (scaled, exact) = times_power_of_ten(mantissa, factor, power)?;
        Some(if exact && dropped.is_empty() { scaled } else { scaled + 1 })
    }
}

/// `mantissa × factor × 10^power` rounded down, and whether that is exact.
fn times_power_of_ten(mantissa: i128, factor: i128, power: i32) -> Option<(i128, bool)> {
    if power >= 0 {
        let scale = 10_i128.checked_pow(power.unsigned_abs())?;
        return Some((mantissa.checked_mul(factor)?.checked_mul(scale)?, true));
    }
    let Some(divisor) = 10_i128.checked_pow(power.unsigned_abs()) else {
        return Some((0, mantissa == 0));
    };
    // Whole multiples of the divisor first, so that the product stays small.
    let (whole, rest) = (mantissa / divisor, mantissa % divisor);
    let rest = rest.checked_mul(factor)?;
    let scaled = whole.checked_mul(factor)?.checked_add(rest / divisor)?;
    Some((scaled, rest % divisor == 0))
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let small = self.nanos.abs() < 1024 * NANOS;
        match self.format {
            Format::BinarySi if !small && self.is_whole() => write_binary(f, self.nanos / NANOS),
            format => write_decimal(f, self.nanos, format),
        }
    }
}

fn write_binary(f: &mut fmt::Formatter<'_>, mut value: i128) -> fmt::Result {
    let mut power = 0;
    while value % 1024 == 0 && power + 1 < BINARY.len() {
        value /= 1024;
        power += 1;
    }
    write!(f, "{value}{}", BINARY[power])
}

fn write_decimal(f: &mut fmt::Formatter<'_>, mut value: i128, format: Format) -> fmt::Result {
    let mut step = 0;
    while value != 0 && value % 1000 == 0 && step + 1 < DECIMAL.len() {
        value /= 1000;
        step += 1;
    }
    let (suffix, power) = if value == 0 { ("", 0) } else { DECIMAL[step] };
    match format {
        Format::DecimalExponent if power != 0 => write!(f, "{value}e{power}"),
        _ => write!(f, "{value}{suffix}"),
    }
}

/// Rewrites a map of quantities in canonical form, as decoding does upstream; strings that are no
/// quantities are left for validation to find.
pub fn canonicalize(quantities: &mut std::collections::BTreeMap<String, Wire>) {
    for wire in quantities.values_mut() {
        canonicalize_one(wire);
    }
}

/// The same, no finer than thousandths: the default of every list of resources.
pub fn round_to_milli(quantities: &mut std::collections::BTreeMap<String, Wire>) {
    for wire in quantities.values_mut() {
        if let Ok(quantity) = Quantity::try_from(&*wire) {
            *wire = quantity.rounded_to_milli().to_wire();
        }
    }
}

/// See [`canonicalize`].
pub fn canonicalize_one(wire: &mut Wire) {
    if let Ok(quantity) = Quantity::try_from(&*wire) {
        *wire = quantity.to_wire();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Quantity {
        text.parse().unwrap()
    }

    #[test]
    fn quantities_have_one_canonical_form() {
        let cases = [
            ("0", "0"),
            ("-0", "0"),
            ("0Mi", "0"),
            ("0.5", "500m"),
            (".5", "500m"),
            ("1.", "1"),
            ("1000m", "1"),
            ("1500m", "1500m"),
            ("100000", "100k"),
            ("1024", "1024"),
            ("1024Mi", "1Gi"),
            ("1000Ki", "1000Ki"),
            ("0.5Mi", "512Ki"),
            ("1.5Gi", "1536Mi"),
            ("0.5Ki", "512"),
            ("1Ki", "1Ki"),
            ("0.1Ki", "102400m"),
            ("1e3", "1e3"),
            ("1E3", "1e3"),
            ("12e0", "12"),
            ("100e-6", "100e-6"),
            ("1E", "1E"),
            ("+5", "5"),
            ("-2.5k", "-2500"),
            ("1n", "1n"),
            ("0.1n", "1n"),
            ("-0.1n", "-1n"),
            ("0.0000000001", "1n"),
            ("0.123456789123456789123", "123456790n"),
            ("9223372036854775808", "9223372036854775807"),
            ("1e1000", "9223372036854775807"),
            ("100Ei", "9223372036854775807"),
            ("8Ei", "9223372036854775807"),
            ("100E", "100E"),
            ("1e19", "10e18"),
            ("9E", "9E"),
            ("0.000000000000000000000001e24", "1"),
        ];
        for (text, canonical) in cases {
            assert_eq!(parse(text).to_string(), canonical, "{text}");
        }
    }

    #[test]
    fn what_is_no_quantity_is_refused_in_upstreams_words() {
        let cases = [
            ("", Error::Format),
            ("aoeu", Error::Format),
            ("1.1.M", Error::Format),
            ("1+1.0M", Error::Format),
            ("0.1am", Error::Format),
            (" 1", Error::Format),
            ("1 ", Error::Format),
            ("Mi", Error::Format),
            (".", Error::Format),
            ("0.1mi", Error::Suffix),
            ("1i", Error::Suffix),
            ("-3.01e-", Error::Suffix),
            ("1e", Error::Suffix),
            ("1kk", Error::Suffix),
        ];
        for (text, error) in cases {
            assert_eq!(text.parse::<Quantity>().unwrap_err(), error, "{text}");
        }
    }

    #[test]
    fn values_round_away_from_zero() {
        let cases = [
            ("1500m", 2, 1500),
            ("-1500m", -2, -1500),
            ("1n", 1, 1),
            ("1Gi", 1 << 30, (1 << 30) * 1000),
            ("8E", 8_000_000_000_000_000_000, i64::MAX),
        ];
        for (text, value, milli) in cases {
            assert_eq!((parse(text).value(), parse(text).milli_value()), (value, milli), "{text}");
        }
        assert_eq!(parse("1.0001").rounded_to_milli().to_string(), "1001m");
        for text in ["10P", "100E", "9E", "9223372036854775807"] {
            assert_eq!(parse(text).rounded_to_milli().to_string(), text);
        }
        assert_eq!(Quantity::try_from(&Wire("1 ".into())).unwrap(), parse("1"));
    }

    #[test]
    fn sums_keep_the_left_sides_format() {
        assert_eq!((parse("1Gi") + parse("1024")).to_string(), "1048577Ki");
        assert_eq!((parse("0") + parse("1Gi")).to_string(), "1Gi");
        assert_eq!((parse("1") - parse("250m")).to_string(), "750m");
        assert!(parse("1Gi") > parse("1G"));
        assert_eq!(parse("1000m"), parse("1"));
    }

    proptest! {
        #[test]
        fn canonical_form_has_the_same_amount(digits in -1_000_000_000_000_i64..1_000_000_000_000, suffix in "(|n|u|m|k|M|Ki|Mi|e3|E-3)") {
            let quantity = parse(&format!("{digits}{suffix}"));
            let text = quantity.to_string();
            prop_assert_eq!(parse(&text), quantity);
            prop_assert_eq!(parse(&text).to_string(), text);
        }

        #[test]
        fn addition_undoes_subtraction(a in any::<i64>(), b in any::<i64>()) {
            let (a, b) = (Quantity::from_milli(a), Quantity::from_milli(b));
            prop_assert_eq!(a - b + b, a);
            prop_assert_eq!((a - b).is_negative(), a < b);
        }

        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = text.parse::<Quantity>();
        }

        #[test]
        fn no_number_panics(text in "[+-]?[0-9.]{0,40}[eEinumkKMGTP]{0,2}[-+]?[0-9]{0,12}") {
            let _ = text.parse::<Quantity>().map(|q| q.to_string());
        }
    }
}
