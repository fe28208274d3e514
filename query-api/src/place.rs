//! A position as it lies in Postgres: 16 bytes whose order is the order of the log.

use events::Position;
use serde::{Deserialize, Serialize};
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArgumentBuffer, PgTypeInfo, PgValueRef};
use sqlx::{Decode, Encode, Postgres, Type};

/// A position, in a row or in a parameter; in JSON it is the position's text.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(transparent)]
pub(crate) struct Place(pub(crate) Position);

impl Type<Postgres> for Place {
    fn type_info() -> PgTypeInfo {
        <[u8] as Type<Postgres>>::type_info()
    }

    fn compatible(ty: &PgTypeInfo) -> bool {
        <[u8] as Type<Postgres>>::compatible(ty)
    }
}

impl<'r> Decode<'r, Postgres> for Place {
    fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
        let bytes = <&[u8] as Decode<Postgres>>::decode(value)?;
        Position::from_bytes(bytes).map(Self).ok_or_else(|| "a position is 16 bytes".into())
    }
}

impl Encode<'_, Postgres> for Place {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        <&[u8] as Encode<Postgres>>::encode_by_ref(&&self.0.to_bytes()[..], buffer)
    }
}
