use super::*;
use proptest::prelude::*;

/// Writes bits, as an encoder would.
#[derive(Default)]
struct Writer(Vec<bool>);

impl Writer {
    fn put(&mut self, count: u32, value: u32) -> &mut Self {
        self.0.extend((0..count).rev().map(|bit| value >> bit & 1 == 1));
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let byte = |bits: &[bool]| {
            bits.iter().enumerate().fold(0, |byte, (at, bit)| byte | u8::from(*bit) << (7 - at))
        };
        self.0.chunks(8).map(byte).collect()
    }
}

/// A key frame with the structure of one spatial and three temporal layers, as an encoder has it:
/// a template for the key frame and four for what follows it.
fn three_temporal_layers() -> Vec<u8> {
    let mut writer = Writer::default();
    // Begins and ends a frame, by the first template (its id is the offset), frame 257.
    writer.put(1, 1).put(1, 1).put(6, 5).put(16, 257);
    // A structure, and nothing of the frame's own.
    writer.put(5, 0b10000);
    // The offset, and three decode targets.
    writer.put(6, 5).put(5, 2);
    // Layers: two of T0, one of T1, one of T2.
    writer.put(2, 0).put(2, 1).put(2, 1).put(2, 3);
    // What each is to T0, T1 and T2: switch, discardable and absent.
    for roles in [[2, 2, 2], [2, 2, 2], [0, 1, 2], [0, 0, 1]] {
        for role in roles {
            writer.put(2, role);
        }
    }
    // References: none, then one each.
    writer.put(1, 0);
    for distance in [4, 2, 1] {
        writer.put(1, 1).put(4, distance - 1).put(1, 0);
    }
    // One chain, `ns(4)`, which protects all targets, and its distances.
    writer.put(2, 1);
    for distance in 0..4 {
        writer.put(4, distance);
    }
    // The size of the picture.
    writer.put(1, 1).put(16, 1279).put(16, 719);
    writer.bytes()
}

#[test]
fn a_structure_is_read_and_later_frames_by_it() {
    let key = Descriptor::read(&three_temporal_layers(), None).unwrap();
    assert!(key.key_frame && key.place.begins && key.place.ends);
    assert_eq!(Descriptor::number(&three_temporal_layers()), Some(257));
    let structure = key.structure.unwrap();
    assert_eq!(structure.height, Some(720));
    assert!(structure.nested);
    // T2, whose template is the fourth.
    let last = Descriptor::read(&[0xc0 | 8, 1, 2], Some(&structure)).unwrap();
    assert!(!last.key_frame);
    assert_eq!(last.place.part, Part::new(0, 2));
    assert!(last.place.is_needed(Part::WHOLE) && last.place.is_needed(Part::new(0, 2)));
    assert!(!last.place.is_needed(Part::new(0, 1)));
    // With T0 one may rise to whatever there is.
    let base = Descriptor::read(&[0x80 | 6, 1, 3], Some(&structure)).unwrap().place;
    assert!(base.may_rise(Part::new(0, 0), Part::new(0, 2)) && !base.ends);
    assert!(!last.place.may_rise(Part::new(0, 0), Part::new(0, 2)));
}

#[test]
fn what_refers_to_nothing_known_is_not_read() {
    assert_eq!(Descriptor::read(&[0xc0, 0, 1], None), None);
    let structure = Descriptor::read(&three_temporal_layers(), None).unwrap().structure.unwrap();
    assert_eq!(Descriptor::read(&[0xc0 | 20, 0, 1], Some(&structure)), None);
    let cut = three_temporal_layers();
    for len in 0..cut.len() - 1 {
        assert_eq!(Descriptor::read(&cut[..len], None), None, "{len}");
    }
}

#[test]
fn another_number_is_written_in_its_place() {
    let mut bytes = three_temporal_layers();
    Descriptor::renumber(&mut bytes, 4711);
    assert_eq!(Descriptor::number(&bytes), Some(4711));
    assert!(Descriptor::read(&bytes, None).unwrap().key_frame);
    Descriptor::renumber(&mut [1], 3);
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic_or_grow(
        bytes in proptest::collection::vec(any::<u8>(), 0..260),
        cut in 0usize..40,
        flip in any::<(u8, u8)>(),
    ) {
        let structure = Descriptor::read(&three_temporal_layers(), None).unwrap().structure;
        let mut near = three_temporal_layers();
        let at = usize::from(flip.0) % near.len();
        near[at] ^= flip.1;
        near.truncate(near.len() - cut.min(near.len()));
        for bytes in [bytes, near] {
            for known in [None, structure.as_ref()] {
                let found = Descriptor::read(&bytes, known);
                if let Some(told) = found.and_then(|found| found.structure) {
                    prop_assert!(told.templates.len() <= TEMPLATES);
                    prop_assert!(told.templates.iter().all(|it| it.targets.len() <= 32));
                }
            }
        }
    }
}
