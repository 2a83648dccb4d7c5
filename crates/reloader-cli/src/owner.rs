//! `reloader owner`: which unit contributed what is at an address.

use std::fmt::Write;

use anyhow::{anyhow, bail};
use build_info::{BuildInfo, Claim, Contribution, Questions};
use clap::Args;
use serde::Serialize;

use crate::inquiry::{Inquiry, Narrow, Subject};
use crate::legible::legible;
use crate::palette::Palette;
use crate::report::{complain, print, reason};

/// Show which unit contributed what is at an address, or a function or variable
///
/// Where several units have the same function, the linker keeps one copy: its owner is shown, and
/// those whose copy was thrown away.
#[derive(Debug, Args)]
#[command(after_long_help = JSON_HELP)]
#[group(skip)]
pub struct Owner {
    #[command(flatten)]
    inquiry: Inquiry,

    /// An address (0x…) as in the image's own tables, or the linker's name of a symbol
    #[arg(value_name = "ADDRESS|SYMBOL", required = true)]
    wanted: Vec<String>,

    /// Report one JSON object
    #[arg(long)]
    json: bool,
}

/// What is known about one of the things that were asked for.
#[derive(Debug, Serialize)]
struct Known<'a> {
    asked: &'a str,
    places: Vec<Place<'a>>,
    error: Option<String>,
}

/// An address, and who claims it.
#[derive(Debug, Serialize)]
struct Place<'a> {
    address: u64,
    /// The COFF group that the address is in.
    group: Option<&'a str>,
    owner: Option<Claimed<'a>>,
    losers: Vec<Claimed<'a>>,
}

/// A unit's claim on an address.
#[derive(Debug, Serialize)]
struct Claimed<'a> {
    unit: u32,
    name: &'a str,
    module: &'a str,
    source: Option<&'a str>,
    address: u64,
    size: u32,
    section: u16,
    characteristics: u32,
    /// Whether others claim it too.
    ambiguous: bool,
}

impl Owner {
    /// Shows the owners; an error says how many could not be found.
    pub fn execute(self) -> anyhow::Result<()> {
        let subject = self.inquiry.open()?;
        let addresses: Vec<anyhow::Result<Vec<u64>>> =
            self.wanted.iter().map(|asked| addresses(&subject, asked)).collect();
        let narrow = Narrow::Addresses(addresses.iter().flatten().flatten().copied().collect());
        let wanted = Questions { commands: false, files: false, contributions: true };
        let answer = subject.answer(wanted, &narrow)?;
        let asked = self.wanted.iter().zip(addresses);
        let known: Vec<Known<'_>> =
            asked.map(|(asked, addresses)| Known::of(&answer.info, asked, addresses)).collect();
        if self.json {
            #[derive(Serialize)]
            struct All<'a> {
                file: &'a str,
                answers: &'a [Known<'a>],
            }
            print(&serde_json::to_string(&All { file: &answer.name, answers: &known })?)?;
        } else {
            let palette = Palette::of(&std::io::stdout());
            for one in known.iter().filter(|one| one.error.is_none()) {
                print(one.text(&palette).trim_end())?;
            }
        }
        let failures: Vec<&String> = known.iter().filter_map(|one| one.error.as_ref()).collect();
        match &*failures {
            [] => Ok(()),
            [only] if known.len() == 1 => bail!("{}: {only}", answer.name),
            some => {
                some.iter().for_each(|error| complain(&anyhow!("{error}")));
                bail!("{}: {} of {} have no owner", answer.name, some.len(), known.len())
            }
        }
    }
}

impl<'a> Known<'a> {
    fn of(info: &'a BuildInfo, asked: &'a str, addresses: anyhow::Result<Vec<u64>>) -> Self {
        let (addresses, mut error) = match addresses {
            Ok(addresses) => (addresses, None),
            Err(error) => (Vec::new(), Some(reason(&error))),
        };
        let places: Vec<Place<'a>> =
            addresses.into_iter().map(|address| Place::of(info, address)).collect();
        if error.is_none() && places.iter().all(|place| place.owner.is_none()) {
            let shown: Vec<String> =
                places.iter().map(|place| format!("{:#x}", place.address)).collect();
            error = Some(format!("{}: no unit is known to have contributed it", shown.join(", ")));
        }
        Self { asked, places, error }
    }

    fn text(&self, palette: &Palette) -> String {
        let Palette { good, quiet, odd, .. } = palette;
        let mut text = String::new();
        for place in &self.places {
            let Some(owner) = &place.owner else { continue };
            let asked = if self.asked.starts_with(|first: char| first.is_ascii_digit()) {
                String::new()
            } else {
                format!("  {}", legible(self.asked))
            };
            let group = place.group.map(|name| format!("  {}", legible(name))).unwrap_or_default();
            let into = place.address - owner.address;
            // A string takes whatever is written, here and below.
            let _ = writeln!(
                text,
                "{:>12}{asked}  {good}{}{good:#}  {quiet}+{into:#x} of {:#x}{group}{quiet:#}",
                format!("{:#x}", place.address),
                legible(owner.name),
                owner.size,
            );
            if !owner.module.is_empty() && owner.module != owner.name {
                let _ = writeln!(text, "{:>12}  {quiet}in {}{quiet:#}", "", legible(owner.module));
            }
            for loser in &place.losers {
                let name = legible(loser.name);
                let _ = writeln!(text, "{:>12}  {odd}thrown away: the copy of {name}{odd:#}", "");
            }
        }
        text
    }
}

impl<'a> Place<'a> {
    fn of(info: &'a BuildInfo, address: u64) -> Self {
        let owners = info.owners(address);
        let claims = |lost: bool| {
            let wanted = move |one: &&Contribution| (one.claim == Claim::Loser) == lost;
            let claimed = |one| Claimed::of(info, one);
            owners.contributions.iter().filter(wanted).filter_map(claimed).collect::<Vec<_>>()
        };
        let within = |start: u64, size: u32| address.wrapping_sub(start) < u64::from(size);
        let group = info.groups.iter().find(|group| within(group.address, group.size));
        Self {
            address,
            group: group.map(|group| group.name.as_str()),
            owner: claims(false).into_iter().next(),
            losers: claims(true),
        }
    }
}

impl<'a> Claimed<'a> {
    fn of(info: &'a BuildInfo, one: &Contribution) -> Option<Self> {
        let unit = info.units.get(one.unit.0 as usize)?;
        Some(Self {
            unit: one.unit.0,
            name: unit.name(),
            module: &unit.module,
            source: unit.source.as_ref().map(|fact| fact.value.as_str()),
            address: one.address,
            size: one.size,
            section: one.section,
            characteristics: one.characteristics,
            ambiguous: one.claim != Claim::Sole,
        })
    }
}

/// The addresses of what is asked for.
fn addresses(subject: &Subject<'_>, asked: &str) -> anyhow::Result<Vec<u64>> {
    if asked.starts_with(|first: char| first.is_ascii_digit()) {
        let digits = asked.strip_prefix("0x").or_else(|| asked.strip_prefix("0X"));
        let address = match digits {
            Some(digits) => u64::from_str_radix(digits, 16),
            None => asked.parse(),
        };
        let address = address.map_err(|error| anyhow!("{asked}: no address: {error}"))?;
        return Ok(vec![subject.relative(address)]);
    }
    let addresses = subject.symbol(asked)?;
    if addresses.is_empty() {
        bail!("{}: no symbol of this name", legible(asked));
    }
    Ok(addresses)
}

const JSON_HELP: &str = "\
Addresses count from the image's base in a PDB and are as linked in ELF and Mach-O. For a Windows
image, addresses from its preferred base on are taken as loaded there.

With --json, one object with file and answers, each of these with
  asked               as it was given
  places              the addresses of the symbol, or the one address; each with address, group (the
                      COFF group), owner and losers, those whose copy was thrown away
  error               why there is no owner, or null
An owner or loser has unit (its index in `reloader units --json`), name, module, source, address and
size of the whole range, section (its number), characteristics, ambiguous (others claim it too).";
