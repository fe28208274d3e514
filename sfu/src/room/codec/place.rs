//! Where a packet is among the layers of one stream, and for which quality it is needed.

/// A quality within one stream: the highest spatial and the highest temporal layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Part {
    pub(crate) spatial: u8,
    pub(crate) temporal: u8,
}

impl Part {
    /// Layers of one kind that are told apart; what is above them counts as the highest.
    const LAYERS: u8 = 4;

    /// How many parts there are.
    pub(crate) const COUNT: usize = 16;

    /// Everything that a stream has.
    pub(crate) const WHOLE: Self = Self { spatial: Self::LAYERS - 1, temporal: Self::LAYERS - 1 };

    pub(crate) fn new(spatial: u8, temporal: u8) -> Self {
        Self { spatial: spatial.min(Self::LAYERS - 1), temporal: temporal.min(Self::LAYERS - 1) }
    }

    /// Its place in masks of parts.
    pub(crate) fn index(self) -> usize {
        usize::from(self.spatial * Self::LAYERS + self.temporal)
    }

    /// All of them, from the lowest.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        (0..Self::LAYERS)
            .flat_map(|spatial| (0..Self::LAYERS).map(move |temporal| Self { spatial, temporal }))
    }

    /// The highest spatial layer, if there is a restriction.
    pub(crate) fn spatial_limit(self) -> Option<u8> {
        (self.spatial < Self::WHOLE.spatial).then_some(self.spatial)
    }

    /// The highest temporal layer, if there is a restriction.
    pub(crate) fn temporal_limit(self) -> Option<u8> {
        (self.temporal < Self::WHOLE.temporal).then_some(self.temporal)
    }

    /// Whether no layer of it is above that of another.
    pub(crate) const fn is_within(self, other: Self) -> bool {
        self.spatial <= other.spatial && self.temporal <= other.temporal
    }
}

/// Where a packet is among the layers of its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) part: Part,
    /// For which parts it is needed, one bit each.
    pub(crate) needed: u16,
    /// To which parts one may rise with this frame, one bit each.
    pub(crate) sync: u16,
    /// Whether `sync` is true even for who did not get this frame's layer before.
    pub(crate) alone: bool,
    /// Whether what a lower part needs is in each higher one: then one may go down at any picture.
    pub(crate) nested: bool,
    /// Whether a frame of a layer begins, and ends, with this packet.
    pub(crate) begins: bool,
    pub(crate) ends: bool,
}

impl Default for Place {
    /// Of a stream without layers, or of which none are known.
    fn default() -> Self {
        Self {
            part: Part::default(),
            needed: u16::MAX,
            sync: u16::MAX,
            alone: false,
            nested: true,
            begins: false,
            ends: false,
        }
    }
}

impl Place {
    /// Of VP8: `sync` says that the frame refers to nothing but the lowest layer.
    pub(super) fn of_temporal(temporal: u8, sync: bool) -> Self {
        let place = Self::of_layers(0, temporal, false);
        let may_rise = if sync { mask(|part| part.temporal == temporal) } else { 0 };
        Self { sync: if temporal == 0 { 0 } else { may_rise }, alone: sync, ..place }
    }

    /// Of VP9: `up` says that what follows refers to no higher layer of before this picture.
    pub(super) fn of_layers(spatial: u8, temporal: u8, up: bool) -> Self {
        let own = Part::new(spatial, temporal);
        let needed = mask(|part| own.is_within(part));
        let sync = if up { mask(|part| part.temporal >= own.temporal) } else { 0 };
        Self { part: own, needed, sync, ..Self::default() }
    }

    /// Whether it is needed for a part.
    pub(crate) fn is_needed(&self, part: Part) -> bool {
        self.needed >> part.index() & 1 == 1
    }

    /// Whether one who gets `now` may rise to the temporal layers of `part` with this frame.
    pub(crate) fn may_rise(&self, now: Part, part: Part) -> bool {
        let syncs = self.sync >> part.index() & 1 == 1;
        match self.alone {
            true => syncs && part.temporal == now.temporal + 1,
            false => syncs && self.is_needed(now),
        }
    }
}

fn mask(has: impl Fn(Part) -> bool) -> u16 {
    Part::all().filter(|part| has(*part)).fold(0, |mask, part| mask | 1 << part.index())
}
