use object::{Object as _, ObjectSection as _, ObjectSymbol as _, SectionFlags};
use std::{
    ffi::{CStr, CString, c_char, c_int, c_uint, c_void},
    fs,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    ptr::null_mut,
};

/// `struct cr_plugin`, written down a second time.
#[repr(C)]
pub struct Plugin {
    pub p: *mut c_void,
    pub userdata: *mut c_void,
    pub version: c_uint,
    pub failure: c_int,
    pub next_version: c_uint,
    pub last_working_version: c_uint,
}

pub fn plugin() -> Plugin {
    Plugin {
        p: null_mut(),
        userdata: null_mut(),
        version: 21,
        failure: 0,
        next_version: 23,
        last_working_version: 20,
    }
}

/// A loaded guest.
pub struct Guest {
    path: PathBuf,
    handle: *mut c_void,
    main: unsafe extern "C" fn(*mut Plugin, c_int) -> c_int,
}

impl Guest {
    /// Loads a copy of the file under the name of the test, because the loader knows an image by
    /// its file.
    pub fn load(file: &Path, test: &str) -> Self {
        let path = file.with_file_name(format!("{test}.so"));
        let _ = fs::remove_file(&path);
        fs::copy(file, &path).unwrap();
        let handle = open(&path, libc::RTLD_NOW | libc::RTLD_LOCAL);
        assert!(!handle.is_null(), "{}", error());
        // SAFETY: the handle is open, the name ends in NUL.
        let main = unsafe { libc::dlsym(handle, c"cr_main".as_ptr()) };
        assert!(!main.is_null(), "{}", error());
        // SAFETY: a guest's `cr_main` has this type.
        let main = unsafe {
            std::mem::transmute::<*mut c_void, unsafe extern "C" fn(*mut Plugin, c_int) -> c_int>(
                main,
            )
        };
        Self { path, handle, main }
    }

    pub fn call(&self, plugin: &mut Plugin, operation: c_int) -> c_int {
        // SAFETY: the plugin is valid for the call.
        unsafe { (self.main)(plugin, operation) }
    }

    pub fn call_without_plugin(&self) -> c_int {
        // SAFETY: the guests under test accept null.
        unsafe { (self.main)(null_mut(), 1) }
    }

    /// Where the state variable lies in memory.
    pub fn variable(&self, name: &str) -> *mut c_void {
        let symbols = state(&self.path);
        let address = symbols.iter().find(|symbol| symbol.name.contains(name)).unwrap().address;
        let data = fs::read(&self.path).unwrap();
        let file = object::File::parse(&*data).unwrap();
        let main = file.symbols().find(|symbol| symbol.name() == Ok("cr_main")).unwrap().address();
        let bias = (self.main as usize).wrapping_sub(main as usize);
        std::ptr::with_exposed_provenance_mut(bias.wrapping_add(address as usize))
    }

    /// Unloads the guest and says whether its image is gone.
    pub fn unload(self) -> bool {
        // SAFETY: the handle is open, and nothing of the guest is used any more.
        assert_eq!(unsafe { libc::dlclose(self.handle) }, 0, "{}", error());
        open(&self.path, libc::RTLD_NOW | libc::RTLD_NOLOAD).is_null()
    }
}

/// A symbol in the section of state variables.
#[derive(Clone, Debug, PartialEq)]
pub struct Variable {
    pub name: String,
    pub address: u64,
    pub size: u64,
}

/// The symbols in the state section of an image or an object file, by name.
///
/// Linkers may put marks of their own there, such as `__TMC_END__`; these have no size. Nor has any
/// symbol in the object files of Apple's systems and Windows, where formats do not record it.
pub fn state(path: &Path) -> Vec<Variable> {
    let data = fs::read(path).unwrap();
    let file = object::File::parse(&*data).unwrap();
    let section = file
        .sections()
        .find(|section| matches!(section.name(), Ok(".state" | "__state")))
        .unwrap_or_else(|| panic!("{}: no state section", path.display()));
    let writable = match section.flags() {
        SectionFlags::Elf { sh_flags, .. } => sh_flags.contains(object::elf::SHF_WRITE),
        SectionFlags::Coff { characteristics } => {
            characteristics.contains(object::pe::IMAGE_SCN_MEM_WRITE)
        }
        _ => section.segment_name() == Ok(Some("__DATA")),
    };
    assert!(writable, "{}: the state section is read-only", path.display());
    let mut symbols: Vec<_> = file
        .symbols()
        .filter(|symbol| symbol.section_index() == Some(section.index()))
        .filter(|symbol| symbol.kind() == object::SymbolKind::Data)
        .map(|symbol| Variable {
            name: symbol.name().unwrap().into(),
            address: symbol.address(),
            size: symbol.size(),
        })
        .collect();
    symbols.sort_by(|a, b| a.name.cmp(&b.name));
    symbols
}

fn open(path: &Path, flags: c_int) -> *mut c_void {
    let path = CString::new(path.as_os_str().as_bytes()).unwrap();
    // SAFETY: the path ends in NUL; the constructors of the guests under test are harmless.
    unsafe { libc::dlopen(path.as_ptr(), flags) }
}

fn error() -> String {
    // SAFETY: called after a failed call of the same thread, so that the result is a string or
    // null.
    let message: *const c_char = unsafe { libc::dlerror() };
    if message.is_null() {
        return "no message".into();
    }
    // SAFETY: not null, and valid until the next call.
    unsafe { CStr::from_ptr(message) }.to_string_lossy().into_owned()
}
