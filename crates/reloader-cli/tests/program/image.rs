//! A small Windows image, made byte by byte.

/// A PE32+ library with one section, whose debug directory has an RSDS record for each path.
pub fn image(paths: &[&str]) -> Vec<u8> {
    let mut bytes = vec![0; 0x400];
    let mut put = |at: usize, new: &[u8]| bytes[at..at + new.len()].copy_from_slice(new);
    put(0, b"MZ");
    put(0x3c, &NT.to_le_bytes());
    put(0x40, b"PE\0\0");
    put(0x44, &0x8664_u16.to_le_bytes());
    put(0x46, &1_u16.to_le_bytes());
    put(0x54, &240_u16.to_le_bytes());
    put(0x56, &0x2022_u16.to_le_bytes());
    put(OPTIONAL, &0x20b_u16.to_le_bytes());
    put(OPTIONAL + 24, &0x1_8000_0000_u64.to_le_bytes());
    put(OPTIONAL + 32, &0x1000_u32.to_le_bytes());
    put(OPTIONAL + 36, &0x200_u32.to_le_bytes());
    put(OPTIONAL + 56, &0x2000_u32.to_le_bytes());
    put(OPTIONAL + 60, &0x200_u32.to_le_bytes());
    put(OPTIONAL + 108, &16_u32.to_le_bytes());

    let mut record = 28 * paths.len();
    for (index, path) in paths.iter().enumerate() {
        let size = 24 + path.len() + 1;
        let entry = RAW + 28 * index;
        put(entry + 12, &2_u32.to_le_bytes());
        put(entry + 16, &(size as u32).to_le_bytes());
        put(entry + 20, &(0x1000 + record as u32).to_le_bytes());
        put(entry + 24, &((RAW + record) as u32).to_le_bytes());
        put(RAW + record, b"RSDS");
        put(RAW + record + 4, &[0x11; 16]);
        put(RAW + record + 20, &(index as u32 + 1).to_le_bytes());
        put(RAW + record + 24, path.as_bytes());
        record = (record + size).next_multiple_of(4);
    }
    put(OPTIONAL + 112 + 48, &0x1000_u32.to_le_bytes());
    put(OPTIONAL + 112 + 52, &(28 * paths.len() as u32).to_le_bytes());

    put(OPTIONAL + 240, b".rdata\0\0");
    put(OPTIONAL + 248, &(record as u32).to_le_bytes());
    put(OPTIONAL + 252, &0x1000_u32.to_le_bytes());
    put(OPTIONAL + 256, &0x200_u32.to_le_bytes());
    put(OPTIONAL + 260, &(RAW as u32).to_le_bytes());
    put(OPTIONAL + 276, &0x4000_0040_u32.to_le_bytes());
    bytes
}

/// The same with a certificate table at its end.
pub fn signed(paths: &[&str]) -> Vec<u8> {
    let mut bytes = image(paths);
    let offset = bytes.len() as u32;
    bytes[OPTIONAL + 112 + 32..][..4].copy_from_slice(&offset.to_le_bytes());
    bytes[OPTIONAL + 112 + 36..][..4].copy_from_slice(&64_u32.to_le_bytes());
    bytes.extend([0xaa; 64]);
    bytes
}

const NT: u32 = 0x40;
const OPTIONAL: usize = NT as usize + 24;
const RAW: usize = 0x200;
