//! Descriptors that somebody else may close, and use their numbers anew: a host that becomes a
//! daemon closes all there are.

use std::collections::BTreeMap;
use std::fs::File;

use super::file::identity;

/// The descriptors of one thing that waits for the kernel, by their numbers, with what tells them
/// from others that may get these numbers.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Descriptors(BTreeMap<String, String>);

impl Descriptors {
    /// Notes what `open` opens to be told of events. Nothing is noted where `/proc` is not there;
    /// what other threads open meanwhile is noted too.
    pub(crate) fn opened_by<T>(open: impl FnOnce() -> T) -> (T, Option<Self>) {
        let before = all();
        let opened = open();
        let mut after = all();
        if let (Some(before), Some(after)) = (&before, &mut after) {
            after.retain(|number, told| before.get(number) != Some(told));
        }
        let noted = before.and(after).filter(|noted| !noted.is_empty());
        (opened, noted.map(Self))
    }

    /// Whether each is what it was.
    pub(crate) fn are_there(&self) -> bool {
        self.0.iter().all(|(number, told)| described(number).as_ref() == Some(told))
    }
}

/// All of this process that are no files but ways of being told of events.
fn all() -> Option<BTreeMap<String, String>> {
    let entries = std::fs::read_dir("/proc/self/fd").ok()?;
    let numbers = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    Some(numbers.filter_map(|number| Some((number.clone(), described(&number)?))).collect())
}

/// What a descriptor is (`proc(5)`): an `eventfd` with its number among all of the kernel's, an
/// `epoll` with what it waits for.
fn described(number: &str) -> Option<String> {
    let kind = std::fs::read_link(format!("/proc/self/fd/{number}")).ok()?;
    let mut told = kind.to_str().filter(|kind| kind.starts_with("anon_inode:"))?.to_owned();
    let more = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}")).ok()?;
    for line in more.lines() {
        let waits_for = line.strip_prefix("tfd:").and_then(|rest| rest.split_whitespace().next());
        if line.starts_with("eventfd-id:") || waits_for.is_some() {
            told.push(' ');
            told.push_str(waits_for.unwrap_or(line));
        }
    }
    Some(told)
}

/// An open file that is closed only while its descriptor still stands for it.
#[derive(Debug)]
pub(crate) struct Kept {
    file: Option<File>,
    place: Option<[u64; 2]>,
}

impl Kept {
    pub(crate) fn new(file: File) -> Self {
        Self { place: place(&file), file: Some(file) }
    }

    /// Whether the descriptor still stands for the file.
    pub(crate) fn is_there(&self) -> bool {
        self.place.is_some() && self.file.as_ref().and_then(place) == self.place
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if !self.is_there() {
            std::mem::forget(self.file.take());
        }
    }
}

/// Its device and inode.
fn place(file: &File) -> Option<[u64; 2]> {
    let [device, inode, ..] = identity(&file.metadata().ok()?);
    Some([device, inode])
}
