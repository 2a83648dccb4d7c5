use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// Everything that can be said to the machine, fitting or not.
#[derive(Clone, Copy, Debug)]
enum Input {
    Begin(Request),
    Answer(Answer),
}

const INPUTS: [Input; 11] = [
    Input::Begin(Request::Step { news: false }),
    Input::Begin(Request::Step { news: true }),
    Input::Begin(Request::RollBack { to: 1 }),
    Input::Begin(Request::Close),
    Input::Answer(Answer::Prepared),
    Input::Answer(Answer::NotReady),
    Input::Answer(Answer::Broken),
    Input::Answer(Answer::Returned(0)),
    Input::Answer(Answer::Returned(-1)),
    Input::Answer(Answer::Faulted),
    Input::Answer(Answer::Done),
];

/// A driver that only keeps books, and says where a machine's wish breaks an invariant.
#[derive(Clone)]
struct Books {
    machine: Machine,
    depth: usize,
    retreat: Retreat,
    /// The action under way; `Finish` between requests.
    pending: Action,
    /// Versions that are mapped, and whether each was given `Load` and not yet `Unload`.
    mapped: BTreeSet<u32>,
    live: BTreeSet<u32>,
    failed: BTreeSet<u32>,
    retired: BTreeSet<u32>,
    highest: u32,
    unloads_since_prepared: u32,
    closed: bool,
}

impl Books {
    fn new(depth: usize, retreat: Retreat) -> Self {
        Self {
            machine: Machine::new(depth, retreat),
            depth,
            retreat,
            pending: Action::Finish(Outcome::Idle),
            mapped: BTreeSet::new(),
            live: BTreeSet::new(),
            failed: BTreeSet::new(),
            retired: BTreeSet::new(),
            highest: 0,
            unloads_since_prepared: 0,
            closed: false,
        }
    }

    fn between_requests(&self) -> bool {
        matches!(self.pending, Action::Finish(_))
    }

    fn feed(&mut self, input: Input) {
        let fits = match input {
            Input::Begin(_) => self.between_requests(),
            Input::Answer(answer) => matches!(
                (self.pending, answer),
                (Action::Prepare { .. }, Answer::Prepared | Answer::NotReady | Answer::Broken)
                    | (Action::Call { .. }, Answer::Returned(_) | Answer::Faulted)
                    | (
                        Action::Carry { .. } | Action::Revert { .. } | Action::Retire { .. },
                        Answer::Done,
                    )
            ),
        };
        if !fits {
            let before = format!("{:?}", self.machine);
            let said = match input {
                Input::Begin(request) => self.machine.begin(request),
                Input::Answer(answer) => self.machine.answer(answer),
            };
            assert_eq!(said, self.pending, "an ill-fitting {input:?} gets the action under way");
            assert_eq!(before, format!("{:?}", self.machine), "and changes nothing");
            return;
        }
        let said = match input {
            Input::Begin(request) => self.machine.begin(request),
            Input::Answer(answer) => {
                self.book(answer);
                self.machine.answer(answer)
            }
        };
        self.check(said);
        self.pending = said;
    }

    /// What the answer means for the books.
    fn book(&mut self, answer: Answer) {
        match (self.pending, answer) {
            (Action::Prepare { version }, Answer::Prepared) => {
                assert!(version > self.highest, "a version number is used once");
                self.highest = version;
                self.mapped.insert(version);
                self.unloads_since_prepared = 0;
            }
            (Action::Prepare { version }, Answer::Broken) => {
                assert!(version > self.highest);
                self.highest = version;
            }
            (Action::Call { version, operation }, answer) => {
                let worked = matches!(answer, Answer::Returned(value) if value >= 0);
                match operation {
                    Operation::Load if worked => {
                        self.live.insert(version);
                    }
                    Operation::Unload | Operation::Close => {
                        self.live.remove(&version);
                        self.unloads_since_prepared += 1;
                    }
                    _ => {}
                }
                if answer == Answer::Faulted || !worked && operation != Operation::Step {
                    self.live.remove(&version);
                    self.failed.insert(version);
                }
            }
            (Action::Retire { version, .. }, Answer::Done) => {
                self.mapped.remove(&version);
                self.live.remove(&version);
                assert!(self.retired.insert(version), "a version is retired once");
            }
            _ => {}
        }
    }

    fn check(&mut self, said: Action) {
        if self.closed {
            assert_eq!(said, Action::Finish(Outcome::Closed), "nothing follows a close");
        }
        match said {
            Action::Prepare { version } => assert!(version > self.highest),
            Action::Call { version, operation } => {
                assert!(self.mapped.contains(&version), "only a mapped version is called");
                assert!(
                    !self.failed.contains(&version),
                    "a version that failed is not called again"
                );
                match operation {
                    Operation::Load => {
                        assert!(self.live.is_empty(), "one version is live at a time");
                    }
                    _ => assert!(
                        self.live.contains(&version),
                        "{operation} needs a load and no unload since"
                    ),
                }
                if operation == Operation::Unload {
                    assert_eq!(self.unloads_since_prepared, 0, "one unload for each new build");
                }
            }
            Action::Carry { from, to } => {
                assert!(self.mapped.contains(&to));
                assert!(from.is_none_or(|from| self.mapped.contains(&from) && from != to));
                assert!(self.live.is_empty(), "state is carried while nothing runs");
            }
            Action::Revert { to, afresh } => {
                assert!(self.mapped.contains(&to));
                assert!(afresh || !self.failed.contains(&to), "what failed starts afresh");
                self.failed.remove(&to);
                assert!(!afresh || self.retreat == Retreat::Previous);
                if self.retreat == Retreat::Previous {
                    // One that says no in a step is left without an unload.
                    self.live.clear();
                }
                self.unloads_since_prepared = 0;
            }
            Action::Retire { version, cause } => {
                assert!(self.mapped.contains(&version));
                // One that fails a step is live to its end.
                assert!(
                    cause == Retirement::Failed || !self.live.contains(&version),
                    "what works and is live is not retired"
                );
                if self.failed.contains(&version) {
                    assert!(cause != Retirement::Evicted, "a failed version is no history");
                }
            }
            Action::Finish(outcome) => self.check_rest(outcome),
        }
    }

    /// Between requests.
    fn check_rest(&mut self, outcome: Outcome) {
        self.unloads_since_prepared = 0;
        if outcome == Outcome::Closed {
            self.closed = true;
            assert!(self.mapped.is_empty(), "close retires everything");
            return;
        }
        let history: BTreeSet<u32> = self.machine.history().collect();
        let kept: BTreeSet<u32> = history.iter().copied().chain(self.machine.current()).collect();
        let failed: BTreeSet<u32> = self.machine.failed.iter().copied().collect();
        assert!(self.retreat == Retreat::Previous || failed.is_empty());
        assert!(failed.len() <= self.depth && failed.is_disjoint(&kept));
        let known = &kept | &failed;
        assert_eq!(known, self.mapped, "what is mapped is current or kept, and nothing else");
        assert!(history.len() <= self.depth.max(1), "the history is bounded");
        assert!(kept.is_disjoint(&self.failed), "no failed version is kept");
        if !history.is_empty() {
            assert!(self.machine.current().is_some(), "while one version works, one is current");
        }
        if let Some(running) = self.machine.running() {
            assert!(self.live.contains(&running));
        }
        if let Outcome::Ran(value) = outcome {
            assert!(value >= 0 && self.machine.running().is_some());
        }
    }
}

const RETREATS: [Retreat; 2] = [Retreat::Newest, Retreat::Previous];

fn explore(books: &Books, depth: u32, seen: &mut u64) {
    *seen += 1;
    if depth == 0 {
        return;
    }
    for input in INPUTS {
        let mut next = books.clone();
        next.feed(input);
        // An ill-fitting input changes nothing (asserted), so nothing new lies behind it.
        if format!("{:?}", next.machine) != format!("{:?}", books.machine)
            || next.pending != books.pending
        {
            explore(&next, depth - 1, seen);
        }
    }
}

#[test]
fn every_sequence_of_events_keeps_the_invariants() {
    for (depth, retreat) in [0, 1, 3].into_iter().flat_map(|depth| RETREATS.map(|it| (depth, it))) {
        let mut books = Books::new(depth, retreat);
        // From nothing, and from each of the first few reloads that went well: eight events and
        // more.
        for versions in 0..4 {
            let mut seen = 0;
            explore(&books, 10, &mut seen);
            assert!(seen > 1000, "the search really branches: {seen} after {versions}");
            books.feed(Input::Begin(NEWS));
            while !books.between_requests() {
                books.feed(Input::Answer(well(books.pending)));
            }
        }
    }
}

/// Runs a request to its end, answering each action by `answer`.
fn run(
    machine: &mut Machine,
    request: Request,
    mut answer: impl FnMut(Action) -> Answer,
) -> Outcome {
    let mut action = machine.begin(request);
    for _ in 0..100 {
        if let Action::Finish(outcome) = action {
            return outcome;
        }
        action = machine.answer(answer(action));
    }
    panic!("the request does not end");
}

fn well(action: Action) -> Answer {
    match action {
        Action::Prepare { .. } => Answer::Prepared,
        Action::Call { .. } => Answer::Returned(0),
        _ => Answer::Done,
    }
}

fn calls(
    machine: &mut Machine,
    request: Request,
    fail: impl Fn(u32, Operation) -> bool,
) -> Vec<(u32, Operation)> {
    let mut calls = Vec::new();
    run(machine, request, |action| {
        if let Action::Call { version, operation } = action {
            calls.push((version, operation));
            if fail(version, operation) {
                return Answer::Faulted;
            }
        }
        well(action)
    });
    calls
}

const NEWS: Request = Request::Step { news: true };
const STEP: Request = Request::Step { news: false };

#[test]
fn a_bad_build_costs_the_running_version_no_call() {
    let mut machine = Machine::new(3, Retreat::Newest);
    run(&mut machine, NEWS, well);
    let mut calls = Vec::new();
    run(&mut machine, NEWS, |action| match action {
        Action::Prepare { .. } => Answer::NotReady,
        Action::Call { version, operation } => {
            calls.push((version, operation));
            Answer::Returned(0)
        }
        _ => Answer::Done,
    });
    assert_eq!(calls, [(1, Operation::Step)]);
}

#[test]
fn a_crash_goes_back_version_by_version_and_numbers_are_never_used_again() {
    let mut machine = Machine::new(3, Retreat::Newest);
    for _ in 0..3 {
        run(&mut machine, NEWS, well);
    }
    assert_eq!(calls(&mut machine, STEP, |_, _| true), [(3, Operation::Step)]);
    assert_eq!(machine.current(), Some(2));
    assert_eq!(calls(&mut machine, STEP, |_, _| true), [(2, Operation::Load)]);
    assert_eq!(machine.current(), Some(1));
    assert_eq!(
        calls(&mut machine, STEP, |_, _| false),
        [(1, Operation::Load), (1, Operation::Step)]
    );
    assert_eq!(machine.next(), 4);
}

#[test]
fn a_crash_in_unload_does_not_cost_the_new_build() {
    let mut machine = Machine::new(3, Retreat::Newest);
    run(&mut machine, NEWS, well);
    let calls = calls(&mut machine, NEWS, |version, _| version == 1);
    assert_eq!(calls, [(1, Operation::Unload), (2, Operation::Load), (2, Operation::Step)]);
    assert_eq!(machine.history().count(), 0, "what crashed is not gone back to");
}

#[test]
fn a_first_version_that_crashes_leaves_the_place_to_a_fixed_build() {
    let mut machine = Machine::new(3, Retreat::Newest);
    assert_eq!(calls(&mut machine, NEWS, |_, _| true), [(1, Operation::Load)]);
    assert_eq!(run(&mut machine, STEP, well), Outcome::Idle);
    assert_eq!(
        calls(&mut machine, NEWS, |_, _| false),
        [(2, Operation::Load), (2, Operation::Step)]
    );
}

#[test]
fn a_first_version_that_says_no_in_a_step_stays() {
    let mut machine = Machine::new(3, Retreat::Newest);
    run(&mut machine, NEWS, well);
    let outcome = run(&mut machine, STEP, |action| match action {
        Action::Call { .. } => Answer::Returned(-5),
        _ => Answer::Done,
    });
    assert_eq!(outcome, Outcome::Failed);
    assert_eq!(machine.running(), Some(1));
}

#[test]
fn without_a_history_a_failed_load_still_goes_back() {
    let mut machine = Machine::new(0, Retreat::Newest);
    run(&mut machine, NEWS, well);
    calls(&mut machine, NEWS, |version, _| version == 2);
    assert_eq!(machine.current(), Some(1));
}

#[test]
fn rolling_back_unloads_the_one_and_loads_the_other() {
    let mut machine = Machine::new(3, Retreat::Newest);
    for _ in 0..3 {
        run(&mut machine, NEWS, well);
    }
    let made = calls(&mut machine, Request::RollBack { to: 1 }, |_, _| false);
    assert_eq!(made, [(3, Operation::Unload), (1, Operation::Load)]);
    assert_eq!(machine.running(), Some(1));
    assert_eq!(machine.history().collect::<Vec<_>>(), [2, 3]);
    assert_eq!(run(&mut machine, Request::RollBack { to: 7 }, well), Outcome::Unknown);
}

#[test]
fn as_in_cr_what_was_gone_back_to_falls_back_to_the_next_lower_number() {
    let mut machine = Machine::new(3, Retreat::Previous);
    run(&mut machine, NEWS, well);
    run(&mut machine, NEWS, well);
    calls(&mut machine, STEP, |version, _| version == 2);
    assert_eq!(machine.current(), Some(1), "2 failed in a step");
    run(&mut machine, NEWS, well);
    calls(&mut machine, NEWS, |version, _| version == 4);
    assert_eq!(machine.current(), Some(3), "4 failed in its load");
    run(&mut machine, STEP, well);
    let made = calls(&mut machine, NEWS, |version, operation| {
        (version, operation) == (3, Operation::Unload)
    });
    assert_eq!(made, [(3, Operation::Unload)], "the new build has to wait");
    assert_eq!(machine.current(), Some(2));
    assert_eq!(
        calls(&mut machine, STEP, |_, _| false),
        [(2, Operation::Load), (2, Operation::Step)]
    );
    assert_eq!(machine.history().collect::<Vec<_>>(), [1]);
}

#[test]
fn as_in_cr_but_with_nothing_before_it_a_crash_in_unload_does_not_cost_the_new_build() {
    let mut machine = Machine::new(3, Retreat::Previous);
    run(&mut machine, NEWS, well);
    let calls = calls(&mut machine, NEWS, |version, _| version == 1);
    assert_eq!(calls, [(1, Operation::Unload), (2, Operation::Load), (2, Operation::Step)]);
}

proptest! {
    #[test]
    fn long_lives_keep_the_invariants(
        depth in 0usize..5,
        retreat in prop::sample::select(&RETREATS[..]),
        inputs in prop::collection::vec((0usize..INPUTS.len(), 1u32..12), 0..400),
    ) {
        let mut books = Books::new(depth, retreat);
        for (index, to) in inputs {
            books.feed(match INPUTS[index] {
                Input::Begin(Request::RollBack { .. }) => Input::Begin(Request::RollBack { to }),
                other => other,
            });
        }
    }

    #[test]
    fn every_request_ends(
        depth in 0usize..4,
        retreat in prop::sample::select(&RETREATS[..]),
        requests in prop::collection::vec((0u8..8, 1u32..6), 1..60),
        answers in prop::collection::vec(0u8..8, 64),
    ) {
        let mut machine = Machine::new(depth, retreat);
        let mut turn = 0;
        for (kind, to) in requests {
            let request = match kind {
                0..=3 => NEWS,
                4 | 5 => STEP,
                6 => Request::RollBack { to },
                _ => Request::Close,
            };
            run(&mut machine, request, |action| {
                turn += 1;
                match (action, answers[turn % answers.len()]) {
                    (Action::Prepare { .. }, 0) => Answer::NotReady,
                    (Action::Prepare { .. }, 1) => Answer::Broken,
                    (Action::Call { .. }, 0) => Answer::Faulted,
                    (Action::Call { .. }, 1) => Answer::Returned(-1),
                    (action, _) => well(action),
                }
            });
        }
    }
}
