//! Prints the modules of a process: `modules PID`, or `modules self`.

use rendezvous::{Location, Process};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let process = match std::env::args().nth(1).as_deref() {
        None | Some("self") => Process::own()?,
        Some(pid) => Process::open(pid.parse()?)?,
    };
    let rendezvous = match process.locate()? {
        Location::Found(rendezvous) => rendezvous,
        Location::NotYet { wait_at } => {
            println!("not loaded yet: it will be at {wait_at:#x}");
            return Ok(());
        }
    };
    let mut snapshot = rendezvous.snapshot(&process);
    snapshot.resolve(&process, &process.mappings()?);
    println!(
        "{:#x} by {:?}: {:?} after {} attempts",
        rendezvous.r_debug, rendezvous.way, snapshot.consistency, snapshot.attempts
    );
    for module in snapshot.modules() {
        let id: String =
            module.build_id.iter().flatten().map(|byte| format!("{byte:02x}")).collect();
        println!(
            "{} {:16x} {:8?} {} {id}",
            module.namespace,
            module.bias,
            module.role,
            module.path_lossy()
        );
    }
    if let Some(problem) = snapshot.problem {
        println!("{problem}");
    }
    Ok(())
}
