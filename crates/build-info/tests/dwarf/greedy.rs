//! Small images in which much refers to the same, and each reference would cost as much again.

use std::cell::Cell;
use std::rc::Rc;

use build_info::{Companion, Companions, Opened, Questions, ReadAt, elf, read, read_with};

use crate::heap;
use crate::workshop::Workshop;

/// What anything small may take at once.
const MOST: usize = 64 << 20;

#[test]
fn ranges_over_functions_that_were_generated_at_link_time_are_cut_once() {
    let Some(image) = assembled(&artificial(2_000)) else { return };
    let (info, bytes) = heap::most_during(|| read(&image, &Questions::ALL));
    assert!(bytes < 16 << 20, "{bytes} bytes for {}", image.len());
    let info = info.expect("an image");
    assert_eq!(info.units.len(), 2, "{:?}", info.remarks);
    assert_eq!(info.units[0].size, 2_000, "half of each instruction pair is the unit's");
    assert_eq!(info.units[1].size, 2_000);
}

#[test]
fn a_group_of_macros_that_is_imported_often_is_not_copied_as_often() {
    let import = " .byte 7\n .long .Lgroup\n";
    let macros = |define: &str, count: usize, imports: usize| {
        let defines = define.repeat(count);
        format!(
            ".Lgroup:\n .short 5\n .byte 0\n{defines} .byte 0\n.Lmacros:\n .short 5\n .byte 0\n{} \
             .byte 0\n",
            import.repeat(imports)
        )
    };
    let define = " .byte 1,0\n .asciz \"a\"\n";
    let Some(image) = assembled(&with_macros(&macros(define, 4_000, 4_000))) else { return };
    let (info, bytes) = heap::most_during(|| read(&image, &Questions::ALL));
    assert!(bytes < 8 << 20, "{bytes} bytes for {}", image.len());
    let remarks = info.expect("an image").remarks;
    assert!(remarks.iter().any(|remark| remark.contains(".debug_macro")), "{remarks:?}");

    // What honest compilers write is all there.
    let Some(image) = assembled(&with_macros(&macros(define, 3, 1))) else { return };
    let info = read(&image, &Questions::ALL).expect("an image");
    assert_eq!(info.units[0].definitions, ["-Da"; 3], "{:?}", info.remarks);
}

#[test]
fn symbol_tables_at_one_place_are_read_as_often_as_the_file_has_room_for_them() {
    for (info, count) in [(0x12, 0), (0x04, 4_000)] {
        let image = symbols(2_000, 4_000, info);
        let (found, bytes) = heap::most_during(|| {
            let units = read(&image, &Questions::ALL).expect("an image").units.len();
            (units, elf::symbol(&image, "x").expect("symbols"))
        });
        assert!(bytes < 32 << 20, "{bytes} bytes for {}", image.len());
        assert!(found.0 <= 4 * count, "{} units", found.0);
        assert_eq!(found.1.len(), usize::from(count == 0));
    }
}

#[test]
fn one_long_text_that_every_macro_has_is_taken_a_few_times() {
    // 300 KB, 20,000 times.
    let define = " .byte 5,0\n .long 0\n".repeat(20_000);
    let macros = format!(
        ".Lmacros:\n .short 5\n .byte 0\n{define} .byte 0\n .section .debug_str,\"MS\",@progbits,1\n \
         .fill 300000,1,0x61\n .byte 0\n"
    );
    let Some(image) = assembled(&with_macros(&macros)) else { return };
    let (info, bytes) = heap::most_during(|| read(&image, &Questions::ALL));
    assert!(bytes < MOST, "{bytes} bytes for {}", image.len());
    assert!(!info.expect("an image").remarks.is_empty());
}

/// A file that is there under two names, and how much of it was read.
struct Counting {
    file: std::path::PathBuf,
    opened: Cell<usize>,
    read: Rc<Cell<u64>>,
}

struct Counted(std::fs::File, Rc<Cell<u64>>);

impl ReadAt for Counted {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<usize> {
        let count = self.0.read_at(buffer, offset)?;
        self.1.set(self.1.get() + count as u64);
        Ok(count)
    }

    fn length(&self) -> std::io::Result<u64> {
        self.0.length()
    }
}

impl Companions for Counting {
    fn places(&self, wanted: &Companion) -> Vec<std::path::PathBuf> {
        let Companion::SplitUnit { name, .. } = wanted else { return Vec::new() };
        let beside = self.file.parent().expect("a directory");
        let around = beside.join("..").join(beside.file_name().expect("a name"));
        vec![if name == "e" { around } else { beside.to_owned() }.join("image")]
    }

    fn open(&self, place: &std::path::Path) -> Option<Opened> {
        self.opened.set(self.opened.get() + 1);
        let file = Counted(std::fs::File::open(place).ok()?, Rc::clone(&self.read));
        Some(Opened { source: Box::new(file), modified: None })
    }
}

#[test]
fn a_split_file_that_many_units_name_is_gone_through_once() {
    if !cfg!(target_arch = "x86_64") {
        return;
    }
    let workshop = Workshop::new();
    workshop.write("text.s", &skeletons(1_000, 20_000));
    let built =
        workshop.run("gcc -c text.s -o text.o").and_then(|_| workshop.run("ld text.o -o image"));
    if built.is_none() {
        return;
    }
    let file = workshop.at("image");
    let image = std::fs::read(&file).expect("an image");
    let around = Counting { file, opened: Cell::new(0), read: Rc::default() };
    let info = read_with(&image, &Questions::ALL, &around).expect("an image");
    assert_eq!(info.units.len(), 2_000);
    assert!(info.units.iter().all(|unit| unit.language.is_some()), "{:?}", info.remarks);
    assert_eq!(around.opened.get(), 1);
    let read = around.read.get();
    assert!(read < 4 * image.len() as u64, "{read} bytes of {}", image.len());
}

/// Skeletons of the one split unit in the same file, by two names for it, and abbreviations before
/// the one that it has.
fn skeletons(each: usize, abbreviations: usize) -> String {
    let skeletons = |name: &str| {
        format!(
            ".rept {each}\n .long 20\n .short 5\n .byte 4,8\n .long .Labbreviations\n .quad 0x1234\n \
             .uleb128 1\n .asciz \"{name}\"\n .byte 0\n.endr\n"
        )
    };
    format!(
        " .text
 .globl _start
_start: nop
 .section .debug_abbrev,\"\",@progbits
.Labbreviations:
 .byte 1, 0x4a, 0, 0x76, 0x08, 0, 0, 0
 .section .debug_info,\"\",@progbits
{}{} .section .debug_abbrev.dwo,\"\",@progbits
.rept {abbreviations}
 .byte 2, 0x34, 0, 3, 8, 0, 0
.endr
 .byte 1, 0x11, 0, 0x13, 0x0b, 0, 0, 0
 .section .debug_info.dwo,\"\",@progbits
 .long 18
 .short 5
 .byte 5, 8
 .long 0
 .quad 0x1234
 .byte 1, 0x0c
",
        skeletons("d"),
        skeletons("e"),
    )
}

/// An image of an assembler's text.
fn assembled(text: &str) -> Option<Vec<u8>> {
    if !cfg!(target_arch = "x86_64") {
        println!("skipped: the text is for another machine's assembler");
        return None;
    }
    let workshop = Workshop::new();
    workshop.write("text.s", text);
    workshop.run("gcc -c text.s -o text.o")?;
    workshop.run("ld text.o -o image")?;
    Some(std::fs::read(workshop.at("image")).expect("an image"))
}

/// A unit that was compiled and one of link-time code, of as many ranges as functions, each range
/// all of the code, and each function every other byte.
fn artificial(count: usize) -> String {
    let functions: String = (0..count)
        .map(|at| format!(" .uleb128 3\n .long .Ldie-.Linfo\n .quad _start+{}\n .byte 1\n", 2 * at))
        .collect();
    let ranges = format!(" .byte 4\n .uleb128 0\n .uleb128 {}\n", 2 * count).repeat(count);
    format!(
        " .text
 .globl _start
_start:
 .fill {code},1,0x90
 .section .debug_abbrev,\"\",@progbits
.Labbreviations:
 .byte 1, 0x11, 1, 0x03, 0x08, 0x1b, 0x08, 0, 0
 .byte 2, 0x11, 1, 0x03, 0x08, 0x11, 0x01, 0x55, 0x17, 0, 0
 .byte 3, 0x2e, 0, 0x31, 0x10, 0x11, 0x01, 0x12, 0x0b, 0, 0
 .byte 0
 .section .debug_info,\"\",@progbits
.Linfo:
 .long 2f-1f
1: .short 5
 .byte 1, 8
 .long .Labbreviations
.Ldie:
 .uleb128 1
 .asciz \"a.c\"
 .asciz \"/x\"
 .byte 0
2:
 .long 4f-3f
3: .short 5
 .byte 1, 8
 .long .Labbreviations
 .uleb128 2
 .asciz \"<artificial>\"
 .quad _start
 .long .Lranges
{functions} .byte 0
4:
 .section .debug_rnglists,\"\",@progbits
 .long 6f-5f
5: .short 5
 .byte 8, 0
 .long 0
.Lranges:
{ranges} .byte 0
6:
",
        code = 2 * count,
    )
}

/// A unit whose macro information is at `.Lmacros`.
fn with_macros(macros: &str) -> String {
    format!(
        " .text
 .globl _start
_start: nop
 .section .debug_abbrev,\"\",@progbits
.Labbreviations:
 .byte 1, 0x11, 0, 0x03, 0x08, 0x10, 0x17
 .uleb128 0x79
 .byte 0x17, 0, 0
 .byte 0
 .section .debug_info,\"\",@progbits
 .long 2f-1f
1: .short 5
 .byte 1, 8
 .long .Labbreviations
 .uleb128 1
 .asciz \"a.c\"
 .long .Llines
 .long .Lmacros
2:
 .section .debug_line,\"\",@progbits
.Llines:
 .long 4f-3f
3: .short 4
 .long 6f-5f
5: .byte 1, 1, 1, 0xfb, 14, 10
 .byte 0, 1, 1, 1, 1, 0, 0, 0, 1
 .byte 0
 .asciz \"a.c\"
 .byte 0, 0, 0
 .byte 0
6:
4:
 .section .debug_macro,\"\",@progbits
{macros}"
    )
}

/// An image of 64 bits that has the header of one symbol table many times, whose symbols all are
/// called `x`.
fn symbols(headers: usize, symbols: usize, info: u8) -> Vec<u8> {
    let symbol =
        [&[1, 0, 0, 0, info, 0, 1, 0][..], &0x40_0000_u64.to_le_bytes(), &[4, 0, 0, 0, 0, 0, 0, 0]];
    let table = symbol.concat().repeat(symbols);
    let (names_at, table_at) = (64, 72);
    let headers_at = table_at + table.len();
    let section = |kind: u32, at: usize, size: usize, link: u32, entry: u64| {
        let mut header = vec![0, 0, 0, 0];
        header.extend(kind.to_le_bytes());
        header.extend([0; 16]);
        header.extend((at as u64).to_le_bytes());
        header.extend((size as u64).to_le_bytes());
        header.extend(link.to_le_bytes());
        header.extend([0; 4]);
        header.extend(8_u64.to_le_bytes());
        header.extend(entry.to_le_bytes());
        header
    };
    let mut image = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    image.extend([2, 0, 62, 0, 1, 0, 0, 0]);
    image.extend([0; 16]);
    image.extend((headers_at as u64).to_le_bytes());
    image.extend([0, 0, 0, 0, 64, 0, 56, 0, 0, 0, 64, 0]);
    image.extend((headers as u16 + 2).to_le_bytes());
    image.extend([1, 0]);
    image.extend(b"\0x\0\0\0\0\0\0");
    assert_eq!(image.len(), table_at);
    image.extend(&table);
    image.extend([0; 64]);
    image.extend(section(3, names_at, 3, 0, 0));
    for _ in 0..headers {
        image.extend(section(2, table_at, table.len(), 1, 24));
    }
    image
}
