use crate::sys;

/// Which signal mask the caller has after a fault. Whatever is chosen, the fault signals
/// themselves are never blocked afterwards.
///
/// Asking the kernel for the mask costs more than twenty guarded calls, so the default does not
/// ask each time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mask {
    /// The mask the thread had when it opened its first guard, or last called
    /// [`remember_mask`]: right whatever the guest did to the mask, and
    /// inside the guest's own signal handlers, as long as the host has not itself changed the
    /// thread's mask in between. A host that does, and a guard opened inside a signal handler,
    /// want [`Mask::Entry`].
    #[default]
    Remembered,
    /// Exactly the mask at this guard's entry; one system call per guarded call.
    Entry,
    /// The mask at the faulting instruction: right as long as the guest leaves the mask alone.
    AtFault,
}

/// Takes the calling thread's signal mask as the one [`Mask::Remembered`] restores from now on,
/// for a host that has changed the mask since the thread's first guard.
pub fn remember_mask() {
    sys::remember_mask();
}
