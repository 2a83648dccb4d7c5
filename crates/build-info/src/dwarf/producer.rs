//! What compilers call themselves in `DW_AT_producer`, and the options that they add to it.

use crate::{Command, Fact, Flag, Quoting, Unit, Version};

/// Takes into a unit what its producer says: the version, the command, and what follows from it.
///
/// `flags` is what stands apart as `DW_AT_APPLE_flags`.
pub(crate) fn describe(unit: &mut Unit, producer: &str, flags: Option<&str>, commands: bool) {
    let Producer { version, command } = Producer::parse(producer);
    unit.front_end = version;
    if commands {
        let flags = flags.map(|flags| Options::Whole { command: flags });
        take(unit, flags.or(command));
    }
    unit.producer = Some(producer.to_owned());
}

/// Takes a command into a unit, and what follows from it.
pub(crate) fn take(unit: &mut Unit, options: Option<Options<'_>>) {
    let Some(options) = options else { return };
    let (raw, quoting, with_compiler) = match options {
        Options::Whole { command } => (command, Quoting::Llvm, true),
        Options::Some { options } => (options, Quoting::Words, false),
    };
    // The last of its kind counts.
    let mut optimized = false;
    for word in raw.split(' ') {
        if let Some(level) = word.strip_prefix("-O") {
            optimized = level != "0";
        } else if word == "-flto" || word.starts_with("-flto=") {
            unit.flags.push(Flag::Ltcg);
        }
    }
    if optimized {
        unit.flags.push(Flag::Optimized);
    }
    unit.flags.sort_unstable();
    unit.flags.dedup();
    if with_compiler {
        unit.compiler = first_word(raw).map(Fact::recorded);
    }
    let raw = raw.to_owned();
    unit.command = Some(Fact::recorded(Command::Line { raw, quoting, with_compiler, cut: false }));
}

/// The options that a compiler recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Options<'a> {
    /// Its whole command line, as clang records it.
    Whole { command: &'a str },
    /// Those that matter to the code generator, as GCC records them.
    Some { options: &'a str },
}

/// A producer's parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Producer<'a> {
    pub(crate) version: Option<Version>,
    pub(crate) command: Option<Options<'a>>,
}

impl<'a> Producer<'a> {
    pub(crate) fn parse(producer: &'a str) -> Self {
        if let Some((_, rest)) = producer.split_once("rustc version ") {
            return Self { version: version(rest), command: None };
        }
        if let Some((_, rest)) = producer.split_once("clang version ") {
            let command = behind_version(rest).map(|command| Options::Whole { command });
            return Self { version: version(rest), command };
        }
        if let Some(rest) = producer.strip_prefix("GNU ") {
            // "GNU C++17 12.2.0 -mtune=generic …", "GNU AS 2.40", "GNU GIMPLE 12.2.0 …", and
            // distributions put a word of theirs in brackets or a date behind the version.
            let number = rest.split(' ').position(|word| version(word).is_some());
            let number = number.and_then(|at| rest.split(' ').nth(at));
            let options = rest.find(" -").and_then(|at| rest.get(at.saturating_add(1)..));
            let command = options.map(|options| Options::Some { options });
            return Self { version: number.and_then(version), command };
        }
        let version = producer.split(' ').find_map(version);
        Self { version, command: None }
    }
}

/// What stands behind clang's version and its remarks in brackets: the command, if it is recorded.
fn behind_version(text: &str) -> Option<&str> {
    let mut rest = text.get(text.find(' ')?..)?;
    loop {
        rest = rest.trim_start_matches(' ');
        if !rest.starts_with('(') {
            break;
        }
        let mut depth = 0_u32;
        let end = rest.char_indices().find_map(|(at, letter)| {
            match letter {
                '(' => depth = depth.saturating_add(1),
                ')' => depth = depth.saturating_sub(1),
                _ => {}
            }
            (depth == 0).then_some(at)
        })?;
        rest = rest.get(end.saturating_add(1)..)?;
    }
    (!rest.is_empty()).then_some(rest)
}

/// A version that a text begins with: numbers, two at least, apart by full stops.
fn version(text: &str) -> Option<Version> {
    let end = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.');
    let text = text.get(..end.unwrap_or(text.len()))?;
    let mut numbers = [0; 4];
    let mut count = 0_u32;
    for (number, part) in numbers.iter_mut().zip(text.split('.')) {
        *number = part.parse().ok()?;
        count = count.saturating_add(1);
    }
    (count >= 2).then_some(Version(numbers))
}

/// The first word of a command that is quoted as LLVM does.
fn first_word(command: &str) -> Option<String> {
    let mut word = String::new();
    let mut letters = command.chars();
    while let Some(letter) = letters.next() {
        match letter {
            ' ' => break,
            '\\' => word.extend(letters.next()),
            _ => word.push(letter),
        }
    }
    (!word.is_empty()).then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn says(producer: &str, version: Option<[u16; 4]>, command: Option<Options<'_>>) {
        let version = version.map(Version);
        assert_eq!(Producer::parse(producer), Producer { version, command });
    }

    #[test]
    fn gcc_records_some_options() {
        says(
            "GNU C++17 12.2.0 -mtune=generic -march=x86-64 -g -O1",
            Some([12, 2, 0, 0]),
            Some(Options::Some { options: "-mtune=generic -march=x86-64 -g -O1" }),
        );
        says("GNU C17 12.2.0", Some([12, 2, 0, 0]), None);
        says("GNU AS 2.40", Some([2, 40, 0, 0]), None);
        says(
            "GNU C 4.8.5 20150623 (Red Hat 4.8.5-44) -m32 -g",
            Some([4, 8, 5, 0]),
            Some(Options::Some { options: "-m32 -g" }),
        );
    }

    #[test]
    fn clang_records_its_whole_command_or_nothing() {
        says("Debian clang version 14.0.6", Some([14, 0, 6, 0]), None);
        says("Debian clang version 19.1.7 (3~deb12u1)", Some([19, 1, 7, 0]), None);
        says("Apple clang version 15.0.0 (clang-1500.3.9.4)", Some([15, 0, 0, 0]), None);
        says(
            "Debian clang version 19.1.7 (3~deb12u1) /usr/lib/llvm-19/bin/clang -g a.c",
            Some([19, 1, 7, 0]),
            Some(Options::Whole { command: "/usr/lib/llvm-19/bin/clang -g a.c" }),
        );
        says(
            "clang version 20.0.0 (https://x/llvm (fork) 0a1b) /o\\ p/clang -c b.c",
            Some([20, 0, 0, 0]),
            Some(Options::Whole { command: "/o\\ p/clang -c b.c" }),
        );
    }

    #[test]
    fn rustc_gives_its_own_version() {
        says("clang LLVM (rustc version 1.95.0 (59807616e 2026-04-14))", Some([1, 95, 0, 0]), None);
    }

    #[test]
    fn the_compiler_is_the_first_word_of_a_whole_command() {
        let mut unit = Unit::default();
        let producer = "clang version 14.0.6 /o\\ p/clang -O2 -flto -c b.c";
        describe(&mut unit, producer, None, true);
        assert_eq!(unit.compiler, Some(Fact::recorded("/o p/clang".to_owned())));
        assert_eq!(unit.flags, [Flag::Ltcg, Flag::Optimized]);
    }
}
