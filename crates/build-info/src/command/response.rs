//! Response files: arguments that a command line names the file of.

use std::collections::VecDeque;

use super::windows;
use crate::path::Spelled;
use crate::{Disk, Quoting};

/// Arguments whose response files stand where they were named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expanded {
    /// The arguments. What names a file that is not there stands as it was.
    pub arguments: Vec<String>,
    /// The files that are not there, are too large, or would have had too much in all.
    pub missing: Vec<String>,
}

/// Puts the arguments of response files (`@file`) in their place.
///
/// `quoting` is how the files are written: [`Quoting::Windows`] for Microsoft's tools and those
/// in their place, [`Quoting::Gnu`] for the others. Relative names start from `directory`, in
/// files that files name too. Files of UTF-16 with a byte order mark are read as such.
///
/// At most 64 files are read, 16 MiB in all, so that files that name each other come to an end.
pub fn expand_response_files(
    arguments: Vec<String>,
    quoting: Quoting,
    directory: &str,
    disk: &dyn Disk,
) -> Expanded {
    let mut expanded = Expanded::default();
    let mut budget = MOST_BYTES;
    let mut files = 0_usize;
    let directory = Spelled::parse(directory, disk.style());
    let mut rest = VecDeque::from(arguments);
    while let Some(argument) = rest.pop_front() {
        let Some(name) = argument.strip_prefix('@').filter(|name| !name.is_empty()) else {
            expanded.arguments.push(argument);
            continue;
        };
        let read = (files < MOST_FILES)
            .then(|| disk.read(&Spelled::parse_in(name, &directory).to_string(), budget));
        let Some(Ok(bytes)) = read else {
            expanded.missing.push(name.to_owned());
            expanded.arguments.push(argument);
            continue;
        };
        files = files.saturating_add(1);
        budget = budget.saturating_sub(bytes.len());
        let split = match quoting {
            Quoting::Windows => windows::split(&text(&bytes), windows::is_blank_or_line_end),
            _ => quoting.split(&text(&bytes)),
        };
        for argument in split.arguments.into_iter().rev() {
            rest.push_front(argument);
        }
    }
    expanded
}

const MOST_FILES: usize = 64;
const MOST_BYTES: usize = 16 << 20;

fn text(bytes: &[u8]) -> String {
    let units = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let (pairs, _) = bytes.as_chunks::<2>();
        String::from_utf16_lossy(&pairs.iter().copied().map(unit).collect::<Vec<_>>())
    };
    match bytes {
        [0xff, 0xfe, rest @ ..] => units(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => units(rest, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8_lossy(rest).into_owned(),
        _ => String::from_utf8_lossy(bytes).into_owned(),
    }
}
