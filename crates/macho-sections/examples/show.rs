//! Shows what images are made of, and whether their signatures hold.

use macho_sections::{Container, Error, Image};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for path in std::env::args_os().skip(1) {
        let bytes = std::fs::read(&path)?;
        println!("{}:", path.display());
        match Container::parse(&bytes) {
            Ok(container) => {
                for image in container.images() {
                    match image {
                        Ok(image) => show(&image)?,
                        Err(error) => println!("  {error}"),
                    }
                }
            }
            Err(error) => println!("  {error}"),
        }
    }
    Ok(())
}

fn show(image: &Image<'_>) -> Result<(), Error> {
    let header = image.header();
    println!("  {} {} at {:#x}", header.cpu, header.kind, image.base());
    for section in image.sections() {
        let names = [section.segment_name, section.name].map(String::from_utf8_lossy);
        let reason = image.exclusion_of(section).map_or("", |reason| reason.as_str());
        println!("    {:34} {:#x?} {reason}", names.join(","), section.range());
    }
    let writable = image.writable();
    println!("    variables: {:#x?}", writable.variables);
    println!("    thread-local: {:x?}", writable.thread_local);
    if let Some(error) = writable.unread {
        println!("    fixups: {error}");
    }
    println!("    fixups: {}", image.fixups().filter(Result::is_ok).count());
    println!("    object files: {}", image.debug_map()?.len());
    match image.verify_signature()? {
        Some(it) => println!("    signature: {} pages, {} bad", it.pages, it.bad_pages.len()),
        None => println!("    unsigned"),
    }
    Ok(())
}
