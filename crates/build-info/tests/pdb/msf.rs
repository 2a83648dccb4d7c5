//! Containers as odd as the format allows: any page size, pages anywhere.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// How the streams are laid out.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    pub page_size: usize,
    /// How many pages are left unused before the first stream.
    pub skip: usize,
    /// Whether the pages of a stream are far apart, and in no order.
    pub scattered: bool,
}

pub const PLAIN: Layout = Layout { page_size: 4096, skip: 0, scattered: false };

const MAGIC: &[u8] = b"Microsoft C/C++ MSF 7.00\r\n\x1aDS\0\0\0";

/// The streams of a container.
pub fn streams(file: &[u8]) -> Vec<Vec<u8>> {
    let word = |bytes: &[u8], at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    assert!(file.starts_with(MAGIC));
    let (size, directory) = (word(file, 32) as usize, word(file, 44) as usize);
    let page = |number: u32| &file[number as usize * size..][..size];
    let gather = |list: &[u8], bytes: usize| -> Vec<u8> {
        let pages = (0..bytes.div_ceil(size)).flat_map(|index| page(word(list, index * 4)));
        pages.copied().take(bytes).collect()
    };
    let map = gather(&file[52..], directory.div_ceil(size) * 4);
    let directory = gather(&map, directory);
    let count = word(&directory, 0) as usize;
    let mut at = 4 + 4 * count;
    (0..count)
        .map(|index| {
            let length = word(&directory, 4 + 4 * index);
            let length = if length == u32::MAX { 0 } else { length as usize };
            let stream = gather(&directory[at..], length);
            at += length.div_ceil(size) * 4;
            stream
        })
        .collect()
}

/// The container's pages by number.
fn pages(streams: &[Vec<u8>], layout: &Layout) -> BTreeMap<usize, Vec<u8>> {
    let size = layout.page_size;
    // Two pages of each so many say which pages are free; here none says so.
    let is_usable = |page: &usize| *page >= 3 + layout.skip && !matches!(page % size, 1 | 2);
    let mut free = (0..).filter(is_usable);
    let wanted: usize = streams.iter().map(|stream| stream.len().div_ceil(size)).sum();
    let mut numbers: Vec<usize> = (&mut free).take(wanted).collect();
    if layout.scattered {
        // A stride that has no divisor in common with the count visits each once.
        let stride = (wanted / 2..).find(|stride| gcd(*stride, wanted) == 1).unwrap();
        numbers = (0..wanted).map(|index| numbers[index * stride % wanted]).collect();
    }
    let mut pages = BTreeMap::new();
    let mut put = |bytes: &[u8], numbers: &mut dyn Iterator<Item = usize>| -> Vec<u32> {
        let mut used = Vec::new();
        for chunk in bytes.chunks(size) {
            let number = numbers.next().unwrap();
            let mut page = chunk.to_vec();
            page.resize(size, 0);
            pages.insert(number, page);
            used.push(number as u32);
        }
        used
    };
    let words =
        |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<_>>();
    let mut numbers = numbers.into_iter();
    let mut directory = words(&[streams.len() as u32]);
    directory.extend(words(&streams.iter().map(|it| it.len() as u32).collect::<Vec<_>>()));
    for stream in streams {
        directory.extend(words(&put(stream, &mut numbers)));
    }
    let map = words(&put(&directory, &mut free));
    let list = words(&put(&map, &mut free));
    let count = pages.keys().last().unwrap() + 1;
    let mut header = MAGIC.to_vec();
    header.extend(words(&[size as u32, 1, count as u32, directory.len() as u32, 0]));
    header.extend(list);
    assert!(header.len() <= size, "the directory is too large for pages of {size} bytes");
    header.resize(size, 0);
    pages.insert(0, header);
    pages
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// A container in memory.
pub fn write(streams: &[Vec<u8>], layout: &Layout) -> Vec<u8> {
    let pages = pages(streams, layout);
    let count = pages.keys().last().unwrap() + 1;
    let mut file = vec![0; count * layout.page_size];
    for (number, page) in pages {
        file[number * layout.page_size..][..layout.page_size].copy_from_slice(&page);
    }
    file
}

/// A container in a sparse file.
pub fn write_sparse(streams: &[Vec<u8>], layout: &Layout, path: &Path) {
    let pages = pages(streams, layout);
    let file = File::create(path).unwrap();
    let size = layout.page_size as u64;
    file.set_len((*pages.keys().last().unwrap() as u64 + 1) * size).unwrap();
    for (number, page) in pages {
        file.write_all_at(&page, number as u64 * size).unwrap();
    }
}
