//! The address space of an image, drawn.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::Range;

use anstyle::Style;

use super::listing::Image;
use crate::legible::legible;
use crate::palette::Palette;

/// What a piece of memory holds, the most interesting first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Variables,
    ThreadLocal,
    Excluded,
    Protected,
    Code,
    Constants,
}

impl Kind {
    const ALL: [Kind; 6] = [
        Kind::Variables,
        Kind::ThreadLocal,
        Kind::Excluded,
        Kind::Protected,
        Kind::Code,
        Kind::Constants,
    ];

    /// The kind of what is excluded for a reason, or for none. `None` for what is not in memory, and
    /// for memory that nobody uses.
    pub fn of(reason: Option<&str>, is_code: bool, is_protected: bool) -> Option<Kind> {
        Some(match reason {
            None => Kind::Variables,
            Some("not-mapped" | "padding") => return None,
            Some("thread-local") => Kind::ThreadLocal,
            Some("code") => Kind::Code,
            Some("read-only") if is_code => Kind::Code,
            Some("read-only") => Kind::Constants,
            Some("read-only-after-relocation") => Kind::Protected,
            Some(_) if is_protected => Kind::Protected,
            Some(_) => Kind::Excluded,
        })
    }

    pub fn glyph(self) -> char {
        match self {
            Kind::Variables => '█',
            Kind::ThreadLocal => '▄',
            Kind::Excluded => '▒',
            Kind::Protected => '▚',
            Kind::Code => '▌',
            Kind::Constants => '░',
        }
    }

    pub fn style(self, palette: &Palette) -> Style {
        match self {
            Kind::Variables => palette.good,
            Kind::ThreadLocal => palette.apart,
            Kind::Excluded => palette.odd,
            Kind::Protected => palette.bad,
            Kind::Code => Style::new(),
            Kind::Constants => palette.quiet,
        }
    }

    fn label(self) -> &'static str {
        match self {
            Kind::Variables => "variables",
            Kind::ThreadLocal => "thread-local",
            Kind::Excluded => "excluded",
            Kind::Protected => "read-only after relocation",
            Kind::Code => "code",
            Kind::Constants => "read-only",
        }
    }
}

/// Draws the whole image and, larger, what of it is writable; only that, if nothing else is listed.
/// Empty for an image that has no place in memory, such as an object file.
pub fn draw(image: &Image<'_>, palette: &Palette) -> String {
    let pieces = Pieces::of(image);
    let mut text = String::new();
    let all = pieces.mapped(|_| true);
    let writable = pieces.mapped(|is_writable| is_writable);
    if all.is_empty() {
        return text;
    }
    let whole = Strip::new(&all, SMALLEST_CELL);
    let close = Strip::new(&writable, SMALLEST_CELL);
    whole.draw(&pieces, "the image", palette, &mut text);
    if !writable.is_empty() && close.cell < whole.cell {
        close.draw(&pieces, "its writable part", palette, &mut text);
    }
    legend(&pieces, palette, &mut text);
    text
}

/// What is to be drawn.
struct Pieces {
    /// The mapped segments, and whether they are writable.
    segments: Vec<(Range<u64>, bool)>,
    pieces: Vec<(Range<u64>, Kind)>,
    names: Vec<Name>,
}

/// The name of a section.
struct Name {
    range: Range<u64>,
    has_variables: bool,
    text: String,
}

impl Pieces {
    fn of(image: &Image<'_>) -> Pieces {
        let mapped = image.segments.iter().filter(|it| it.is_mapped && it.memory_size != 0);
        let segments: Vec<(Range<u64>, bool)> =
            mapped.clone().map(|it| (it.range(), it.write)).collect();
        let sections = || image.sections.iter().filter(|it| it.is_mapped);
        let has_sections = sections().next().is_some();
        let mut pieces = Vec::new();
        for segment in mapped.filter(|it| !it.write) {
            let is_code = segment.execute && !has_sections;
            pieces.push((segment.range(), if is_code { Kind::Code } else { Kind::Constants }));
        }
        let code = sections().filter(|it| it.is_code);
        pieces.extend(code.map(|it| (it.range(), Kind::Code)));
        if let Some(writable) = &image.writable {
            for span in writable.variables.iter().chain(&writable.excluded) {
                for part in split(&span.range(), &image.protected) {
                    let kind = Kind::of(span.reason, false, image.protects(&part));
                    pieces.extend(kind.map(|kind| (part, kind)));
                }
            }
        }
        let names = sections()
            .filter(|it| it.size != 0)
            .map(|it| Name {
                range: it.range(),
                has_variables: it.excluded.is_none(),
                text: legible(&it.name.shown()),
            })
            .collect();
        Pieces { segments, pieces, names }
    }

    /// The addresses of segments, ascending and disjoint.
    fn mapped(&self, wanted: impl Fn(bool) -> bool) -> Vec<Range<u64>> {
        let segments = self.segments.iter().filter(|(_, is_writable)| wanted(*is_writable));
        let mut ranges: Vec<Range<u64>> = segments.map(|(range, _)| range.clone()).collect();
        ranges.sort_by_key(|range| range.start);
        ranges.dedup_by(|after, before| {
            let is_one = after.start <= before.end;
            if is_one {
                before.end = before.end.max(after.end);
            }
            is_one
        });
        ranges
    }
}

/// Rows of cells that all stand for as many bytes.
struct Strip<'a> {
    shown: &'a [Range<u64>],
    cell: u64,
}

type Row = [Option<Kind>; COLUMNS];

impl Strip<'_> {
    fn new(shown: &[Range<u64>], smallest: u64) -> Strip<'_> {
        let bytes = shown.iter().fold(0_u64, |sum, it| sum.saturating_add(it.end - it.start));
        let cell = (bytes / (COLUMNS as u64 * ROWS)).max(smallest);
        let cell = cell.checked_next_power_of_two().unwrap_or(1 << 63);
        Strip { shown, cell }
    }

    fn row_size(&self) -> u64 {
        self.cell.saturating_mul(COLUMNS as u64)
    }

    fn draw(&self, pieces: &Pieces, what: &str, palette: &Palette, text: &mut String) {
        let quiet = palette.quiet;
        let rows = self.rows(pieces);
        // A string takes whatever is written, here and below.
        let _ = writeln!(text, "\n  {quiet}{what}, {} bytes a cell{quiet:#}", size(self.cell));
        let last = rows.keys().next_back().copied().unwrap_or(0);
        let width = format!("{last:x}").len();
        let mut expected = None;
        for (number, (&start, row)) in rows.iter().enumerate() {
            if number == MOST_ROWS {
                let left = rows.len() - number;
                let _ = writeln!(text, "  {quiet}and {left} more rows{quiet:#}");
                break;
            }
            if expected.is_some_and(|it| it != start) {
                let _ = writeln!(text, "  {quiet}{:>width$}{quiet:#}", "⋮");
            }
            expected = start.checked_add(self.row_size());
            let _ = writeln!(text, "  {quiet}{start:>width$x}{quiet:#}  {}", paint(row, palette));
            for names in self.names(pieces, start) {
                let _ = writeln!(text, "  {:>width$}  {quiet}{names}{quiet:#}", "");
            }
        }
    }

    /// The rows that anything is in, by their addresses.
    fn rows(&self, pieces: &Pieces) -> BTreeMap<u64, Row> {
        let mut rows = BTreeMap::new();
        for (range, kind) in &pieces.pieces {
            let first = self.shown.partition_point(|shown| shown.end <= range.start);
            let touched = self.shown[first..].iter().take_while(|shown| shown.start < range.end);
            for shown in touched {
                let start = range.start.max(shown.start) / self.cell;
                let last = (range.end.min(shown.end) - 1) / self.cell;
                for cell in start..=last {
                    let column = (cell % COLUMNS as u64) as usize;
                    let row = (cell - column as u64) * self.cell;
                    let place = &mut rows.entry(row).or_insert([None; COLUMNS])[column];
                    *place = Some(place.map_or(*kind, |other: Kind| other.min(*kind)));
                }
            }
        }
        rows
    }

    /// Lines with the names of sections below the cells in which they start: those with variables
    /// and the largest ones first, where not all have room.
    fn names(&self, pieces: &Pieces, row: u64) -> Vec<String> {
        let row_end = row.saturating_add(self.row_size());
        let is_shown = |range: &Range<u64>| {
            let position = self.shown.partition_point(|shown| shown.end <= range.start);
            self.shown.get(position).is_some_and(|shown| shown.contains(&range.start))
        };
        let mut starting: Vec<&Name> = pieces
            .names
            .iter()
            .filter(|it| (row..row_end).contains(&it.range.start) && is_shown(&it.range))
            .collect();
        starting.sort_by_key(|it| (!it.has_variables, Reverse(it.range.end - it.range.start)));
        let mut lines = [[' '; COLUMNS]; LINES_OF_NAMES];
        for Name { range, text, .. } in starting {
            let column = ((range.start - row) / self.cell) as usize;
            let letters: Vec<char> = std::iter::once('╵').chain(text.chars()).collect();
            let end = column + letters.len();
            // With a space on each side.
            let around = column.saturating_sub(1)..(end + 1).min(COLUMNS);
            let has_room = |line: &&mut [char; COLUMNS]| {
                end <= COLUMNS && line[around.clone()].iter().all(|&it| it == ' ')
            };
            if let Some(line) = lines.iter_mut().find(has_room) {
                line[column..end].copy_from_slice(&letters);
            }
        }
        let lines = lines.iter().map(|line| line.iter().collect::<String>());
        lines.map(|line| line.trim_end().to_owned()).filter(|line| !line.is_empty()).collect()
    }
}

/// What of a range lies before, in and behind another.
fn split(range: &Range<u64>, by: &Range<u64>) -> impl Iterator<Item = Range<u64>> + use<> {
    let first = by.start.clamp(range.start, range.end);
    let second = by.end.clamp(first, range.end);
    let parts = [range.start..first, first..second, second..range.end];
    parts.into_iter().filter(|part| !part.is_empty())
}

/// The cells, with a style for each run of equal ones.
fn paint(row: &Row, palette: &Palette) -> String {
    let end = row.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
    let mut text = String::new();
    for run in row[..end].chunk_by(|a, b| a == b) {
        let _ = match run[0] {
            Some(kind) => {
                let style = kind.style(palette);
                let cells: String = run.iter().map(|_| kind.glyph()).collect();
                write!(text, "{style}{cells}{style:#}")
            }
            None => write!(text, "{}", NOTHING.to_string().repeat(run.len())),
        };
    }
    text
}

fn legend(pieces: &Pieces, palette: &Palette, text: &mut String) {
    let drawn = Kind::ALL.into_iter().filter(|kind| pieces.pieces.iter().any(|(_, it)| it == kind));
    let entries = drawn.map(|kind| (kind.glyph(), kind.label(), kind.style(palette))).chain([(
        NOTHING,
        "nothing",
        Style::new(),
    )]);
    let mut width = WIDTH;
    for (glyph, label, style) in entries {
        let entry = label.len() + 4;
        if width + entry > WIDTH {
            text.push('\n');
            width = 0;
        }
        width += entry;
        let _ = write!(text, "  {style}{glyph}{style:#} {label}");
    }
    text.push('\n');
}

/// A power of two in the largest unit that divides it.
fn size(bytes: u64) -> String {
    let units = [(1 << 40, "Ti"), (1 << 30, "Gi"), (1 << 20, "Mi"), (1 << 10, "Ki")];
    match units.iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => format!("{} {name}", bytes / unit),
        None => bytes.to_string(),
    }
}

/// With an address of 48 bits before them, the cells of a row fill a line of 80 characters.
const COLUMNS: usize = 64;

/// How many rows an image has that is in one piece, about.
const ROWS: u64 = 4;

/// How many an image has at most, for core files are of thousands of pieces.
const MOST_ROWS: usize = 40;

/// How many lines below a row the names of sections may take.
const LINES_OF_NAMES: usize = 2;

/// No variable is much smaller.
const SMALLEST_CELL: u64 = 4;

/// What a cell looks like that nothing is in.
const NOTHING: char = '·';

/// How long a line may be.
const WIDTH: usize = 80;
