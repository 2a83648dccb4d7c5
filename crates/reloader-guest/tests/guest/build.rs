use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// A package of its own with the given `src/lib.rs`, in a directory that only this name uses.
pub struct Package {
    name: String,
    directory: PathBuf,
}

impl Package {
    pub fn new(name: &str, source: &str) -> Self {
        let directory = scratch(name);
        let package = Self { name: name.into(), directory };
        let manifest = format!(
            "[package]\nname = {name:?}\nversion = \"0.1.0\"\nedition = \"2024\"\n\
             [lib]\ncrate-type = [\"cdylib\", \"rlib\"]\n\
             [dependencies]\nreloader-guest = {{ path = {:?} }}\n[workspace]\n",
            env!("CARGO_MANIFEST_DIR"),
        );
        fs::create_dir_all(package.directory.join("src")).unwrap();
        fs::write(package.directory.join("Cargo.toml"), manifest).unwrap();
        package.write(source);
        package
    }

    pub fn write(&self, source: &str) {
        fs::write(self.directory.join("src/lib.rs"), source).unwrap();
    }

    /// The optimised library, or what the compiler said.
    pub fn build(&self) -> Result<PathBuf, String> {
        self.cargo(["build"], [])?;
        Ok(self.target().join(format!("release/lib{}.so", self.name)))
    }

    /// The object file for another target; no linker needed.
    pub fn object(&self, target: &str) -> PathBuf {
        let path = self.directory.join(format!("{target}.o"));
        let emit = format!("--emit=obj={}", path.display());
        self.cargo(
            ["rustc", "--crate-type=rlib", "--target", target],
            ["--", "-Ccodegen-units=1", &emit],
        )
        .unwrap();
        path
    }

    fn cargo<const N: usize, const M: usize>(
        &self,
        command: [&str; N],
        compiler: [&str; M],
    ) -> Result<(), String> {
        let output = Command::new(env!("CARGO"))
            .args(command)
            .args(["--release", "--offline", "--manifest-path"])
            .arg(self.directory.join("Cargo.toml"))
            .arg("--target-dir")
            .arg(self.target())
            .args(compiler)
            .env_remove("CARGO_BUILD_TARGET")
            .output()
            .unwrap();
        if output.status.success() {
            Ok(())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    fn target(&self) -> PathBuf {
        self.directory.join("target")
    }
}

/// A directory for one test's files, which later runs use again.
pub fn scratch(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&directory).unwrap();
    directory
}

/// Whether the tool is there. If not, the test says that it was skipped, or fails under
/// `REQUIRE_TOOLS=1`.
pub fn available(tool: &str, found: bool) -> bool {
    if !found {
        assert_ne!(env::var("REQUIRE_TOOLS").as_deref(), Ok("1"), "{tool} is missing");
        eprintln!("skipped: {tool} is missing");
    }
    found
}

pub fn compiler_available(compiler: &str) -> bool {
    let found = Command::new(compiler).arg("--version").output().is_ok();
    available(compiler, found)
}

pub fn target_available(target: &str) -> bool {
    let output =
        Command::new("rustc").args(["--print", "target-libdir", "--target", target]).output();
    let found = output
        .is_ok_and(|output| Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir());
    available(target, found)
}
