//! The DER of certificates, as far as they are issued here (RFC 5280).

use base64::{Engine, engine::general_purpose::STANDARD};
use yasna::{
    DERWriter, DERWriterSeq, Tag,
    models::ObjectIdentifier,
    tags::{TAG_GENERALIZEDTIME, TAG_UTCTIME},
};

use super::request::{Name, Subject};

/// From this year on times are written with all digits of the year.
const GENERALIZED_FROM: i16 = 2050;

/// What an extension says; its id, whether it is critical, and its content.
pub(super) struct Extension {
    pub id: &'static [u64],
    pub critical: bool,
    pub content: Vec<u8>,
}

impl Extension {
    pub fn write(&self, writer: DERWriter<'_>) {
        writer.write_sequence(|writer| {
            oid(writer.next(), self.id);
            if self.critical {
                writer.next().write_bool(true);
            }
            writer.next().write_bytes(&self.content);
        });
    }
}

pub(super) fn oid(writer: DERWriter<'_>, id: &[u64]) {
    writer.write_oid(&ObjectIdentifier::from_slice(id));
}

/// An instant, in whole seconds.
pub(super) fn time(writer: DERWriter<'_>, time: api_types::jiff::Timestamp) {
    let utc = time.to_zoned(api_types::jiff::tz::TimeZone::UTC);
    let (tag, format) = if utc.year() < GENERALIZED_FROM {
        (TAG_UTCTIME, "%y%m%d%H%M%SZ")
    } else {
        (TAG_GENERALIZEDTIME, "%Y%m%d%H%M%SZ")
    };
    let text = utc.strftime(format).to_string();
    writer.write_tagged_implicit(tag, |writer| writer.write_bytes(text.as_bytes()));
}

/// A subject, whose attributes of one type make one relative name.
pub(super) fn subject(writer: DERWriter<'_>, subject: &Subject) {
    writer.write_sequence(|writer| {
        for (attribute, values) in &subject.0 {
            writer.next().write_set_of(|set| {
                for value in values {
                    set.next().write_sequence(|writer| {
                        oid(writer.next(), &[2, 5, 4, u64::from(*attribute)]);
                        text(writer, value);
                    });
                }
            });
        }
    });
}

/// As narrow as it can be, which is what everybody else writes.
fn text(writer: &mut DERWriterSeq<'_>, text: &str) {
    let printable = |byte: u8| byte.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&byte);
    if text.bytes().all(printable) {
        writer.next().write_printable_string(text);
    } else {
        writer.next().write_utf8_string(text);
    }
}

/// `SubjectAlternativeName`.
pub(super) fn names(names: &[Name]) -> Vec<u8> {
    yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            for name in names {
                let tag = Tag::context(name.kind.tag());
                writer.next().write_tagged_implicit(tag, |writer| writer.write_bytes(&name.value));
            }
        });
    })
}

/// `KeyUsage`, from the bits by their numbers.
pub(super) fn key_usage(bits: &[usize]) -> Vec<u8> {
    let mut bytes = [0u8; 2];
    for bit in bits {
        bytes[bit / 8] |= 0x80 >> (bit % 8);
    }
    let length = bits.iter().max().map_or(0, |bit| bit + 1);
    yasna::construct_der(|writer| writer.write_bitvec_bytes(&bytes[..length.div_ceil(8)], length))
}

/// `ExtKeyUsage`.
pub(super) fn extended_key_usage(purposes: &[&[u64]]) -> Vec<u8> {
    yasna::construct_der(|writer| {
        writer.write_sequence(|writer| purposes.iter().for_each(|purpose| oid(writer.next(), purpose)));
    })
}

/// `AuthorityKeyIdentifier`.
pub(super) fn authority_key_id(id: &[u8]) -> Vec<u8> {
    yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            writer.next().write_tagged_implicit(Tag::context(0), |writer| writer.write_bytes(id));
        });
    })
}

/// A section of a PEM file (RFC 7468).
pub(super) fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines = text.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line) + "\n");
    format!("-----BEGIN {label}-----\n{}-----END {label}-----\n", lines.collect::<String>())
}
