//! A module as it is shown.

use std::borrow::Cow;

use rendezvous::{Module, Namespace, Role, State};
use serde::Serialize;

use crate::destination::hexadecimal;
use crate::legible::legible;
use crate::palette::Palette;
use crate::report::Report;

/// One module. Its JSON form is documented in the long help of `reloader modules`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listed<'a> {
    pub namespace: u32,
    pub path: Cow<'a, str>,
    /// Strings, for numbers end at 2^53 in JSON.
    pub bias: String,
    pub dynamic: String,
    pub build_id: Option<String>,
    pub role: &'static str,
    pub deleted: bool,
}

/// One of the loader's lists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Space<'a> {
    namespace: usize,
    r_debug: String,
    state: String,
    modules: Vec<Listed<'a>>,
}

impl<'a> Listed<'a> {
    pub fn of(module: &'a Module) -> Self {
        Self {
            namespace: module.namespace,
            path: module.path_lossy(),
            bias: format!("{:#x}", module.bias),
            dynamic: format!("{:#x}", module.dynamic),
            build_id: module.build_id.as_deref().map(hexadecimal),
            role: match module.role {
                Role::Program => "program",
                Role::Loader => "loader",
                Role::Kernel => "kernel",
                _ => "library",
            },
            deleted: module.is_deleted(),
        }
    }
}

impl Report for Listed<'_> {
    fn line(&self, palette: &Palette) -> String {
        let Palette { quiet, odd, apart, .. } = palette;
        let path = legible(&self.path);
        let space = match self.namespace {
            0 => String::new(),
            other => format!("  {apart}namespace {other}{apart:#}"),
        };
        let deleted = if self.deleted { format!("  {odd}deleted{odd:#}") } else { String::new() };
        let id = self.build_id.as_deref().unwrap_or("-");
        format!("{:>18}  {:<7}  {path}{space}{deleted}  {quiet}{id}{quiet:#}", self.bias, self.role)
    }
}

impl<'a> Space<'a> {
    pub fn of((number, namespace): (usize, &'a Namespace)) -> Self {
        Self {
            namespace: number,
            r_debug: format!("{:#x}", namespace.head.address),
            state: match namespace.head.state {
                State::Consistent => "consistent".to_owned(),
                State::Add => "add".to_owned(),
                State::Delete => "delete".to_owned(),
                State::Unknown(number) => number.to_string(),
            },
            modules: namespace.modules.iter().map(Listed::of).collect(),
        }
    }
}

impl Report for Space<'_> {
    fn line(&self, palette: &Palette) -> String {
        let Palette { apart, .. } = palette;
        let Self { namespace, r_debug, state, modules } = self;
        let mut lines = vec![format!(
            "{apart}namespace {namespace}{apart:#}: r_debug at {r_debug}, {state}, {} modules",
            modules.len()
        )];
        // What the heading says is not said again.
        lines.extend(modules.iter().map(|it| Listed { namespace: 0, ..it.clone() }.line(palette)));
        lines.join("\n")
    }
}
