//! Protobuf as usual, except that a message is counted before it is unfolded.
//!
//! An empty part of a message takes two bytes on the wire and a hundred in memory, so a message of
//! a size that is allowed could take gigabytes. The parts are counted first, along the fields that
//! can repeat, without looking into what events hold.

use std::{any::TypeId, marker::PhantomData};

use bytes::Buf;
use prost::{
    Message,
    encoding::{decode_varint, skip_field},
};
use tonic::{
    Status,
    codec::{Codec, DecodeBuf, Decoder, ProstCodec},
};

use super::{
    fault::Fault,
    proto::{
        sessions::{AppendRecordsRequest, AppendRequest},
        streams::{AppendReq, BatchAppendReq, ReadReq},
    },
};

/// The most fields of one message: an event takes about six.
const MOST: usize = 1 << 20;

/// What is deeper than this is not decoded either, but refused.
const DEEPEST: usize = 100;

/// The parts of a message that hold parts themselves, by field number.
struct Shape(&'static [(u32, &'static Shape)]);

static LEAF: Shape = Shape(&[]);
static EVENT: Shape = Shape(&[(2, &LEAF)]);
static EVENTS_AT_2: Shape = Shape(&[(2, &EVENT)]);
static EVENTS_AT_3: Shape = Shape(&[(3, &EVENT)]);
static READ: Shape = Shape(&[(1, &Shape(&[(7, &FILTER)]))]);
static FILTER: Shape = Shape(&[(1, &LEAF), (2, &LEAF)]);
static VALUE: Shape = Shape(&[(5, &Shape(&[(1, &ENTRY)])), (6, &Shape(&[(1, &VALUE)]))]);
static ENTRY: Shape = Shape(&[(2, &VALUE)]);
static RECORD: Shape = Shape(&[(2, &ENTRY)]);
static SESSION: Shape = Shape(&[(2, &RECORD)]);
static RECORDS: Shape = Shape(&[(1, &RECORD), (2, &LEAF)]);

/// What is counted of a message. Messages that are small by the limits of their service, or that
/// come from ourselves, are not counted.
fn shape<M: 'static>() -> Option<&'static Shape> {
    let shapes = [
        (TypeId::of::<AppendReq>(), &EVENTS_AT_2),
        (TypeId::of::<BatchAppendReq>(), &EVENTS_AT_3),
        (TypeId::of::<ReadReq>(), &READ),
        (TypeId::of::<AppendRequest>(), &SESSION),
        (TypeId::of::<AppendRecordsRequest>(), &RECORDS),
    ];
    shapes.into_iter().find(|(id, _)| *id == TypeId::of::<M>()).map(|(_, shape)| shape)
}

/// The codec of all services.
pub(crate) struct CountingCodec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for CountingCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for CountingCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = <ProstCodec<T, U> as Codec>::Encoder;
    type Decoder = CountingDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<T, U>::default().encoder()
    }

    fn decoder(&mut self) -> Self::Decoder {
        CountingDecoder(PhantomData)
    }
}

/// Counts, then decodes.
pub(crate) struct CountingDecoder<U>(PhantomData<U>);

impl<U: Message + Default + 'static> Decoder for CountingDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        if let Some(shape) = shape::<U>() {
            let whole = from.chunk();
            if whole.len() < from.remaining() {
                return Err(Status::internal("the message does not lie in one piece"));
            }
            count(whole, shape, DEEPEST, &mut { MOST })?;
        }
        // Clients take an internal error for a broken server, and connect anew.
        Ok(Some(U::decode(from).map_err(malformed)?))
    }
}

fn malformed(error: prost::DecodeError) -> Fault {
    Fault::bad(format!("the message is not what it should be: {error}"))
}

/// Takes the fields of the message, and of its parts, from those that are left.
fn count(mut message: &[u8], shape: &Shape, depth: usize, left: &mut usize) -> Result<(), Fault> {
    while !message.is_empty() {
        *left = left.checked_sub(1).ok_or_else(too_many)?;
        let (tag, wire_type) = prost::encoding::decode_key(&mut message).map_err(malformed)?;
        let part = shape.0.iter().find(|(number, _)| *number == tag).map(|(_, part)| part);
        match part {
            Some(part) if depth > 0 && wire_type == prost::encoding::WireType::LengthDelimited => {
                let length = decode_varint(&mut message).map_err(malformed)?;
                let inside = usize::try_from(length)
                    .ok()
                    .and_then(|length| message.split_at_checked(length))
                    .ok_or_else(|| Fault::bad("the message ends early"))?;
                count(inside.0, part, depth - 1, left)?;
                message = inside.1;
            }
            _ => {
                let context = prost::encoding::DecodeContext::default();
                skip_field(wire_type, tag, &mut message, context).map_err(malformed)?;
            }
        }
    }
    Ok(())
}

fn too_many() -> Fault {
    Fault::bad(format!("the message has more than {MOST} fields"))
}
