//! The pictures that everybody may use: drawn for us, the same for ever, shown to anybody.

use std::sync::LazyLock;

use axum::Json;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use service::openapi::Refusal;
use service::{Path, Problem};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::reads::Reads;

/// A client asks again after a day, and is told with 304 that nothing has changed.
const CACHED: &str = "public, max-age=86400";

pub(crate) fn router() -> OpenApiRouter<Reads> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(picture))
}

macro_rules! drawn {
    ($($name:literal),*) => {
        [$(($name, include_str!(concat!("avatars/", $name, ".svg")))),*]
    };
}

/// The names of the presets 1 to 8 and what they look like.
const DRAWN: [(&str, &str); 8] =
    drawn!["fox", "owl", "cat", "bear", "frog", "whale", "penguin", "rabbit"];

static TAGS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let tag = |picture: &str| format!("\"{}\"", &hex::encode(Sha256::digest(picture))[..32]);
    DRAWN.iter().map(|(_, picture)| tag(picture)).collect()
});

/// A picture that everybody may use.
#[derive(Serialize, ToSchema)]
struct Preset {
    /// What an `avatar` says: `{"preset": 1}`.
    preset: u8,
    name: &'static str,
    /// Where the picture is; also at the same place with the number for a name.
    url: String,
}

#[derive(Serialize, ToSchema)]
struct Presets {
    items: Vec<Preset>,
}

/// The pictures that everybody may use.
#[utoipa::path(
    get,
    path = "/v1/avatars/presets",
    tag = "users",
    responses((status = 200, body = Presets)),
    security(()),
)]
async fn list() -> impl IntoResponse {
    let items = (1..).zip(DRAWN).map(|(preset, (name, _))| Preset {
        preset,
        name,
        url: format!("/v1/avatars/presets/{name}.svg"),
    });
    ([(header::CACHE_CONTROL, CACHED)], Json(Presets { items: items.collect() }))
}

/// One of them, as SVG: `fox.svg`, or `1.svg`.
#[utoipa::path(
    get,
    path = "/v1/avatars/presets/{file}",
    tag = "users",
    params(("file" = String, Path, example = "fox.svg")),
    responses(
        (status = 200, body = String, content_type = "image/svg+xml"),
        (status = 304, description = "It is the one of `If-None-Match`"),
        Refusal
    ),
    security(()),
)]
async fn picture(Path(file): Path<String>, headers: HeaderMap) -> Result<Response, Problem> {
    let place = place_of(&file).ok_or_else(Problem::not_found)?;
    let tag = TAGS[place].as_str();
    let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|tags| tags.to_str().ok());
    let is_known = known.flat_map(|tags| tags.split(',')).any(|known| {
        let known = known.trim();
        known == "*" || known.trim_start_matches("W/") == tag
    });
    let caching = [(header::ETAG, tag), (header::CACHE_CONTROL, CACHED)];
    if is_known {
        return Ok((StatusCode::NOT_MODIFIED, caching).into_response());
    }
    let kind = [
        (header::CONTENT_TYPE, "image/svg+xml"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // A picture by itself, opened as a page, may do nothing.
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox"),
    ];
    Ok((caching, kind, DRAWN[place].1).into_response())
}

fn place_of(file: &str) -> Option<usize> {
    let name = file.strip_suffix(".svg")?;
    let mut places = 0..DRAWN.len();
    places.find(|place| DRAWN[*place].0 == name || (place + 1).to_string() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_preset_has_a_picture_of_its_own_that_is_only_a_picture() {
        assert_eq!(DRAWN.len(), usize::from(domain::user::PRESETS));
        for (place, (name, picture)) in DRAWN.iter().enumerate() {
            assert_eq!(place_of(&format!("{name}.svg")), Some(place));
            assert_eq!(place_of(&format!("{}.svg", place + 1)), Some(place));
            assert!(picture.starts_with("<svg xmlns=") && picture.ends_with("</svg>\n"), "{name}");
            for active in ["<script", "href", "<foreignObject", " on"] {
                assert!(!picture.contains(active), "{name}: {active}");
            }
            assert!(DRAWN.iter().filter(|(_, other)| other == picture).count() == 1);
        }
        for file in ["fox", "0.svg", "9.svg", "01.svg", "dragon.svg", "../fox.svg", ".svg"] {
            assert_eq!(place_of(file), None, "{file}");
        }
    }
}
