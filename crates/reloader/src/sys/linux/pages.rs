//! Whole pages of memory that change hands.
//!
//! A large state needs as much new memory in each version, and new memory costs several times what
//! copying into memory at hand does. So the pages of a retired version's state become those of the
//! next version's.

use std::ops::Range;
use std::ptr;

use super::memory::page_size;

/// Anonymous memory that was the state of a retired version.
#[derive(Debug)]
pub(crate) struct Spare(Range<usize>);

/// What is too small for this.
const WORTHWHILE: usize = 1 << 20;

/// Gives `place`, memory of an image that is about to be overwritten as a whole, other pages: those
/// of `spare` as far as they go, and anonymous ones for the rest. Says whether it has them now; if
/// not, the old ones serve as well.
pub(crate) fn renew(place: &Range<usize>, spare: &mut Option<Spare>) -> bool {
    let pages = whole_pages(place);
    if pages.len() < WORTHWHILE {
        return false;
    }
    // SAFETY: the pages lie inside one variable of the state of a version that is mapped and does
    // not run, and every byte of them is about to be overwritten; nobody else knows of the spare
    // pages.
    unsafe {
        let fresh = libc::mmap(
            pages.start as *mut _,
            pages.len(),
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED,
            -1,
            0,
        );
        if fresh == libc::MAP_FAILED {
            return false;
        }
        if let Some(spare) = spare.take() {
            let length = spare.0.len().min(pages.len());
            let moved = libc::mremap(
                spare.0.start as *mut _,
                length,
                length,
                libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED,
                pages.start as *mut libc::c_void,
            );
            if moved != libc::MAP_FAILED {
                // Only what was not moved is still the spare's.
                let rest = Spare(spare.0.start + length..spare.0.end);
                std::mem::forget(spare);
                drop(rest);
            }
        }
    }
    true
}

/// Takes the pages that [`renew`] gave to `place`, which nobody will touch again.
pub(crate) fn salvage(place: &Range<usize>) -> Option<Spare> {
    let pages = whole_pages(place);
    // SAFETY: the version that the pages belong to is about to be unmapped; a hole in it is nothing
    // to `munmap`.
    let moved = unsafe {
        // Moved onto memory reserved for it, because without an address the kernel would only
        // confirm the old one.
        let reserved = libc::mmap(
            ptr::null_mut(),
            pages.len(),
            libc::PROT_NONE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            -1,
            0,
        );
        if reserved == libc::MAP_FAILED {
            return None;
        }
        libc::mremap(
            pages.start as *mut _,
            pages.len(),
            pages.len(),
            libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED,
            reserved,
        )
    };
    (moved != libc::MAP_FAILED).then(|| {
        let start = moved as usize;
        Spare(start..start + pages.len())
    })
}

impl Drop for Spare {
    fn drop(&mut self) {
        if !self.0.is_empty() {
            // SAFETY: the pages are the spare's alone.
            unsafe { libc::munmap(self.0.start as *mut _, self.0.len()) };
        }
    }
}

fn whole_pages(place: &Range<usize>) -> Range<usize> {
    let page = page_size();
    let start = place.start.next_multiple_of(page);
    start..(place.end & !(page - 1)).max(start)
}
