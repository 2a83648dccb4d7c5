//! What a reload pays for knowing that an image will load: guests of several sizes, made by the
//! compiler of this machine.

use std::hint::black_box;
use std::process::Command;

use criterion::{Criterion, criterion_group, criterion_main};
use elf_sections::{Expected, Image, LoadCopyOptions, plan_load_copy, verdict};

/// Name, and the source of a guest.
fn guests() -> Vec<(&'static str, String)> {
    let main = "int cr_main(void *context, int operation) { return operation; }\n";
    let padded =
        |bytes: usize| format!("{main}__attribute__((used)) char padding[{bytes}] = {{1}};\n");
    let relocated = |count: usize| {
        format!(
            "{main}int x; __attribute__((used)) int *words[{count}] = {{ [0 ... {}] = &x }};\n",
            count - 1
        )
    };
    let named = |count: usize| {
        let functions: String = (0..count)
            .map(|it| format!("int exported_function_{it}(void) {{ return {it}; }}\n"))
            .collect();
        format!("{main}{functions}")
    };
    vec![
        ("16 KB", main.to_owned()),
        ("1 MB", padded(1 << 20)),
        ("30 MB", padded(30 << 20)),
        ("100k relocations", relocated(100_000)),
        ("20k exported symbols", named(20_000)),
    ]
}

fn judge(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().unwrap();
    for (name, source) in guests() {
        let (input, output) = (directory.path().join("guest.c"), directory.path().join("guest.so"));
        std::fs::write(&input, source).unwrap();
        let status =
            Command::new("gcc").args(["-shared", "-fPIC", "-o"]).args([&output, &input]).status();
        if !status.is_ok_and(|status| status.success()) {
            eprintln!("skipped: gcc makes no {name} guest");
            continue;
        }
        let bytes = std::fs::read(&output).unwrap();
        let expected = Expected { entry: Some("cr_main"), ..Expected::native() };
        let options = LoadCopyOptions { defer_initializers: true, ..LoadCopyOptions::default() };
        let image = verdict(&bytes, &expected).complete().unwrap();
        let mut group = criterion.benchmark_group(name);
        group.bench_function("parse", |bencher| bencher.iter(|| Image::parse(black_box(&bytes))));
        group.bench_function("verdict", |bencher| {
            bencher.iter(|| verdict(black_box(&bytes), &expected));
        });
        group.bench_function("plan", |bencher| {
            bencher.iter(|| plan_load_copy(black_box(&image), &options));
        });
        group.finish();
    }
}

criterion_group!(benches, judge);
criterion_main!(benches);
