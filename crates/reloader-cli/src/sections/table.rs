//! An image as text: tables, and the map.

use std::fmt::Write;
use std::ops::Range;

use anstyle::Style;

use super::listing::{Body, FileState, Image, Listing, Name, Place, Section, Segment};
use super::map::{self, Kind};
use crate::legible::legible;
use crate::palette::Palette;
use crate::report::Report;

impl Report for Listing<'_> {
    fn line(&self, palette: &Palette) -> String {
        let mut text = String::new();
        self.write(palette, &mut text);
        text
    }
}

impl Listing<'_> {
    fn write(&self, palette: &Palette, text: &mut String) {
        let Palette { good, bad, .. } = palette;
        let title = match &self.place {
            Some(Place::Slice { offset, size }) => format!("  slice at {offset:x}, size {size:x}"),
            _ => legible(&self.file),
        };
        // A string takes whatever is written, here and below.
        let _ = match &self.body {
            Body::Image(image) => {
                let _ = writeln!(text, "{good}{title}{good:#}: {}", self.about(image));
                self.write_place(palette, text);
                image.write(palette, text);
                Ok(())
            }
            Body::Slices { slices } => {
                let _ = writeln!(text, "{good}{title}{good:#}: {} images", slices.len());
                for slice in slices {
                    text.push('\n');
                    slice.write(palette, text);
                }
                Ok(())
            }
            Body::Unread { error, .. } => writeln!(text, "{title}: {bad}{error}{bad:#}"),
        };
    }

    fn about(&self, image: &Image<'_>) -> String {
        let format = match image.format {
            "elf" => "ELF",
            "pe" => "PE",
            _ => "Mach-O",
        };
        let Image { class, endian, machine, purpose, .. } = image;
        format!("{format}, {class}-bit, {endian}-endian, {machine}, {purpose}")
    }

    fn write_place(&self, palette: &Palette, text: &mut String) {
        let Some(Place::Process { process, bias, file_state }) = &self.place else { return };
        let odd = palette.odd;
        let _ = writeln!(text, "  in process {process}, loaded {bias:x} above its own addresses");
        let note = match file_state {
            FileState::Unchanged | FileState::None => return,
            FileState::Deleted => "the file has been deleted since; this is the one that is loaded",
            FileState::Replaced => "the file is another one since; this is the one that is loaded",
            FileState::Lost => "the file is another one since, or deleted",
        };
        let _ = writeln!(text, "  {odd}{note}{odd:#}");
    }
}

impl Image<'_> {
    fn write(&self, palette: &Palette, text: &mut String) {
        let odd = palette.odd;
        for remark in &self.remarks {
            let _ = writeln!(text, "  {odd}{remark}{odd:#}");
        }
        self.segments_table().write(palette, text);
        self.sections_table(palette).write(palette, text);
        self.ranges_table(palette).write(palette, text);
        self.symbols_table(palette).write(palette, text);
        if let Some(it) = self.writable.as_ref().and_then(|it| it.thread_local.as_ref()) {
            let _ = writeln!(
                text,
                "\n  each thread has {:x} bytes of its own, {:x} of them copied from {:x}",
                it.size, it.template_size, it.address
            );
        }
        if self.writable.is_some() {
            text.push_str(&map::draw(self, palette));
        }
    }

    fn segments_table(&self) -> Table {
        let mut table = Table::new(&[
            ("SEGMENT", Align::Left),
            ("ADDRESS", Align::Right),
            ("MEMORY", Align::Right),
            ("OFFSET", Align::Right),
            ("FILE", Align::Right),
            ("RWX", Align::Left),
        ]);
        for segment in &self.segments {
            let Segment { name, address, memory_size, file_offset, file_size, .. } = segment;
            let numbers = [address, memory_size, file_offset, file_size];
            let mut cells = vec![name.shown()];
            cells.extend(numbers.map(|number| format!("{number:x}")));
            cells.push(permissions(segment));
            table.row(None, cells);
        }
        table
    }

    fn sections_table(&self, palette: &Palette) -> Table {
        let mut table = Table::new(&[
            ("SECTION", Align::Left),
            ("ADDRESS", Align::Right),
            ("SIZE", Align::Right),
            ("OFFSET", Align::Right),
            ("W", Align::Left),
            ("EXCLUDED", Align::Left),
        ]);
        // Mach-O's sections are known by their segment's name and their own.
        let is_grouped = self.format == "mach-o";
        let mut group = None;
        for section in &self.sections {
            let Section { segment, address, size, file_offset, file_size, .. } = section;
            let (name, indent) = (section.name.shown(), if is_grouped { "  " } else { "" });
            let is_empty = *file_size == 0;
            if is_grouped && group != segment.as_ref() {
                group = segment.as_ref();
                let mut cells = vec![String::new(); 6];
                cells[0] = segment.as_ref().map(Name::shown).unwrap_or_default();
                table.row(None, cells);
            }
            table.row(
                Some((self.kind_of(section), palette)),
                vec![
                    format!("{indent}{name}"),
                    format!("{address:x}"),
                    format!("{size:x}"),
                    if is_empty { "-".to_owned() } else { format!("{file_offset:x}") },
                    if section.writable { "w" } else { "" }.to_owned(),
                    section.excluded.unwrap_or_default().to_owned(),
                ],
            );
        }
        table
    }

    /// Every range of the writable memory, if that is what was asked for.
    fn ranges_table(&self, palette: &Palette) -> Table {
        let mut table = Table::new(&[
            ("WRITABLE", Align::Right),
            ("SIZE", Align::Right),
            ("WHAT", Align::Left),
            ("SECTION", Align::Left),
        ]);
        let Some(writable) = self.writable.as_ref().filter(|_| self.is_only_writable) else {
            return table;
        };
        let by_address = ByAddress::of(&self.sections);
        let mut spans: Vec<_> = writable.variables.iter().chain(&writable.excluded).collect();
        spans.sort_by_key(|span| span.address);
        for span in spans {
            let range = span.range();
            let mut within = by_address.within(&range).map(|it| it.name.shown());
            let mut sections: Vec<String> = within.by_ref().take(MOST_SECTIONS).collect();
            sections.extend(within.next().map(|_| "…".to_owned()));
            sections.reverse();
            let kind = Kind::of(span.reason, false, self.protects(&range));
            table.row(
                Some((kind, palette)),
                vec![
                    format!("{:x}", span.address),
                    format!("{:x}", span.size),
                    span.reason.unwrap_or("variables").to_owned(),
                    sections.join(" "),
                ],
            );
        }
        table
    }

    fn symbols_table(&self, palette: &Palette) -> Table {
        let mut table = Table::new(&[
            ("SYMBOL AT", Align::Right),
            ("SIZE", Align::Right),
            ("KIND", Align::Left),
            ("BINDING", Align::Left),
            ("SECTION", Align::Left),
            ("NAME", Align::Left),
        ]);
        for symbol in self.symbols.iter().flatten() {
            let end = symbol.address.saturating_add(symbol.size.unwrap_or(0));
            let is_protected = self.protects(&(symbol.address..end));
            let kind = Kind::of(symbol.excluded, symbol.kind == "function", is_protected);
            let version = symbol.version.iter().map(|it| format!("@{}", it.shown()));
            let file = symbol.file.iter().map(|it| format!("  {}", it.shown()));
            let name: String =
                std::iter::once(symbol.name.shown()).chain(version).chain(file).collect();
            table.row(
                Some((kind.filter(|_| symbol.section.is_some()), palette)),
                vec![
                    format!("{:x}", symbol.address),
                    symbol.size.map(|size| format!("{size:x}")).unwrap_or_default(),
                    symbol.kind.to_owned(),
                    symbol.binding.to_owned(),
                    symbol.section.as_ref().map(Name::shown).unwrap_or_default(),
                    name,
                ],
            );
        }
        table
    }

    fn kind_of(&self, section: &Section<'_>) -> Option<Kind> {
        let is_protected = section.writable && self.protects(&section.range());
        Kind::of(section.excluded, section.is_code, is_protected)
    }
}

/// The sections in memory, to be asked for those in a range.
struct ByAddress<'a> {
    /// Each with the highest end up to it.
    sections: Vec<(&'a Section<'a>, u64)>,
}

impl<'a> ByAddress<'a> {
    fn of(sections: &'a [Section<'a>]) -> ByAddress<'a> {
        let in_memory = sections.iter().filter(|it| it.is_mapped && it.size != 0);
        let mut sections: Vec<(&Section<'_>, u64)> =
            in_memory.map(|it| (it, it.range().end)).collect();
        sections.sort_by_key(|(section, _)| section.address);
        let mut highest = 0;
        for (_, end) in &mut sections {
            highest = highest.max(*end);
            *end = highest;
        }
        ByAddress { sections }
    }

    /// Those that have something of a range, the last one first.
    fn within(&self, range: &Range<u64>) -> impl Iterator<Item = &'a Section<'a>> {
        let end = self.sections.partition_point(|(section, _)| section.address < range.end);
        let start = range.start;
        let before = self.sections[..end].iter().rev();
        before
            .take_while(move |(_, highest)| *highest > start)
            .map(|(section, _)| *section)
            .filter(move |section| section.range().end > start)
    }
}

fn permissions(segment: &Segment<'_>) -> String {
    let letter = |is_allowed, letter| if is_allowed { letter } else { '-' };
    [letter(segment.read, 'r'), letter(segment.write, 'w'), letter(segment.execute, 'x')]
        .iter()
        .collect()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Align {
    Left,
    Right,
}

/// Aligned columns below their titles; nothing at all if there are no rows.
struct Table {
    columns: Vec<(&'static str, Align)>,
    rows: Vec<Row>,
}

struct Row {
    mark: char,
    style: Style,
    cells: Vec<String>,
}

impl Table {
    fn new(columns: &[(&'static str, Align)]) -> Table {
        Table { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// A row, in the style of what it is about and marked as in the map.
    fn row(&mut self, about: Option<(Option<Kind>, &Palette)>, cells: Vec<String>) {
        let (kind, style) = match about {
            Some((Some(kind), palette)) => (Some(kind), kind.style(palette)),
            Some((None, palette)) => (None, palette.quiet),
            None => (None, Style::new()),
        };
        let cells = cells.iter().map(|cell| legible(cell)).collect();
        self.rows.push(Row { mark: kind.map_or(' ', Kind::glyph), style, cells });
    }

    fn write(&self, palette: &Palette, text: &mut String) {
        if self.rows.is_empty() {
            return;
        }
        let quiet = palette.quiet;
        let titles: Vec<String> =
            self.columns.iter().map(|(title, _)| (*title).to_owned()).collect();
        let widths: Vec<usize> = (0..self.columns.len()).map(|it| self.width(it)).collect();
        let _ = writeln!(text, "\n{quiet}{}{quiet:#}", self.aligned(&titles, &widths, ' '));
        for Row { mark, style, cells } in &self.rows {
            let _ = writeln!(text, "{style}{}{style:#}", self.aligned(cells, &widths, *mark));
        }
    }

    fn width(&self, column: usize) -> usize {
        let cells = self.rows.iter().map(|row| row.cells[column].chars().count());
        // A few long names do not push all others apart.
        let longest = cells.filter(|&width| width <= LONGEST).max().unwrap_or(0);
        longest.max(self.columns[column].0.len())
    }

    fn aligned(&self, cells: &[String], widths: &[usize], mark: char) -> String {
        let mut line = format!("{mark} ");
        for (index, ((cell, &width), (_, align))) in
            cells.iter().zip(widths).zip(&self.columns).enumerate()
        {
            let gap = if index == 0 { "" } else { "  " };
            let _ = match align {
                Align::Left => write!(line, "{gap}{cell:<width$}"),
                Align::Right => write!(line, "{gap}{cell:>width$}"),
            };
        }
        line.trim_end().to_owned()
    }
}

/// The longest name that others are aligned with.
const LONGEST: usize = 26;

/// The most sections that are named for a range: an image may have any number at one address.
const MOST_SECTIONS: usize = 8;
