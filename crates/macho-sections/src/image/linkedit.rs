//! What the load commands say about tables behind the segments.

use super::{Image, file_range};
use crate::command::{Command, CommandKind};
use crate::{Error, Structure};

impl<'data> Image<'data> {
    /// The first load command of a kind.
    pub fn command(&self, kind: CommandKind) -> Option<Command<'data>> {
        self.commands().find(|command| command.kind == kind)
    }

    /// Offset and size from a `linkedit_data_command`. `None` for an image without such a command.
    pub(crate) fn linkedit(&self, kind: CommandKind) -> Option<(u64, u64)> {
        let command = self.command(kind)?;
        self.pair(&command, 8)
    }

    /// Two words of a command, usually an offset and a size.
    pub(crate) fn pair(&self, command: &Command<'_>, at: usize) -> Option<(u64, u64)> {
        let (first, second) = command.bytes.get(at..)?.split_at_checked(4)?;
        Some((u64::from(self.layout.u32(first)?), u64::from(self.layout.u32(second)?)))
    }

    /// The bytes of a table.
    pub(crate) fn table(
        &self,
        structure: Structure,
        (offset, size): (u64, u64),
    ) -> Result<&'data [u8], Error> {
        file_range(structure, self.data, offset, size)
    }
}
