use elf_sections::{Class, Endian, Error, Image, Kind, Machine, SegmentKind};

#[test]
fn headers_of_both_classes_and_byte_orders_are_read() {
    for class in [Class::Elf32, Class::Elf64] {
        for endian in [Endian::Little, Endian::Big] {
            let writer = Writer { class, endian };
            let bytes = writer.image(3);
            let image = Image::parse(&bytes).unwrap();
            let header = image.header();
            assert_eq!((header.class, header.endian), (class, endian));
            assert_eq!((header.kind, header.machine), (Kind::SharedObject, Machine(0x1234)));
            assert_eq!(header.flags, 0x5678);
            assert_eq!(image.segments().len(), 3);
            for (index, segment) in image.segments().iter().enumerate() {
                let index = index as u64;
                assert_eq!(segment.kind, SegmentKind::LOAD);
                assert_eq!((segment.offset, segment.address), (0x1000 * index, 0x2000 * index));
                assert_eq!((segment.file_size, segment.memory_size), (index, 0x100 + index));
                assert!(segment.permissions.is_writable() && !segment.permissions.is_executable());
            }
        }
    }
}

/// A count of 0xffff means that the real one is in section 0.
#[test]
fn seventy_thousand_segments_are_counted_by_section_zero() {
    for class in [Class::Elf32, Class::Elf64] {
        for endian in [Endian::Little, Endian::Big] {
            let bytes = Writer { class, endian }.image(70_000);
            let image = Image::parse(&bytes).unwrap();
            assert_eq!(image.segments().len(), 70_000);
            assert_eq!(image.segments()[69_999].address, 0x2000 * 69_999);
            for segment in image.segments() {
                let is_there = segment.offset + segment.file_size <= image.data().len() as u64;
                let offset = (is_there && segment.file_size != 0).then_some(segment.offset);
                let found = image.offset_of(segment.address, segment.file_size);
                assert_eq!(found, offset, "{segment:x?}");
                assert_eq!(image.offset_of(segment.address, segment.file_size + 1), None);
                // Further up they overlap.
                if segment.memory_size >= 0x2000 {
                    continue;
                }
                let last = segment.address + segment.memory_size - 1;
                assert_eq!(image.segment_at(last), Some(segment));
                assert_eq!(image.segment_at(last + 1), None);
            }
        }
    }
}

#[test]
fn counts_that_the_file_has_no_room_for_are_missing_bytes_and_allocate_nothing() {
    for class in [Class::Elf32, Class::Elf64] {
        let writer = Writer { class, endian: Endian::Big };
        let mut bytes = writer.image(70_000);
        let end = bytes.len();
        bytes.truncate(end - 1);
        assert!(Image::parse(&bytes).unwrap_err().is_incomplete());

        // Section 0 claims the largest number of sections that there could be.
        let mut bytes = writer.image(3);
        let (shoff, size_of_section) = writer.choose((52, 20), (64, 32));
        let size = writer.word(u64::MAX);
        let shnum = writer.choose(48, 60);
        bytes[shnum..shnum + 2].fill(0);
        bytes[shoff + size_of_section..][..size.len()].copy_from_slice(&size);
        let error = Image::parse(&bytes).unwrap_err();
        assert!(matches!(error, Error::Short { .. } | Error::Malformed { .. }), "{error}");
    }
}

/// Writes a header, section 0 and program headers: independent of the crate's own structures.
struct Writer {
    class: Class,
    endian: Endian,
}

impl Writer {
    fn image(&self, segments: u32) -> Vec<u8> {
        let (header, section) = self.choose((52_u64, 40_u64), (64, 64));
        let mut bytes = b"\x7fELF".to_vec();
        bytes.push(self.choose(1, 2));
        bytes.push(if self.endian == Endian::Little { 1 } else { 2 });
        bytes.extend([1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        self.half(&mut bytes, 3);
        self.half(&mut bytes, 0x1234);
        bytes.extend(self.int(1));
        bytes.extend(self.word(0));
        bytes.extend(self.word(header + section));
        bytes.extend(self.word(header));
        bytes.extend(self.int(0x5678));
        let count = u16::try_from(segments).unwrap_or(0xffff);
        let sizes = self.choose([52, 32, count, 40, 1, 0], [64, 56, count, 64, 1, 0]);
        for half in sizes {
            self.half(&mut bytes, half);
        }
        assert_eq!(bytes.len() as u64, header);

        // Section 0: only its sh_info is used.
        bytes.extend(self.int(0));
        bytes.extend(self.int(0));
        for _ in 0..4 {
            bytes.extend(self.word(0));
        }
        bytes.extend(self.int(0));
        bytes.extend(self.int(segments));
        bytes.extend(self.word(0));
        bytes.extend(self.word(0));
        assert_eq!(bytes.len() as u64, header + section);

        for index in 0..u64::from(segments) {
            let address = self.word(0x2000 * index);
            bytes.extend(self.int(1));
            if self.class == Class::Elf64 {
                bytes.extend(self.int(6));
            }
            bytes.extend(self.word(0x1000 * index));
            bytes.extend(address.clone());
            bytes.extend(address);
            bytes.extend(self.word(index));
            bytes.extend(self.word(0x100 + index));
            if self.class == Class::Elf32 {
                bytes.extend(self.int(6));
            }
            bytes.extend(self.word(0x1000));
        }
        bytes
    }

    fn choose<T>(&self, small: T, large: T) -> T {
        if self.class == Class::Elf32 { small } else { large }
    }

    fn half(&self, bytes: &mut Vec<u8>, value: u16) {
        bytes.extend(match self.endian {
            Endian::Little => value.to_le_bytes(),
            Endian::Big => value.to_be_bytes(),
        });
    }

    fn int(&self, value: u32) -> [u8; 4] {
        match self.endian {
            Endian::Little => value.to_le_bytes(),
            Endian::Big => value.to_be_bytes(),
        }
    }

    fn word(&self, value: u64) -> Vec<u8> {
        match (self.class, self.endian) {
            (Class::Elf32, _) => self.int(value as u32).to_vec(),
            (Class::Elf64, Endian::Little) => value.to_le_bytes().to_vec(),
            (Class::Elf64, Endian::Big) => value.to_be_bytes().to_vec(),
        }
    }
}
