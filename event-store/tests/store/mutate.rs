//! Spoils bytes, always in the same way for the same seed: some mutations keep the form of protobuf
//! and change the meaning, others break the form.

/// A small generator of numbers (splitmix64).
#[derive(Clone)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below the bound, or 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    pub(crate) fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }
}

const NUMBERS: [u64; 10] =
    [0, 1, 2, 127, 1 << 31, u32::MAX as u64, i64::MAX as u64, 1 << 63, u64::MAX - 1, u64::MAX];

/// A field of a message: its number, and what it holds.
#[derive(Clone)]
enum Held {
    Number(u64),
    Eight([u8; 8]),
    Four([u8; 4]),
    Bytes(Vec<u8>),
    /// Bytes that may be a message.
    Fields(Vec<(u64, Held)>),
}

/// A spoilt copy of a message.
pub(crate) fn message(random: &mut Random, message: &[u8]) -> Vec<u8> {
    if random.below(3) == 0 {
        return bytes(random, message);
    }
    let Some(mut fields) = parse(message, 0) else { return bytes(random, message) };
    for _ in 0..=random.below(3) {
        spoil(random, &mut fields);
    }
    encode(&fields)
}

/// A copy of the bytes with some of them changed, lost, doubled or added.
pub(crate) fn bytes(random: &mut Random, bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() + 1);
        let to = at + random.below((bytes.len() - at).min(64) + 1);
        match random.below(7) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            1 if at < bytes.len() => bytes[at] = *random.pick(&[0, 1, 0x7f, 0x80, 0xff]),
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(at..to)),
            4 => {
                let again = bytes[at..to].to_vec();
                bytes.splice(at..at, again);
            }
            5 => {
                let mut number = Vec::new();
                put_number(&mut number, *random.pick(&NUMBERS));
                bytes.splice(at..at, number);
            }
            _ => {
                let count = random.below(40);
                let noise = random.bytes(count);
                bytes.splice(at..at, noise);
            }
        }
    }
    bytes
}

fn spoil(random: &mut Random, fields: &mut Vec<(u64, Held)>) {
    if fields.is_empty() {
        fields.push((1 + random.next() % 20, Held::Number(*random.pick(&NUMBERS))));
        return;
    }
    let at = random.below(fields.len());
    let inside = random.below(4) != 0;
    match &mut fields[at].1 {
        Held::Fields(inner) if inside => return spoil(random, inner),
        Held::Number(number) if inside => return *number = *random.pick(&NUMBERS),
        Held::Eight(eight) if inside => return *eight = random.pick(&NUMBERS).to_le_bytes(),
        Held::Bytes(held) if inside => return *held = bytes(random, held),
        _ => {}
    }
    let other = random.below(fields.len());
    match random.below(6) {
        0 => drop(fields.remove(at)),
        1 => fields.swap(at, other),
        2 => fields.insert(other, fields[at].clone()),
        3 => fields[at].0 = 1 + random.next() % 20,
        4 => fields[at].1 = Held::Bytes(Vec::new()),
        _ => {
            let many = 1 << random.below(12);
            let field = fields[at].clone();
            fields.extend(std::iter::repeat_n(field, many));
        }
    }
}

fn parse(mut bytes: &[u8], depth: u8) -> Option<Vec<(u64, Held)>> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let tag = take_number(&mut bytes)?;
        let held = match tag & 7 {
            0 => Held::Number(take_number(&mut bytes)?),
            1 => Held::Eight(take(&mut bytes, 8)?.try_into().ok()?),
            5 => Held::Four(take(&mut bytes, 4)?.try_into().ok()?),
            2 => {
                let length = usize::try_from(take_number(&mut bytes)?).ok()?;
                let held = take(&mut bytes, length)?;
                let inner = if depth < 8 { parse(held, depth + 1) } else { None };
                inner.map_or_else(|| Held::Bytes(held.to_vec()), Held::Fields)
            }
            _ => return None,
        };
        if tag >> 3 == 0 {
            return None;
        }
        fields.push((tag >> 3, held));
    }
    Some(fields)
}

fn encode(fields: &[(u64, Held)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (number, held) in fields {
        let mut tag = |wire_type| put_number(&mut bytes, number << 3 | wire_type);
        match held {
            Held::Number(value) => {
                tag(0);
                put_number(&mut bytes, *value);
            }
            Held::Eight(eight) => {
                tag(1);
                bytes.extend(eight);
            }
            Held::Four(four) => {
                tag(5);
                bytes.extend(four);
            }
            Held::Bytes(held) => {
                tag(2);
                put_bytes(&mut bytes, held);
            }
            Held::Fields(inner) => {
                tag(2);
                put_bytes(&mut bytes, &encode(inner));
            }
        }
    }
    bytes
}

fn put_bytes(into: &mut Vec<u8>, bytes: &[u8]) {
    put_number(into, bytes.len() as u64);
    into.extend(bytes);
}

fn put_number(into: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        into.push(number as u8 | 0x80);
        number >>= 7;
    }
    into.push(number as u8);
}

fn take_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = *take(bytes, 1)?.first()?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(taken)
}
