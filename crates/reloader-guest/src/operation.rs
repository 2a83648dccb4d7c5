use std::ffi::c_int;

/// What the host asks of the guest in one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// This version was just loaded: the first one, a new one, or an old one after a rollback.
    /// State is in place.
    Load,
    /// The host's regular call.
    Step,
    /// Another version is about to take over. What must outlive this one goes into state or
    /// userdata now.
    Unload,
    /// The host is done with the guest for good.
    Close,
    /// A number this crate does not know, from a host that is newer than the guest.
    Other(i32),
}

impl Operation {
    pub(crate) const fn from_code(code: c_int) -> Self {
        match code {
            0 => Self::Load,
            1 => Self::Step,
            2 => Self::Unload,
            3 => Self::Close,
            other => Self::Other(other),
        }
    }
}
