//! What the kernel tells a program when it starts it.

use crate::layout::{Class, Endian, Layout};

/// What is known of a target before its memory is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Startup {
    /// How its structures are laid out.
    pub layout: Layout,
    /// Whose loader it runs under.
    pub system: System,
    /// What the kernel told it.
    pub auxv: Auxv,
}

impl Startup {
    /// What the auxiliary vector of a Linux process on this machine says: its layout too, since
    /// that of a 32-bit process has 32-bit words and says that a program header takes 32 bytes.
    ///
    /// `None` if it is neither, as that of a process that has ended is.
    pub fn from_auxv(bytes: &[u8]) -> Option<Startup> {
        [(Class::Elf64, 56), (Class::Elf32, 32)].into_iter().find_map(|(class, header_size)| {
            let layout = Layout { class, ..Layout::NATIVE };
            let auxv = Auxv::parse(bytes, layout, System::Linux);
            (auxv.phent == Some(header_size)).then_some(Startup {
                layout,
                system: System::Linux,
                auxv,
            })
        })
    }
}

/// Whose structures the loader writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum System {
    /// Those of the System V interface, as glibc, musl and bionic have them.
    #[default]
    Linux,
    /// FreeBSD's. What a node of the list begins with changed in FreeBSD 13, which
    /// [`Auxv::freebsd_release`] tells.
    FreeBsd,
}

/// The entries of the auxiliary vector that matter here, each `None` where it has none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Auxv {
    /// `AT_PHDR`: the address of the program headers of what was executed.
    pub phdr: Option<u64>,
    /// `AT_PHENT`: the size of one.
    pub phent: Option<u64>,
    /// `AT_PHNUM`: how many there are.
    pub phnum: Option<u64>,
    /// `AT_BASE`: where the loader is mapped; `None` or 0 where there is none.
    pub base: Option<u64>,
    /// `AT_ENTRY`: where the program begins, once the loader is done.
    pub entry: Option<u64>,
    /// `AT_RANDOM` (Linux): where 16 random bytes are, others for each start of a program.
    pub random: Option<u64>,
    /// `AT_SYSINFO_EHDR` (Linux), `AT_KPRELOAD` (FreeBSD): where the kernel's own image is mapped.
    pub sysinfo_ehdr: Option<u64>,
    /// `AT_OSRELDATE`: FreeBSD's release, 1300000 and above from FreeBSD 13 on.
    pub freebsd_release: Option<u64>,
}

impl Auxv {
    /// Reads a vector: pairs of words, up to `AT_NULL` or the end of the bytes.
    pub fn parse(bytes: &[u8], layout: Layout, system: System) -> Auxv {
        let mut auxv = Auxv::default();
        let pairs = bytes.chunks_exact(layout.word_size().saturating_mul(2));
        for pair in pairs {
            let (Some(kind), Some(value)) = (layout.nth_word(pair, 0), layout.nth_word(pair, 1))
            else {
                break;
            };
            let entry = match kind {
                0 => break,
                3 => &mut auxv.phdr,
                4 => &mut auxv.phent,
                5 => &mut auxv.phnum,
                7 => &mut auxv.base,
                9 => &mut auxv.entry,
                18 if system == System::FreeBsd => &mut auxv.freebsd_release,
                25 if system == System::Linux => &mut auxv.random,
                33 if system == System::Linux => &mut auxv.sysinfo_ehdr,
                34 if system == System::FreeBsd => &mut auxv.sysinfo_ehdr,
                _ => continue,
            };
            *entry = Some(value);
        }
        auxv
    }

    /// The loader's address, if there is a loader.
    pub fn interpreter(&self) -> Option<u64> {
        self.base.filter(|&base| base != 0)
    }
}

impl Endian {
    /// What the byte at `EI_DATA` of an ELF header means.
    pub(crate) fn from_ident(byte: u8) -> Option<Endian> {
        match byte {
            1 => Some(Endian::Little),
            2 => Some(Endian::Big),
            _ => None,
        }
    }
}

impl Class {
    /// What the byte at `EI_CLASS` of an ELF header means.
    pub(crate) fn from_ident(byte: u8) -> Option<Class> {
        match byte {
            1 => Some(Class::Elf32),
            2 => Some(Class::Elf64),
            _ => None,
        }
    }
}
