//! How the inline parts of a fault are filled in. Usable in the handler.

use crate::{Exception, Held, Registers, ReturnAddresses, Taint};

impl Registers {
    pub(super) const NONE: Self = Self { values: [0; Self::MOST], count: 0 };

    pub(super) fn new(values: &[u64]) -> Self {
        let mut registers = Self::NONE;
        for (slot, value) in registers.values.iter_mut().zip(values) {
            *slot = *value;
            registers.count += 1;
        }
        registers
    }
}

impl ReturnAddresses {
    pub(super) const NONE: Self = Self { addresses: [0; Self::MOST], count: 0 };

    /// Adds an address and says whether there was room.
    pub(super) fn push(&mut self, address: usize) -> bool {
        let Some(slot) = self.addresses.get_mut(usize::from(self.count)) else { return false };
        *slot = address;
        self.count += 1;
        true
    }
}

impl Taint {
    /// Nothing is known about any lock.
    pub(super) const UNKNOWN: Self =
        Self { heap: Held::Unknown, stdio: Held::Unknown, loader: Held::Unknown };
}

impl Exception {
    pub(super) fn new(class: u64) -> Self {
        Self { class, name: [0; Self::LONGEST], length: 0 }
    }

    /// Takes the bytes of a C string, up to its end or as many as fit.
    pub(super) fn set_type_name(&mut self, bytes: &[u8]) {
        let length = bytes.iter().take(Self::LONGEST).take_while(|byte| **byte != 0).count();
        self.name[..length].copy_from_slice(&bytes[..length]);
        self.length = length as u8;
    }
}
