//! Command lines: split into arguments by the rules that they were joined by, and joined again.

mod gnu;
mod posix;
mod response;
mod windows;

pub use response::{Expanded, expand_response_files};

use crate::{Command, Quoting};

/// The arguments of a command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// The arguments.
    pub arguments: Vec<String>,
    /// Whether the line ends where an argument may end: not within quotes, nor after a backslash
    /// that says that something follows. A line that was cut short is split all the same.
    pub complete: bool,
}

impl Quoting {
    /// Splits a line of arguments. It never fails: quotes that are not closed reach to the end.
    ///
    /// No variable, pattern or command in it is replaced, and the operators of a shell are words
    /// like any other.
    ///
    /// ```
    /// use build_info::Quoting;
    ///
    /// let line = r#"-I"C:\Program Files\x" -DS=\"a\" -DT="\\" "#;
    /// let split = Quoting::Windows.split(line);
    /// assert_eq!(split.arguments, [r"-IC:\Program Files\x", r#"-DS="a""#, r"-DT=\"]);
    ///
    /// let split = Quoting::Posix.split(r#"-DA='x y' -DB="it's" c\ d"#);
    /// assert_eq!(split.arguments, ["-DA=x y", "-DB=it's", "c d"]);
    /// ```
    pub fn split(self, line: &str) -> Split {
        match self {
            Self::Windows => windows::split(line, windows::is_blank),
            Self::Posix => posix::split(line),
            Self::Gnu => gnu::split(line),
            Self::Llvm => split_recorded(line),
            Self::Words => Split {
                arguments: line.split_ascii_whitespace().map(str::to_owned).collect(),
                complete: true,
            },
        }
    }

    /// Splits a line that begins with the program's name, for which Windows has other rules: in it
    /// a backslash never takes the meaning from a quote.
    pub fn split_with_program(self, line: &str) -> Split {
        match self {
            Self::Windows => windows::split_with_program(line),
            _ => self.split(line),
        }
    }

    /// Joins arguments so that [`Quoting::split`] takes them apart again.
    ///
    /// With [`Quoting::Words`] that holds only for arguments without blanks, and not for empty
    /// ones; with [`Quoting::Llvm`] not for a lone empty one: nothing can be said that way.
    pub fn join<S: AsRef<str>>(self, arguments: &[S]) -> String {
        let quoted = arguments.iter().map(AsRef::as_ref).map(|argument| match self {
            Self::Windows => windows::quote(argument),
            Self::Posix => posix::quote(argument),
            Self::Gnu => gnu::quote(argument),
            Self::Llvm => escape_recorded(argument),
            Self::Words => argument.to_owned(),
        });
        quoted.collect::<Vec<_>>().join(" ")
    }
}

impl Command {
    /// The arguments: the compiler's executable first if [it is there](Self::with_compiler).
    pub fn arguments(&self) -> Vec<String> {
        match self {
            Self::Arguments(arguments) => arguments.clone(),
            Self::Line { raw, quoting, with_compiler: true, .. } => {
                quoting.split_with_program(raw).arguments
            }
            Self::Line { raw, quoting, .. } => quoting.split(raw).arguments,
        }
    }

    /// Whether the compiler's executable comes first.
    pub fn with_compiler(&self) -> bool {
        match self {
            Self::Arguments(_) => true,
            Self::Line { with_compiler, .. } => *with_compiler,
        }
    }

    /// Whether it is certain that something is missing: the format cut it, or it ends within
    /// quotes.
    pub fn is_cut(&self) -> bool {
        match self {
            Self::Arguments(_) => false,
            Self::Line { cut: true, .. } => true,
            Self::Line { raw, quoting, with_compiler: true, .. } => {
                !quoting.split_with_program(raw).complete
            }
            Self::Line { raw, quoting, .. } => !quoting.split(raw).complete,
        }
    }
}

/// What Clang writes with `-grecord-command-line`: one space between arguments, so that two in a
/// row have an empty one between them.
fn split_recorded(line: &str) -> Split {
    let mut split = Split { arguments: Vec::new(), complete: true };
    if line.is_empty() {
        return split;
    }
    let mut argument = String::new();
    let mut chars = line.chars();
    while let Some(char) = chars.next() {
        match char {
            ' ' => split.arguments.push(std::mem::take(&mut argument)),
            '\\' => match chars.next() {
                Some(escaped) => argument.push(escaped),
                None => split.complete = false,
            },
            _ => argument.push(char),
        }
    }
    split.arguments.push(argument);
    split
}

fn escape_recorded(argument: &str) -> String {
    let mut escaped = String::with_capacity(argument.len());
    for char in argument.chars() {
        if matches!(char, ' ' | '\\') {
            escaped.push('\\');
        }
        escaped.push(char);
    }
    escaped
}
