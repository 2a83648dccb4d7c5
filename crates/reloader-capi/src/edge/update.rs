//! The one function that hosts call all the time.
//!
//! It does without what the other functions share, and everything but the guarded call itself is a
//! few comparisons; what these lead to is out of line.

use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};

use reloader::Context;

use super::handle::{Handle, busy};
use super::{DEFECT, null};
use crate::plugin::NOTHING_RAN;
use crate::status::Problem;
use crate::text::say;

#[unsafe(no_mangle)]
pub unsafe extern "C" fn reloader_update(
    plugin: *mut Handle,
    context: *mut Context,
    check: c_int,
) -> c_int {
    let update = || {
        // SAFETY: the header asks for an open plugin or null.
        let Some(handle) = (unsafe { plugin.as_ref() }) else {
            return refused(&null("plugin"));
        };
        if !handle.enter() {
            return refused(&busy());
        }
        // SAFETY: it was not busy, and no other thread uses it; the header asks for a context that
        // stays valid.
        let value = unsafe {
            let body = &mut *handle.body.get();
            if !context.is_null() {
                body.plugin.plugin.lend_context(context);
            }
            body.plugin.update(check != 0)
        };
        handle.leave();
        value
    };
    match catch_unwind(AssertUnwindSafe(update)) {
        Ok(value) => value,
        Err(_) => {
            // SAFETY: only what was entered panics, and that is not null.
            unsafe { (*plugin).leave() };
            say(DEFECT);
            NOTHING_RAN
        }
    }
}

#[cold]
fn refused(problem: &Problem) -> c_int {
    say(&problem.message);
    NOTHING_RAN
}
