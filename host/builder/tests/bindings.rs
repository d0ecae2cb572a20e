//! The SDK's bindings are committed, so that rules need no generator. This writes them anew from the contract and
//! compares; `TOLLGATE_UPDATE=1` replaces those that differ.

use std::path::{Path, PathBuf};

use wit_bindgen_core::wit_parser::Resolve;
use wit_bindgen_core::{Files, WorldGenerator};
use wit_bindgen_rust::Opts;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn generated(kind: &str) -> String {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(root().join("wit")).expect("the contract parses");
    let world = resolve.select_world(&[package], Some(&format!("{kind}-rule"))).expect("its world");
    let options = Opts {
        format: true,
        runtime_path: Some("crate::rt".to_owned()),
        bitflags_path: Some("crate::rt::bitflags".to_owned()),
        export_macro_name: Some(format!("export_{kind}_world")),
        pub_export_macro: true,
        ..Opts::default()
    };
    let mut files = Files::default();
    options.build().generate(&mut resolve, world, &mut files).expect("bindings");
    let mut texts = files.iter().map(|(_, text)| String::from_utf8(text.to_vec()).expect("UTF-8"));
    texts.next().expect("one file")
}

#[test]
fn the_sdk_has_the_bindings_of_the_contract() {
    let check = |kind: &str| {
        let path = root().join(format!("rules/sdk/src/module/{kind}/bindings.rs"));
        let expected = generated(kind);
        if std::fs::read_to_string(&path).is_ok_and(|found| found == expected) {
            return;
        }
        if std::env::var_os("TOLLGATE_UPDATE").is_some() {
            std::fs::write(&path, expected).expect("the SDK's folder");
            return;
        }
        panic!("{} differs from the contract; TOLLGATE_UPDATE=1 writes it anew", path.display());
    };
    check("pricing");
    check("threshold");
    check("refund");
    check("notification");
}
