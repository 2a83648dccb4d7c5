use rendezvous::{Bytes, Memory, ReadError, Unreadable};

#[test]
fn bytes_are_read_across_regions_that_touch_and_not_across_holes() {
    let memory: Bytes<'_> = [(0x2000, &b"cd"[..]), (0x1ffe, b"ab"), (0x3000, b"e"), (0x4000, b"")]
        .into_iter()
        .collect();
    let mut buffer = [0; 4];
    memory.read_exact_at(0x1ffe, &mut buffer).unwrap();
    assert_eq!(&buffer, b"abcd");
    assert_eq!(memory.read_up_to(0x1fff, &mut buffer), 3);
    let error = memory.read_exact_at(0x1fff, &mut buffer).unwrap_err();
    let expected = ReadError { address: 0x1fff, length: 4, reason: Unreadable::Unmapped };
    assert_eq!(error, expected);
    assert_eq!(error.to_string(), "0x4 bytes at 0x1fff: not mapped");
    assert_eq!(memory.read_up_to(0x3000, &mut buffer), 1);
    assert_eq!(memory.read_up_to(0x4000, &mut buffer), 0);
    memory.read_exact_at(0x4000, &mut []).unwrap();
}

#[test]
fn bytes_at_the_end_of_the_address_space_do_not_wrap() {
    let memory: Bytes<'_> = [(u64::MAX - 1, &b"yz"[..]), (0, b"ab")].into_iter().collect();
    let mut buffer = [0; 4];
    assert_eq!(memory.read_up_to(u64::MAX - 1, &mut buffer), 2);
    assert!(memory.read_exact_at(u64::MAX, &mut buffer).is_err());
}

#[test]
fn many_reads_stop_at_the_first_that_fails() {
    let memory: Bytes<'_> = [(0x1000, &b"abcd"[..])].into_iter().collect();
    let (mut one, mut two, mut three) = ([0; 2], [0; 2], [0; 2]);
    let mut reads = [(0x1000, &mut one[..]), (0x1003, &mut two), (0x1002, &mut three)];
    let error = memory.read_many(&mut reads).unwrap_err();
    assert_eq!(error.address, 0x1003);
    assert_eq!(&one, b"ab");
}

/// Memory of which only whole reads are known.
struct Exact<'data>(Bytes<'data>);

impl Memory for Exact<'_> {
    fn read_exact_at(&self, address: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        self.0.read_exact_at(address, buffer)
    }
}

#[test]
fn what_is_read_in_part_ends_where_a_page_does() {
    let bytes: Vec<u8> = (0..0x3000).map(|index| index as u8).collect();
    let memory = Exact([(0x1000, &bytes[..])].into_iter().collect());
    let mut buffer = vec![0; 0x5000];
    assert_eq!(memory.read_up_to(0x1080, &mut buffer), 0x2f80);
    assert_eq!(buffer[..0x2f80], bytes[0x80..]);
    assert_eq!(memory.read_up_to(0x1080, &mut buffer[..0x100]), 0x100);
    assert_eq!(memory.read_up_to(0x5000, &mut buffer), 0);
    assert!(memory.can_change());
}
