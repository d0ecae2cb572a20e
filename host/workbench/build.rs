//! Puts into the program what a new project consists of: the SDK, the contract, and the templates.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

fn main() {
    let here = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let root = here.join("../..").canonicalize().expect("the workspace");
    let mut code = String::new();
    constant(&mut code, "SDK", &root.join("rules/sdk"));
    constant(&mut code, "CONTRACT", &root.join("wit"));
    constant(&mut code, "TEMPLATES", &here.join("templates"));
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets it"));
    std::fs::write(out.join("embedded.rs"), code).expect("the build folder");
}

/// A list of the files of a folder: their paths in it, and their texts.
fn constant(code: &mut String, name: &str, folder: &Path) {
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut files = Vec::new();
    collect(folder, &mut files);
    files.sort();
    writeln!(code, "pub(super) const {name}: &[(&str, &str)] = &[").expect("a text");
    for file in files {
        let inside = file.strip_prefix(folder).expect("it lies in the folder");
        writeln!(code, "    ({inside:?}, include_str!({file:?})),").expect("a text");
    }
    code.push_str("];\n");
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder of the workspace") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => collect(&path, files),
            false => files.push(path),
        }
    }
}
