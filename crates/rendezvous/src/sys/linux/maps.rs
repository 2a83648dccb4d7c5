//! What is mapped where in a process.

#![allow(unsafe_code, reason = "asks the kernel by an ioctl that takes a structure's address")]

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::mapping::{Mapping, MappingTable, Mappings, device};
use crate::module::{DELETED, FileIdentity, MappedFile};

/// The mappings of a process: asked for one at a time where the kernel can tell (Linux 6.11), and
/// all read at once where it cannot.
///
/// It belongs to what the process executed when [`Process::mappings`] was called: after an `exec`
/// it answers for the old program, or not at all.
///
/// [`Process::mappings`]: crate::Process::mappings
#[derive(Debug)]
pub struct ProcessMappings {
    /// The process's root directory, as this process reaches it.
    root: PathBuf,
    answers: Answers,
}

#[derive(Debug)]
enum Answers {
    Query(File),
    Table(MappingTable),
}

impl ProcessMappings {
    /// `file` is a `/proc/PID/maps`, and `root` the `/proc/PID/root` to it.
    pub(super) fn new(mut file: File, root: PathBuf) -> io::Result<ProcessMappings> {
        let answers = match query(&file, 0) {
            Err(error) if !matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH)) => {
                let mut text = Vec::new();
                file.read_to_end(&mut text)?;
                Answers::Table(MappingTable::parse_maps(&text))
            }
            _ => Answers::Query(file),
        };
        Ok(ProcessMappings { root, answers })
    }

    /// The same file, which is not deleted if what looks like the kernel's mark is the end of its
    /// name.
    fn judged(&self, mut file: MappedFile) -> MappedFile {
        if let (true, Some(identity)) = (file.is_deleted, file.identity) {
            let whole = [&file.path, DELETED].concat();
            if self.is_at(&whole, identity) {
                (file.path, file.is_deleted) = (whole, false);
            }
        }
        file
    }

    fn is_at(&self, path: &[u8], identity: FileIdentity) -> bool {
        paths_to(&self.root, path, identity).next().is_some()
    }
}

/// Where the file that is mapped can be opened.
pub(super) fn file_paths(pid: u32, mapping: &Mapping) -> impl Iterator<Item = PathBuf> {
    let Range { start, end } = mapping.range;
    // The very file, deleted or not, for administrators only.
    let itself = PathBuf::from(format!("/proc/{pid}/map_files/{start:x}-{end:x}"));
    let itself = itself.metadata().is_ok().then_some(itself);
    let named = mapping.file.as_ref().and_then(|file| Some((&file.path, file.identity?)));
    let root = PathBuf::from(format!("/proc/{pid}/root"));
    let named = named.map(|(path, identity)| paths_to(&root, path, identity).collect::<Vec<_>>());
    itself.into_iter().chain(named.unwrap_or_default())
}

/// The paths at which there is this file. The kernel gives a path as this process sees it, and
/// where it does not see it, as the other does, whose root is this.
fn paths_to(root: &Path, path: &[u8], identity: FileIdentity) -> impl Iterator<Item = PathBuf> {
    let path = Path::new(OsStr::from_bytes(path));
    let theirs = root.join(path.strip_prefix("/").unwrap_or(path));
    [path.to_owned(), theirs].into_iter().filter(move |path| {
        path.symlink_metadata().is_ok_and(|found| {
            let device = device(libc::major(found.dev()), libc::minor(found.dev()));
            FileIdentity { device, inode: found.ino() } == identity
        })
    })
}

impl Mappings for ProcessMappings {
    fn mapping_at(&self, address: u64) -> Option<Mapping> {
        let mapping = match &self.answers {
            Answers::Query(file) => query(file, address).ok(),
            Answers::Table(table) => table.mapping_at(address),
        }?;
        let file = mapping.file.map(|file| self.judged(file));
        Some(Mapping { file, ..mapping })
    }
}

/// `struct procmap_query` of `<linux/fs.h>`.
#[repr(C)]
#[derive(Default)]
struct Query {
    size: u64,
    flags: u64,
    address: u64,
    start: u64,
    end: u64,
    vma_flags: u64,
    page_size: u64,
    offset: u64,
    inode: u64,
    major: u32,
    minor: u32,
    name_size: u32,
    build_id_size: u32,
    name: u64,
    build_id: u64,
}

fn query(maps: &File, address: u64) -> io::Result<Mapping> {
    let mut name = [0_u8; libc::PATH_MAX as usize];
    let mut query = Query {
        size: size_of::<Query>() as u64,
        address,
        name_size: name.len() as u32,
        name: name.as_mut_ptr().expose_provenance() as u64,
        ..Query::default()
    };
    // SAFETY: the kernel reads and writes a structure of the size that its first member says, and
    // at most `name_size` bytes where `name` says, which is a local array of that size.
    let failed = unsafe { libc::ioctl(maps.as_raw_fd(), PROCMAP_QUERY, &raw mut query) };
    if failed != 0 {
        return Err(io::Error::last_os_error());
    }
    let length = (query.name_size as usize).min(name.len());
    let path = name.get(..length).and_then(|name| name.split(|&byte| byte == 0).next());
    let identity = FileIdentity { device: device(query.major, query.minor), inode: query.inode };
    let file =
        (query.inode != 0).then(|| MappedFile::new(path.unwrap_or_default(), Some(identity)));
    Ok(Mapping { range: query.start..query.end, offset: query.offset, file })
}

/// `_IOWR('f', 17, struct procmap_query)`.
const PROCMAP_QUERY: libc::Ioctl =
    (0xc000_0000_u32 | (size_of::<Query>() as u32) << 16 | 0x66 << 8 | 17) as libc::Ioctl;
