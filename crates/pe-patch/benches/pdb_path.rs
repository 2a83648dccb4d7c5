//! What another PDB path costs, for a large image and a small one: reading the debug entries,
//! patching in place, and patching a copy with the checksum kept right; beside other readers, a
//! bare copy and, where a Python with it is found, LIEF.
//!
//! `LIEF_PYTHON=/path/to/python cargo bench -p pe-patch --bench pdb_path`

use std::fs::File;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use criterion::BatchSize::PerIteration;
use criterion::Criterion;
use memmap2::Mmap;
use patch_plan::{Durability, Plan, WriteOptions};
use pe_patch::{Image, KnownSum, PdbPathOptions, Sum, plan_pdb_path};

fn main() {
    if let Some(path) = std::env::var_os(CHILD) {
        child(Path::new(&path));
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let [small, large] = [1, 95].map(|megabytes| {
        let path = directory.path().join(format!("{megabytes}.dll"));
        std::fs::write(&path, image(megabytes << 20)).unwrap();
        (format!("{megabytes} MB"), path)
    });
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3))
        .sample_size(20)
        .configure_from_args();
    for (name, path) in [&small, &large] {
        reading(&mut criterion, name, path);
        in_place(&mut criterion, name, path);
    }
    copying(&mut criterion, &large.0, &large.1, directory.path());
    criterion.final_summary();

    ratios(&large.1, directory.path());
    sizes(&small.1, directory.path());
    blocks(&small.1, &large.1);
    memory(&large.1);
    let sparse = directory.path().join("1000.dll");
    std::fs::copy(&large.1, &sparse).unwrap();
    File::options().write(true).open(&sparse).unwrap().set_len(1000 << 20).unwrap();
    memory(&sparse);
    lief(&large.1, directory.path());
}

fn reading(criterion: &mut Criterion, name: &str, path: &Path) {
    let mapping = mapped::map(path);
    let mut group = criterion.benchmark_group(format!("debug entries of {name}"));
    group.bench_function("pe-patch", |bencher| bencher.iter(|| ours(black_box(&mapping))));
    group.bench_function("goblin", |bencher| bencher.iter(|| with_goblin(black_box(&mapping))));
    group.bench_function("object", |bencher| bencher.iter(|| with_object(black_box(&mapping))));
    group.finish();
}

fn ours(bytes: &[u8]) -> usize {
    Image::parse(bytes).unwrap().debug_entries().len()
}

fn with_goblin(bytes: &[u8]) -> Option<usize> {
    Some(
        goblin::pe::PE::parse(bytes).unwrap().debug_data?.codeview_pdb70_debug_info?.filename.len(),
    )
}

fn with_object(bytes: &[u8]) -> usize {
    use object::Object;
    object::read::pe::PeFile64::parse(bytes).unwrap().pdb_info().unwrap().unwrap().path().len()
}

fn in_place(criterion: &mut Criterion, name: &str, path: &Path) {
    let mut group = criterion.benchmark_group(format!("in place, {name}"));
    let file = File::options().read(true).write(true).open(path).unwrap();
    let (mut turn, options) = (0_u32, trusting());
    group.bench_function("plan and write", |bencher| {
        bencher.iter(|| {
            turn += 1;
            change_in_place(&file, path, turn, &options);
        });
    });
    group.finish();
}

/// Maps the file, plans another path of the same length, and writes it into the file.
fn change_in_place(file: &File, path: &Path, turn: u32, options: &PdbPathOptions) {
    let mapping = mapped::map(path);
    let image = Image::parse(&mapping).unwrap();
    let planned = plan_pdb_path(&image, &new_path(turn), options).unwrap();
    planned.plan.apply_to_file(file, path).unwrap();
}

fn new_path(turn: u32) -> String {
    format!("C:\\build\\game_{turn:010}.pdb")
}

fn trusting() -> PdbPathOptions {
    PdbPathOptions { sum: KnownSum::Trust, ..PdbPathOptions::default() }
}

fn copying(criterion: &mut Criterion, name: &str, path: &Path, directory: &Path) {
    let mut group = criterion.benchmark_group(format!("copy of {name}"));
    let target = directory.join("copy.dll");
    group.bench_function("copy and sum", |bencher| {
        bencher.iter_batched(|| remove(&target), |()| bare_copy(path, &target), PerIteration);
    });
    group.bench_function("pe-patch, longer path", |bencher| {
        bencher.iter_batched(|| remove(&target), |()| patched_copy(path, &target), PerIteration);
    });
    group.finish();
}

/// Each copy is a new file: giving the blocks of an old one back takes as long as copying.
fn remove(target: &Path) {
    let _ = std::fs::remove_file(target);
}

/// The least that a copy with a right checksum can do.
fn bare_copy(path: &Path, target: &Path) -> u64 {
    let sum = Sum::read(File::open(path).unwrap()).unwrap();
    std::fs::copy(path, target).unwrap();
    sum.length()
}

/// A path that needs a new section, and the checksum verified and kept right.
fn patched_copy(path: &Path, target: &Path) {
    let sum = Sum::read(File::open(path).unwrap()).unwrap();
    let mapping = mapped::map(path);
    let image = Image::parse(&mapping).unwrap();
    let options = PdbPathOptions {
        sum: KnownSum::Computed(sum.checksum(image.stored_checksum())),
        ..PdbPathOptions::default()
    };
    let new = format!("C:\\{}\\game.pdb", "directory\\".repeat(300));
    let planned = plan_pdb_path(&image, &new, &options).unwrap();
    let write = WriteOptions { durability: Durability::Cached, ..WriteOptions::default() };
    planned.plan.write_file(path, target, &write).unwrap();
}

/// The figures that are promised as ratios, taken in turns so that both see the same machine.
fn ratios(path: &Path, directory: &Path) {
    let mapping = mapped::map(path);
    let mut entries = || {
        black_box(ours(&mapping));
    };
    let mut goblins = || {
        black_box(with_goblin(&mapping));
    };
    let [ours, goblin] = in_turns(200, || {}, &mut [&mut entries, &mut goblins]);
    println!("debug entries: {ours:?}, goblin {goblin:?}: {:.0} times", ratio(goblin, ours));
    let target = directory.join("ratio.dll");
    let mut bare = || {
        black_box(bare_copy(path, &target));
    };
    let mut patched = || patched_copy(path, &target);
    let [bare, patched] = in_turns(15, || remove(&target), &mut [&mut bare, &mut patched]);
    println!("copy and sum: {bare:?}, patched copy {patched:?}: {:.2} times", ratio(patched, bare));
}

/// An image with the same relocations in files of 1, 95 and 1,000 MB: planned, and changed in place.
fn sizes(path: &Path, directory: &Path) {
    let files = [1_u64, 95, 1000].map(|megabytes| {
        let target = directory.join(format!("{megabytes}-grown.dll"));
        std::fs::copy(path, &target).unwrap();
        let file = File::options().read(true).write(true).open(&target).unwrap();
        file.set_len(file.metadata().unwrap().len().max(megabytes << 20)).unwrap();
        (file, target)
    });
    let plans = files.each_ref().map(|(_, path)| {
        let mapping = mapped::map(path);
        move || {
            let image = Image::parse(black_box(&mapping)).unwrap();
            black_box(plan_pdb_path(&image, &new_path(u32::MAX), &trusting()).unwrap());
        }
    });
    of_sizes("a plan, checksum trusted", plans);
    of_sizes("mapped, planned, written; checksum trusted", changes(&files, &trusting()));
    for (file, path) in &files {
        let mut none = Plan::new();
        let stored = Image::parse(&mapped::map(path)).unwrap().stored_checksum();
        none.edit(stored.offset, stored.value.to_le_bytes(), [0; 4]).unwrap();
        none.apply_to_file(file, path).unwrap();
    }
    of_sizes("mapped, planned, written; no checksum", changes(&files, &Default::default()));
}

fn changes(files: &[(File, PathBuf); 3], options: &PdbPathOptions) -> [impl FnMut(); 3] {
    files.each_ref().map(|(file, path)| {
        let mut turn = 0_u32;
        move || {
            turn += 1;
            change_in_place(file, path, turn, options);
        }
    })
}

fn of_sizes(what: &str, tasks: [impl FnMut(); 3]) {
    let [mut small, mut middle, mut large] = tasks;
    let [small, middle, large] = in_turns(2000, || {}, &mut [&mut small, &mut middle, &mut large]);
    println!(
        "{what}, the same relocations: 1 MB {small:?}; 95 MB {middle:?}, {:.2} times; \
         1,000 MB {large:?}, {:.2} times",
        ratio(middle, small),
        ratio(large, small)
    );
}

/// What a plan costs for each block of relocations: two images with theirs, and without.
fn blocks(small: &Path, large: &Path) {
    for path in [small, large] {
        let with = std::fs::read(path).unwrap();
        let size = RELOCATIONS_SIZE..RELOCATIONS_SIZE + 4;
        let table = u32::from_le_bytes(with[size.clone()].try_into().unwrap());
        let mut without = with.clone();
        without[size].fill(0);
        let [mut with, mut without] = [with, without].map(|bytes| {
            move || {
                let image = Image::parse(black_box(&bytes)).unwrap();
                black_box(plan_pdb_path(&image, &new_path(1), &trusting()).unwrap());
            }
        });
        let [with, without] = in_turns(1000, || {}, &mut [&mut with, &mut without]);
        let blocks = table / BLOCK_SIZE;
        println!(
            "a plan with {blocks} blocks of relocations: {with:?}, without {without:?}: {:.2} ns a block",
            with.saturating_sub(without).as_nanos() as f64 / f64::from(blocks)
        );
    }
}

fn ratio(one: Duration, two: Duration) -> f64 {
    one.as_secs_f64() / two.as_secs_f64()
}

/// The median time of each task; `before` each run is not counted.
fn in_turns<const N: usize>(
    count: usize,
    before: impl Fn(),
    tasks: &mut [&mut dyn FnMut(); N],
) -> [Duration; N] {
    let mut times = [const { Vec::new() }; N];
    for _ in 0..count {
        for (task, times) in tasks.iter_mut().zip(&mut times) {
            before();
            let start = Instant::now();
            task();
            times.push(start.elapsed());
        }
    }
    times.map(|mut times| {
        times.sort_unstable();
        times[times.len() / 2]
    })
}

/// The peak of memory of a process of its own that patches a copy.
fn memory(path: &Path) {
    let output = Command::new(std::env::current_exe().unwrap()).env(CHILD, path).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let megabytes = std::fs::metadata(path).unwrap().len() >> 20;
    print!("a copy of {megabytes} MB: {}", String::from_utf8_lossy(&output.stdout));
}

fn child(path: &Path) {
    let target = path.with_extension("child");
    patched_copy(path, &target);
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("no VmHWM here");
    println!("{}", peak.split_whitespace().collect::<Vec<_>>().join(" "));
}

/// The same change by LIEF, in a process of its own.
fn lief(path: &Path, directory: &Path) {
    let python = std::env::var("LIEF_PYTHON").unwrap_or("python3".to_owned());
    let target = directory.join("lief.dll");
    let output = Command::new(&python).args(["-c", LIEF]).args([path, &target]).output();
    match output {
        Ok(output) if output.status.success() => {
            print!("{}", String::from_utf8_lossy(&output.stdout));
        }
        _ => println!("skipped: {python} has no LIEF (pip install lief; LIEF_PYTHON=python)"),
    }
}

const LIEF: &str = r#"
import sys, time, lief
start = time.perf_counter()
pe = lief.PE.parse(sys.argv[1])
pe.codeview_pdb.filename = "C:\\" + "directory\\" * 300 + "game.pdb"
pe.write(sys.argv[2])
took = (time.perf_counter() - start) * 1000
peak = [line for line in open("/proc/self/status") if line.startswith("VmHWM")][0]
print(f"LIEF {lief.__version__}: {took:.0f} ms, {' '.join(peak.split())}")
"#;

/// Where the headers say how many bytes of relocations there are, and the bytes of each block.
const RELOCATIONS_SIZE: usize = NT + 24 + 156;
const BLOCK_SIZE: u32 = 24;

/// Where the NT headers are.
const NT: usize = 0x80;

const CHILD: &str = "PE_PATCH_BENCH_CHILD";

/// A DLL of this many bytes, like a large program's: most of it code, with exports, unwinding
/// tables and relocations in proportion.
fn image(length: usize) -> Vec<u8> {
    let code = (length * 8 / 10).next_multiple_of(4096);
    let data = (length / 10).next_multiple_of(4096);
    let unwinding = (length / 12).next_multiple_of(4096);
    let pages = code / 4096;
    let mut relocations = Vec::new();
    for page in 0..pages {
        relocations.extend((0x1000 + page as u32 * 4096).to_le_bytes());
        relocations.extend(BLOCK_SIZE.to_le_bytes());
        relocations.extend((0..8_u16).flat_map(|entry| ((10 << 12) | (entry * 512)).to_le_bytes()));
    }
    let exports = length / 5000;
    let sizes = [code, (exports * 40 + 8192).next_multiple_of(4096), data, unwinding];
    let sizes = [&sizes[..], &[relocations.len().next_multiple_of(4096)]].concat();
    let starts: Vec<usize> = sizes
        .iter()
        .scan(0x1000, |start, size| Some(std::mem::replace(start, *start + size)))
        .collect();

    let mut bytes = vec![0; starts[4] + sizes[4]];
    let mut random = 1_u64;
    for word in bytes[starts[0]..starts[1]].chunks_exact_mut(8) {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        word.copy_from_slice(&random.to_le_bytes());
    }
    read_only(&mut bytes, starts[1] as u32, exports as u32);
    for (index, entry) in bytes[starts[3]..][..unwinding / 12 * 12].chunks_exact_mut(12).enumerate()
    {
        let start = 0x1000 + index as u32 * 8;
        entry.copy_from_slice(&[start, start + 8, starts[1] as u32].map(u32::to_le_bytes).concat());
    }
    bytes[starts[4]..][..relocations.len()].copy_from_slice(&relocations);
    headers(&mut bytes, &starts, &sizes, unwinding as u32, relocations.len() as u32);
    let sum = pe_patch::checksum(&bytes).unwrap();
    bytes[NT + 24 + 64..][..4].copy_from_slice(&sum.to_le_bytes());
    bytes
}

/// The debug directory with three entries, and behind it the exports.
fn read_only(bytes: &mut [u8], start: u32, exports: u32) {
    let record = [b"RSDS", &[7; 16][..], &1_u32.to_le_bytes(), b"C:\\build\\game_0000000000.pdb\0"];
    let record = record.concat();
    let at = start as usize;
    for (index, (kind, size)) in [(2, record.len() as u32), (13, 64), (16, 36)].iter().enumerate() {
        let place = start + 84 + index as u32 * 128;
        let fields = [0, 1, 0, *kind, *size, place, place].map(u32::to_le_bytes).concat();
        bytes[at + index * 28..][..28].copy_from_slice(&fields);
    }
    bytes[at + 84..][..record.len()].copy_from_slice(&record);

    let table = start + 4096;
    let (addresses, names, ordinals) =
        (table + 64, table + 64 + exports * 4, table + 64 + exports * 8);
    let text = ordinals + exports * 2;
    let directory = [0, 0, 0, text, 1, exports, exports, addresses, names, ordinals];
    let directory = directory.map(u32::to_le_bytes).concat();
    bytes[table as usize..][..40].copy_from_slice(&directory);
    for index in 0..exports {
        let name = format!("exported_{index:07}\0");
        let place = text + index * 20;
        bytes[place as usize..][..name.len()].copy_from_slice(name.as_bytes());
        for (field, value) in [(addresses, 0x1000 + index * 16), (names, place)] {
            bytes[(field + index * 4) as usize..][..4].copy_from_slice(&value.to_le_bytes());
        }
        let ordinal = (index as u16).to_le_bytes();
        bytes[(ordinals + index * 2) as usize..][..2].copy_from_slice(&ordinal);
    }
}

/// Headers of an image whose sections lie in the file as they do in memory.
fn headers(bytes: &mut [u8], starts: &[usize], sizes: &[usize], unwinding: u32, relocations: u32) {
    let nt = NT;
    bytes[..2].copy_from_slice(b"MZ");
    bytes[0x3c] = nt as u8;
    bytes[nt..][..6].copy_from_slice(b"PE\0\0\x64\x86");
    bytes[nt + 6] = sizes.len() as u8;
    bytes[nt + 20] = 240;
    bytes[nt + 22..][..2].copy_from_slice(&0x2022_u16.to_le_bytes());
    let optional = nt + 24;
    let image_size = bytes.len() as u32;
    let read_only = starts[1] as u32;
    for (inside, value) in [
        (0, 0x20b),
        (16, 0x1000),
        (24, 0x1000_0000),
        (32, 0x1000),
        (36, 0x200),
        (56, image_size),
        (60, 0x1000),
        (68, 3),
        (108, 16),
        (112, read_only + 4096),
        (116, 40),
        (136, starts[3] as u32),
        (140, unwinding / 12 * 12),
        (152, starts[4] as u32),
        (156, relocations),
        (160, read_only),
        (164, 84),
    ] {
        bytes[optional + inside..][..4].copy_from_slice(&u32::to_le_bytes(value));
    }
    let names = [".text", ".rdata", ".data", ".pdata", ".reloc"];
    let flags = [0x6000_0020, 0x4000_0040, 0xc000_0040, 0x4000_0040, 0x4200_0040_u32];
    for (index, name) in names.iter().enumerate() {
        let at = optional + 240 + 40 * index;
        bytes[at..][..name.len()].copy_from_slice(name.as_bytes());
        let (size, start) = (sizes[index] as u32, starts[index] as u32);
        let fields = [size, start, size, start].map(u32::to_le_bytes).concat();
        bytes[at + 8..][..16].copy_from_slice(&fields);
        bytes[at + 36..][..4].copy_from_slice(&flags[index].to_le_bytes());
    }
}

/// Mapping a file, which is the caller's part: the crate itself has no unsafe code.
mod mapped {
    #![allow(unsafe_code, reason = "a mapping is only as good as what others do to the file")]

    use super::{File, Mmap, Path};

    pub fn map(path: &Path) -> Mmap {
        let file = File::open(path).unwrap();
        // SAFETY: the file is in this process's own temporary directory, and is only ever written
        // to by `in_place`, between two uses of a mapping.
        unsafe { Mmap::map(&file) }.unwrap()
    }
}
