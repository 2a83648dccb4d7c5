//! Names out of images on a terminal.

/// A text as a terminal can show it: it is an image's, which may have control characters in it.
pub fn legible(text: &str) -> String {
    // Nearly none has. The ones behind ASCII begin with 0xc2.
    if !text.bytes().any(|byte| byte.is_ascii_control() || byte == 0xc2) {
        return text.to_owned();
    }
    let shown = text.chars().flat_map(|letter| {
        let escaped = letter.is_control().then(|| letter.escape_default());
        let plain = escaped.is_none().then_some(letter);
        escaped.into_iter().flatten().chain(plain)
    });
    shown.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_shows_its_letters_and_names_its_control_characters() {
        assert_eq!(legible("D:\\игра\\a b.pdb"), "D:\\игра\\a b.pdb");
        assert_eq!(legible("\x1b[2Ja\r\n\u{9b}.pdb"), "\\u{1b}[2Ja\\r\\n\\u{9b}.pdb");
    }
}
