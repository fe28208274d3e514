//! Calls whose messages are bytes, so that they can be anything.

use bytes::{Buf, BufMut, Bytes};
use futures::{StreamExt, stream};
use tonic::{
    Status,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    transport::Channel,
};

use crate::corpus::Call;

/// Messages as the bytes they are.
#[derive(Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

/// Makes the call and takes a few answers; the client half-closes, or never does.
pub(crate) async fn make(channel: Channel, call: Call, half_close: bool) {
    let mut grpc = Grpc::new(channel).max_decoding_message_size(usize::MAX);
    if grpc.ready().await.is_err() {
        return;
    }
    let messages = stream::iter(call.messages);
    let messages = match half_close {
        true => messages.boxed(),
        false => messages.chain(stream::pending()).boxed(),
    };
    let path = call.method.parse().expect("a path");
    let request = tonic::Request::new(messages);
    if let Ok(answers) = grpc.streaming(request, path, Raw).await {
        let mut answers = answers.into_inner().take(64);
        while let Some(Ok(_)) = answers.next().await {}
    }
}
