//! Taking managed fields out of the text of an object, and putting them back.

use bytes::{BufMut, Bytes, BytesMut};

use super::ManagedFields;
use crate::json::{Cursor, Malformed};

/// The object without managed fields, and those.
///
/// # Errors
/// When the text is no JSON object with `metadata`.
pub fn take_apart(object: &Bytes) -> Result<(Bytes, ManagedFields), Malformed> {
    let mut cursor = Cursor::inside_metadata(object)?;
    let mut first = true;
    loop {
        // What stands before the member: the opening brace or the comma.
        let before = cursor.position();
        let Some(name) = cursor.member(&mut first)? else { break };
        if name.raw != b"managedFields" {
            cursor.skip_value()?;
            continue;
        }
        let text = cursor.value()?;
        let end = cursor.position();
        let start = end - text.len();
        let after = match object.get(before) {
            Some(b',') => end,
            _ if object.get(end) == Some(&b',') => end + 1,
            _ => end,
        };
        let rest = Bytes::from([&object[..before], &object[after..]].concat());
        return Ok((rest, ManagedFields::stored(object.slice(start..end))));
    }
    Ok((object.clone(), ManagedFields::default()))
}

/// The object with managed fields; it has none yet.
///
/// # Errors
/// When the text is no JSON object with `metadata`.
pub fn put_together(object: &Bytes, managed: &ManagedFields) -> Result<Bytes, Malformed> {
    const NAME: &[u8] = b"\"managedFields\":";
    if managed.text().is_empty() {
        return Ok(object.clone());
    }
    let mut cursor = Cursor::inside_metadata(object)?;
    let (before, after) = object.split_at(cursor.position());
    let mut out = BytesMut::with_capacity(object.len() + NAME.len() + managed.text().len() + 1);
    out.put_slice(before);
    out.put_slice(NAME);
    out.put_slice(managed.text());
    if !cursor.at_close() {
        out.put_u8(b',');
    }
    out.put_slice(after);
    Ok(out.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn managed_fields_are_taken_out_wherever_they_stand() {
        let cases = [
            (
                r#"{"kind":"A","metadata":{"managedFields":[1],"name":"a"},"x":1}"#,
                r#"{"kind":"A","metadata":{"name":"a"},"x":1}"#,
            ),
            (r#"{"metadata":{"name":"a","managedFields":[1],"uid":"b"}}"#, r#"{"metadata":{"name":"a","uid":"b"}}"#),
            (r#"{"metadata":{"name":"a","managedFields":[1]}}"#, r#"{"metadata":{"name":"a"}}"#),
            (r#"{"metadata":{"managedFields":[1]}}"#, r#"{"metadata":{}}"#),
        ];
        for (whole, rest) in cases {
            let (object, managed) = take_apart(&Bytes::from_static(whole.as_bytes())).unwrap();
            assert_eq!((&*object, managed.text()), (rest.as_bytes(), &b"[1]"[..]), "{whole}");
            let again = put_together(&object, &managed).unwrap();
            assert_eq!(take_apart(&again).unwrap(), (object, managed));
        }
        let without = Bytes::from_static(br#"{"metadata":{}}"#);
        assert_eq!(take_apart(&without).unwrap(), (without, ManagedFields::default()));
        assert_eq!(take_apart(&Bytes::from_static(b"{}")), Err(Malformed::NoMetadata));
    }
}
