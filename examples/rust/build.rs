//! Generates the client from the protos, with a protoc that comes as a crate.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new("../../protos");
    let mut protos: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(root.join("sendoff/v1"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "proto") {
            protos.push(path);
        }
    }
    let mut config = tonic_prost_build::Config::new();
    config.protoc_executable(protoc_bin_vendored::protoc_bin_path()?);
    let includes = [root.to_path_buf(), protoc_bin_vendored::include_path()?];
    tonic_prost_build::configure().build_server(false).compile_with_config(config, &protos, &includes)?;
    println!("cargo:rerun-if-changed={}", root.display());
    Ok(())
}
