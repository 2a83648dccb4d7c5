//! Changes that are being collected, and what every finished plan owes: signature, relocations,
//! checksum.

use std::ops::Range;

use object::LittleEndian as LE;
use object::pe;
use patch_plan::Plan;

use crate::bytes;
use crate::checksum;
use crate::debug::{DebugEntry, DebugKind};
use crate::dynamic_relocation::dynamic_relocation;
use crate::header::DirectoryKind;
use crate::image::Image;
use crate::occupancy::{Occupancy, Tenant};
use crate::options::{KnownSum, Signature};
use crate::relocation::{Collision, Touched, base_relocation};
use crate::report::{ChecksumReport, SignatureReport, Warning};
use crate::signature::{Certificates, certificates};
use crate::written::bytes_of;
use crate::{Error, Structure};

/// Changes of one image.
#[derive(Debug, Clone)]
pub(crate) struct Draft<'image, 'data> {
    pub(crate) image: &'image Image<'data>,
    occupancy: Occupancy,
    plan: Plan,
    certificates: Option<Certificates>,
    signature: Signature,
    appended: Vec<u8>,
    /// The addresses of those of them that hold something, and the offset of the first.
    appended_at: Option<(Range<u64>, u64)>,
    pub(crate) warnings: Vec<Warning>,
}

/// What a draft has become.
#[derive(Debug, Clone)]
pub(crate) struct Finished {
    pub(crate) plan: Plan,
    pub(crate) checksum: ChecksumReport,
    pub(crate) signature: SignatureReport,
    pub(crate) warnings: Vec<Warning>,
}

impl<'image, 'data> Draft<'image, 'data> {
    pub(crate) fn new(
        image: &'image Image<'data>,
        entries: &[DebugEntry<'_>],
        signature: Signature,
    ) -> Draft<'image, 'data> {
        Draft {
            image,
            occupancy: Occupancy::of(image, entries),
            plan: Plan::new(),
            certificates: certificates(image),
            signature,
            appended: Vec::new(),
            appended_at: None,
            warnings: Vec::new(),
        }
    }

    /// Where the file ends once the signature is off; appended bytes start there.
    pub(crate) fn end(&self) -> u64 {
        match self.certificates {
            Some(Certificates::AtEnd { offset, .. }) => offset,
            _ => self.image.end(),
        }
    }

    /// What lies where in the image.
    pub(crate) fn occupancy(&self) -> &Occupancy {
        &self.occupancy
    }

    /// Overwrites bytes that belong to `owner` and to nobody else. Those that are the same already
    /// are not touched.
    pub(crate) fn write(
        &mut self,
        owner: Option<Tenant>,
        offset: u64,
        new: &[u8],
    ) -> Result<(), Error> {
        let (wanted, end) = (new.len() as u64, self.image.end());
        let structure = Structure::Section;
        let old = bytes::range(self.image.data(), offset, wanted).ok_or(Error::Short {
            structure,
            wanted,
            offset,
            end,
        })?;
        if old == new {
            return Ok(());
        }
        let range = offset..offset.saturating_add(wanted);
        if let Some((offset, tenant)) = self.occupancy.tenant_in(&range, owner) {
            return Err(Error::Shared { offset, tenant });
        }
        self.plan.edit(offset, old, new)?;
        Ok(())
    }

    /// Overwrites a 32-bit field.
    pub(crate) fn write_u32(&mut self, owner: Tenant, offset: u64, new: u32) -> Result<(), Error> {
        self.write(Some(owner), offset, &bytes_of(new))
    }

    /// Overwrites a range with zeros, whose bytes are `owner`'s; `None` for bytes that nobody has.
    pub(crate) fn clear(&mut self, owner: Option<Tenant>, range: &Range<u64>) -> Result<(), Error> {
        let size = range.end.saturating_sub(range.start).min(self.image.end());
        let zeros = vec![0; usize::try_from(size).unwrap_or_default()];
        self.write(owner, range.start, &zeros)
    }

    /// Appends bytes at [`end`](Draft::end). Those from `offset` on, at `addresses`, hold something;
    /// the others are padding.
    pub(crate) fn append(&mut self, bytes: &[u8], addresses: Range<u64>, offset: u64) {
        self.appended.extend_from_slice(bytes);
        self.appended_at = Some((addresses, offset));
    }

    pub(crate) fn warn(&mut self, warning: Warning) {
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    /// Says that the image is no longer what its inputs make, if it says it is.
    pub(crate) fn warn_of_repro(&mut self, entries: &[DebugEntry<'_>]) {
        if entries.iter().any(|entry| matches!(entry.kind, DebugKind::Repro { .. })) {
            self.warn(Warning::ReproStale);
        }
    }

    /// Adds what follows from the changes, and checks that they may be made.
    pub(crate) fn finish(mut self, sum: KnownSum) -> Result<Finished, Error> {
        let stored = self.image.stored_checksum();
        if self.plan.is_empty() && self.appended.is_empty() {
            return Ok(Finished {
                plan: self.plan,
                checksum: ChecksumReport {
                    before: stored.value,
                    after: stored.value,
                    was_right: None,
                },
                signature: match self.certificates {
                    Some(_) => SignatureReport::Kept,
                    None => SignatureReport::Unsigned,
                },
                warnings: Vec::new(),
            });
        }
        let signature = self.strip()?;
        self.warn_of_hashes();
        if let Some(warning) = Warning::cut_short(self.image) {
            self.warn(warning);
        }

        let was_right = match (stored.value, sum) {
            (0, _) | (_, KnownSum::Trust) => None,
            (_, KnownSum::Verify) => Some(self.image.computed_checksum()),
            (_, KnownSum::Computed(computed)) => Some(computed),
        };
        let after = if stored.value == 0 {
            0
        } else {
            let before = was_right.unwrap_or(stored.value);
            if before != stored.value {
                let (stored, computed) = (stored.value, before);
                self.warn(Warning::ChecksumWasWrong { stored, computed });
            }
            checksum::after(&self.plan, stored, before, self.image.end())
        };
        self.write_u32(Tenant::Headers, stored.offset, after)?;
        self.check_relocations()?;
        Ok(Finished {
            plan: self.plan,
            checksum: ChecksumReport {
                before: stored.value,
                after,
                was_right: was_right.map(|computed| computed == stored.value),
            },
            signature,
            warnings: self.warnings,
        })
    }

    /// Takes the signature off if there is one, and puts the appended bytes at the end.
    fn strip(&mut self) -> Result<SignatureReport, Error> {
        let directory = self.image.directory(DirectoryKind::Security);
        if let (Some(directory), Signature::Refuse) = (directory, self.signature) {
            let (offset, size) = (directory.address.into(), directory.size.into());
            return Err(Error::Signed { offset, size });
        }
        let appended = std::mem::take(&mut self.appended);
        let Some(certificates) = self.certificates else {
            if !appended.is_empty() {
                self.plan.append(self.image.end(), &appended)?;
            }
            return Ok(SignatureReport::Unsigned);
        };
        if let Some(field) = self.image.header().directory_offset(DirectoryKind::Security) {
            self.write(Some(Tenant::Headers), field, &[0; 8])?;
        }
        let report = match certificates {
            Certificates::AtEnd { offset, size } => {
                let table = bytes::range(self.image.data(), offset, size).unwrap_or_default();
                self.plan.replace_tail(offset, table, appended)?;
                self.warn_of_demand();
                return Ok(SignatureReport::Cut { offset, size });
            }
            Certificates::InBetween { offset, size } => {
                let table = Tenant::Directory(DirectoryKind::Security);
                self.clear(Some(table), &(offset..offset.saturating_add(size)))?;
                SignatureReport::Zeroed { offset, size }
            }
            Certificates::Nowhere => SignatureReport::Cleared,
        };
        if !appended.is_empty() {
            self.plan.append(self.image.end(), &appended)?;
        }
        self.warn_of_demand();
        Ok(report)
    }

    fn warn_of_demand(&mut self) {
        let demanded = pe::IMAGE_DLLCHARACTERISTICS_FORCE_INTEGRITY.0;
        if self.image.header().dll_characteristics & demanded != 0 {
            self.warn(Warning::SignatureDemanded);
        }
    }

    fn check_relocations(&self) -> Result<(), Error> {
        let edits: Vec<Range<u64>> = self
            .plan
            .edits()
            .iter()
            .map(|edit| edit.offset..edit.end().unwrap_or(u64::MAX))
            .collect();
        let touched = Touched::of(self.image, &edits, self.appended_at.clone());
        if let Some(Collision { offset, address }) = base_relocation(self.image, &touched) {
            return Err(Error::Relocated { offset, address });
        }
        if let Some(Collision { offset, address }) = dynamic_relocation(self.image, &touched) {
            return Err(Error::DynamicallyRelocated { offset, address });
        }
        Ok(())
    }

    /// Says which hashes over the image no longer hold.
    fn warn_of_hashes(&mut self) {
        let header = self.image.directory(DirectoryKind::Clr);
        let size = size_of::<pe::ImageCor20Header>() as u64;
        let header: Option<&pe::ImageCor20Header> = header
            .and_then(|directory| self.image.bytes_at(directory.address.into(), size))
            .and_then(|bytes| bytes::at(bytes, 0));
        let signed = pe::COMIMAGE_FLAGS_STRONGNAMESIGNED.0;
        if header.is_some_and(|header| header.flags.get(LE).0 & signed != 0) {
            self.warn(Warning::StrongNameInvalid);
        }
    }
}
