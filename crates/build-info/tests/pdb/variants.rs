use std::fs::File;
use std::io;

use build_info::pdb::read;
use build_info::{BuildInfo, Questions, ReadAt};

use crate::maker::Pdb;
use crate::msf::{self, Layout, PLAIN};

fn expected() -> BuildInfo {
    read(&msf::write(&Pdb::new().streams(), &PLAIN), &Questions::ALL).unwrap()
}

#[test]
fn every_page_size_in_any_order_reads_the_same_in_memory_and_not() {
    for page_size in (9..=16).map(|shift| 1 << shift) {
        for scattered in [false, true] {
            let file = msf::write(&Pdb::new().streams(), &Layout { page_size, scattered, skip: 0 });
            assert_eq!(msf::streams(&file), Pdb::new().streams());
            assert_eq!(read(&file, &Questions::ALL).unwrap(), expected(), "{page_size}");
            assert_eq!(
                read(&Piecewise(&file), &Questions::ALL).unwrap(),
                expected(),
                "{page_size}"
            );
        }
    }
}

#[test]
fn a_directory_may_take_several_pages_and_its_map_too() {
    let mut streams = Pdb::new().streams();
    // With pages of 512 bytes, a page of the map lists 128 pages of the directory, and each of
    // those 128 streams.
    for count in [200, 20_000, 40_000] {
        streams.resize(count, vec![]);
        let file = msf::write(&streams, &Layout { page_size: 512, ..PLAIN });
        assert_eq!(read(&file, &Questions::ALL).unwrap(), expected(), "{count} streams");
    }
    // Streams that nothing can refer to.
    streams.resize(70_000, vec![7; 3]);
    let file = msf::write(&streams, &Layout { page_size: 4096, ..PLAIN });
    assert_eq!(read(&file, &Questions::ALL).unwrap(), expected());
}

#[test]
fn everything_may_be_beyond_four_gigabytes() {
    let directory = tempfile::tempdir().unwrap();
    for (page_size, skip) in [(4096, 1_200_000), (8192, 1_500_000)] {
        let path = directory.path().join("far.pdb");
        let streams = Pdb::new().streams();
        let layout = Layout { page_size, skip, scattered: true };
        msf::write_sparse(&streams, &layout, &path);
        let file = File::open(&path).unwrap();
        assert!(file.metadata().unwrap().len() > 4 << 30);
        assert_eq!(read(&file, &Questions::ALL).unwrap(), expected());
    }
}

#[test]
fn reads_that_are_interrupted_or_give_little_are_gone_on_with() {
    struct Stutter<'b>(&'b [u8], std::cell::Cell<u32>);
    impl ReadAt for Stutter<'_> {
        fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
            self.1.set(self.1.get() + 1);
            if self.1.get().is_multiple_of(3) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let most = buffer.len().min(7);
            self.0.read_at(&mut buffer[..most], offset)
        }
        fn length(&self) -> io::Result<u64> {
            Ok(self.0.len() as u64)
        }
    }
    let file = msf::write(&Pdb::new().streams(), &PLAIN);
    let stutter = Stutter(&file, Default::default());
    assert_eq!(read(&stutter, &Questions::ALL).unwrap(), expected());
}

/// Bytes that are in memory and do not say so.
pub struct Piecewise<'b>(pub &'b [u8]);

impl ReadAt for Piecewise<'_> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buffer, offset)
    }

    fn length(&self) -> io::Result<u64> {
        self.0.length()
    }
}
