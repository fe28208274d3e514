//! Compiles our descriptions of the protocol with a compiler written in Rust, so no protoc is needed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let files = [
        "proto/streams.proto",
        "proto/gossip.proto",
        "proto/server_features.proto",
        "proto/users.proto",
        "proto/operations.proto",
        "proto/v2/sessions.proto",
        "proto/v2/errors.proto",
        "proto/v2/status.proto",
        "proto/persistent.proto",
    ];
    let descriptors = protox::compile(files, ["proto"])?;
    tonic_build::configure()
        .build_client(true)
        .build_server(true)
        // Names, payloads and metadata are slices of what was read: no copy for each event.
        .bytes(["."])
        // Passwords are in no debug output: `grpc::proto` says what is.
        .skip_debug(".event_store.client.users.CreateReq.Options")
        .skip_debug(".event_store.client.users.UpdateReq.Options")
        .skip_debug(".event_store.client.users.ChangePasswordReq.Options")
        .skip_debug(".event_store.client.users.ResetPasswordReq.Options")
        .codec_path("crate::grpc::codec::CountingCodec")
        // Properties become JSON: the same properties are the same bytes.
        .btree_map([".kurrentdb"])
        // The protocol has an `Empty` of its own; tonic only knows google's.
        .extern_path(".event_store.client.Empty", "()")
        .compile_fds(descriptors)?;
    Ok(())
}
