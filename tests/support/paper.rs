//! A sheet of paper that a guest writes on and its host reads.

use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use reloader::Plugin;

/// The sheet; keep it for longer than the plugin it is given to.
#[derive(Debug)]
pub struct Paper(Box<Sheet>);

/// `struct paper` of [`PEN`].
#[derive(Debug)]
#[repr(C)]
struct Sheet {
    used: AtomicUsize,
    text: [AtomicU8; ROOM],
}

const ROOM: usize = 65_536;

/// What a guest in C or C++ starts with to write on the paper: `paper = ctx->userdata`, then
/// `say("%d\n", x)`.
pub const PEN: &str = r#"
#include "reloader_guest.h"
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
struct paper { size_t used; char text[65536]; };
static struct paper *paper;
static inline void say(const char *format, ...) {
    va_list list;
    if (!paper) return;
    va_start(list, format);
    paper->used += (size_t)vsnprintf(paper->text + paper->used, sizeof paper->text - paper->used, format, list);
    va_end(list);
}
"#;

impl Paper {
    /// An empty one.
    #[expect(clippy::new_without_default, reason = "it is large")]
    pub fn new() -> Self {
        Self(Box::new(Sheet {
            used: AtomicUsize::new(0),
            text: std::array::from_fn(|_| AtomicU8::new(0)),
        }))
    }

    /// Lets the guest write on it.
    pub fn give_to(&self, plugin: &mut Plugin) {
        plugin.set_userdata((&raw const *self.0).cast_mut().cast());
    }

    /// What is written on it, which is wiped away.
    pub fn take(&self) -> String {
        let used = self.0.used.swap(0, Ordering::Relaxed).min(ROOM);
        let text = self.0.text[..used].iter().map(|byte| byte.load(Ordering::Relaxed)).collect();
        String::from_utf8(text).unwrap()
    }
}
