//! What a snapshot costs beside the bare reads of the same bytes, in processes with 10, 300 and
//! 1,000 modules; what "anything new?" costs.
#![allow(unsafe_code, reason = "the bare system call is what is compared with")]

mod support;

use std::hint::black_box;
use std::time::Duration;

use criterion::Criterion;
use rendezvous::{Generation, Process, Rendezvous, Snapshot, Tracker};
use support::{Targets, medians, ratio};

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    criterion.bench_function("anything new? in this process", |bencher| {
        bencher.iter(Generation::current);
    });
    let Some(targets) = Targets::make() else { return };
    for count in [10, 300, 1000] {
        targets.with(count, |pid| snapshots(&mut criterion, count, pid));
    }
    criterion.final_summary();
}

fn snapshots(criterion: &mut Criterion, count: usize, pid: u32) {
    let process = Process::open(pid).unwrap();
    let rendezvous = process.locate().unwrap().found().unwrap();
    let snapshot = rendezvous.snapshot(&process);
    let places = places(&rendezvous, &snapshot);
    let bytes: usize = places.iter().map(|place| place.1).sum();
    let mut buffer = vec![0_u8; bytes];

    let mut group = criterion.benchmark_group(format!("{} modules", snapshot.modules().count()));
    group.bench_function("bare reads of the same bytes, one call a module and name", |bencher| {
        bencher.iter(|| places.iter().for_each(|&place| read(pid, &[place], &mut buffer)));
    });
    group.bench_function("bare reads of the same bytes, all places known", |bencher| {
        bencher.iter(|| read(pid, &places, &mut buffer));
    });
    group.bench_function("snapshot", |bencher| bencher.iter(|| rendezvous.snapshot(&process)));
    group.bench_function("locate", |bencher| bencher.iter(|| process.locate().unwrap()));
    group.bench_function("files and build IDs of all", |bencher| {
        bencher.iter(|| {
            let mut snapshot = snapshot.clone();
            snapshot.resolve(&process, &process.mappings().unwrap());
            snapshot
        });
    });
    let mut tracker = Tracker::new();
    tracker.update(snapshot.clone());
    group.bench_function("nothing new, by the lists' ends", |bencher| {
        bencher.iter(|| tracker.advance(&rendezvous, &process).unwrap());
    });
    group.finish();

    let mut other = vec![0_u8; bytes];
    // In turns, so that whatever else the machine does is done to all.
    let [bare, one_by_one, again, first] = medians(
        301,
        [
            &mut || read(pid, &places, black_box(&mut buffer)),
            &mut || places.iter().for_each(|&place| read(pid, &[place], black_box(&mut other))),
            &mut || drop(black_box(rendezvous.snapshot(&process))),
            // A clone does not know where everything was the last time.
            &mut || drop(black_box(rendezvous.clone().snapshot(&process))),
        ],
    );
    println!(
        "{count}: verified snapshot {again:?}, the first {first:?}; bare reads {bare:?} ({:.2}, \
         {:.2}), one by one {one_by_one:?} ({:.2}, {:.2})",
        ratio(again, bare),
        ratio(first, bare),
        ratio(again, one_by_one),
        ratio(first, one_by_one)
    );
}

/// Where the bytes are that a snapshot is made of.
fn places(rendezvous: &Rendezvous, snapshot: &Snapshot) -> Vec<(u64, usize)> {
    let mut places = Vec::new();
    for namespace in &snapshot.namespaces {
        places.push((namespace.head.address, 5 * rendezvous.layout.word_size()));
        for module in &namespace.modules {
            places.push((module.link_map, 5 * rendezvous.layout.word_size()));
            let name = module.name.as_ref().map_or(0, Vec::len);
            // Where the name is does not matter for the cost, but that it is elsewhere.
            places.push((module.link_map + 64, name + 1));
        }
    }
    places
}

fn read(pid: u32, places: &[(u64, usize)], buffer: &mut [u8]) {
    let mut buffer = buffer;
    for places in places.chunks(1024) {
        let remote: Vec<libc::iovec> = places
            .iter()
            .map(|&(address, length)| libc::iovec {
                iov_base: std::ptr::without_provenance_mut(address as usize),
                iov_len: length,
            })
            .collect();
        let total: usize = places.iter().map(|place| place.1).sum();
        let (now, later) = buffer.split_at_mut(total);
        buffer = later;
        let local = libc::iovec { iov_base: now.as_mut_ptr().cast(), iov_len: total };
        // SAFETY: the kernel writes into `now`, which is borrowed exclusively; the other process's
        // addresses are not dereferenced here.
        let read = unsafe {
            libc::process_vm_readv(
                pid as i32,
                &raw const local,
                1,
                remote.as_ptr(),
                remote.len() as u64,
                0,
            )
        };
        assert_eq!(read, total as isize);
    }
}
