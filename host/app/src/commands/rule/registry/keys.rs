//! `tollgate rule keygen` and `tollgate rule sign`

use std::fs;

use anyhow::Context as _;

use super::super::super::load;
use super::pick::read_file;
use crate::cli::rule::registry::{Keygen, Sign};
use crate::exit::Exit;
use crate::rules::RuleLoader;
use crate::rules::folder::signature_path;
use crate::rules::signatures::{PrivateKey, to_line};

pub(super) fn keygen(arguments: &Keygen) -> anyhow::Result<Exit> {
    let key = PrivateKey::generate()?;
    key.write(&arguments.out)?;
    println!("The private key is in {}; keep it to yourself.", arguments.out.display());
    println!("Hosts trust it with this line, under a name of your choice:\n");
    println!("[rules.trusted_keys]\nNAME = \"{}\"", key.public());
    Ok(Exit::Ok)
}

pub(super) fn sign(arguments: &Sign) -> anyhow::Result<Exit> {
    let loader = RuleLoader::new(&load(&arguments.common, None)?)?;
    let (key, file) = (PrivateKey::read(&arguments.key)?, &arguments.file);
    let (module, _) = read_file(&loader, file)?;
    let path = signature_path(file);
    fs::write(&path, to_line(&key.sign(&module))).with_context(|| path.display().to_string())?;
    let (description, signed) = (module.description(), path.display());
    println!("{} {} is signed: {signed}", description.name, description.version);
    Ok(Exit::Ok)
}
