//! A record of the second version as an event of the first: properties become custom metadata.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost_types::{Value as Dynamic, value::Kind};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::fault::Fault;
use crate::{
    grpc::proto::sessions::{AppendRecord, SchemaFormat, SchemaInfo},
    log::frame::Proposed,
};

/// Up to here a number of the protocol, which is a double, counts whole numbers one by one.
const WHOLE: f64 = 9_007_199_254_740_992.0;

/// A record that was checked.
pub(super) struct Record(Proposed);

impl Record {
    /// Takes a record apart, and refuses what an event cannot hold.
    pub(super) fn take(record: AppendRecord) -> Result<Self, Fault> {
        let id = match record.record_id {
            Some(id) => {
                Uuid::parse_str(&id).map_err(|_| Fault::bad("the id of a record is not a UUID"))?
            }
            None => new_id(),
        };
        let schema = record.schema.ok_or_else(|| Fault::bad("a record has no schema"))?;
        let format = SchemaFormat::try_from(schema.format).unwrap_or_default();
        let name = schema.name.clone();
        if name.is_empty() || name.len() > usize::from(u16::MAX) {
            return Err(Fault::bad("the name of a schema is empty or too long"));
        }
        let custom_metadata = metadata(record.properties, schema, format)?.into();
        let is_json = format == SchemaFormat::Json;
        let (event_type, data) = (name.into(), record.data);
        Ok(Self(Proposed { id, event_type, is_json, custom_metadata, data }))
    }

    /// The same record in memory of its own.
    pub(super) fn compact(mut self) -> Self {
        self.0.data = Bytes::copy_from_slice(&self.0.data);
        self
    }

    pub(super) fn id(&self) -> Uuid {
        self.0.id
    }

    /// The bytes that count against the limits: data, metadata, and the type as in UTF-16.
    pub(super) fn size(&self) -> usize {
        let Proposed { event_type, custom_metadata, data, .. } = &self.0;
        let characters = String::from_utf8_lossy(event_type).chars().count();
        data.len() + custom_metadata.len() + 2 * characters
    }

    pub(super) fn into_event(self) -> Proposed {
        self.0
    }
}

/// A number for the protocol, which counts with a sign.
pub(super) fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The properties as a JSON object, with what else is known of the schema. Keys of the schema are
/// the server's: metadata that was read may be sent again with another schema.
fn metadata(
    properties: BTreeMap<String, Dynamic>,
    schema: SchemaInfo,
    format: SchemaFormat,
) -> Result<Vec<u8>, Fault> {
    let mut map = Map::new();
    for (key, value) in properties {
        map.insert(key, json(value)?);
    }
    let format = match format {
        SchemaFormat::Unspecified => {
            return Err(Fault::bad("the format of a schema is missing or unknown"));
        }
        SchemaFormat::Json => "Json",
        SchemaFormat::Protobuf => "Protobuf",
        SchemaFormat::Avro => "Avro",
        SchemaFormat::Bytes => "Bytes",
    };
    map.insert("$schema.name".to_owned(), schema.name.into());
    map.insert("$schema.format".to_owned(), format.into());
    match schema.id {
        Some(id) => map.insert("$schema.id".to_owned(), id.into()),
        None => map.remove("$schema.id"),
    };
    Ok(serde_json::to_vec(&map).expect("a JSON map can be written"))
}

/// The value as JSON; what decoded it bounds how deep it goes.
fn json(value: Dynamic) -> Result<Value, Fault> {
    Ok(match value.kind {
        Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(value)) => value.into(),
        Some(Kind::StringValue(text)) => text.into(),
        #[expect(clippy::cast_possible_truncation, reason = "the number is whole and in range")]
        Some(Kind::NumberValue(number)) if number.fract() == 0.0 && number.abs() < WHOLE => {
            (number as i64).into()
        }
        Some(Kind::NumberValue(number)) => serde_json::Number::from_f64(number)
            .ok_or_else(|| Fault::bad("a number of the properties is not finite"))?
            .into(),
        Some(Kind::StructValue(map)) => {
            let fields = map.fields.into_iter().map(|(key, value)| Ok((key, json(value)?)));
            Value::Object(fields.collect::<Result<_, Fault>>()?)
        }
        Some(Kind::ListValue(list)) => {
            Value::Array(list.values.into_iter().map(json).collect::<Result<_, Fault>>()?)
        }
        None => return Err(Fault::bad("a value of the properties is missing")),
    })
}

#[expect(clippy::disallowed_methods, reason = "the server is the edge that names such records")]
fn new_id() -> Uuid {
    Uuid::new_v4()
}
