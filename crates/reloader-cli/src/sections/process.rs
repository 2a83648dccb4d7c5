//! Images in other processes.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use elf_sections::sys::{RemoteModule, modules_of};
use elf_sections::{ReadAt, Source};

use super::elf;
use super::listing::{Body, FileState, Listing, Place, Wanted};

/// A module of a process: `1234:libfoo.so`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    process: u32,
    module: String,
}

impl Target {
    /// What an argument means, unless there is a file of that name.
    pub fn of(argument: &Path) -> Option<Target> {
        let (process, module) = argument.to_str()?.split_once(':')?;
        let process = process.parse().ok()?;
        (!argument.exists()).then(|| Target { process, module: module.to_owned() })
    }

    /// Shows what is listed of the module, at its addresses in the process.
    pub fn list(
        &self,
        wanted: &Wanted,
        show: impl FnOnce(&Listing<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let modules = modules_of(self.process).map_err(|error| self.refused(&error))?;
        let found = self.choose(&modules)?;
        let named = || format!("{} of process {}", name_of(found), self.process);
        let bias = found.module.bias as u64;
        let (file_state, reader) = reader(found).with_context(named)?;
        let is_lost = file_state == FileState::Lost;
        let wanted = match is_lost {
            true => Wanted { ranges: false, symbols: false, ..*wanted },
            false => *wanted,
        };
        let source = Source::new(&*reader).with_context(named)?;
        let mut listed = elf::list(&source.image().with_context(named)?, bias, &wanted);
        if let Some(error) = source.failure() {
            return Err(error).with_context(named);
        }
        listed.remarks.extend(is_lost.then(|| LOST.to_owned()));
        show(&Listing {
            file: name_of(found),
            format: "elf",
            place: Some(Place::Process { process: self.process, bias, file_state }),
            body: Body::Image(Box::new(listed)),
        })
    }

    /// The one module that is meant.
    fn choose<'a>(&self, modules: &'a [RemoteModule]) -> anyhow::Result<&'a RemoteModule> {
        let wanted = self.module.as_str();
        let address = wanted.strip_prefix("0x").and_then(|it| usize::from_str_radix(it, 16).ok());
        let canonical = fs::canonicalize(wanted).ok().filter(|_| wanted.contains('/'));
        let is_it = |it: &&RemoteModule| match address {
            Some(address) => it.module.contains(address),
            None => {
                let path = it.module.path.as_path();
                path.file_name() == Some(OsStr::new(wanted))
                    || path == Path::new(wanted)
                    || canonical.as_deref() == Some(path)
            }
        };
        let found: Vec<&RemoteModule> = modules.iter().filter(is_it).collect();
        let process = self.process;
        match found[..] {
            [found] => Ok(found),
            [] if wanted.is_empty() => {
                bail!("which module of process {process}? it has {}", listed(modules.iter()))
            }
            [] => {
                let similar: Vec<&RemoteModule> =
                    modules.iter().filter(|it| name_of(it).contains(wanted)).collect();
                let listed = match similar.is_empty() {
                    true => listed(modules.iter()),
                    false => listed(similar.into_iter()),
                };
                bail!("process {process} has no module {wanted}; it has {listed}")
            }
            _ => {
                let places: Vec<String> = found
                    .iter()
                    .map(|it| format!("{:#x} ({})", it.module.range().start, name_of(it)))
                    .collect();
                let places = places.join(", ");
                bail!(
                    "process {process} has several modules {wanted}; say which by its address: {places}"
                )
            }
        }
    }

    fn refused(&self, error: &io::Error) -> anyhow::Error {
        let process = self.process;
        match error.kind() {
            io::ErrorKind::NotFound => anyhow!("there is no process {process}"),
            io::ErrorKind::PermissionDenied => {
                anyhow!("process {process}: {error}; {}", permission_cure())
            }
            io::ErrorKind::Unsupported => {
                anyhow!("process {process}: modules of other processes can be listed on Linux only")
            }
            _ => anyhow!("process {process}: {error}"),
        }
    }
}

/// How a process's memory can be had that the kernel refused.
fn permission_cure() -> String {
    let scope = fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").unwrap_or_default();
    let yama = match scope.trim() {
        "1" => ", or allow it to processes of the same user (sysctl kernel.yama.ptrace_scope=0)",
        "2" => "; to others it is forbidden (kernel.yama.ptrace_scope is 2)",
        "3" => "; it is forbidden to all until the next boot (kernel.yama.ptrace_scope is 3)",
        _ => "",
    };
    format!(
        "as for a debugger, it takes the process's own user or root (sudo){yama}; in a container also --cap-add=SYS_PTRACE"
    )
}

/// Names of modules, not too many.
fn listed<'a>(modules: impl Iterator<Item = &'a RemoteModule>) -> String {
    let mut names: Vec<String> = modules
        .map(|it| match it.module.path.file_name() {
            Some(name) => name.to_string_lossy().into_owned(),
            None => name_of(it),
        })
        .collect();
    let more = names.len().saturating_sub(MOST_NAMES);
    names.truncate(MOST_NAMES);
    match more {
        0 => names.join(", "),
        _ => format!("{} and {more} more", names.join(", ")),
    }
}

fn name_of(module: &RemoteModule) -> String {
    module.module.path.display().to_string()
}

/// The best source of the image that there is: its file, the file that the kernel still has mapped,
/// or the process's memory.
fn reader(found: &RemoteModule) -> anyhow::Result<(FileState, Box<dyn ReadAt + Sync>)> {
    if found.file.is_none() {
        // What the kernel provides is in memory as it would be in a file.
        return Ok((FileState::None, Box::new(Memory::of(found)?)));
    }
    let state = found.file_state().ok();
    if state.is_some_and(|state| state.is_unchanged()) {
        return Ok((FileState::Unchanged, Box::new(File::open(path_in(found))?)));
    }
    let is_there = state.is_some_and(|state| state.is_there);
    let file_state = if is_there { FileState::Replaced } else { FileState::Deleted };
    if let Some(file) = mapped_file(found) {
        return Ok((file_state, Box::new(file)));
    }
    if state.and_then(|state| state.is_same_build) == Some(true) {
        return Ok((file_state, Box::new(File::open(path_in(found))?)));
    }
    Ok((FileState::Lost, Box::new(WithoutSections { memory: Memory::of(found)? })))
}

/// The module's path as the process sees it.
fn path_in(found: &RemoteModule) -> PathBuf {
    let path = found.module.path.strip_prefix("/").unwrap_or(&found.module.path);
    PathBuf::from(format!("/proc/{}/root", found.process)).join(path)
}

/// The file as the kernel has it mapped, whatever has become of its name. Needs more rights than
/// reading memory does.
fn mapped_file(found: &RemoteModule) -> Option<File> {
    let start = format!("{:x}-", found.module.range().start);
    let directory = fs::read_dir(format!("/proc/{}/map_files", found.process)).ok()?;
    let mut entries = directory.flatten();
    let entry = entries.find(|it| it.file_name().to_string_lossy().starts_with(&start))?;
    File::open(entry.path()).ok()
}

/// A module's memory from its first byte to the end of its last page.
struct Memory {
    file: File,
    start: u64,
    length: u64,
}

impl Memory {
    fn of(found: &RemoteModule) -> io::Result<Memory> {
        let range = found.module.range();
        let file = File::open(format!("/proc/{}/mem", found.process))?;
        // Behind the last segment the section headers may follow, in the same page.
        let length = (range.len() as u64).next_multiple_of(PAGE);
        Ok(Memory { file, start: range.start as u64, length })
    }
}

impl ReadAt for Memory {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let left = usize::try_from(self.length.saturating_sub(offset)).unwrap_or(usize::MAX);
        let count = buffer.len().min(left);
        self.file.read_at(&mut buffer[..count], self.start.saturating_add(offset))
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.length)
    }
}

/// The headers of an image in memory, where what they say of section headers leads nowhere.
struct WithoutSections {
    memory: Memory,
}

impl ReadAt for WithoutSections {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let count = self.memory.read_at(buffer, offset)?;
        let is_64 = offset == 0 && buffer.get(4) == Some(&2);
        // `e_shoff`, then `e_shentsize`, `e_shnum` and `e_shstrndx`.
        let fields = if is_64 { [0x28..0x30, 0x3a..0x40] } else { [0x20..0x24, 0x2e..0x34] };
        for field in fields.into_iter().filter(|_| offset == 0) {
            if let Some(bytes) = buffer.get_mut(field) {
                bytes.fill(0);
            }
        }
        Ok(count)
    }

    fn length(&self) -> io::Result<u64> {
        self.memory.length()
    }
}

/// The smallest page there is.
const PAGE: u64 = 4096;

const LOST: &str = "the file that was loaded is gone, and only root may read what is left of it: \
                    the segments are known from memory, the sections are not";

/// How many modules an error lists.
const MOST_NAMES: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_argument_is_a_module_of_a_process_only_if_it_starts_with_a_number() {
        let target = |argument| Target::of(Path::new(argument));
        let module = |process, module: &str| Some(Target { process, module: module.to_owned() });
        assert_eq!(target("12:libfoo.so"), module(12, "libfoo.so"));
        assert_eq!(target("12:/usr/lib/libfoo.so"), module(12, "/usr/lib/libfoo.so"));
        assert_eq!(target("12:0x7f00"), module(12, "0x7f00"));
        assert_eq!(target("12:"), module(12, ""));
        for file in ["libfoo.so", "C:\\foo.dll", "./12:libfoo.so", ":x", "-1:x", "99999999999:x"] {
            assert_eq!(target(file), None, "{file}");
        }
    }
}
