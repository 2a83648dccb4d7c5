use super::uses::PROVENANCES;
use super::*;
use crate::{
    Checksum, Claim, Command, Contribution, Fact, FileUse, Format, Found, Identity, Quoting, Unit,
    UnitId,
};

/// Something of everything that goes into an entry.
fn sample() -> BuildInfo {
    let mut info = BuildInfo::new(Format::Elf);
    info.identity = Some(Identity::BuildId(vec![1, 2, 3]));
    info.checksums = vec![Checksum::Md5([7; 16])];
    for number in 0..PROVENANCES.len() as u32 {
        let id = UnitId(number);
        info.files.push(crate::File {
            path: format!("/s/{number}.c"),
            spellings: vec![format!("{number}.c")],
            found: Found::At(format!("/s/{number}.c").into()),
            units: (0..=number)
                .rev()
                .map(|back| UnitId(number - back))
                .skip(number as usize)
                .collect(),
        });
        let file = FileId(number);
        let checksum = (number % 2 == 0).then_some(0);
        let provenance = PROVENANCES[number as usize];
        info.units.push(Unit {
            module: format!("{number}.o"),
            command: Some(Fact::recorded(Command::Line {
                raw: "cc -c".to_owned(),
                quoting: Quoting::Posix,
                with_compiler: true,
                cut: false,
            })),
            definitions: vec!["-DX".to_owned()],
            files: vec![FileUse { file, checksum, provenance }],
            size: 7,
            ..Unit::default()
        });
        let claim = [Claim::Sole, Claim::First, Claim::Loser][number as usize % 3];
        info.contributions.push(Contribution {
            address: u64::from(number) << 40 | 5,
            size: number,
            unit: id,
            characteristics: 0x6000_0020,
            section: 1,
            claim,
        });
    }
    info
}

#[test]
fn a_change_of_the_layout_is_a_change_of_its_version() {
    let bytes = bytes("name", &sample(), &Questions::ALL, &[]).unwrap();
    // No checksum of the kind that is in it: that of a text with its own behind it never changes.
    let sum = bytes.iter().fold(0_u32, |sum, byte| sum.rotate_left(5) ^ u32::from(*byte));
    let told = (VERSION, bytes.len(), sum);
    let known = (4, 1492, 172885535);
    assert_eq!(told, known, "the model or the layout has changed: count VERSION up, and note this");
}
