//! What C++ compilers number inside a mangled name (Itanium C++ ABI, 5.1.6 and 5.1.8).

/// The name without the numbers that tell entities of one function apart: of blocks' variables of
/// the same name (`_ZZ1fvE1n_0`), of lambdas (`UlvE0_`) and of types without a name (`Ut0_`).
///
/// They count from the start of the function, so that one more in front of it changes them all.
pub(super) fn without_numbers(name: &str) -> String {
    if !name.starts_with("_Z") {
        return name.to_owned();
    }
    let mut plain = String::with_capacity(name.len());
    let mut rest = name;
    let mut lambdas = 0_usize;
    while let Some(first) = rest.chars().next() {
        if rest.starts_with("Ul") {
            lambdas += 1;
        }
        let mut taken = first.len_utf8();
        if rest.starts_with("Ut") {
            plain.push_str("Ut");
            rest = after_number(&rest[2..]).unwrap_or(&rest[2..]);
            continue;
        }
        if first == 'E' {
            if let Some(after) = after_number(&rest[1..]).filter(|_| lambdas > 0) {
                lambdas -= 1;
                plain.push('E');
                rest = after;
                continue;
            }
            plain.push('E');
            rest = after_discriminator(&rest[1..]);
            continue;
        }
        if let Some(identifier) = identifier(rest) {
            plain.push_str(identifier);
            rest = after_discriminator(&rest[identifier.len()..]);
            continue;
        }
        if first.is_ascii_digit() {
            taken = digits(rest);
        }
        plain.push_str(&rest[..taken]);
        rest = &rest[taken..];
    }
    plain
}

fn digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

/// A name with its length in front, at the start of `text`.
fn identifier(text: &str) -> Option<&str> {
    let digits = digits(text);
    let length: usize = text[..digits].parse().ok().filter(|&length| length > 0)?;
    text.get(..digits.checked_add(length)?)
}

/// What follows a number that ends in `_` and may be absent.
fn after_number(text: &str) -> Option<&str> {
    text[digits(text)..].strip_prefix('_')
}

/// What follows a discriminator, if there is one: `_` and a digit, or `__`, digits and `_`.
fn after_discriminator(text: &str) -> &str {
    let long = text
        .strip_prefix("__")
        .filter(|rest| digits(rest) > 0)
        .and_then(|rest| rest[digits(rest)..].strip_prefix('_'));
    let short = || text.strip_prefix('_').filter(|rest| digits(rest) > 0).map(|rest| &rest[1..]);
    long.or_else(short).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_blocks_lambdas_and_types_go() {
        let plain = |name| without_numbers(name);
        assert_eq!(plain("_ZZ7cr_mainE1c_0"), "_ZZ7cr_mainE1c");
        assert_eq!(plain("_ZZ7cr_mainE1c__12_"), "_ZZ7cr_mainE1c");
        assert_eq!(plain("_ZZZL3lamvENKUlvE_clEvE1c"), plain("_ZZZL3lamvENKUlvE0_clEvE1c"));
        assert_eq!(plain("_ZZZL3lamvENKUlvE_clEvE1c"), plain("_ZZZL3lamvENKUlvE12_clEvE1c"));
        assert_eq!(plain("_ZZZ1fvENUt_1gEvE1n"), plain("_ZZZ1fvENUt0_1gEvE1n"));
        assert_eq!(plain("_ZZZ1fvEN1S1gEvE1n"), plain("_ZZZ1fvEN1S1gE_0vE1n"));
    }

    #[test]
    fn what_the_programmer_wrote_stays() {
        for name in ["_ZZ1fvE3n_0", "_ZZ4f__0vE6n__12_", "n_0", "_Z", "_ZZ1fILi5EEvvE1n", "_ZZ2é1"]
        {
            assert_eq!(without_numbers(name), name);
        }
        assert_ne!(without_numbers("_ZZL4overiE1c"), without_numbers("_ZZL4overdE1c"));
        assert_ne!(without_numbers("_ZZ1fILi1EEvvE1n"), without_numbers("_ZZ1fILi2EEvvE1n"));
    }

    #[test]
    fn whatever_it_is_given_it_ends() {
        let whole = "_ZZZL3lamvENKUlvE0_clEvE1c__12_Ut9_é5";
        for (start, _) in whole.char_indices() {
            let _text = without_numbers(&format!("_Z{}", &whole[start..]));
            let _text = without_numbers(&whole[..start]);
        }
    }
}
