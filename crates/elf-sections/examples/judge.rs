//! Judges files, and shows what would be changed in a copy.

use elf_sections::{Expected, Image, Kind, LoadCopyOptions, Verdict, plan_load_copy, verdict};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for path in std::env::args_os().skip(1) {
        let bytes = std::fs::read(&path)?;
        print!("{}: ", path.display());
        // Each for its own processor, so that a directory of many can be judged.
        let expected = match Image::parse(&bytes) {
            Ok(image) => Expected { kind: Kind::SharedObject, ..Expected::like(image.header()) },
            Err(_) => Expected::native(),
        };
        let image = match verdict(&bytes, &expected) {
            Verdict::Complete(image) => image,
            Verdict::Incomplete(reason) => {
                println!("incomplete: {reason}");
                continue;
            }
            Verdict::Unloadable(reason) => {
                println!("will not load: {reason}");
                continue;
            }
        };
        let options = LoadCopyOptions { defer_initializers: true, ..LoadCopyOptions::default() };
        let copy = plan_load_copy(&image, &options)?;
        println!("complete; unique symbols: {:?}", copy.unique_symbols);
        print!("{}", copy.plan.show());
    }
    Ok(())
}
