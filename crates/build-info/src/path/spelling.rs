//! The spelling of a path: separators, `.` and `..`, drives and shares, what is relative to what.

use std::borrow::Cow;
use std::fmt;

/// Whose rules a path follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Style {
    /// One root, `/`; case matters.
    Posix,
    /// Drives and shares, both slashes; case does not matter.
    Windows,
}

impl Style {
    /// A name as it is compared: in capitals where case does not matter.
    ///
    /// As NTFS does, by single characters: none becomes two.
    pub(crate) fn fold(self, name: &str) -> Cow<'_, str> {
        if self == Self::Posix {
            return Cow::Borrowed(name);
        }
        if name.is_ascii() {
            return Cow::Owned(name.to_ascii_uppercase());
        }
        let folded = |char: char| {
            let mut upper = char.to_uppercase();
            match (upper.next(), upper.next()) {
                (Some(one), None) => one,
                _ => char,
            }
        };
        Cow::Owned(name.chars().map(folded).collect())
    }

    fn separator(self) -> char {
        match self {
            Self::Posix => '/',
            Self::Windows => '\\',
        }
    }
}

/// A path, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spelled<'a> {
    pub(crate) style: Style,
    pub(crate) root: Root<'a>,
    /// The names below the root, without empty ones and `.`.
    pub(crate) names: Vec<&'a str>,
}

/// Where a path begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Root<'a> {
    /// A directory that the path does not say.
    Relative,
    /// `/`, or on Windows the root of a drive that the path does not say.
    Slash,
    /// `C:\`.
    Drive(char),
    /// `C:`, the directory that is current on a drive.
    OnDrive(char),
    /// `\\server\share\`.
    Share(&'a str, &'a str),
}

impl<'a> Spelled<'a> {
    /// What a path that stands alone is most likely to be.
    pub(crate) fn likely_style(path: &str) -> Style {
        let windows = path.contains('\\') || drive(path).is_some();
        if windows && !path.starts_with('/') { Style::Windows } else { Style::Posix }
    }

    /// Takes a path apart. What could follow either style's rules follows those of `style`.
    pub(crate) fn parse(path: &'a str, style: Style) -> Self {
        let windows = style == Style::Windows;
        let (verbatim, path) = without_prefix(path);
        let is_separator = |char: char| char == '/' || char == '\\';
        if let Some((letter, rest)) = drive(path)
            && (rest.starts_with(is_separator) || windows)
        {
            let rooted = verbatim.is_some() || rest.starts_with(is_separator);
            let root = if rooted { Root::Drive(letter) } else { Root::OnDrive(letter) };
            return Self { style: Style::Windows, root, names: names(rest, true) };
        }
        let share = match verbatim {
            Some(Prefix::Share) => Some(path),
            Some(Prefix::Plain) => None,
            None => {
                path.strip_prefix(r"\\").or_else(|| path.strip_prefix("//").filter(|_| windows))
            }
        };
        if let Some(share) = share {
            let mut names = names(share, true).into_iter();
            let root =
                Root::Share(names.next().unwrap_or_default(), names.next().unwrap_or_default());
            return Self { style: Style::Windows, root, names: names.collect() };
        }
        if path.starts_with('/') {
            // A linker for Windows that runs elsewhere writes `/src\a.obj`.
            return Self { style: Style::Posix, root: Root::Slash, names: names(path, windows) };
        }
        let root = if windows && path.starts_with('\\') { Root::Slash } else { Root::Relative };
        Self { style, root, names: names(path, windows) }
    }

    /// A path that starts from a directory, unless it says itself where it starts.
    pub(crate) fn parse_in(path: &'a str, directory: &Self) -> Self {
        let mut spelled = Self::parse(path, directory.style);
        let on_windows = directory.style == Style::Windows;
        match (spelled.root, directory.root) {
            (Root::Relative, _) => {
                spelled.names.splice(..0, directory.names.iter().copied());
                spelled.root = directory.root;
                spelled.style = directory.style;
            }
            (Root::OnDrive(letter), Root::Drive(other)) if letter == other => {
                spelled.names.splice(..0, directory.names.iter().copied());
                spelled.root = directory.root;
            }
            (Root::Slash, Root::Drive(_) | Root::Share(..)) if on_windows => {
                spelled = Self { root: directory.root, names: names(path, true), ..spelled };
                spelled.style = Style::Windows;
            }
            _ => {}
        }
        spelled
    }

    /// Whether it leads to the same place from everywhere.
    pub(crate) fn is_absolute(&self) -> bool {
        match self.root {
            Root::Relative | Root::OnDrive(_) => false,
            Root::Slash => self.style == Style::Posix,
            Root::Drive(_) | Root::Share(..) => true,
        }
    }

    /// Takes back what `..` takes back, by the letter: as if no directory were a link.
    pub(crate) fn collapsed(mut self) -> Self {
        let above_root = self.root != Root::Relative && !matches!(self.root, Root::OnDrive(_));
        let mut kept: Vec<&str> = Vec::with_capacity(self.names.len());
        for name in self.names {
            match (name, kept.last()) {
                ("..", Some(&last)) if last != ".." => drop(kept.pop()),
                ("..", _) if above_root => {}
                _ => kept.push(name),
            }
        }
        self.names = kept;
        self
    }

    /// The same path in the letters that it is compared by.
    pub(crate) fn key(&self) -> String {
        let text = self.text();
        match self.style {
            Style::Posix => text,
            Style::Windows => self.style.fold(&text).into_owned(),
        }
    }

    /// The path as it is written, for which memory is taken once.
    pub(crate) fn text(&self) -> String {
        let names = self.names.iter().map(|name| name.len().saturating_add(1));
        let root = match self.root {
            Root::Share(server, share) => server.len().saturating_add(share.len()),
            _ => 0,
        };
        let mut text =
            String::with_capacity(names.fold(root, usize::saturating_add).saturating_add(4));
        // A string takes whatever is written.
        let _ = fmt::Write::write_fmt(&mut text, format_args!("{self}"));
        text
    }

    /// The directory that it is in.
    pub(crate) fn parent(mut self) -> Self {
        self.names.pop();
        self
    }
}

impl fmt::Display for Spelled<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;

        let separator = self.style.separator();
        match self.root {
            Root::Relative if self.names.is_empty() => f.write_char('.')?,
            // A name that could be taken for where a path begins.
            Root::Relative if self.names.first().is_some_and(|name| looks_rooted(name)) => {
                write!(f, ".{separator}")?;
            }
            Root::Relative => {}
            Root::Slash => f.write_char(separator)?,
            Root::Drive(letter) => write!(f, "{letter}:{separator}")?,
            Root::OnDrive(letter) => write!(f, "{letter}:")?,
            Root::Share(server, share) => {
                write!(f, "{separator}{separator}{server}{separator}{share}{separator}")?;
            }
        }
        for (index, name) in self.names.iter().enumerate() {
            if index > 0 {
                f.write_char(separator)?;
            }
            f.write_str(name)?;
        }
        Ok(())
    }
}

enum Prefix {
    /// `\\?\UNC\`
    Share,
    /// `\\?\`, `\\.\` before a drive, `\??\`
    Plain,
}

fn without_prefix(path: &str) -> (Option<Prefix>, &str) {
    let rest = path.strip_prefix(r"\\?\").or_else(|| path.strip_prefix(r"\??\"));
    if let Some(rest) = rest {
        return match rest.split_at_checked(4) {
            Some((unc, share)) if unc.eq_ignore_ascii_case(r"UNC\") => (Some(Prefix::Share), share),
            _ => (Some(Prefix::Plain), rest),
        };
    }
    match path.strip_prefix(r"\\.\").filter(|rest| drive(rest).is_some()) {
        Some(rest) => (Some(Prefix::Plain), rest),
        None => (None, path),
    }
}

fn drive(path: &str) -> Option<(char, &str)> {
    let mut chars = path.chars();
    let letter = chars.next().filter(char::is_ascii_alphabetic)?;
    (chars.next() == Some(':')).then(|| (letter.to_ascii_uppercase(), chars.as_str()))
}

fn looks_rooted(name: &str) -> bool {
    name.starts_with('\\') || drive(name).is_some()
}

fn names(path: &str, both_slashes: bool) -> Vec<&str> {
    let is_separator = |char: char| char == '/' || (both_slashes && char == '\\');
    path.split(is_separator).filter(|name| !matches!(*name, "" | ".")).collect()
}

#[cfg(test)]
mod tests;
