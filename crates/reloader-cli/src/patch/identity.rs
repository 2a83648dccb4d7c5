//! Identifications as they are typed and shown.

use crate::destination::hexadecimal;

/// The bytes of a UUID, with or without hyphens.
pub fn uuid(text: &str) -> Result<[u8; 16], String> {
    let bytes = digits(&text.replace('-', ""))?;
    let length = bytes.len();
    bytes.try_into().map_err(|_| format!("a UUID has 16 bytes, and this has {length}"))
}

/// Bytes that are typed as digits.
pub fn digits(text: &str) -> Result<Vec<u8>, String> {
    if text.is_empty() || !text.len().is_multiple_of(2) {
        return Err("two hexadecimal digits for each byte are wanted".to_owned());
    }
    let byte = |pair: &[u8]| {
        let pair = std::str::from_utf8(pair).ok().filter(|it| !it.starts_with('+'))?;
        u8::from_str_radix(pair, 16).ok()
    };
    let bytes: Option<Vec<u8>> = text.as_bytes().chunks(2).map(byte).collect();
    bytes.ok_or_else(|| "not hexadecimal".to_owned())
}

/// A UUID as Apple's tools write it.
pub fn uuid_text(uuid: [u8; 16]) -> String {
    let text = hexadecimal(&uuid).to_uppercase();
    [&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_is_read_as_it_is_written() {
        let text = "0123ABCD-4567-89EF-0011-223344556677";
        assert_eq!(uuid_text(uuid(text).unwrap()), text);
        assert_eq!(uuid(&text.replace('-', "").to_lowercase()), uuid(text));
        for wrong in ["", "0", "0123", "zz", "+1", "é", &text[1..], &format!("{text}00")] {
            assert!(uuid(wrong).is_err(), "{wrong}");
        }
    }
}
