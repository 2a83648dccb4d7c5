//! The rules of Microsoft's C runtime, by which cl, link and every other program of theirs, and
//! LLVM's in their place, take their command line apart.
//!
//! `CommandLineToArgvW` has the same rules but for one case: two quotes in a row within quotes are
//! one quote for both, but only the runtime goes on within the quotes. What was recorded is what
//! the compiler understood, so it is the runtime's rule that is followed.

use std::iter::Peekable;
use std::str::Chars;

use super::Split;

/// What parts the arguments of a command line.
pub(super) fn is_blank(char: char) -> bool {
    matches!(char, ' ' | '\t')
}

/// What parts the arguments of a response file.
pub(super) fn is_blank_or_line_end(char: char) -> bool {
    matches!(char, ' ' | '\t' | '\r' | '\n' | '\0')
}

pub(super) fn split(line: &str, is_blank: fn(char) -> bool) -> Split {
    let mut split = Split { arguments: Vec::new(), complete: true };
    arguments(&mut line.chars().peekable(), is_blank, &mut split);
    split
}

pub(super) fn split_with_program(line: &str) -> Split {
    let mut split = Split { arguments: Vec::new(), complete: true };
    let mut chars = line.chars().peekable();
    let mut program = String::new();
    let mut quoted = false;
    while let Some(char) = chars.next_if(|&char| quoted || !is_blank(char)) {
        match char {
            '"' => quoted = !quoted,
            _ => program.push(char),
        }
    }
    split.complete = !quoted;
    split.arguments.push(program);
    arguments(&mut chars, is_blank, &mut split);
    split
}

fn arguments(chars: &mut Peekable<Chars<'_>>, is_blank: fn(char) -> bool, split: &mut Split) {
    loop {
        while chars.next_if(|&char| is_blank(char)).is_some() {}
        if chars.peek().is_none() {
            return;
        }
        let mut argument = String::new();
        let mut quoted = false;
        while let Some(char) = chars.next_if(|&char| quoted || !is_blank(char)) {
            match char {
                '\\' => backslashes(chars, &mut argument),
                '"' if quoted && chars.next_if_eq(&'"').is_some() => argument.push('"'),
                '"' => quoted = !quoted,
                _ => argument.push(char),
            }
        }
        split.complete = !quoted;
        split.arguments.push(argument);
    }
}

/// Takes the rest of a row of backslashes, and the quote after an odd number of them.
fn backslashes(chars: &mut Peekable<Chars<'_>>, argument: &mut String) {
    let mut count = 1_usize;
    while chars.next_if_eq(&'\\').is_some() {
        count = count.saturating_add(1);
    }
    let before_quote = chars.peek() == Some(&'"');
    let kept = if before_quote { count / 2 } else { count };
    argument.extend(std::iter::repeat_n('\\', kept));
    if before_quote && count % 2 == 1 && chars.next().is_some() {
        argument.push('"');
    }
}

pub(super) fn quote(argument: &str) -> String {
    let plain = |char: char| !is_blank_or_line_end(char) && char != '"';
    if !argument.is_empty() && argument.chars().all(plain) {
        return argument.to_owned();
    }
    let mut quoted = String::with_capacity(argument.len().saturating_add(2));
    quoted.push('"');
    let mut backslashes = 0_usize;
    for char in argument.chars() {
        if char == '"' {
            quoted.extend(std::iter::repeat_n('\\', backslashes.saturating_add(1)));
        }
        backslashes = if char == '\\' { backslashes.saturating_add(1) } else { 0 };
        quoted.push(char);
    }
    quoted.extend(std::iter::repeat_n('\\', backslashes));
    quoted.push('"');
    quoted
}
