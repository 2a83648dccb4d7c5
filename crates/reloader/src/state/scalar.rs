//! Numbers that change their type from one build to the next.

/// A number of some type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scalar {
    pub(crate) number: Number,
    /// In bytes.
    pub(crate) size: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Number {
    Signed,
    Unsigned,
    /// 0 or 1.
    Boolean,
    Float,
}

impl Scalar {
    /// The same number as the type `to` holds it, if it holds it: a wider or narrower integer,
    /// another floating-point type.
    pub(crate) fn convert(self, bytes: &[u8], to: Self) -> Option<Vec<u8>> {
        if bytes.len() != self.size {
            return None;
        }
        match (self.number, to.number) {
            (Number::Float, Number::Float) => {
                let value = match self.size {
                    4 => f64::from(f32::from_ne_bytes(bytes.try_into().ok()?)),
                    8 => f64::from_ne_bytes(bytes.try_into().ok()?),
                    _ => return None,
                };
                match to.size {
                    4 => Some((value as f32).to_ne_bytes().to_vec()),
                    8 => Some(value.to_ne_bytes().to_vec()),
                    _ => None,
                }
            }
            (Number::Float, _) | (_, Number::Float) => None,
            (from, to_number) => {
                let value = read(bytes, from)?;
                let (low, high) = match (to_number, to.size) {
                    (Number::Boolean, 1..=8) => (0, 1),
                    (Number::Signed, size @ 1..=8) => {
                        let bits = size as u32 * 8 - 1;
                        (-(1i128 << bits), (1i128 << bits) - 1)
                    }
                    (_, size @ 1..=8) => (0, (1i128 << (size as u32 * 8)) - 1),
                    _ => return None,
                };
                let bytes = value.to_le_bytes();
                let mut bytes = bytes.get(..to.size)?.to_vec();
                if cfg!(target_endian = "big") {
                    bytes.reverse();
                }
                (low..=high).contains(&value).then_some(bytes)
            }
        }
    }
}

/// Whether a variable of this size may be a number.
pub(super) fn may_be_number(size: u64) -> bool {
    matches!(size, 1 | 2 | 4 | 8)
}

/// An integer of which it is not known whether it has a sign, as the type `to` holds it; `None`
/// where that matters.
pub(super) fn convert_unsure(bytes: &[u8], to: Scalar) -> Option<Vec<u8>> {
    let as_number = |number| Scalar { number, size: bytes.len() }.convert(bytes, to);
    as_number(Number::Signed).filter(|signed| as_number(Number::Unsigned).as_ref() == Some(signed))
}

fn read(bytes: &[u8], number: Number) -> Option<i128> {
    let mut little = bytes.to_vec();
    if cfg!(target_endian = "big") {
        little.reverse();
    }
    let negative = number == Number::Signed && little.last()? & 0x80 != 0;
    let mut wide = [if negative { 0xff } else { 0 }; 16];
    wide.get_mut(..little.len())?.copy_from_slice(&little);
    Some(i128::from_le_bytes(wide))
}

#[cfg(test)]
mod tests {
    use super::*;

    const INT: Scalar = Scalar { number: Number::Signed, size: 4 };
    const LONG: Scalar = Scalar { number: Number::Signed, size: 8 };
    const UNSIGNED: Scalar = Scalar { number: Number::Unsigned, size: 4 };
    const UNSIGNED_LONG: Scalar = Scalar { number: Number::Unsigned, size: 8 };
    const FLOAT: Scalar = Scalar { number: Number::Float, size: 4 };
    const DOUBLE: Scalar = Scalar { number: Number::Float, size: 8 };

    #[test]
    fn a_wider_type_holds_the_same_number() {
        let minus = (-5i32).to_ne_bytes();
        assert_eq!(INT.convert(&minus, LONG), Some((-5i64).to_ne_bytes().to_vec()));
        let large = u32::MAX.to_ne_bytes();
        assert_eq!(UNSIGNED.convert(&large, LONG), Some(0xffff_ffffi64.to_ne_bytes().to_vec()));
        assert_eq!(
            FLOAT.convert(&1.5f32.to_ne_bytes(), DOUBLE),
            Some(1.5f64.to_ne_bytes().to_vec())
        );
    }

    #[test]
    fn a_number_whose_sign_is_not_known_is_converted_where_it_has_none() {
        assert_eq!(convert_unsure(&5i16.to_ne_bytes(), INT), Some(5i32.to_ne_bytes().to_vec()));
        assert_eq!(convert_unsure(&(-3i16).to_ne_bytes(), INT), None);
        assert_eq!(convert_unsure(&1.5f32.to_ne_bytes(), DOUBLE), None);
    }

    #[test]
    fn a_number_that_does_not_fit_is_not_made_another() {
        assert_eq!(INT.convert(&(-5i32).to_ne_bytes(), UNSIGNED_LONG), None);
        assert_eq!(LONG.convert(&(1i64 << 40).to_ne_bytes(), INT), None);
        assert_eq!(LONG.convert(&(-7i64).to_ne_bytes(), INT), Some((-7i32).to_ne_bytes().to_vec()));
        assert_eq!(INT.convert(&5i32.to_ne_bytes(), DOUBLE), None);
        assert_eq!(INT.convert(&[1, 2], LONG), None);
        let boolean = Scalar { number: Number::Boolean, size: 1 };
        assert_eq!(INT.convert(&1i32.to_ne_bytes(), boolean), Some(vec![1]));
        assert_eq!(INT.convert(&2i32.to_ne_bytes(), boolean), None);
        assert_eq!(boolean.convert(&[1], LONG), Some(1i64.to_ne_bytes().to_vec()));
    }
}
