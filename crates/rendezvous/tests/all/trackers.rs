use rendezvous::{Action, Head, Layout, Location, Rendezvous, Snapshot, State, Tracker};

use crate::paper::{LAYOUTS, Paper};

use State::{Add, Consistent, Delete, Unknown};

const STATES: [State; 4] = [Consistent, Add, Delete, Unknown(9)];

/// The snapshot of a list of these modules; those of the same name are the same in each.
fn snapshot(names: &[&str]) -> (Paper, Rendezvous, Snapshot) {
    let (mut paper, nodes) = Paper::simple(LAYOUTS[2], names);
    for (node, name) in nodes.iter().zip(names) {
        let number = name.bytes().fold(0, |number, byte| number << 8 | u64::from(byte));
        paper.set_nth(*node, 0, number << 16);
        paper.set_nth(*node, 2, (number << 16) + 0x2000);
    }
    let rendezvous = paper.found();
    let snapshot = rendezvous.snapshot(&paper.memory());
    (paper, rendezvous, snapshot)
}

fn head(state: State) -> Head {
    let (_, _, snapshot) = snapshot(&[""]);
    let mut head = snapshot.namespaces[0].head;
    head.state = state;
    head
}

fn paths(modules: &[rendezvous::Module]) -> Vec<String> {
    modules.iter().map(|module| module.path_lossy().into_owned()).collect()
}

#[test]
fn the_table_is_lldbs() {
    let expected = [
        (Consistent, Consistent, Action::Snapshot),
        (Add, Consistent, Action::Add),
        (Delete, Consistent, Action::Remove),
        (Consistent, Add, Action::Nothing),
        (Add, Add, Action::Add),
        (Delete, Add, Action::Nothing),
        (Consistent, Delete, Action::Nothing),
        (Add, Delete, Action::Nothing),
        (Delete, Delete, Action::Nothing),
    ];
    for (previous, current, action) in expected {
        assert_eq!(Action::of(Some(previous), current), action, "{previous:?} {current:?}");
    }
}

#[test]
fn whatever_the_states_a_change_that_ended_is_acted_upon() {
    // All sequences of four states of one namespace.
    for code in 0..STATES.len().pow(4) {
        let sequence: Vec<State> =
            (0..4).map(|place| STATES[code / STATES.len().pow(place) % STATES.len()]).collect();
        let mut tracker = Tracker::new();
        let mut previous = None;
        for &state in &sequence {
            let action = tracker.observe(&[head(state)]);
            assert_eq!(action, Action::of(previous, state), "{sequence:?}");
            if state == Consistent {
                assert_ne!(action, Action::Nothing, "{sequence:?}");
            }
            if previous == Some(Delete) && state == Consistent {
                assert_eq!(action, Action::Remove);
            }
            previous = Some(state);
        }
    }
}

#[test]
fn a_namespace_that_rests_does_not_speak_for_the_one_that_changes() {
    let mut tracker = Tracker::new();
    let mut observe = |states: &[State]| {
        let heads: Vec<Head> = states.iter().map(|&state| head(state)).collect();
        tracker.observe(&heads)
    };
    assert_eq!(observe(&[Add]), Action::Nothing);
    assert_eq!(observe(&[Consistent]), Action::Add);
    // dlmopen: the first namespace stays consistent throughout.
    assert_eq!(observe(&[Consistent, Add]), Action::Nothing);
    assert_eq!(observe(&[Consistent, Consistent]), Action::Add);
    assert_eq!(observe(&[Consistent, Delete]), Action::Nothing);
    assert_eq!(observe(&[Consistent, Consistent]), Action::Remove);
    // Nothing explains the call: whatever happened was missed.
    assert_eq!(observe(&[Consistent, Consistent]), Action::Snapshot);
    // One that was not seen before has been filled meanwhile.
    assert_eq!(observe(&[Consistent, Consistent, Consistent]), Action::Add);
    // The stronger action counts.
    assert_eq!(observe(&[Add, Delete, Consistent]), Action::Nothing);
    assert_eq!(observe(&[Consistent, Consistent, Consistent]), Action::Remove);
    // A loader takes no namespace away: this is another list.
    assert_eq!(observe(&[Consistent]), Action::Snapshot);
}

#[test]
fn a_difference_is_what_came_and_what_went() {
    let mut tracker = Tracker::new();
    tracker.update(snapshot(&["", "a", "b"]).2);
    assert_eq!(paths(tracker.added()), ["", "a", "b"]);
    assert_eq!(tracker.generation(), 1);
    let next = snapshot(&["", "a", "b", "c"]).2;
    tracker.update(next.clone());
    assert_eq!(paths(tracker.added()), ["c"]);
    assert!(tracker.removed().is_empty());
    tracker.update(next);
    assert!(tracker.added().is_empty() && tracker.removed().is_empty());
    assert_eq!(tracker.generation(), 2);
    tracker.update(snapshot(&["", "a", "d"]).2);
    assert_eq!(paths(tracker.added()), ["d"]);
    assert_eq!(paths(tracker.removed()), ["b", "c"]);
    tracker.reset();
    assert_eq!(paths(tracker.removed()), ["", "a", "d"]);
    assert_eq!(tracker.generation(), 4);
    assert_eq!(tracker.snapshot().modules().count(), 0);
}

#[test]
fn the_same_file_twice_or_another_at_the_same_place_is_another_module() {
    let (_, _, mut first) = snapshot(&["", "a", "b"]);
    let file = |inode| rendezvous::MappedFile {
        path: b"/lib/a.so".to_vec(),
        identity: Some(rendezvous::FileIdentity { device: 1, inode }),
        is_deleted: false,
    };
    // Both came from one file.
    for module in first.modules_mut().skip(1) {
        module.file = Some(file(7));
    }
    let mut tracker = Tracker::new();
    tracker.update(first.clone());
    assert_eq!(tracker.added().len(), 3);

    // Nothing is known of the files in the next: they are what they were.
    let mut unknown = first.clone();
    for module in unknown.modules_mut() {
        module.file = None;
    }
    tracker.update(unknown);
    assert!(tracker.added().is_empty() && tracker.removed().is_empty());
    assert_eq!(tracker.snapshot().modules().nth(1).unwrap().file, Some(file(7)));

    // The file was replaced, and loaded again to the same place.
    for module in first.modules_mut().skip(2) {
        module.file = Some(file(8));
    }
    tracker.update(first);
    assert_eq!(tracker.added().len(), 1);
    assert_eq!(tracker.removed().len(), 1);
    assert_eq!(tracker.added()[0].link_map, tracker.removed()[0].link_map);
    assert_ne!(tracker.added()[0].identity(), tracker.removed()[0].identity());
}

#[test]
fn advancing_reads_the_tail_alone_and_the_whole_list_after_a_removal() {
    let names = ["", "a", "b", "c"];
    let (mut paper, rendezvous, _) = snapshot(&names);
    let nodes: Vec<u64> =
        rendezvous.snapshot(&paper.memory()).modules().map(|module| module.link_map).collect();
    let r_debug = rendezvous.r_debug;
    let word_size = paper.layout().word_size() as u64;
    let set_state = |paper: &mut Paper, state: u32| {
        let state = paper.half(state);
        paper.set(r_debug + 3 * word_size, &state);
    };
    let mut tracker = Tracker::new();

    // Attached while there are two.
    paper.set_nth(nodes[1], 3, 0);
    tracker.advance(&rendezvous, &paper.memory()).unwrap();
    assert_eq!(paths(tracker.added()), ["", "a"]);

    set_state(&mut paper, 1);
    tracker.advance(&rendezvous, &paper.memory()).unwrap();
    assert!(tracker.added().is_empty());
    set_state(&mut paper, 0);
    paper.set_nth(nodes[1], 3, nodes[2]);
    // What is not the tail is not read: were it, it would be found to have changed.
    let name = paper.put(b"changed\0");
    paper.set_nth(nodes[0], 1, name);
    tracker.advance(&rendezvous, &paper.memory()).unwrap();
    assert_eq!(paths(tracker.added()), ["b", "c"]);
    assert_eq!(tracker.snapshot().modules().next().unwrap().path(), b"");

    // The second goes.
    set_state(&mut paper, 2);
    tracker.advance(&rendezvous, &paper.memory()).unwrap();
    set_state(&mut paper, 0);
    paper.set_nth(nodes[0], 3, nodes[2]);
    paper.set_nth(nodes[2], 4, nodes[0]);
    tracker.advance(&rendezvous, &paper.memory()).unwrap();
    assert_eq!(paths(tracker.removed()), ["a"]);
    assert!(tracker.added().is_empty());
    assert_eq!(tracker.snapshot().modules().count(), 3);
}

#[test]
fn a_list_that_cannot_be_read_leaves_what_is_known() {
    let (mut paper, rendezvous, _) = snapshot(&["", "a"]);
    let mut tracker = Tracker::new();
    tracker.advance(&rendezvous, &paper.memory()).unwrap();
    let nodes: Vec<u64> = tracker.snapshot().modules().map(|module| module.link_map).collect();
    paper.set_nth(nodes[0], 3, 0x5000_0000);
    // Nothing explains the call, so that everything is read.
    tracker.advance(&rendezvous, &paper.memory()).unwrap_err();
    assert_eq!(tracker.snapshot().modules().count(), 2);
    paper.set_nth(nodes[0], 3, 0);
    tracker.advance(&rendezvous, &paper.memory()).unwrap();
    assert_eq!(paths(tracker.removed()), ["a"]);
}

#[test]
fn a_location_says_whether_it_was_found() {
    let layout = Layout::NATIVE;
    let (paper, _) = Paper::simple(layout, &[""]);
    assert!(paper.locate().found().is_some());
    assert!(Location::NotYet { wait_at: 1 }.found().is_none());
}
