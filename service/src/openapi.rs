//! What all descriptions of routes share (OpenAPI 3.1): how requests say who sends them, which
//! headers they have, and what a refusal looks like.

use std::collections::BTreeMap;

use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{KnownFormat, SchemaFormat, Type};
use utoipa::openapi::{
    ContentBuilder, ObjectBuilder, Ref, RefOr, Required, Response, ResponseBuilder, Schema,
};
use utoipa::{IntoParams, IntoResponses, PartialSchema, ToSchema};

use crate::Problem;

/// The header `Idempotency-Key`, which every route has that changes something.
pub struct Key;

impl IntoParams for Key {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let uuid = ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Uuid)));
        vec![
            ParameterBuilder::new()
                .name("Idempotency-Key")
                .parameter_in(ParameterIn::Header)
                .required(Required::True)
                .description(Some(
                    "A UUID. The same key with the same body is the same command, and gets the \
                     same answer; with another body it is refused (409).",
                ))
                .schema(Some(uuid))
                .build(),
        ]
    }
}

/// The query `after`, which every read has.
pub struct After;

impl IntoParams for After {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![
            ParameterBuilder::new()
                .name("after")
                .parameter_in(ParameterIn::Query)
                .required(Required::False)
                .description(Some(
                    "The position that a write was answered with: the answer shows that write, \
                     or is a 503 with `Retry-After`.",
                ))
                .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
                .build(),
        ]
    }
}

/// Every refusal and every failure is a problem.
pub struct Refusal;

impl IntoResponses for Refusal {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
        let refusal = ResponseBuilder::new()
            .description("A refusal or a failure (RFC 9457)")
            .content("application/problem+json", content)
            .build();
        BTreeMap::from([("default".to_owned(), refusal.into())])
    }
}

impl PartialSchema for Problem {
    fn schema() -> RefOr<Schema> {
        let text = || ObjectBuilder::new().schema_type(Type::String);
        let number = || ObjectBuilder::new().schema_type(Type::Integer);
        ObjectBuilder::new()
            .description(Some("Why a request had no effect (RFC 9457)."))
            .property("type", text().description(Some("A stable URI, which programs compare.")))
            .property("title", text().description(Some("The same for every problem of a type.")))
            .property("status", number().description(Some("The HTTP status.")))
            .property("detail", text().description(Some("What is special about this one.")))
            .property("retry_after", number().description(Some("Seconds until another try.")))
            .property("scope", text().description(Some("The scope that an API token lacks.")))
            .required("type")
            .required("title")
            .required("status")
            .into()
    }
}

impl ToSchema for Problem {
    fn name() -> std::borrow::Cow<'static, str> {
        "Problem".into()
    }
}
