//! `build.ninja`: what is made from what, with which commands.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use super::super::{TextError, find};
use super::scope::{Piece, Scope, Scopes, Trouble, is_name, replace, spend};
use crate::{Disk, Style};

/// A manifest, with all that it includes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// What is made, in the order of the manifest; without what has no command (`phony`).
    pub edges: Vec<Edge>,
    /// Where Ninja keeps its logs.
    pub log_directory: String,
    /// The files that it was read from.
    pub files: Vec<String>,
    /// What could not be read, and why: what stands before it counts.
    pub remarks: Vec<String>,
}

/// Something that is made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edge {
    /// What is made, without what is made besides.
    pub outputs: Vec<String>,
    /// What it is made from, as the command names it.
    pub inputs: Vec<String>,
    /// What it is made from besides, without what only has to be there (order-only inputs).
    pub implicit: Vec<String>,
    /// The command, with the contents of its response file in their place.
    pub command: String,
    /// Whether the command tells of further files that it read.
    pub reads_more: bool,
    /// The dependency file that stays where it is; Ninja takes others into its log.
    pub depfile: Option<String>,
}

impl Manifest {
    /// Reads a manifest. `directory` is where Ninja runs, and relative paths start from.
    ///
    /// At most 10,000 files are read, at most 32 deep; variables may make 512 times as much of a
    /// manifest as it has bytes, and 8 MiB.
    pub fn read(directory: &str, manifest: &str, disk: &dyn Disk) -> Self {
        let mut reader = Reader {
            disk,
            directory,
            scopes: Scopes { all: vec![Scope::default()], budget: LEAST_BUDGET },
            manifest: Self { log_directory: directory.to_owned(), ..Self::default() },
            chain: Vec::new(),
            seen: HashSet::new(),
            statements: Vec::new(),
        };
        reader.file(manifest, 0);
        reader.finish();
        if let Some(builddir) = reader.scopes.value(0, "builddir").filter(|path| !path.is_empty()) {
            reader.manifest.log_directory = find::below(directory, builddir, disk);
        }
        reader.manifest
    }
}

struct Reader<'a> {
    disk: &'a dyn Disk,
    directory: &'a str,
    scopes: Scopes,
    manifest: Manifest,
    /// The files that include the one that is being read.
    chain: Vec<String>,
    /// The files that were read, once each.
    seen: HashSet<String>,
    /// What is made, whose commands see what files set behind it, too.
    statements: Vec<Statement>,
}

/// A `build` statement, with its paths and what it sets.
struct Statement {
    edge: Edge,
    rule: Rc<HashMap<String, String>>,
    variables: HashMap<String, String>,
    /// The scope of the file that it stands in, and where.
    scope: usize,
    path: Rc<str>,
    line: usize,
}

/// A line with its number, those that it goes on in included.
struct Line<'a> {
    number: usize,
    indented: bool,
    text: &'a str,
}

impl Reader<'_> {
    fn file(&mut self, path: &str, scope: usize) {
        let path = find::below(self.directory, path, self.disk);
        if self.chain.contains(&path) {
            return self.remark(format!("{path}: includes itself"));
        }
        if self.chain.len() >= DEEPEST || self.manifest.files.len() >= MOST_FILES {
            return self.remark(format!("{path}: included too deep, or one of too many"));
        }
        let bytes = match self.disk.read(&path, MOST_BYTES) {
            Ok(bytes) => bytes,
            Err(error) => return self.remark(format!("{path}: {error}")),
        };
        // A file that is included again gives nothing more to spend.
        if self.seen.insert(path.clone()) {
            self.scopes.budget =
                self.scopes.budget.saturating_add(bytes.len().saturating_mul(EXPANSION));
        }
        self.manifest.files.push(path.clone());
        let text = String::from_utf8_lossy(&bytes);
        let lines = lines(&text);
        self.chain.push(path.clone());
        if let Err(error) = self.lines(&lines, scope, &path.as_str().into()) {
            self.remark(format!("{path}: {error}"));
        }
        self.chain.pop();
    }

    fn remark(&mut self, remark: String) {
        if self.manifest.remarks.len() < MOST_REMARKS {
            self.manifest.remarks.push(remark);
        }
    }

    fn lines(&mut self, lines: &[Line<'_>], scope: usize, path: &Rc<str>) -> Result<(), TextError> {
        let mut rest = lines;
        while let Some((line, after)) = rest.split_first() {
            let block = after.iter().take_while(|line| line.indented).count();
            let (block, after) = after.split_at_checked(block).unwrap_or_default();
            rest = after;
            let end = line.text.find(|char| !(is_name(char) || char == '.'));
            let (word, tail) =
                line.text.split_at_checked(end.unwrap_or(line.text.len())).unwrap_or_default();
            let tail = tail.trim_start_matches(' ');
            if let Some(value) = tail.strip_prefix('=') {
                let value = value.trim_start_matches(' ');
                let value = self.scopes.replaced(scope, value);
                let value = value.map_err(|trouble| trouble.at(line.number))?;
                self.set(scope, word, value);
                continue;
            }
            match word {
                "rule" => {
                    let bindings = block.iter().filter_map(binding);
                    let bindings = bindings.map(|(name, value)| (name.into(), value.into()));
                    let rule = Rc::new(bindings.collect());
                    if let Some(scope) = self.scopes.all.get_mut(scope) {
                        scope.rules.insert(tail.trim_end().to_owned(), rule);
                    }
                }
                "build" => {
                    let place = (Rc::clone(path), line.number);
                    let made = self.statement(tail, block, scope, place);
                    self.statements.extend(made.map_err(|trouble| trouble.at(line.number))?);
                }
                "include" | "subninja" => {
                    let left = self.scopes.budget.checked_sub(EDGE);
                    self.scopes.budget = left.ok_or_else(|| Trouble::Budget.at(line.number))?;
                    let path = self.scopes.replaced(scope, tail);
                    let path = path.map_err(|trouble| trouble.at(line.number))?;
                    let mut inner = scope;
                    if word == "subninja" {
                        inner = self.scopes.all.len();
                        self.scopes.all.push(Scope { parent: Some(scope), ..Scope::default() });
                    }
                    self.file(&path, inner);
                }
                "pool" | "default" => {}
                _ => {
                    let what = format!("\"{}\" begins nothing", word.escape_debug());
                    return Err(TextError { structure: "build.ninja", line: line.number, what });
                }
            }
        }
        Ok(())
    }

    fn set(&mut self, scope: usize, name: &str, value: String) {
        if let Some(scope) = self.scopes.all.get_mut(scope) {
            scope.variables.insert(name.to_owned(), value);
        }
    }

    /// A `build` statement, unless what it makes has no command.
    fn statement(
        &mut self,
        head: &str,
        block: &[Line<'_>],
        file: usize,
        (path, line): (Rc<str>, usize),
    ) -> Result<Option<Statement>, Trouble> {
        // What is set in the statement is seen by its paths, and hides what the file sets.
        self.scopes.budget = self.scopes.budget.checked_sub(EDGE).ok_or(Trouble::Budget)?;
        let scope = self.scopes.all.len();
        self.scopes.all.push(Scope { parent: Some(file), ..Scope::default() });
        for (name, value) in block.iter().filter_map(binding) {
            let value = self.scopes.replaced(file, value)?;
            self.set(scope, name, value);
        }
        let paths = self.paths(head, scope);
        let variables = self.scopes.all.pop().map(|scope| scope.variables).unwrap_or_default();
        let (edge, rule) = paths?;
        let rule = self.scopes.rule(file, rule).filter(|_| rule != "phony").cloned();
        Ok(rule.map(|rule| Statement { edge, rule, variables, scope: file, path, line }))
    }

    /// The paths of a statement, and its rule's name.
    fn paths<'h>(&mut self, head: &'h str, scope: usize) -> Result<(Edge, &'h str), Trouble> {
        let mut paths = Paths { rest: head };
        let mut outputs = Vec::new();
        let mut explicit = true;
        loop {
            match paths.next()? {
                Token::Path(path) if explicit => outputs.push(self.scopes.replaced(scope, path)?),
                Token::Path(_) => {}
                Token::Bar | Token::Bars => explicit = false,
                Token::Colon => break,
                Token::End => return Err(Trouble::Escape),
            }
        }
        let Token::Path(rule) = paths.next()? else { return Err(Trouble::Escape) };
        let [mut inputs, mut implicit] = [Vec::new(), Vec::new()];
        let mut bars = 0_u8;
        loop {
            match paths.next()? {
                Token::Path(path) if bars == 0 => inputs.push(self.scopes.replaced(scope, path)?),
                Token::Path(path) if bars == 1 => implicit.push(self.scopes.replaced(scope, path)?),
                Token::Path(_) | Token::Colon => {}
                Token::Bar => bars = bars.max(1),
                Token::Bars => bars = 2,
                Token::End => break,
            }
        }
        Ok((Edge { outputs, inputs, implicit, ..Edge::default() }, rule))
    }

    /// Puts the commands together, once all that files set is known.
    fn finish(&mut self) {
        for statement in std::mem::take(&mut self.statements) {
            let Statement { edge, rule, variables, scope, path, line } = statement;
            let inner = self.scopes.all.len();
            let parent = Some(scope);
            self.scopes.all.push(Scope { variables, parent, ..Scope::default() });
            let edge = self.with_command(edge, &rule, inner);
            self.scopes.all.truncate(inner);
            match edge {
                Ok(edge) => self.manifest.edges.push(edge),
                Err(trouble) => {
                    self.remark(format!("{path}: {}", trouble.at(line)));
                    if trouble == Trouble::Budget {
                        break;
                    }
                }
            }
        }
    }

    fn with_command(
        &mut self,
        mut edge: Edge,
        rule: &HashMap<String, String>,
        scope: usize,
    ) -> Result<Edge, Trouble> {
        let mut uses = Uses { edge: &edge, rule, scope, style: self.disk.style() };
        let mut command = uses.value(&mut self.scopes, "command", 0)?;
        let depfile = uses.value(&mut self.scopes, "depfile", 0)?;
        let deps = uses.value(&mut self.scopes, "deps", 0)?;
        let response = uses.value(&mut self.scopes, "rspfile", 0)?;
        if !response.is_empty() {
            let content = uses.value(&mut self.scopes, "rspfile_content", 0)?;
            let content = content.replace('\n', " ");
            command = command.replacen(&format!("@{response}"), &content, 1);
        }
        edge.command = command;
        edge.reads_more = !depfile.is_empty() || !deps.is_empty();
        edge.depfile = Some(depfile).filter(|path| !path.is_empty() && deps.is_empty());
        Ok(edge)
    }
}

/// How a rule is used by an edge.
struct Uses<'a> {
    edge: &'a Edge,
    rule: &'a HashMap<String, String>,
    scope: usize,
    style: Style,
}

impl Uses<'_> {
    /// The value of a variable: of the edge's paths, of the statement, of the rule, of the file.
    fn value(&mut self, scopes: &mut Scopes, name: &str, depth: usize) -> Result<String, Trouble> {
        let paths = match name {
            "in" => Some((&self.edge.inputs, " ")),
            "in_newline" => Some((&self.edge.inputs, "\n")),
            "out" => Some((&self.edge.outputs, " ")),
            _ => None,
        };
        if let Some((paths, between)) = paths {
            let paths: Vec<String> = paths.iter().map(|path| quoted(path, self.style)).collect();
            let joined = paths.join(between);
            spend(&mut scopes.budget, &joined)?;
            return Ok(joined);
        }
        let of_statement = scopes.all.get(self.scope).and_then(|scope| scope.variables.get(name));
        if let Some(value) = of_statement {
            return Ok(value.clone());
        }
        let Some(text) = self.rule.get(name) else {
            return Ok(scopes.value(self.scope, name).unwrap_or_default().to_owned());
        };
        if depth > self.rule.len() {
            return Err(Trouble::Cycle);
        }
        let mut value = String::new();
        replace(text, &mut |piece| {
            match piece {
                Piece::Text(text) => {
                    spend(&mut scopes.budget, text)?;
                    value.push_str(text);
                }
                Piece::Variable(name) => {
                    let inner = self.value(scopes, name, depth.saturating_add(1))?;
                    spend(&mut scopes.budget, &inner)?;
                    value.push_str(&inner);
                }
            }
            Ok(())
        })?;
        Ok(value)
    }
}

/// The paths of a `build` statement, not yet replaced.
struct Paths<'a> {
    rest: &'a str,
}

enum Token<'a> {
    Path(&'a str),
    Colon,
    /// Before implicit paths.
    Bar,
    /// Before what only has to be there, or is checked.
    Bars,
    End,
}

impl<'a> Paths<'a> {
    fn next(&mut self) -> Result<Token<'a>, Trouble> {
        loop {
            let rest = self.rest.trim_start_matches(' ');
            self.rest = match rest.strip_prefix("$\n").or_else(|| rest.strip_prefix("$\r\n")) {
                Some(rest) => rest,
                None => {
                    self.rest = rest;
                    break;
                }
            };
        }
        let bytes = self.rest.as_bytes();
        let (token, length) = match bytes.first() {
            None => (Token::End, 0),
            Some(b':') => (Token::Colon, 1),
            Some(b'|') if bytes.get(1) == Some(&b'|') => (Token::Bars, 2),
            Some(b'|') if bytes.get(1) == Some(&b'@') => (Token::Bars, 2),
            Some(b'|') => (Token::Bar, 1),
            Some(_) => {
                let mut end = 0_usize;
                while let Some(byte) = bytes.get(end) {
                    match byte {
                        b' ' | b':' | b'|' => break,
                        b'$' if matches!(bytes.get(end.saturating_add(1)), Some(b'\n' | b'\r')) => {
                            break;
                        }
                        b'$' => end = end.saturating_add(2),
                        _ => end = end.saturating_add(1),
                    }
                }
                let end = end.min(bytes.len());
                (Token::Path(self.rest.get(..end).ok_or(Trouble::Escape)?), end)
            }
        };
        self.rest = self.rest.get(length..).ok_or(Trouble::Escape)?;
        Ok(token)
    }
}

/// The lines of a text, each with those that it goes on in, without comments and empty ones.
fn lines(text: &str) -> Vec<Line<'_>> {
    let mut lines = Vec::new();
    let mut rest = text;
    let mut number = 1_usize;
    while !rest.is_empty() {
        let start = number;
        let is_comment = rest.trim_start_matches(' ').starts_with('#');
        let mut end = 0_usize;
        let bytes = rest.as_bytes();
        loop {
            match bytes.get(end) {
                None => break,
                Some(b'\n') => break,
                Some(b'$') if !is_comment => {
                    let next = bytes.get(end.saturating_add(1)..).unwrap_or_default();
                    let skipped = if next.starts_with(b"\r\n") { 3 } else { 2 };
                    if next.starts_with(b"\n") || next.starts_with(b"\r\n") {
                        number = number.saturating_add(1);
                    }
                    end = end.saturating_add(skipped);
                }
                Some(_) => end = end.saturating_add(1),
            }
        }
        let mut end = end.min(bytes.len());
        while !rest.is_char_boundary(end) {
            end = end.saturating_add(1);
        }
        let (line, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
        rest = after.strip_prefix('\n').unwrap_or(after);
        number = number.saturating_add(1);
        let line = line.strip_suffix('\r').unwrap_or(line);
        let text = line.trim_start_matches(' ');
        if !is_comment && !text.is_empty() {
            lines.push(Line { number: start, indented: line.starts_with(' '), text });
        }
    }
    lines
}

fn binding<'a>(line: &Line<'a>) -> Option<(&'a str, &'a str)> {
    let (name, value) = line.text.split_once('=')?;
    Some((name.trim_end(), value.trim_start_matches(' ')))
}

/// A path as Ninja puts it into a command.
fn quoted(path: &str, style: Style) -> String {
    let plain = |char: char| match style {
        Style::Posix => char.is_ascii_alphanumeric() || "_+-./".contains(char),
        Style::Windows => char != ' ' && char != '"',
    };
    match style {
        _ if path.chars().all(plain) => path.to_owned(),
        Style::Posix => format!("'{}'", path.replace('\'', r"'\''")),
        Style::Windows => crate::Quoting::Windows.join(&[path]),
    }
}

/// What the smallest manifest may make of its variables.
const LEAST_BUDGET: usize = 8 << 20;
/// How much variables may make of a byte: statements are short, and options that they share long.
const EXPANSION: usize = 512;
/// What an edge costs besides its texts.
const EDGE: usize = 512;
const MOST_FILES: usize = 10_000;
const MOST_REMARKS: usize = 100;
const MOST_BYTES: usize = 1 << 30;
const DEEPEST: usize = 32;
