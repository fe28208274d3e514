//! Every frame that a test sees is one that the description of the gateway has (AsyncAPI).

use std::collections::HashMap;
use std::sync::LazyLock;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

const ASYNCAPI: &str = include_str!("../../docs/asyncapi.json");

/// The payloads of the frames that the server sends, by `op`, or by `type` for events.
static FRAMES: LazyLock<HashMap<String, Value>> = LazyLock::new(|| {
    let described: Value = serde_json::from_str(ASYNCAPI).unwrap_or_default();
    let of_server = described["operations"]["send"]["messages"].as_array().into_iter().flatten();
    let names = of_server.filter_map(|one| one["$ref"].as_str()?.rsplit('/').next());
    let messages = &described["channels"]["gateway"]["messages"];
    names
        .filter_map(|name| {
            let message = &messages[name];
            Some((message["name"].as_str()?.to_owned(), message["payload"].clone()))
        })
        .collect()
});

/// Refuses a frame that is not described, or is not as described.
///
/// # Errors
/// Says how they differ.
pub(crate) fn check(frame: &Value) -> Result<()> {
    let op = frame["op"].as_str().context("a frame has an op")?;
    let name = if op == "event" { frame["type"].as_str().unwrap_or_default() } else { op };
    let payload =
        FRAMES.get(name).with_context(|| format!("`{name}` is not described: {frame}"))?;
    for field in payload["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        ensure!(frame.get(field).is_some(), "`{name}` comes without `{field}`: {frame}");
    }
    // What a command made is named in its result by its kind.
    for field in frame.as_object().into_iter().flat_map(|fields| fields.keys()) {
        let known = op == "result" || payload["properties"].get(field).is_some();
        ensure!(known, "`{name}` comes with `{field}`, which is not described: {frame}");
    }
    Ok(())
}
