//! The few styles the program prints in.

use std::io::IsTerminal;

use anstyle::{AnsiColor, Style};

/// Styles by meaning; empty ones where there is no colour.
#[derive(Clone, Copy, Debug, Default)]
pub struct Palette {
    /// It worked.
    pub good: Style,
    /// It failed.
    pub bad: Style,
    /// It is worth a look.
    pub odd: Style,
    /// It is a thing of its own.
    pub apart: Style,
    /// It is said in passing.
    pub quiet: Style,
}

impl Palette {
    /// Colour if `stream` is a terminal that can show it and the user has not set `NO_COLOR`.
    pub fn of(stream: &impl IsTerminal) -> Self {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        if stream.is_terminal() && !unwanted { Self::coloured() } else { Self::default() }
    }

    const fn coloured() -> Self {
        Self {
            good: AnsiColor::Green.on_default().bold(),
            bad: AnsiColor::Red.on_default().bold(),
            odd: AnsiColor::Yellow.on_default().bold(),
            apart: AnsiColor::Cyan.on_default().bold(),
            quiet: Style::new().dimmed(),
        }
    }
}

#[cfg(test)]
impl Palette {
    /// Colour whatever the surroundings.
    pub const COLOURED: Self = Self::coloured();
}
