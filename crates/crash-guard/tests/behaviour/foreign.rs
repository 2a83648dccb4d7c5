//! A guest with a Rust runtime of its own.

#[unsafe(no_mangle)]
pub extern "C-unwind" fn foreign_panic() {
    std::panic::set_hook(Box::new(|_| {}));
    panic!("a panic of another runtime");
}

#[unsafe(no_mangle)]
pub extern "C" fn foreign_panic_that_cannot_unwind() {
    std::panic::set_hook(Box::new(|_| {}));
    panic!("a panic at the edge of C");
}
