//! What a build printed: the commands of make and of whatever else shows them.

use super::{Link, Step, Surroundings, find, options};
use crate::{Command, Disk, Provenance, Quoting};

impl Surroundings {
    /// Adds the commands that a build printed: `make V=1`, or `make -Bn` that would run them all,
    /// `ninja -v`, a log of a build server. `directory` is where it was run; make says when it
    /// goes elsewhere, and so does `cd`.
    ///
    /// A line counts if a compiler by its usual name is called in it, with `-c` and a source or
    /// with `-o` and something to link. Other lines are left out, and so are commands behind
    /// `;` or in `$(…)`.
    ///
    /// ```
    /// # use build_info::{System, around::Surroundings};
    /// let mut around = Surroundings::default();
    /// let printed = "make[1]: Entering directory '/p/sub'\ngcc -DX='1 2' -c a.c -o a.o\n";
    /// around.add_build_log("/p", printed, &System);
    /// assert_eq!(around.steps[0].directory.as_deref(), Some("/p/sub"));
    /// ```
    pub fn add_build_log(&mut self, directory: &str, printed: &str, disk: &dyn Disk) {
        let mut entered = vec![directory.to_owned()];
        let mut lines = printed.lines();
        while let Some(line) = lines.next() {
            let mut line = line.to_owned();
            while let Some(start) = line.strip_suffix('\\') {
                let Some(next) = lines.next() else { break };
                line = format!("{start} {next}");
            }
            let here = entered.last().map_or(directory, String::as_str);
            if let Some(inner) = said(&line, ": Entering directory ") {
                entered.push(find::below(here, inner, disk));
            } else if said(&line, ": Leaving directory ").is_some() && entered.len() > 1 {
                entered.pop();
            } else {
                let here = here.to_owned();
                self.add_printed(&here, &line, disk);
            }
        }
    }

    fn add_printed(&mut self, directory: &str, line: &str, disk: &dyn Disk) {
        let line = line.strip_prefix("libtool: compile:").unwrap_or(line);
        let split = Quoting::Posix.split(line);
        if !split.complete {
            return;
        }
        let (mut place, mut arguments) = (directory.to_owned(), split.arguments);
        if let Some((entered, part)) = options::of_chain(&arguments) {
            for inner in entered {
                place = find::entered(&place, &inner, disk);
            }
            arguments = part;
        }
        // What is before the compiler: settings of the environment, and whoever runs it.
        let Some(first) = arguments.iter().position(|word| options::is_compiler(word)) else {
            return;
        };
        let before = arguments.get(..first).unwrap_or_default();
        if !before.iter().all(|word| word.contains('=') || is_launcher(word)) {
            return;
        }
        let end =
            arguments.iter().position(|word| matches!(&**word, ";" | "|" | "||" | ">" | "2>&1"));
        let end = end.unwrap_or(arguments.len());
        let arguments = arguments.get(first..end).unwrap_or_default().to_vec();
        let outputs: Vec<String> = options::output(&arguments).into_iter().collect();
        let source = options::source(&arguments).cloned();
        let provenance = Provenance::BuildLog;
        if options::compiles(&arguments) && source.is_some() {
            let command = Some(Command::Arguments(arguments));
            let directory = Some(place);
            self.steps.push(Step { directory, source, outputs, command, inputs: None, provenance });
        } else if !outputs.is_empty() {
            let inputs: Vec<String> =
                arguments.iter().skip(1).filter(|it| options::is_linked(it)).cloned().collect();
            if !inputs.is_empty() {
                let command = Command::Arguments(arguments);
                self.links.push(Link { directory: place, outputs, inputs, command, provenance });
            }
        }
    }
}

/// The directory in what make says of it.
fn said<'a>(line: &'a str, what: &str) -> Option<&'a str> {
    let (who, directory) = line.split_once(what)?;
    let is_make = who.trim_end_matches(|char: char| "[]".contains(char) || char.is_ascii_digit());
    let quoted = directory.trim_end().strip_prefix(['\'', '`', '"'])?;
    is_make.ends_with("make").then(|| quoted.trim_end_matches(['\'', '"']))
}

/// Whether a program runs the compiler that is named behind it.
fn is_launcher(word: &str) -> bool {
    matches!(
        options::stem(word),
        "ccache" | "sccache" | "distcc" | "icecc" | "env" | "time" | "nice"
    )
}
