//! Thousands of damaged PDBs: none panics or hangs, and none makes this crate allocate what it
//! merely claims. Alone in its process, so that what is allocated is what reading allocates.

#[path = "pdb/big.rs"]
mod big;
#[path = "support/dice.rs"]
mod dice;
#[path = "pdb/maker.rs"]
mod maker;
#[path = "pdb/msf.rs"]
mod msf;
#[path = "pdb/mutant.rs"]
mod mutant;

use std::fs::File;
use std::sync::{Mutex, MutexGuard, PoisonError};

use big::Shape;
use build_info::Questions;
use build_info::oracle::pdb_read;
use build_info::pdb::read;
use dice::Dice;
use maker::Pdb;
use msf::Layout;
use mutant::mutant;
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

/// How much a small file may make this crate allocate, whatever it says.
const MOST: usize = 64 << 20;

/// What is allocated at most while something runs, and nothing else does.
fn peak(run: impl FnOnce()) -> usize {
    ALLOCATED.reset_peak_usage();
    let before = ALLOCATED.current_usage();
    run();
    ALLOCATED.peak_usage() - before
}

/// One at a time: the allocator counts for all threads.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn five_thousand_damaged_pdbs_are_errors_or_answers_and_stay_small() {
    let _alone = alone();
    let mut seeds = vec![Pdb::new().streams()];
    let directory = tempfile::tempdir().unwrap();
    let shape = Shape { units: 4, headers: 12, per_unit: 6, functions: 3, blocks: 1, apart: true };
    match big::make(&shape, directory.path()) {
        Some(path) => seeds.push(msf::streams(&std::fs::read(path).unwrap())),
        None => assert!(std::env::var_os("REQUIRE_TOOLS").is_none(), "clang and lld are missing"),
    }
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let (mut answers, mut most) = (0, 0);
    for round in 0..5000 {
        let seed = &seeds[round % seeds.len()];
        let mutant = mutant(seed, &mut dice);
        most = most.max(peak(|| pdb_read(&mutant)));
        assert!(most <= MOST, "round {round}: {most} bytes");
        answers += usize::from(read(&mutant, &Questions::ALL).is_ok());
    }
    println!("{answers} of 5000 gave an answer; {most} bytes were allocated at most");
    // Damage must reach the depth, not only the header.
    assert!((1000..5000).contains(&answers), "{answers}");
}

#[test]
fn what_is_small_and_says_much_is_not_believed() {
    let _alone = alone();
    // Names that have no ends of their own, so that each is the rest of the next.
    let endless: &str = "n".repeat(200_000).leak();
    let mut names = Pdb { names: vec!["", endless], ..Pdb::new() };
    names.modules[1].files = (1..20_000).map(|at| (at, 0, vec![])).collect();
    // Contributions of which each goes on a little beyond those before it.
    let nested = (0..40_000).map(|it| (1, it, 0x1000_0000 + 2 * it, 0)).collect();
    let nested = Pdb { contributions: nested, ..Pdb::new() };
    // Modules of nothing but a number.
    let many = Pdb {
        modules: vec![maker::Module::default(); 65_000],
        contributions: vec![],
        ..Pdb::new()
    };
    let mut many = many.streams();
    many.truncate(7);
    // A long command that each module has by its number.
    let mut ids = vec![maker::string(0, &"x".repeat(50_000))];
    ids.extend((0..9).map(|level| maker::list(&[0x1000 + level; 16])));
    ids.push(maker::build_info(&[0x1009; 5]));
    let mut shared = Pdb { ids, ..Pdb::new() };
    shared.modules[0].symbols[2].1 = 0x100a_u32.to_le_bytes().to_vec();
    shared.modules = vec![shared.modules[0].clone(); 300];
    for (what, streams) in [
        ("names", names.streams()),
        ("contributions", nested.streams()),
        ("modules", many),
        ("commands", shared.streams()),
    ] {
        let file = msf::write(&streams, &msf::PLAIN);
        assert!(file.len() < 6 << 20, "{what}: {}", file.len());
        let most = peak(|| pdb_read(&file));
        println!("{what}: {} bytes, of which {most} were made", file.len());
        assert!(most <= MOST, "{what}: {most} bytes");
    }
}

#[test]
fn a_large_file_takes_no_more_memory_than_what_it_says() {
    let _alone = alone();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("far.pdb");
    let layout = Layout { page_size: 4096, skip: 1 << 21, scattered: true };
    msf::write_sparse(&Pdb::new().streams(), &layout, &path);
    let file = File::open(&path).unwrap();
    let most = peak(|| assert_eq!(read(&file, &Questions::ALL).unwrap().units.len(), 3));
    assert!(most < 1 << 20, "{most}");
}
