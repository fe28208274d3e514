//! Compiles our descriptions of the protocol with a compiler written in Rust, so no protoc is needed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let files = [
        "proto/streams.proto",
        "proto/gossip.proto",
        "proto/server_features.proto",
        "proto/users.proto",
    ];
    let descriptors = protox::compile(files, ["proto"])?;
    tonic_build::configure()
        .build_client(true)
        .build_server(true)
        // Names, payloads and metadata are slices of what was read: no copy for each event.
        .bytes(["."])
        // Passwords are in no debug output: `grpc::users` says what is.
        .skip_debug(".event_store.client.users.CreateReq.Options")
        .skip_debug(".event_store.client.users.UpdateReq.Options")
        .skip_debug(".event_store.client.users.ChangePasswordReq.Options")
        .skip_debug(".event_store.client.users.ResetPasswordReq.Options")
        // The protocol has an `Empty` of its own; tonic only knows google's.
        .extern_path(".event_store.client.Empty", "()")
        .compile_fds(descriptors)?;
    Ok(())
}
