#![allow(unsafe_code, reason = "calls into the libraries that the tests load")]

use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use elf_sections::sys::{self, Module};

/// A library that is loaded for as long as the value lives.
pub struct Loaded(*mut c_void);

/// What a guest says of one of its variables: what it is, where it is, and how large.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    pub what: String,
    pub start: usize,
    pub size: usize,
}

impl Loaded {
    pub fn open(path: &Path) -> Result<Loaded, String> {
        let path = CString::new(path.as_os_str().as_bytes()).unwrap();
        // SAFETY: the path is a C string, and the guests' constructors only set variables.
        let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        if handle.is_null() {
            // SAFETY: after a failure dlerror returns a C string of this thread.
            let error = unsafe { CStr::from_ptr(libc::dlerror()) };
            return Err(error.to_string_lossy().into_owned());
        }
        Ok(Loaded(handle))
    }

    fn symbol(&self, name: &CStr) -> *mut c_void {
        // SAFETY: the handle is open and the name is a C string.
        let address = unsafe { libc::dlsym(self.0, name.as_ptr()) };
        assert!(!address.is_null(), "{name:?}");
        address
    }

    /// Calls a function that takes nothing and returns an int.
    pub fn call(&self, name: &CStr) -> i32 {
        // SAFETY: the guests' functions that tests call by name are of this type.
        let function: extern "C" fn() -> i32 = unsafe { std::mem::transmute(self.symbol(name)) };
        function()
    }

    /// What the guest's function `tell` says.
    pub fn told(&self) -> Vec<Said> {
        type Say = extern "C" fn(*const c_char, *const c_void, usize);
        // SAFETY: the guests define it so.
        let tell: extern "C" fn(Say) = unsafe { std::mem::transmute(self.symbol(c"tell")) };
        TOLD.take();
        tell(say);
        TOLD.take()
    }

    pub fn module(&self) -> Module {
        // SAFETY: the handle is open, and `self` keeps it so.
        unsafe { sys::module_by_handle(self.0) }.unwrap()
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        // SAFETY: the handle is open and this closes it once.
        unsafe { libc::dlclose(self.0) };
    }
}

thread_local! {
    static TOLD: RefCell<Vec<Said>> = const { RefCell::new(Vec::new()) };
}

extern "C" fn say(what: *const c_char, start: *const c_void, size: usize) {
    // SAFETY: guests pass literals.
    let what = unsafe { CStr::from_ptr(what) }.to_str().unwrap().to_owned();
    TOLD.with_borrow_mut(|told| told.push(Said { what, start: start as usize, size }));
}
