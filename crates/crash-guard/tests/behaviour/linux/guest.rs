//! Guests: compiled once by the harness, opened by the case's process.

use std::ffi::{CString, c_void};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A loaded guest.
pub struct Guest {
    handle: *mut c_void,
    pub path: PathBuf,
}

pub type Function = unsafe extern "C-unwind" fn();
pub type Number = unsafe extern "C-unwind" fn() -> i32;

impl Guest {
    pub fn open(path: &Path) -> Self {
        let name = CString::new(path.to_str().unwrap()).unwrap();
        let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        assert!(!handle.is_null(), "{} does not load", path.display());
        Self { handle, path: path.to_owned() }
    }

    pub fn symbol(&self, name: &str) -> *mut c_void {
        let name = CString::new(name).unwrap();
        let symbol = unsafe { libc::dlsym(self.handle, name.as_ptr()) };
        assert!(!symbol.is_null(), "the guest has no {name:?}");
        symbol
    }

    pub fn function(&self, name: &str) -> Function {
        unsafe { std::mem::transmute(self.symbol(name)) }
    }

    pub fn number(&self, name: &str) -> Number {
        unsafe { std::mem::transmute(self.symbol(name)) }
    }

    /// Calls a function under a guard and expects it to fault.
    pub fn fault(&self, name: &str) -> crash_guard::Fault {
        let function = self.function(name);
        unsafe { crash_guard::call(|| function()) }.expect_err(name)
    }

    pub fn close(self) {
        assert_eq!(unsafe { libc::dlclose(self.handle) }, 0);
    }

    /// Where the guest's code is mapped.
    pub fn code(&self) -> Range<usize> {
        self.code_of("write_to_null")
    }

    /// The mapping that has a symbol.
    pub fn code_of(&self, symbol: &str) -> Range<usize> {
        let address = self.symbol(symbol) as usize;
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let range = |line: &str| {
            let (start, end) = line.split(' ').next()?.split_once('-')?;
            let number = |text| usize::from_str_radix(text, 16).ok();
            Some(number(start)?..number(end)?)
        };
        maps.lines().filter_map(range).find(|range| range.contains(&address)).unwrap()
    }
}

/// What is compiled for the cases.
pub const GUESTS: [Source; 5] = [
    Source { name: "guest_O0", file: "guest.cpp", optimisation: Some("-O0") },
    Source { name: "guest_O2", file: "guest.cpp", optimisation: Some("-O2") },
    Source { name: "constructor", file: "constructor.c", optimisation: Some("-O1") },
    Source { name: "cleanup", file: "cleanup.c", optimisation: Some("-O1") },
    Source { name: "foreign", file: "foreign.rs", optimisation: None },
];

pub struct Source {
    pub name: &'static str,
    file: &'static str,
    optimisation: Option<&'static str>,
}

impl Source {
    pub fn built(&self) -> PathBuf {
        directory().join(format!("lib{}.so", self.name))
    }

    /// Compiles, or says what was missing.
    pub fn build(&self) -> Result<(), String> {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/behaviour").join(self.file);
        std::fs::create_dir_all(directory()).unwrap();
        let built = self.built();
        let unfinished = built.with_extension(format!("{}.so", std::process::id()));
        let mut command = match self.optimisation {
            Some(optimisation) => {
                let mut command = Command::new(cxx(self.file.ends_with(".c")));
                command.args(["-shared", "-fPIC", "-g", "-w", optimisation, "-pthread"]);
                command.arg("-fexceptions");
                command
            }
            None => {
                let mut command =
                    Command::new(std::env::var("RUSTC").unwrap_or("rustc".to_owned()));
                command.args(["--crate-type", "cdylib", "--edition", "2024", "-g", "--target"]);
                command.arg(format!("{}-unknown-linux-gnu", std::env::consts::ARCH));
                command.arg(format!("-Clinker={}", cxx(true)));
                command
            }
        };
        let output = command.arg("-o").arg(&unfinished).arg(&source).output();
        let output = output.map_err(|error| format!("{}: {error}", command_name(&command)))?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        std::fs::rename(&unfinished, &built).unwrap();
        Ok(())
    }
}

/// Opens a guest that is not the case's own.
pub fn open(name: &str) -> Guest {
    Guest::open(&built(name))
}

pub fn built(name: &str) -> PathBuf {
    GUESTS.iter().find(|source| source.name == name).unwrap().built()
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("guests-{}", std::env::consts::ARCH))
}

/// The compiler for this program's own architecture, for C or for C++.
fn cxx(is_c: bool) -> String {
    let (variable, plain) = if is_c { ("CC", "gcc") } else { ("CXX", "g++") };
    std::env::var(variable).unwrap_or_else(|_| {
        if std::env::consts::ARCH == "aarch64" && is_emulated() {
            format!("aarch64-linux-gnu-{plain}")
        } else {
            plain.to_owned()
        }
    })
}

/// What this program itself runs under, as cargo was told.
pub fn runner() -> Option<Vec<String>> {
    let target = std::env::consts::ARCH.to_uppercase();
    let runner = std::env::var("RUNNER")
        .or_else(|_| std::env::var(format!("CARGO_TARGET_{target}_UNKNOWN_LINUX_GNU_RUNNER")))
        .ok()?;
    Some(runner.split_whitespace().map(str::to_owned).collect())
}

/// Whether an emulator runs this program.
pub fn is_emulated() -> bool {
    runner().is_some_and(|runner| runner[0].contains("qemu"))
}

fn command_name(command: &Command) -> String {
    command.get_program().to_string_lossy().into_owned()
}
