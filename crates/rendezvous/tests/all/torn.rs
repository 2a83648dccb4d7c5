use std::collections::HashSet;
use std::io::Read;
use std::process::{Command, Stdio};

use rendezvous::{Consistency, Memory, Process, ReadError, Snapshot};

use crate::support::Workshop;

/// How many libraries come and go.
const CHURNING: usize = 64;

/// Loads all libraries one after the other and unloads them in another order, for ever.
const CHURN: &str = r#"
#include <dlfcn.h>
#include <stdio.h>
#include <unistd.h>
int main(int argc, char **argv) {
    static void *handles[64];
    (void)argc;
    if (write(1, "x", 1) != 1) return 1;
    for (;;) {
        for (int i = 0; i < 64; i++) handles[i] = dlopen(argv[i + 1], RTLD_NOW | RTLD_LOCAL);
        for (int i = 0; i < 64; i++) dlclose(handles[i * 37 % 64]);
    }
}
"#;

/// A process that claims to hold still, so that its lists are read but once.
struct Still<'process>(&'process Process);

impl Memory for Still<'_> {
    fn read_exact_at(&self, address: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        self.0.read_exact_at(address, buffer)
    }

    fn read_up_to(&self, address: u64, buffer: &mut [u8]) -> usize {
        self.0.read_up_to(address, buffer)
    }

    fn can_change(&self) -> bool {
        false
    }
}

/// The sets of libraries that there are at one time or another, a bit for each.
fn reachable() -> HashSet<u64> {
    let mut set = 0_u64;
    let mut sets = HashSet::from([set]);
    let steps = (0..CHURNING).chain((0..CHURNING).map(|step| step * 37 % CHURNING));
    for library in steps {
        set ^= 1 << library;
        sets.insert(set);
    }
    assert_eq!(set, 0);
    sets
}

/// The set of a snapshot, and how many modules are not of it; `None` if one is there twice.
fn set_of(snapshot: &Snapshot) -> Option<(u64, usize)> {
    let mut set = 0_u64;
    let mut others = 0;
    for module in snapshot.modules() {
        let path = module.path_lossy();
        let Some((_, number)) = path.split_once("/churn-") else {
            others += 1;
            continue;
        };
        let bit = 1 << number.strip_suffix(".so")?.parse::<usize>().ok()?;
        if set & bit != 0 {
            return None;
        }
        set |= bit;
    }
    Some((set, others))
}

#[test]
fn no_snapshot_is_silently_wrong_while_libraries_come_and_go() {
    let wanted = 10_000;
    let workshop = Workshop::new();
    let Some(program) = workshop.compile("churn", CHURN, &["cc", "-ldl"]) else { return };
    let names: Vec<String> = (0..CHURNING).map(|index| format!("churn-{index}.so")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let Some(libraries) = workshop.libraries(&[], &names) else { return };
    let mut child = Command::new(program).args(libraries).stdout(Stdio::piped()).spawn().unwrap();
    child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    let process = Process::open(child.id()).unwrap();
    let rendezvous = process.locate().unwrap().found().unwrap();

    let reachable = reachable();
    let (mut consistent, mut attempts, mut others_of_all) = (0, 0, None);
    let mut wrong = Vec::new();
    let mut seen = HashSet::new();
    let mut naively_wrong = 0;
    for _ in 0..wanted {
        // What reading the list once would have said.
        let once = rendezvous.snapshot(&Still(&process));
        let is_right = set_of(&once).is_some_and(|(set, others)| {
            reachable.contains(&set) && others_of_all.is_none_or(|it| it == others)
        });
        naively_wrong += u32::from(once.problem.is_none() && !is_right);

        let snapshot = rendezvous.snapshot(&process);
        attempts += u64::from(snapshot.attempts);
        if snapshot.consistency != Consistency::Consistent {
            continue;
        }
        consistent += 1;
        match set_of(&snapshot) {
            Some((set, others))
                if reachable.contains(&set) && others == *others_of_all.get_or_insert(others) =>
            {
                seen.insert(set);
            }
            other => wrong.push((other, snapshot)),
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    println!(
        "{wanted} snapshots: {consistent} consistent, {} wrong, {} sets seen, {:.1} attempts each; \
         read once: {naively_wrong} wrong",
        wrong.len(),
        seen.len(),
        attempts as f64 / f64::from(wanted)
    );
    assert!(wrong.is_empty(), "{:?}", wrong[0]);
    // The target was indeed at work, and most snapshots did succeed.
    assert!(seen.len() > 16, "{}", seen.len());
    assert!(consistent * 10 >= wanted * 9, "{consistent} of {wanted}");
}
