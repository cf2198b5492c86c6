//! Generates the Rust of the schemas. protox reads them, so that no `protoc` has to be installed.

use std::error::Error;
use std::path::PathBuf;

use prost::Message;

const SCHEMAS: [&str; 3] = ["chat.proto", "replication.proto", "samira.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    for schema in SCHEMAS {
        println!("cargo::rerun-if-changed={schema}");
    }
    let descriptors = protox::compile(SCHEMAS, ["."])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    // What server reflection tells.
    std::fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    let client = std::env::var_os("CARGO_FEATURE_CLIENT").is_some();
    tonic_prost_build::configure()
        .build_client(client)
        .build_transport(false)
        // Their debug form would show passwords and what people write.
        .skip_debug(["."])
        .compile_fds(descriptors)?;
    Ok(())
}
