use macho_sections::{
    Error, Image, Resigned, RpathChange, plan_install_name, plan_rpath, plan_uuid,
};

use crate::maker::{Encoding, FORMS, LITTLE_64, SHA1, SHA256, library};

fn applied(bytes: &[u8], resigned: &Resigned) -> Vec<u8> {
    let mut edited = bytes.to_vec();
    resigned.plan.apply(&mut edited).unwrap();
    let verification = Image::parse(&edited).unwrap().verify_signature().unwrap();
    assert!(verification.is_none_or(|it| it.is_good()));
    let mut back = edited.clone();
    resigned.plan.invert().apply(&mut back).unwrap();
    assert_eq!(back, bytes);
    edited
}

#[test]
fn a_uuid_is_replaced_in_place() {
    for form in FORMS {
        for directories in [&[][..], &[SHA256, SHA1]] {
            let bytes = library(form, Encoding::Opcodes, directories).bytes;
            let resigned = plan_uuid(&Image::parse(&bytes).unwrap(), [7; 16]).unwrap();
            let edited = applied(&bytes, &resigned);
            let changed = bytes.iter().zip(&edited).filter(|(old, new)| old != new).count();
            assert!(changed <= 16 + 32 + 20);
            assert_eq!(Image::parse(&edited).unwrap().uuid(), Some([7; 16]));
        }
    }
}

#[test]
fn a_uuid_is_added_where_there_is_none() {
    for form in FORMS {
        let mut bytes = library(form, Encoding::Opcodes, &[]).bytes;
        let image = Image::parse(&bytes).unwrap();
        let command = image.commands().find(|it| it.kind.0 == 0x1b).unwrap().offset as usize;
        // Turned into a command that nobody knows.
        bytes[command..command + 4].copy_from_slice(&form.u32(0x7777));
        let image = Image::parse(&bytes).unwrap();
        assert_eq!(image.uuid(), None);
        let edited = applied(&bytes, &plan_uuid(&image, [9; 16]).unwrap());
        let after = Image::parse(&edited).unwrap();
        assert_eq!(after.uuid(), Some([9; 16]));
        assert_eq!(after.commands().count(), image.commands().count() + 1);
    }
}

#[test]
fn an_install_name_gets_shorter_in_place_and_longer_by_moving_what_follows() {
    for form in FORMS {
        let bytes = library(form, Encoding::Opcodes, &[SHA256]).bytes;
        let image = Image::parse(&bytes).unwrap();
        let names = ["/a", "", "@rpath/libmade.dylib", "@rpath/a/much/longer/name/libmade.dylib"];
        for name in names {
            let resigned = plan_install_name(&image, name.as_bytes()).unwrap();
            let edited = applied(&bytes, &resigned);
            let after = Image::parse(&edited).unwrap();
            assert_eq!(after.install_name(), Some(name.as_bytes()));
            assert_eq!(after.rpaths().collect::<Vec<_>>(), image.rpaths().collect::<Vec<_>>());
            assert!(after.libraries().eq(image.libraries()));
            assert_eq!(after.segments(), image.segments());
            let grows = name.len() > "@rpath/libmade.dylib".len();
            let sizes = [&after, &image].map(|it| it.header().commands_size);
            assert_eq!(sizes[0] > sizes[1], grows);
            assert_eq!(sizes[0] % form.word_size() as u32, 0);
        }
        assert!(plan_install_name(&image, b"@rpath/libmade.dylib").unwrap().plan.is_empty());
    }
}

#[test]
fn run_paths_are_added_replaced_and_removed() {
    for form in FORMS {
        let bytes = library(form, Encoding::Opcodes, &[SHA256, SHA1]).bytes;
        let image = Image::parse(&bytes).unwrap();
        let rpaths = |change| {
            let edited = applied(&bytes, &plan_rpath(&image, change).unwrap());
            let image = Image::parse(&edited).unwrap();
            assert_eq!(image.header().command_count as usize, image.commands().count());
            image.rpaths().map(|it| String::from_utf8_lossy(it).into_owned()).collect::<Vec<_>>()
        };
        let old = b"@loader_path/lib";
        assert_eq!(rpaths(RpathChange::Add(b"/opt/lib")), ["@loader_path/lib", "/opt/lib"]);
        assert_eq!(rpaths(RpathChange::Replace { old, new: b"/x" }), ["/x"]);
        let new = b"@executable_path/../Frameworks";
        assert_eq!(rpaths(RpathChange::Replace { old, new }), ["@executable_path/../Frameworks"]);
        assert_eq!(rpaths(RpathChange::Remove(old)), Vec::<String>::new());

        let absent = plan_rpath(&image, RpathChange::Remove(b"/nowhere"));
        assert!(matches!(absent, Err(Error::Absent { .. })));
        let twice = plan_rpath(&image, RpathChange::Add(old));
        assert!(matches!(twice, Err(Error::Impossible { .. })));
        let with_nul = plan_rpath(&image, RpathChange::Add(b"a\0b"));
        assert!(matches!(with_nul, Err(Error::Impossible { .. })));
    }
}

#[test]
fn a_name_that_would_reach_the_contents_is_refused_with_the_figures() {
    let bytes = library(LITTLE_64, Encoding::Opcodes, &[]).bytes;
    let image = Image::parse(&bytes).unwrap();
    let free = 0x800 - 32 - u64::from(image.header().commands_size);
    let Err(Error::NoRoom { wanted, free: found }) = plan_install_name(&image, &[b'x'; 0x1000])
    else {
        panic!()
    };
    assert_eq!(found, free);
    assert!(wanted > free);
    // The longest that fits: a command of 24 bytes of fields grows from 48 bytes.
    let longest = vec![b'x'; free as usize + 48 - 24 - 1];
    let edited = applied(&bytes, &plan_install_name(&image, &longest).unwrap());
    assert_eq!(Image::parse(&edited).unwrap().install_name(), Some(&longest[..]));
}

#[test]
fn padding_that_is_not_empty_is_not_overwritten() {
    let mut bytes = library(LITTLE_64, Encoding::Opcodes, &[]).bytes;
    let end = 32 + Image::parse(&bytes).unwrap().header().commands_size as usize;
    bytes[end + 3] = 1;
    let image = Image::parse(&bytes).unwrap();
    let grown = plan_rpath(&image, RpathChange::Add(b"/opt"));
    assert!(matches!(grown, Err(Error::Malformed { .. })));
    assert!(plan_rpath(&image, RpathChange::Remove(b"@loader_path/lib")).is_ok());
}
