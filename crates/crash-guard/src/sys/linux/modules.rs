//! What the loader says about addresses. None of this is for the handler.

use core::ffi::{c_int, c_void};
use core::mem::MaybeUninit;
use core::ops::Range;

/// Where the module is loaded that has an address.
pub(super) fn base(address: usize) -> Option<usize> {
    module_around(address).map(|module| module.dli_fbase as usize)
}

/// The executable segment that has an address.
pub(super) fn text_around(address: usize) -> Option<Range<usize>> {
    let mut found = None;
    each(&mut |module| {
        for (range, flags) in segments(module) {
            if flags & libc::PF_X != 0 && range.contains(&address) {
                found = Some(range);
            }
        }
    });
    found
}

/// Keeps the module that has an address loaded. The main program needs it not, and the loader
/// then finds nothing to keep.
pub(super) fn keep(address: usize) {
    if let Some(module) = module_around(address) {
        let flags = libc::RTLD_NOLOAD | libc::RTLD_NODELETE | libc::RTLD_LAZY;
        // SAFETY: opens a module that is loaded already; its name is the loader's own.
        unsafe { libc::dlopen(module.dli_fname, flags) };
    }
}

/// Every module of the process.
#[cfg(feature = "symbolize")]
pub(crate) fn modules() -> Vec<crate::symbolize::Module> {
    use std::os::unix::ffi::OsStrExt;

    let mut modules = Vec::new();
    each(&mut |module| {
        // SAFETY: the loader's name of a module is a C string that lives as long as the module.
        let name = unsafe { core::ffi::CStr::from_ptr(module.dlpi_name) };
        let path = if name.is_empty() && modules.is_empty() {
            // The main program comes first and has no name.
            std::env::current_exe().unwrap_or_default()
        } else {
            std::ffi::OsStr::from_bytes(name.to_bytes()).into()
        };
        modules.push(crate::symbolize::Module {
            path,
            bias: module.dlpi_addr as usize,
            segments: segments(module).map(|(range, _)| range).collect(),
        });
    });
    modules
}

/// The name of the exported function that has an address, as the compiler mangled it.
#[cfg(feature = "symbolize")]
pub(crate) fn exported_symbol(address: usize) -> Option<String> {
    let module = module_around(address)?;
    if module.dli_sname.is_null() {
        return None;
    }
    // SAFETY: the name is a C string in the module's symbol table.
    let name = unsafe { core::ffi::CStr::from_ptr(module.dli_sname) };
    Some(name.to_string_lossy().into_owned())
}

fn module_around(address: usize) -> Option<libc::Dl_info> {
    let mut module = MaybeUninit::<libc::Dl_info>::zeroed();
    // SAFETY: looks an address up and writes `module`, which may be all zeros.
    unsafe {
        (libc::dladdr(address as *const c_void, module.as_mut_ptr()) != 0)
            .then(|| module.assume_init())
    }
}

/// The loaded segments of a module, with their flags.
fn segments(module: &libc::dl_phdr_info) -> impl Iterator<Item = (Range<usize>, u32)> {
    let base = module.dlpi_addr as usize;
    // SAFETY: the loader passes the module's program headers and their number.
    let headers =
        unsafe { core::slice::from_raw_parts(module.dlpi_phdr, usize::from(module.dlpi_phnum)) };
    headers.iter().filter(|header| header.p_type == libc::PT_LOAD).map(move |header| {
        let start = base.wrapping_add(header.p_vaddr as usize);
        (start..start.saturating_add(header.p_memsz as usize), header.p_flags)
    })
}

fn each(look: &mut dyn FnMut(&libc::dl_phdr_info)) {
    unsafe extern "C" fn call(
        module: *mut libc::dl_phdr_info,
        _: usize,
        look: *mut c_void,
    ) -> c_int {
        // SAFETY: the loader passes a live module, and `look` is what `each` was given.
        unsafe { (*look.cast::<&mut dyn FnMut(&libc::dl_phdr_info)>())(&*module) };
        0
    }

    let mut look = look;
    // SAFETY: `call` is called before `dl_iterate_phdr` returns. A panic in `look` would end the
    // process at the edge of `call`, not unwind through the loader.
    unsafe { libc::dl_iterate_phdr(Some(call), (&raw mut look).cast()) };
}
