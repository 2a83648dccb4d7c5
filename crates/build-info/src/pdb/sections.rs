//! Where the image's sections are.

use super::bytes::{Bytes, u32_at};
use super::dbi::Dbi;
use super::msf::Msf;
use super::window::Window;

/// The sections' addresses, in their order.
#[derive(Debug, Default)]
pub(super) struct Sections(Vec<u32>);

impl Sections {
    /// From the copy of the image's section headers; of the headers as linked, where a tool has
    /// rearranged the image since.
    pub(super) fn read(msf: &Msf<'_>, dbi: &Dbi) -> Self {
        let index = dbi.original_sections.or(dbi.sections);
        let Some(stream) = index.and_then(|index| msf.stream(index)) else {
            return Self::default();
        };
        let mut window = Window::new(msf, stream, 1, 12);
        let mut addresses = Vec::new();
        for at in (0..stream.size.min(MOST)).step_by(HEADER_SIZE as usize) {
            let Ok(header) = window.bytes(at, HEADER_SIZE, "section headers") else { break };
            addresses.extend(u32_at(header, 12));
        }
        Self(addresses)
    }

    /// From what the linker's own module says.
    pub(super) fn of_linker(sections: &[(u16, u32, u32)]) -> Self {
        let mut addresses = Vec::new();
        for &(number, address, _size) in sections {
            let Some(index) = usize::from(number).checked_sub(1) else { continue };
            if addresses.len() <= index {
                addresses.resize(index.saturating_add(1), 0);
            }
            if let Some(place) = addresses.get_mut(index) {
                *place = address;
            }
        }
        Self(addresses)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The address of an offset in a section, which counts from 1.
    pub(super) fn address(&self, section: u16, offset: u32) -> Option<u64> {
        let start = self.0.get(usize::from(section).checked_sub(1)?)?;
        Some(u64::from(*start).saturating_add(offset.into()))
    }

    /// The address of a 32-bit offset and a 16-bit section, as symbols have them.
    pub(super) fn address_in(&self, fields: &mut Bytes<'_>) -> Option<u64> {
        let (offset, section) = (fields.u32()?, fields.u16()?);
        self.address(section, offset)
    }
}

const HEADER_SIZE: u32 = 40;
/// There are 65,535 sections at most.
const MOST: u32 = HEADER_SIZE << 16;
