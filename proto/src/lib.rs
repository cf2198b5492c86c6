//! The gRPC schemas of Samira: `chat.proto` and `replication.proto` as the original's clients have them, and `samira.proto`
//! for new ones. Each says in its own words what its calls do.
//!
//! The code is generated when the crate is built. Messages have no debug form, because it would show passwords and what
//! people write.

#![forbid(unsafe_code)]

/// Generated code is as it is.
macro_rules! generated {
    ($(#[$doc:meta])* $name:ident, $package:literal) => {
        $(#[$doc])*
        #[allow(missing_docs, unreachable_pub, clippy::all, clippy::disallowed_methods, rustdoc::all)]
        pub mod $name {
            tonic::include_proto!($package);
        }
    };
}

generated! {
    /// `chat.proto`: what the original's clients call.
    chat, "chat"
}

generated! {
    /// `replication.proto`: what the original's clients ask to find all servers.
    replication, "replication"
}

generated! {
    /// `samira.proto`: our own dialect.
    v2, "samira.v2"
}

/// The schemas as a `google.protobuf.FileDescriptorSet`, for server reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
