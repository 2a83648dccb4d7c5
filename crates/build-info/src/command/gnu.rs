//! The rules of the response files of GCC, Clang and GNU's linkers: both quotes, and a backslash
//! that takes the meaning from whatever follows, within either.

use super::Split;

pub(super) fn split(line: &str) -> Split {
    let mut split = Split { arguments: Vec::new(), complete: true };
    let mut argument = None::<String>;
    let mut quoted = None::<char>;
    let mut chars = line.chars();
    while let Some(char) = chars.next() {
        match (char, quoted) {
            ('\\', _) => match chars.next() {
                Some(escaped) => argument.get_or_insert_default().push(escaped),
                None => split.complete = false,
            },
            ('"' | '\'', None) => {
                quoted = Some(char);
                argument.get_or_insert_default();
            }
            (_, Some(quote)) if char == quote => quoted = None,
            (_, None) if char.is_ascii_whitespace() || char == '\x0b' => {
                split.arguments.extend(argument.take());
            }
            _ => argument.get_or_insert_default().push(char),
        }
    }
    split.complete &= quoted.is_none();
    split.arguments.extend(argument);
    split
}

pub(super) fn quote(argument: &str) -> String {
    if argument.is_empty() {
        return "\"\"".to_owned();
    }
    let mut quoted = String::with_capacity(argument.len());
    for char in argument.chars() {
        if char.is_ascii_whitespace() || matches!(char, '\x0b' | '\\' | '"' | '\'') {
            quoted.push('\\');
        }
        quoted.push(char);
    }
    quoted
}
