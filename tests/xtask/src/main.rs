//! The task runner.

mod rules;
mod toolchain;

fn main() -> anyhow::Result<()> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    match std::env::args().nth(1).as_deref() {
        Some("rules") => {
            for rule in rules::build_rules(&root)? {
                println!("{:<14} {:>7} bytes  {}", rule.name, rule.bytes, rule.path.display());
            }
            Ok(())
        }
        _ => anyhow::bail!("usage: cargo xtask rules"),
    }
}
