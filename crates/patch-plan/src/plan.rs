//! A list of edits that applies as one.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use crate::{Edit, Error, FileError, Show, Tail, WriteOptions, Written, show, write};

/// Edits in the order of their offsets, none overlapping another, and at most one [`Tail`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Plan {
    edits: Vec<Edit>,
    tail: Option<Tail>,
}

impl Plan {
    /// A plan that changes nothing.
    pub const fn new() -> Plan {
        Plan { edits: Vec::new(), tail: None }
    }

    /// A plan of these edits, given in any order.
    ///
    /// # Errors
    ///
    /// [`Error::LengthsDiffer`], [`Error::Overlap`] or [`Error::OutOfRange`] for an edit that no
    /// plan can have.
    pub fn from_edits(edits: impl IntoIterator<Item = Edit>) -> Result<Plan, Error> {
        let mut edits: Vec<Edit> = edits.into_iter().collect();
        // Each then goes to the end.
        edits.sort_by_key(|edit| edit.offset);
        let mut plan = Plan::new();
        for edit in edits {
            plan.edit(edit.offset, edit.old, edit.new)?;
        }
        Ok(plan)
    }

    /// Adds an edit: `old` at `offset` becomes `new`.
    ///
    /// An edit without bytes is left out. One whose `new` equals its `old` stays: it asserts that
    /// the bytes are there.
    ///
    /// # Errors
    ///
    /// [`Error::LengthsDiffer`] if `new` is longer or shorter than `old`, [`Error::Overlap`] if an
    /// edit or the tail claims one of the bytes already, [`Error::OutOfRange`] if the edit ends
    /// beyond 2⁶⁴. The plan is then as it was.
    pub fn edit(
        &mut self,
        offset: u64,
        old: impl Into<Vec<u8>>,
        new: impl Into<Vec<u8>>,
    ) -> Result<&mut Plan, Error> {
        let edit = Edit { offset, old: old.into(), new: new.into() };
        if edit.old.len() != edit.new.len() {
            return Err(Error::LengthsDiffer { offset, old: edit.old.len(), new: edit.new.len() });
        }
        if edit.new.is_empty() {
            return Ok(self);
        }
        let Some(end) = edit.end() else {
            return Err(Error::OutOfRange { offset, wanted: length(&edit.new), end: u64::MAX });
        };
        let position = self.edits.partition_point(|other| other.offset < offset);
        let before = position.checked_sub(1).and_then(|index| self.edits.get(index));
        if let Some(before) = before.filter(|before| before.end() > Some(offset)) {
            return Err(Error::Overlap { offset, other: before.offset });
        }
        if let Some(after) = self.edits.get(position).filter(|after| after.offset < end) {
            return Err(Error::Overlap { offset, other: after.offset });
        }
        if let Some(tail) = self.tail.as_ref().filter(|tail| tail.offset < end) {
            return Err(Error::Overlap { offset, other: tail.offset });
        }
        self.edits.insert(position, edit);
        Ok(self)
    }

    /// Appends `bytes` to an image that is `image_length` bytes long; more than once adds up.
    ///
    /// # Errors
    ///
    /// [`Error::SecondTail`] if the plan appends to an image of another length,
    /// [`Error::Overlap`] if an edit reaches beyond `image_length`.
    pub fn append(&mut self, image_length: u64, bytes: &[u8]) -> Result<&mut Plan, Error> {
        if let Some(tail) = &mut self.tail {
            if tail.offset != image_length || !tail.old.is_empty() {
                return Err(Error::SecondTail { offset: image_length, other: tail.offset });
            }
            tail.new.extend_from_slice(bytes);
            return Ok(self);
        }
        self.set_tail(Tail { offset: image_length, old: Vec::new(), new: bytes.to_vec() })?;
        Ok(self)
    }

    /// Replaces everything from `offset` to the end, which is `old`, by `new`: more bytes, or
    /// fewer, or none.
    ///
    /// # Errors
    ///
    /// [`Error::SecondTail`] if the plan changes the end already, [`Error::Overlap`] if an edit
    /// reaches beyond `offset`; the plan is then as it was.
    pub fn replace_tail(
        &mut self,
        offset: u64,
        old: impl Into<Vec<u8>>,
        new: impl Into<Vec<u8>>,
    ) -> Result<&mut Plan, Error> {
        self.set_tail(Tail { offset, old: old.into(), new: new.into() })?;
        Ok(self)
    }

    /// Takes over every change of `other`.
    ///
    /// # Errors
    ///
    /// As [`edit`](Plan::edit) and [`append`](Plan::append); the plan is then as it was.
    pub fn merge(&mut self, other: &Plan) -> Result<&mut Plan, Error> {
        let mut merged = Plan::from_edits(self.edits.iter().chain(&other.edits).cloned())?;
        if let Some(tail) = self.tail.clone() {
            merged.set_tail(tail)?;
        }
        if let Some(tail) = &other.tail {
            if tail.old.is_empty() {
                merged.append(tail.offset, &tail.new)?;
            } else {
                merged.set_tail(tail.clone())?;
            }
        }
        *self = merged;
        Ok(self)
    }

    /// The edits, in the order of their offsets.
    pub fn edits(&self) -> &[Edit] {
        &self.edits
    }

    /// What is appended or taken off.
    pub fn tail(&self) -> Option<&Tail> {
        self.tail.as_ref()
    }

    /// Whether the plan has neither an edit nor a tail.
    pub fn is_empty(&self) -> bool {
        self.edits.is_empty() && self.tail.is_none()
    }

    /// The plan as text, one line an edit.
    pub fn show(&self) -> Show<'_> {
        Show(self)
    }

    /// The plan as JSON: `{"edits":[{"offset":4,"old":"6f6c","new":"6e65"}],"tail":null}`.
    ///
    /// Bytes are hexadecimal text. With the feature `serde` a plan also serialises by itself,
    /// bytes then being numbers.
    pub fn to_json(&self) -> String {
        show::to_json(self)
    }

    /// The plan that undoes this one.
    pub fn invert(&self) -> Plan {
        Plan {
            edits: self.edits.iter().map(Edit::invert).collect(),
            tail: self.tail.as_ref().map(Tail::invert),
        }
    }

    /// Whether the plan applies to `image`.
    ///
    /// # Errors
    ///
    /// The first thing that does not fit.
    pub fn check(&self, image: &[u8]) -> Result<(), Error> {
        for edit in &self.edits {
            let found = slice(image, edit.offset, edit.old.len())?;
            if found != edit.old {
                return Err(mismatch(edit.offset, &edit.old, found));
            }
        }
        if let Some(tail) = &self.tail {
            let end = length(image);
            let expected = tail.offset.saturating_add(length(&tail.old));
            if end != expected {
                return Err(Error::WrongLength { expected, end });
            }
            let found = slice(image, tail.offset, tail.old.len())?;
            if found != tail.old {
                return Err(mismatch(tail.offset, &tail.old, found));
            }
        }
        Ok(())
    }

    /// Applies every edit to `image`, or none.
    ///
    /// # Errors
    ///
    /// [`Error::LengthChanges`] if the plan has a tail, else what [`check`](Plan::check) reports;
    /// `image` is then untouched.
    pub fn apply(&self, image: &mut [u8]) -> Result<(), Error> {
        if let Some(tail) = &self.tail {
            return Err(Error::LengthChanges { offset: tail.offset });
        }
        self.check(image)?;
        self.overwrite(image)
    }

    /// Applies every edit and the tail to `image`, or nothing.
    ///
    /// # Errors
    ///
    /// What [`check`](Plan::check) reports; `image` is then untouched.
    pub fn apply_to_vec(&self, image: &mut Vec<u8>) -> Result<(), Error> {
        self.check(image)?;
        self.overwrite(image)?;
        if let Some(tail) = &self.tail {
            image.truncate(image.len().saturating_sub(tail.old.len()));
            image.extend_from_slice(&tail.new);
        }
        Ok(())
    }

    /// Applies the plan to an open file: first every expectation is checked, then all is written.
    ///
    /// For a private file that nobody else can see yet, such as a fresh copy: a reader could see
    /// it half patched, and a failing write (a full disk) leaves it so. For anything else there is
    /// [`write_file`](Plan::write_file). `path` is for the error message only. The file's cursor
    /// moves.
    ///
    /// # Errors
    ///
    /// [`FileError::Plan`] if the plan does not apply, and the file is untouched;
    /// [`FileError::Io`] if reading or writing fails.
    pub fn apply_to_file(&self, file: &File, path: &Path) -> Result<(), FileError> {
        let io = |call| FileError::io(path, call);
        let plan = |source| FileError::Plan { path: path.to_owned(), source };
        let mut cursor = file;
        let end = cursor.seek(SeekFrom::End(0)).map_err(io("seek"))?;

        let tail = self.tail.iter().map(|tail| (tail.offset, &tail.old));
        for (offset, old) in self.edits.iter().map(|edit| (edit.offset, &edit.old)).chain(tail) {
            let wanted = length(old);
            if offset.checked_add(wanted).is_none_or(|last| last > end) {
                return Err(plan(Error::OutOfRange { offset, wanted, end }));
            }
        }
        // Edits that lie close together are read, changed and written as one.
        let mut stretches = Vec::new();
        for edits in self.edits.chunk_by(lie_close) {
            let (Some(first), Some(last)) = (edits.first(), edits.last()) else { continue };
            let length = last.offset.saturating_add(length(&last.old)).saturating_sub(first.offset);
            let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
            cursor.seek(SeekFrom::Start(first.offset)).map_err(io("seek"))?;
            cursor.read_exact(&mut bytes).map_err(io("read"))?;
            for edit in edits {
                change(edit, first.offset, &mut bytes).map_err(plan)?;
            }
            stretches.push((first.offset, bytes));
        }
        if let Some(tail) = &self.tail {
            let mut found = vec![0; tail.old.len()];
            cursor.seek(SeekFrom::Start(tail.offset)).map_err(io("seek"))?;
            cursor.read_exact(&mut found).map_err(io("read"))?;
            if found != *tail.old {
                return Err(plan(mismatch(tail.offset, &tail.old, &found)));
            }
        }
        if let Some(tail) = &self.tail {
            let expected = tail.offset.saturating_add(length(&tail.old));
            if end != expected {
                return Err(plan(Error::WrongLength { expected, end }));
            }
        }

        for (offset, bytes) in stretches {
            cursor.seek(SeekFrom::Start(offset)).map_err(io("seek"))?;
            cursor.write_all(&bytes).map_err(io("write"))?;
        }
        if let Some(tail) = &self.tail {
            file.set_len(tail.offset).map_err(io("truncate"))?;
            cursor.seek(SeekFrom::Start(tail.offset)).map_err(io("seek"))?;
            cursor.write_all(&tail.new).map_err(io("write"))?;
        }
        Ok(())
    }

    /// Writes `source` with the plan applied to `target`, which is replaced as a whole or not at
    /// all; the two may be the same file.
    ///
    /// A temporary file is made in the target's directory, sharing blocks with the source where
    /// the file system can, patched, read back, given the source's permissions, flushed and
    /// renamed over the target. Where `target` is a symbolic link, the file it leads to is
    /// replaced and the link stays; what is neither a regular file nor absent is refused. Owner and
    /// extended attributes are not carried over, and the set-user-ID and set-group-ID bits only
    /// where owner and group are the same.
    ///
    /// # Errors
    ///
    /// [`FileError::Plan`] if the plan does not apply to the source,
    /// [`FileError::SourceChanged`] if the source was written to meanwhile,
    /// [`FileError::NotWritten`] if the result does not read back, [`FileError::Io`] for anything
    /// the system refuses. The target is then as it was and no temporary file is left. (If only
    /// flushing the directory fails after the rename, the target is complete and new, and its
    /// place in the directory may not survive a power cut.)
    pub fn write_file(
        &self,
        source: &Path,
        target: &Path,
        options: &WriteOptions,
    ) -> Result<Written, FileError> {
        write::write_file(self, source, target, options)
    }

    fn set_tail(&mut self, tail: Tail) -> Result<(), Error> {
        if let Some(other) = &self.tail {
            return Err(Error::SecondTail { offset: tail.offset, other: other.offset });
        }
        if let Some(last) = self.edits.last().filter(|last| last.end() > Some(tail.offset)) {
            return Err(Error::Overlap { offset: tail.offset, other: last.offset });
        }
        self.tail = Some(tail);
        Ok(())
    }

    /// Writes every edit's new bytes. Each range has been checked, so that this does not fail half way.
    fn overwrite(&self, image: &mut [u8]) -> Result<(), Error> {
        let end = length(image);
        for edit in &self.edits {
            let target = usize::try_from(edit.offset)
                .ok()
                .and_then(|start| image.get_mut(start..)?.get_mut(..edit.new.len()))
                .ok_or(Error::OutOfRange { offset: edit.offset, wanted: length(&edit.new), end })?;
            target.copy_from_slice(&edit.new);
        }
        Ok(())
    }
}

/// The farthest that one edit may lie behind another and still be written together with it.
const CLOSE: u64 = 4096;

fn lie_close(first: &Edit, second: &Edit) -> bool {
    second.offset.saturating_sub(first.offset) <= CLOSE
}

/// Makes one edit in `bytes`, which start at `start` of the file.
fn change(edit: &Edit, start: u64, bytes: &mut [u8]) -> Result<(), Error> {
    let at = edit.offset.saturating_sub(start);
    let found = slice(bytes, at, edit.old.len())?;
    if found != edit.old {
        return Err(mismatch(edit.offset, &edit.old, found));
    }
    let target =
        usize::try_from(at).ok().and_then(|at| bytes.get_mut(at..)?.get_mut(..edit.new.len()));
    if let Some(target) = target {
        target.copy_from_slice(&edit.new);
    }
    Ok(())
}

fn slice(image: &[u8], offset: u64, wanted: usize) -> Result<&[u8], Error> {
    usize::try_from(offset)
        .ok()
        .and_then(|start| image.get(start..)?.get(..wanted))
        .ok_or(Error::OutOfRange { offset, wanted: wanted as u64, end: length(image) })
}

fn mismatch(offset: u64, expected: &[u8], found: &[u8]) -> Error {
    Error::Mismatch { offset, expected: expected.to_vec(), found: found.to_vec() }
}

fn length(bytes: &[u8]) -> u64 {
    bytes.len() as u64
}
