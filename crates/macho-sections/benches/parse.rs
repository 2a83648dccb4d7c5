//! What it costs to read the load commands of a mapped image, beside what `object` and `goblin`
//! take for theirs, and to find the module of an address.
//!
//! Images are made by the compiler of this machine; `MACHO_IMAGES` names others, one path after
//! the other with colons between.

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use macho_sections::sys::{Module, Registry};
use macho_sections::{Container, Image};

/// Thin images: name and bytes.
fn images(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let mut images = Vec::new();
    let paths = std::env::var_os("MACHO_IMAGES").unwrap_or_default();
    let named = std::env::split_paths(&paths).map(|path| (name(&path), path));
    for (name, path) in named.chain(made(directory)) {
        let bytes = std::fs::read(path).unwrap();
        match Container::parse(&bytes).unwrap() {
            Container::Thin(_) => images.push((name, bytes)),
            Container::Fat(fat) => {
                for slice in fat.slices {
                    images.push((format!("{name} {}", slice.cpu), slice.data.to_vec()));
                }
            }
        }
    }
    images
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn made(directory: &Path) -> Vec<(String, PathBuf)> {
    let source = directory.join("guest.c");
    let variables: String = (0..500)
        .map(|it| {
            format!("int variable_{it} = {it}; int f{it}(void) {{ return variable_{it}; }}\n")
        })
        .collect();
    std::fs::write(&source, variables).unwrap();
    let mut images = Vec::new();
    for (arch, fixups) in [("arm64", "-fixup_chains"), ("x86_64", "-no_fixup_chains")] {
        let object = directory.join(format!("{arch}.o"));
        let library = directory.join(format!("{arch}.dylib"));
        let target = format!("--target={arch}-apple-macos11");
        let mut compile = Command::new("clang-19");
        compile.args([&target, "-c", "-o"]).args([&object, &source]);
        let mut link = Command::new("ld64.lld-19");
        link.args(["-dylib", "-undefined", "dynamic_lookup", fixups, "-arch", arch])
            .args(["-platform_version", "macos", "11.0", "14.0", "-o"])
            .args([&library, &object]);
        let works = |command: &mut Command| command.status().is_ok_and(|status| status.success());
        if works(&mut compile) && works(&mut link) {
            images.push((format!("made {arch}"), library));
        } else {
            eprintln!("skipped: no clang-19 or ld64.lld-19 makes an image for {arch}");
        }
    }
    images
}

fn parse(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().unwrap();
    for (name, bytes) in images(directory.path()) {
        let mut group = criterion.benchmark_group(&name);
        group.bench_function("macho-sections", |bencher| {
            bencher.iter(|| Image::parse(black_box(&bytes)).unwrap());
        });
        group.bench_function("object", |bencher| {
            bencher.iter(|| object::File::parse(black_box(&*bytes)).unwrap());
        });
        group.bench_function("goblin", |bencher| {
            bencher.iter(|| goblin::mach::MachO::parse(black_box(&bytes), 0).unwrap());
        });
        group.bench_function("writable", |bencher| {
            let image = Image::parse(&bytes).unwrap();
            bencher.iter(|| black_box(&image).writable());
        });
        group.bench_function("verify the signature", |bencher| {
            let image = Image::parse(&bytes).unwrap();
            bencher.iter(|| black_box(&image).verify_signature().unwrap());
        });
        group.finish();
        ratio(&name, &bytes);
    }
}

/// The ratios, from turns taken one after the other so that a busy machine is as busy for all.
fn ratio(name: &str, bytes: &[u8]) {
    let mut times = [Duration::MAX; 3];
    for _ in 0..200 {
        let turn = |work: &dyn Fn()| {
            let start = Instant::now();
            (0..50).for_each(|_| work());
            start.elapsed()
        };
        let turns = [
            turn(&|| drop(black_box(Image::parse(black_box(bytes))))),
            turn(&|| drop(black_box(object::File::parse(black_box(bytes))))),
            turn(&|| drop(black_box(goblin::mach::MachO::parse(black_box(bytes), 0)))),
        ];
        for (time, turn) in times.iter_mut().zip(turns) {
            *time = turn.min(*time);
        }
    }
    let [ours, object, goblin] = times.map(|time| time.as_nanos() as f64 / 50.0);
    println!(
        "{name}: {ours:.0} ns; {:.2} of object's {object:.0}; goblin takes {:.1} times as long",
        ours / object,
        goblin / ours
    );
}

fn lookup(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().unwrap();
    let Some((_, bytes)) = images(directory.path()).into_iter().next() else { return };
    let registry = Registry::new();
    let base = |index: usize| 0x1_0000_0000 + index * 0x100_0000;
    for index in 0..1000 {
        registry.add(Module::new(&bytes, base(index), PathBuf::new()).unwrap());
    }
    let modules = registry.modules();
    let text = modules.iter().next().unwrap().section("__TEXT", "__text").unwrap().start - base(0);
    let mut group = criterion.benchmark_group("1000 modules");
    let mut index = 0;
    group.bench_function("module of an address", |bencher| {
        bencher.iter(|| {
            index = (index + 617) % 1000;
            modules.at(black_box(base(index) + text)).unwrap()
        });
    });
    group.bench_function("has the list changed", |bencher| {
        bencher.iter(|| black_box(&registry).generation() == modules.generation());
    });
    group.finish();
}

criterion_group!(benches, parse, lookup);
criterion_main!(benches);
