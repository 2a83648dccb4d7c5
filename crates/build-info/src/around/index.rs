//! Steps by what they made and by what they were made from.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet, VecDeque};

use super::{Link, Step, Surroundings};
use crate::path::{Spelled, style};
use crate::{Format, Resolve};

/// Steps by what they made and by what they were made from, paths in the spelling that they are
/// compared by.
pub(super) struct Index<'a> {
    around: &'a Surroundings,
    by_output: HashMap<String, Vec<usize>>,
    by_source: HashMap<String, Vec<usize>>,
    /// By the last name of the source: a depfile does not say where its paths start, and some
    /// binaries do not say where their sources are.
    by_name: HashMap<String, Vec<usize>>,
    /// What was found by name before: many units may have one source.
    adrift: RefCell<HashMap<(String, String), Vec<usize>>>,
    /// What went into the image, where that is known.
    linked: Option<HashSet<String>>,
    pub(super) link: Option<&'a Link>,
    /// Whether the link is known by the image's name alone: another build's may have it too.
    pub(super) link_is_guessed: bool,
    /// How many steps may still be compared with a unit: many units and many steps can have one
    /// source.
    left: Cell<usize>,
}

impl<'a> Index<'a> {
    pub(super) fn new(
        around: &'a Surroundings,
        resolve: &Resolve,
        format: Format,
        units: usize,
    ) -> Self {
        let mut index = Self {
            around,
            by_output: HashMap::new(),
            by_source: HashMap::new(),
            by_name: HashMap::new(),
            adrift: RefCell::default(),
            linked: None,
            link: None,
            link_is_guessed: false,
            left: Cell::new(
                around.steps.len().saturating_add(units).saturating_mul(16).max(1 << 16),
            ),
        };
        for (number, step) in around.steps.iter().enumerate() {
            if let Some(source) = &step.source {
                index.by_name.entry(last_name(source)).or_default().push(number);
            }
            let rooted = |path: &&String| Spelled::parse(path, style(format)).is_absolute();
            let Some(directory) = &step.directory else {
                if let Some(source) = step.source.as_ref().filter(rooted) {
                    let key = resolve.key("", source, format);
                    index.by_source.entry(key).or_default().push(number);
                }
                continue;
            };
            for output in &step.outputs {
                let key = resolve.key(directory, output, format);
                index.by_output.entry(key).or_default().push(number);
            }
            if let Some(source) = &step.source {
                let key = resolve.key(directory, source, format);
                index.by_source.entry(key).or_default().push(number);
            }
        }
        if let Some(image) = &around.image {
            index.follow_links(image, resolve, format);
        }
        index
    }

    /// Takes what it costs to compare some steps with a unit; false if that is too much.
    pub(super) fn spend(&self, steps: usize) -> bool {
        let left = self.left.get().checked_sub(steps);
        self.left.set(left.unwrap_or(0));
        left.is_some()
    }

    /// Whether there were so many steps for a source that not all were compared.
    pub(super) fn is_spent(&self) -> bool {
        self.left.get() == 0
    }

    pub(super) fn of_output(&self, key: &str) -> impl Iterator<Item = &'a Step> {
        self.steps(self.by_output.get(key))
    }

    pub(super) fn of_source(&self, key: &str) -> impl Iterator<Item = &'a Step> {
        self.steps(self.by_source.get(key))
    }

    pub(super) fn of_name(&self, source: &str) -> impl Iterator<Item = &'a Step> {
        self.steps(self.by_name.get(&last_name(source)))
    }

    /// The steps that do not say where their paths start, and whose source is that of a unit if
    /// they start where the unit's compiler ran.
    pub(super) fn adrift(
        &self,
        cwd: &str,
        source: &str,
        resolve: &Resolve,
        format: Format,
    ) -> impl Iterator<Item = &'a Step> + use<'a> {
        let asked = (cwd.to_owned(), source.to_owned());
        let known = self.adrift.borrow().get(&asked).cloned();
        let numbers = known.unwrap_or_else(|| {
            let named =
                self.by_name.get(&last_name(source)).filter(|named| self.spend(named.len()));
            let named = named.into_iter().flatten().copied();
            let same = |number: &usize| {
                let step = self.around.steps.get(*number);
                step.filter(|step| step.directory.is_none()).is_some_and(|step| {
                    let path = step.source.as_deref().unwrap_or_default();
                    !Spelled::parse(path, style(format)).is_absolute()
                        && resolve.key(cwd, path, format) == source
                })
            };
            let numbers: Vec<usize> = named.filter(same).collect();
            self.adrift.borrow_mut().insert(asked, numbers.clone());
            numbers
        });
        let around = self.around;
        numbers.into_iter().filter_map(move |number| around.steps.get(number))
    }

    /// Whether something of a step went into the image; nothing where that is not known.
    pub(super) fn is_linked(&self, outputs: &[String]) -> Option<bool> {
        let linked = self.linked.as_ref()?;
        Some(outputs.iter().any(|output| linked.contains(output)))
    }

    fn steps(&self, numbers: Option<&Vec<usize>>) -> impl Iterator<Item = &'a Step> {
        let around = self.around;
        let numbers = numbers.cloned().unwrap_or_default();
        numbers.into_iter().filter_map(move |number| around.steps.get(number))
    }

    fn follow_links(&mut self, image: &str, resolve: &Resolve, format: Format) {
        let links = &self.around.links;
        let mut by_output = HashMap::<String, Vec<&'a Link>>::new();
        for link in links {
            for output in &link.outputs {
                by_output
                    .entry(resolve.key(&link.directory, output, format))
                    .or_default()
                    .push(link);
            }
        }
        let image = resolve.key("", image, format);
        self.link = by_output.get(&image).and_then(|links| links.first().copied());
        if self.link.is_none() {
            // It may have been moved since.
            let moved = |link: &&Link| {
                link.outputs.iter().any(|output| last_name(output) == last_name(&image))
            };
            let mut named = links.iter().filter(moved);
            self.link = named.next().filter(|_| named.next().is_none());
            self.link_is_guessed = true;
        }
        let Some(link) = self.link else { return };
        let mut linked = HashSet::new();
        let mut rest = VecDeque::from([link]);
        while let Some(link) = rest.pop_front() {
            for input in &link.inputs {
                let key = resolve.key(&link.directory, input, format);
                if linked.insert(key.clone()) {
                    rest.extend(by_output.get(&key).into_iter().flatten());
                }
            }
        }
        self.linked = Some(linked);
    }
}

/// The last name of a path, as both systems would compare it.
pub(super) fn last_name(path: &str) -> String {
    path.rsplit(['/', '\\']).next().unwrap_or(path).to_ascii_lowercase()
}
