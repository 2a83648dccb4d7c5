//! What a module's symbols say of how it was compiled: few records of many, most near the front.

use crate::{Error, Group};

use super::bytes::{Bytes, u16_at, u32_at};
use super::compile::{Compile, S_COMPILE2, S_COMPILE2_ST, S_COMPILE3};
use super::msf::malformed;
use super::window::Window;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// `S_OBJNAME`.
    pub(super) object: Option<String>,
    pub(super) compile: Option<Compile>,
    /// `S_BUILDINFO`: a number in the stream of identifiers.
    pub(super) build: Option<u32>,
    /// `S_ENVBLOCK`: names and values.
    pub(super) environment: Vec<(String, String)>,
    /// `S_COFFGROUP`. Their addresses count from the section's start.
    pub(super) groups: Vec<Group>,
    /// `S_SECTION`: number, address and size.
    pub(super) sections: Vec<(u16, u32, u32)>,
}

/// How far to look.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// The names of object and compiler.
    Names,
    /// How it was compiled too.
    Build,
    /// To the end, as in the linker's own module.
    End,
}

impl Found {
    /// Looks through the first `end` bytes of the stream that the window is turned to.
    ///
    /// Microsoft's compiler writes what is looked for before the first procedure. LLVM's writes
    /// `S_BUILDINFO` at the end: it is looked for there, and then between procedures, over which a
    /// step is one jump.
    pub(super) fn read(
        window: &mut Window<'_>,
        end: u32,
        depth: Depth,
        found: &mut Self,
    ) -> Result<(), Error> {
        // The stream begins with a signature.
        let (mut at, mut tail_is_read) = (4_u32, false);
        while end.saturating_sub(at) >= 4 {
            let head = window.bytes(at, 4, SYMBOLS)?;
            let (length, kind) = (u16_at(head, 0).unwrap_or(0), u16_at(head, 2).unwrap_or(0));
            let body = at.saturating_add(4);
            let mut next = at.saturating_add(2).saturating_add(length.into());
            if length < 2 || next > end {
                return Err(malformed(SYMBOLS, at, "a record has an impossible length", length));
            }
            let size = u32::from(length).saturating_sub(2);
            if is_procedure(kind) {
                if depth == Depth::Names || depth == Depth::Build && found.is_complete() {
                    return Ok(());
                }
                let record = window.bytes(body, size.min(8), SYMBOLS)?;
                let scope_end = u32_at(record, 4).unwrap_or(0);
                if depth == Depth::Build && !tail_is_read {
                    tail_is_read = true;
                    found.read_tail(window, at, end)?;
                    if found.build.is_some() {
                        return Ok(());
                    }
                }
                if scope_end > at && scope_end < end {
                    next = next.max(scope_end);
                }
            } else if is_of_interest(kind) {
                let record = window.bytes(body, size, SYMBOLS)?;
                found.take(kind, record);
                let names = found.object.is_some() && found.compile.is_some();
                match depth {
                    Depth::Names if names => return Ok(()),
                    Depth::Build if names && found.build.is_some() => return Ok(()),
                    _ => {}
                }
            }
            at = next;
        }
        Ok(())
    }

    /// Whether nothing more is to be expected.
    fn is_complete(&self) -> bool {
        self.build.is_some() || !self.environment.is_empty()
    }

    /// Takes the last record, if it is `S_BUILDINFO`.
    fn read_tail(&mut self, window: &mut Window<'_>, at: u32, end: u32) -> Result<(), Error> {
        let tail = end.saturating_sub(8);
        if tail > at {
            let record = window.bytes(tail, 8, SYMBOLS)?;
            if record.starts_with(&BUILD_INFO_HEAD) {
                self.build = u32_at(record, 4);
            }
        }
        Ok(())
    }

    fn take(&mut self, kind: u16, record: &[u8]) {
        let mut fields = Bytes(record);
        match kind {
            S_OBJNAME if self.object.is_none() => {
                fields.u32();
                self.object = Some(String::from_utf8_lossy(fields.text()).into_owned());
            }
            S_COMPILE2 | S_COMPILE2_ST | S_COMPILE3 if self.compile.is_none() => {
                self.compile = Compile::parse(record, kind);
            }
            S_BUILDINFO if self.build.is_none() => self.build = fields.u32(),
            S_ENVBLOCK => {
                fields.u8();
                while !fields.0.is_empty() {
                    let name = fields.text();
                    if name.is_empty() {
                        break;
                    }
                    let value = String::from_utf8_lossy(fields.text()).into_owned();
                    let name = String::from_utf8_lossy(name).into_owned();
                    self.environment.push((name, value));
                }
            }
            S_COFFGROUP => self.groups.extend(group(fields)),
            S_SECTION => self.sections.extend(section(fields)),
            _ => {}
        }
    }
}

fn group(mut fields: Bytes<'_>) -> Option<Group> {
    let (size, characteristics) = (fields.u32()?, fields.u32()?);
    let (offset, section) = (fields.u32()?, fields.u16()?);
    let name = String::from_utf8_lossy(fields.text()).into_owned();
    Some(Group { name, address: offset.into(), size, characteristics, section })
}

fn section(mut fields: Bytes<'_>) -> Option<(u16, u32, u32)> {
    let (number, _alignment) = (fields.u16()?, fields.u16()?);
    Some((number, fields.u32()?, fields.u32()?))
}

fn is_of_interest(kind: u16) -> bool {
    matches!(
        kind,
        S_OBJNAME
            | S_COMPILE2
            | S_COMPILE2_ST
            | S_COMPILE3
            | S_BUILDINFO
            | S_ENVBLOCK
            | S_COFFGROUP
            | S_SECTION
    )
}

/// Whether a record opens a procedure or a thunk, and says where that ends.
fn is_procedure(kind: u16) -> bool {
    const S_THUNK32: u16 = 0x1102;
    const S_LMANPROC: u16 = 0x112b;
    const S_GMANPROC: u16 = 0x112a;
    const S_SEPCODE: u16 = 0x1132;
    matches!(kind, S_LPROC32 | S_GPROC32 | S_LPROC32_ID | S_GPROC32_ID)
        || matches!(kind, S_LPROC32_DPC | S_LPROC32_DPC_ID)
        || matches!(kind, S_THUNK32 | S_LMANPROC | S_GMANPROC | S_SEPCODE)
}

pub(super) const S_LPROC32: u16 = 0x110f;
pub(super) const S_GPROC32: u16 = 0x1110;
pub(super) const S_LPROC32_ID: u16 = 0x1146;
pub(super) const S_GPROC32_ID: u16 = 0x1147;
const S_LPROC32_DPC: u16 = 0x1155;
const S_LPROC32_DPC_ID: u16 = 0x1156;

const S_OBJNAME: u16 = 0x1101;
const S_ENVBLOCK: u16 = 0x113d;
const S_BUILDINFO: u16 = 0x114c;
const S_COFFGROUP: u16 = 0x1137;
const S_SECTION: u16 = 0x1136;

/// The length and kind of an `S_BUILDINFO`.
const BUILD_INFO_HEAD: [u8; 4] = [6, 0, 0x4c, 0x11];
const SYMBOLS: &str = "symbols of a module";
