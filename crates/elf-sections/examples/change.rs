//! Gives a copy of an image another name and run path, and shows what that changes:
//! `change FROM TO SONAME RUNPATH`.

use std::path::Path;

use elf_sections::{Changes, Image, plan_changes};
use patch_plan::WriteOptions;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [from, to, soname, runpath] = &arguments[..] else {
        return Err("wanted: FROM TO SONAME RUNPATH".into());
    };
    let bytes = std::fs::read(from)?;
    let changes = Changes {
        soname: Some(soname.clone().into_bytes()),
        runpath: Some(runpath.clone().into_bytes()),
        ..Changes::default()
    };
    let plan = plan_changes(&Image::parse(&bytes)?, &changes)?;
    print!("{}", plan.show());
    plan.write_file(Path::new(from), Path::new(to), &WriteOptions::default())?;
    Ok(())
}
