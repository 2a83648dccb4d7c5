//! The words of a POSIX shell (2.2 Quoting), of which nothing is expanded.

use super::Split;

pub(super) fn split(line: &str) -> Split {
    let mut split = Split { arguments: Vec::new(), complete: true };
    let mut argument = None::<String>;
    let mut chars = line.chars();
    loop {
        // What means itself is taken at once.
        let rest = chars.as_str();
        let plain = rest.find([' ', '\t', '\n', '\'', '"', '\\']).unwrap_or(rest.len());
        if let Some((text, rest)) = rest.split_at_checked(plain).filter(|_| plain > 0) {
            argument.get_or_insert_default().push_str(text);
            chars = rest.chars();
        }
        let Some(char) = chars.next() else { break };
        match char {
            ' ' | '\t' | '\n' => split.arguments.extend(argument.take()),
            '\'' => {
                let argument = argument.get_or_insert_default();
                split.complete = false;
                for char in chars.by_ref() {
                    if char == '\'' {
                        split.complete = true;
                        break;
                    }
                    argument.push(char);
                }
            }
            '"' => split.complete = double_quoted(&mut chars, argument.get_or_insert_default()),
            '\\' => match chars.next() {
                Some('\n') => {}
                Some(escaped) => argument.get_or_insert_default().push(escaped),
                None => split.complete = false,
            },
            _ => argument.get_or_insert_default().push(char),
        }
    }
    split.arguments.extend(argument);
    split
}

/// Takes what is within double quotes; says whether they are closed.
fn double_quoted(chars: &mut std::str::Chars<'_>, argument: &mut String) -> bool {
    while let Some(char) = chars.next() {
        match char {
            '"' => return true,
            '\\' => match chars.next() {
                Some('\n') => {}
                Some(escaped @ ('$' | '`' | '"' | '\\')) => argument.push(escaped),
                Some(other) => argument.extend(['\\', other]),
                None => return false,
            },
            _ => argument.push(char),
        }
    }
    false
}

pub(super) fn quote(argument: &str) -> String {
    let plain = |char: char| {
        char.is_ascii_alphanumeric()
            || matches!(char, '_' | '@' | '%' | '+' | '=' | ':' | ',')
            || matches!(char, '.' | '/' | '-')
    };
    if !argument.is_empty() && argument.chars().all(plain) {
        argument.to_owned()
    } else {
        format!("'{}'", argument.replace('\'', r"'\''"))
    }
}
