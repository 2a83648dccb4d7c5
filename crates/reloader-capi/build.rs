//! Gives the library the name by which programs ask for it.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux") {
        // It changes with the first number of the version that says that programs must change.
        println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libreloader.so.0");
    }
}
