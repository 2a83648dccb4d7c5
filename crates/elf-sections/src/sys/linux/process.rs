//! The images of another process, by its mappings and its memory.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::super::module::{Mapping, Module, ModuleSegment};
use super::super::remote::RemoteModule;
use super::maps;
use crate::bytes::Bytes;
use crate::image::parse;
use crate::layout::{Layout, RawHeader};
use crate::note::{Note, NoteEntries};
use crate::{ReadAt, Segment, SegmentKind};

pub(in crate::sys) fn modules_of(process: u32) -> io::Result<Vec<RemoteModule>> {
    let directory = PathBuf::from(format!("/proc/{process}"));
    let mappings = at(&directory.join("maps"), maps::read)?;
    let memory = Memory(at(&directory.join("mem"), |path| File::open(path))?);
    let (mut modules, mut left) = (Vec::new(), MOST_SEGMENTS);
    for mapping in mappings.iter().filter(|mapping| mapping.offset == 0) {
        let is_vdso = mapping.identity.inode == 0 && mapping.identity.path == "[vdso]";
        if mapping.identity.inode == 0 && !is_vdso {
            continue;
        }
        let Some(module) = module(&memory, mapping, &mappings) else { continue };
        // A process may map one file with very many headers very often.
        left = left.checked_sub(module.segments.len()).ok_or_else(|| {
            io::Error::other(format!("its images have more than {MOST_SEGMENTS} segments"))
        })?;
        let file = (!is_vdso).then(|| mapping.identity.clone());
        modules.push(RemoteModule { process, module, file });
    }
    Ok(modules)
}

/// An error that says which file it is about.
fn at<T>(path: &Path, read: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    read(path).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

/// The image whose file header is at the start of a mapping; `None` if there is none, or if the
/// file is mapped in another way than a loader does it.
fn module(memory: &Memory, mapping: &Mapping, mappings: &[Mapping]) -> Option<Module> {
    let base = mapping.range.start as u64;
    let start = memory.read(base, START.min(mapping.range.len() as u64))?;
    let (layout, header) = header_in_memory(&start)?;
    let size = layout.segment_size();
    let table = u64::from(header.phnum).checked_mul(size as u64)?;
    let table = memory.read(base.checked_add(header.phoff)?, table)?;
    let headers: Vec<Segment> =
        table.chunks_exact(size).filter_map(|entry| layout.segment(entry)).collect();

    // The file header has an address, and is at the start of the mapping.
    let first = headers.iter().find(|it| it.is_load() && it.offset < START)?;
    let bias = base.wrapping_sub(first.address.wrapping_sub(first.offset));
    if !is_loaded(&headers, bias, mapping, mappings) {
        return None;
    }
    let segments = headers
        .iter()
        .map(|header| {
            let start = usize::try_from(bias.wrapping_add(header.address)).ok()?;
            let end = start.saturating_add(usize::try_from(header.memory_size).ok()?);
            let (kind, permissions) = (header.kind, header.permissions);
            Some(ModuleSegment { kind, permissions, range: start..end })
        })
        .collect::<Option<Vec<ModuleSegment>>>()?;
    let build_id = build_id(memory, layout, &headers, bias);
    let path = PathBuf::from(&mapping.identity.path);
    // Wraps around as the addresses do, where an image is linked above where it is loaded.
    Some(Module { bias: bias as usize, path, segments, build_id })
}

/// The header at the start of an image in memory, where no section headers are.
fn header_in_memory(bytes: &[u8]) -> Option<(Layout, RawHeader)> {
    let (layout, ..) = parse::ident(Bytes::Whole(bytes)).ok()?;
    let raw = layout.header(bytes)?;
    let layout = layout.for_machine(raw.machine);
    let is_expected = raw.version == 1 && usize::from(raw.phentsize) == layout.segment_size();
    is_expected.then_some((layout, raw))
}

/// Whether the image's code is mapped where its headers say, and may be executed. A file that is
/// only read through a mapping has it elsewhere, or cannot execute it.
fn is_loaded(headers: &[Segment], bias: u64, first: &Mapping, mappings: &[Mapping]) -> bool {
    let loads = || headers.iter().filter(|it| it.is_load() && it.file_size != 0);
    let is_mapped = |load: &Segment| {
        let address = bias.wrapping_add(load.address);
        // The kernel lists them by their addresses.
        let position = mappings.partition_point(|mapping| mapping.range.end as u64 <= address);
        mappings.get(position).is_some_and(|mapping| {
            let start = mapping.range.start as u64;
            let skipped = address.wrapping_sub(start);
            let is_there = address >= start;
            let is_same_file = mapping.identity.inode == first.identity.inode
                && mapping.identity.device == first.identity.device;
            let is_same_part = mapping.offset.wrapping_add(skipped) == load.offset;
            let may_execute = mapping.is_executable || !load.permissions.is_executable();
            is_there && is_same_file && is_same_part && may_execute
        })
    };
    let code = loads().find(|load| load.permissions.is_executable());
    code.or(loads().next()).is_some_and(is_mapped)
}

fn build_id(memory: &Memory, layout: Layout, headers: &[Segment], bias: u64) -> Option<Vec<u8>> {
    headers.iter().filter(|header| header.kind == SegmentKind::NOTE).find_map(|header| {
        let size = header.memory_size.min(LARGEST_NOTES);
        let bytes = memory.read(bias.wrapping_add(header.address), size)?;
        let mut notes = NoteEntries::new(layout, &bytes, 0, header.align);
        notes.find(Note::is_build_id).map(|note| note.descriptor.to_vec())
    })
}

/// `/proc/PID/mem`: a process's bytes at its addresses.
struct Memory(File);

impl Memory {
    fn read(&self, address: u64, size: u64) -> Option<Vec<u8>> {
        let size = usize::try_from(size.min(MOST)).ok()?;
        let mut bytes = vec![0; size];
        let mut filled = 0_usize;
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.0.read_at(rest, address.checked_add(filled as u64)?) {
                Ok(0) => return None,
                Ok(count) => filled = filled.checked_add(count)?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
        Some(bytes)
    }
}

/// The smallest page, which holds the file header and mostly the program headers.
const START: u64 = 4096;

/// Notes are some hundred bytes.
const LARGEST_NOTES: u64 = 1 << 16;

/// What is read at once: the largest table of program headers that a file header can count.
const MOST: u64 = 1 << 22;

/// All segments of a process's images; some thousand are usual.
const MOST_SEGMENTS: usize = 1 << 20;
