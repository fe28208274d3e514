//! The dependency descriptor (AV1 in RTP, appendix A): which frame is needed for which quality. A
//! header extension, so it is read even where the payload is encrypted end to end.

use super::bits::Bits;
use super::{Part, Place};

/// The longest descriptor, as the length of an extension has eight bits.
pub(crate) const LONGEST: usize = 255;

/// Templates of one structure; their ids have six bits.
const TEMPLATES: usize = 64;

/// References of one frame, far more than any encoder has.
const REFERENCES: usize = 16;

const ABSENT: u8 = 0;
const SWITCH: u8 = 2;

/// A kind of frame in a structure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Template {
    spatial: u8,
    temporal: u8,
    /// What the frame is to each decode target.
    targets: Vec<u8>,
    refers: bool,
}

/// What a stream said of its layers: sent with each key frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Structure {
    offset: u8,
    targets: u8,
    templates: Vec<Template>,
    /// The decode target of each part.
    of_part: [Option<u8>; Part::COUNT],
    /// Whether what a lower quality needs is also in each higher one of the same spatial layer
    /// and above, so that one may go down at any picture.
    nested: bool,
    /// The height of the highest spatial layer.
    pub(crate) height: Option<u16>,
}

/// A descriptor of one packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Descriptor {
    /// Whether a frame that refers to no other begins here.
    pub(crate) key_frame: bool,
    pub(crate) place: Place,
    /// A structure that replaces the one before.
    pub(crate) structure: Option<Structure>,
}

impl Descriptor {
    /// Reads a descriptor; `known` is the structure that was told last. `None` if it is malformed
    /// or refers to what was not told.
    pub(crate) fn read(bytes: &[u8], known: Option<&Structure>) -> Option<Self> {
        let mut bits = Bits::new(bytes);
        let (begins, ends) = (bits.flag()?, bits.flag()?);
        let id = bits.take(6)?;
        bits.skip(16)?;
        let mut told = None;
        let (mut own_targets, mut own_references) = (false, false);
        if bytes.len() > 3 {
            let (has_structure, has_active) = (bits.flag()?, bits.flag()?);
            (own_targets, own_references) = (bits.flag()?, bits.flag()?);
            bits.skip(1)?;
            if has_structure {
                told = Some(Structure::read(&mut bits)?);
            }
            if has_active {
                let count = told.as_ref().or(known)?.targets;
                bits.skip(count.into())?;
            }
        }
        let structure = told.as_ref().or(known)?;
        let template = (id + 64 - u32::from(structure.offset)) % 64;
        let mut template = structure.templates.get(template as usize)?.clone();
        if own_targets {
            template.targets = dtis(&mut bits, structure.targets)?;
        }
        if own_references {
            template.refers = bits.take(2)? != 0;
        }
        let place = structure.place(&template, begins, ends);
        let key_frame = begins && told.is_some() && !template.refers && template.spatial == 0;
        Some(Self { key_frame, place, structure: told })
    }

    /// The frame number in a descriptor.
    pub(crate) fn number(bytes: &[u8]) -> Option<u16> {
        bytes.get(1..3).map(|two| u16::from_be_bytes([two[0], two[1]]))
    }

    /// Writes another frame number into a descriptor.
    pub(crate) fn renumber(bytes: &mut [u8], number: u16) {
        if let Some(place) = bytes.get_mut(1..3) {
            place.copy_from_slice(&number.to_be_bytes());
        }
    }
}

impl Structure {
    fn read(bits: &mut Bits<'_>) -> Option<Self> {
        let offset = u8::try_from(bits.take(6)?).ok()?;
        let targets = u8::try_from(bits.take(5)?).ok()? + 1;
        let mut templates = layers(bits)?;
        for template in &mut templates {
            template.targets = dtis(bits, targets)?;
        }
        for template in &mut templates {
            let mut count = 0;
            while bits.flag()? {
                bits.skip(4)?;
                count += 1;
                if count > REFERENCES {
                    return None;
                }
            }
            template.refers = count > 0;
        }
        let chains = bits.below(u32::from(targets) + 1)?;
        if chains > 0 {
            for _ in 0..targets {
                bits.below(chains)?;
            }
            bits.skip(templates.len() * chains as usize * 4)?;
        }
        let highest = templates.iter().map(|template| template.spatial).max()?;
        let mut height = None;
        if bits.flag()? {
            for _ in 0..=highest {
                bits.skip(16)?;
                height = u16::try_from(bits.take(16)? + 1).ok();
            }
        }
        let of_part = of_part(&templates, targets);
        let mut structure = Self { offset, targets, templates, of_part, nested: true, height };
        structure.nested = structure.is_nested();
        Some(structure)
    }

    fn place(&self, template: &Template, begins: bool, ends: bool) -> Place {
        let (mut needed, mut sync) = (0, 0);
        for part in Part::all() {
            let target = self.of_part[part.index()].map(usize::from);
            let role = target.and_then(|target| template.targets.get(target)).copied();
            let role = role.unwrap_or(ABSENT);
            needed |= u16::from(role != ABSENT) << part.index();
            sync |= u16::from(role == SWITCH) << part.index();
        }
        let part = Part::new(template.spatial, template.temporal);
        Place { part, needed, sync, alone: false, nested: self.nested, begins, ends }
    }

    fn is_nested(&self) -> bool {
        let places = self.templates.iter().map(|template| self.place(template, true, true).needed);
        let needed: Vec<u16> = places.collect();
        let within = |lower: Part, higher: Part| {
            let has = |needed: u16, part: Part| needed >> part.index() & 1 == 1;
            needed.iter().all(|needed| !has(*needed, lower) || has(*needed, higher))
        };
        let pairs = Part::all().flat_map(|lower| Part::all().map(move |higher| (lower, higher)));
        pairs.filter(|(lower, higher)| lower.is_within(*higher)).all(|(l, h)| within(l, h))
    }
}

/// The layers of the templates: a list in which each entry says how the next one differs.
fn layers(bits: &mut Bits<'_>) -> Option<Vec<Template>> {
    let (mut spatial, mut temporal) = (0, 0);
    let mut templates = Vec::new();
    loop {
        if templates.len() == TEMPLATES {
            return None;
        }
        templates.push(Template { spatial, temporal, ..Template::default() });
        match bits.take(2)? {
            0 => {}
            1 => temporal += 1,
            2 => (spatial, temporal) = (spatial + 1, 0),
            _ => break,
        }
    }
    // More layers than these do not exist (AV1, section 6.2.3).
    let sane = |template: &Template| template.spatial < 4 && template.temporal < 8;
    templates.iter().all(sane).then_some(templates)
}

fn dtis(bits: &mut Bits<'_>, targets: u8) -> Option<Vec<u8>> {
    (0..targets).map(|_| u8::try_from(bits.take(2)?).ok()).collect()
}

/// The decode target of each part: the one with the highest layers that are not above it.
fn of_part(templates: &[Template], targets: u8) -> [Option<u8>; Part::COUNT] {
    let highest = |target: u8| {
        let has = |template: &&Template| template.targets[usize::from(target)] != ABSENT;
        let used = templates.iter().filter(has);
        let (mut spatial, mut temporal) = (0, 0);
        for template in used {
            spatial = spatial.max(template.spatial);
            temporal = temporal.max(template.temporal);
        }
        Part::new(spatial, temporal)
    };
    let parts: Vec<Part> = (0..targets).map(highest).collect();
    let mut found = [None; Part::COUNT];
    for part in Part::all() {
        let within = (0..targets).filter(|target| parts[usize::from(*target)].is_within(part));
        found[part.index()] = within.max_by_key(|target| parts[usize::from(*target)].index());
    }
    found
}

#[cfg(test)]
#[path = "descriptor_tests.rs"]
mod tests;
