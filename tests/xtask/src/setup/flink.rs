//! Flink's jars through Maven, and our extension of it, built from `config/flink/extension`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use anyhow::{Context, Result, bail};

use super::run;
use crate::steps::Steps;

const FLINK_VERSION: &str = "2.2.0";

/// Modules of Flink itself, with what they need.
const MODULES: [&str; 8] = [
    "flink-clients",
    "flink-runtime",
    "flink-streaming-java",
    "flink-connector-base",
    "flink-table-api-java-bridge",
    "flink-table-runtime",
    "flink-table-planner-loader",
    "flink-json",
];

/// Modules whose own jar is all that is wanted.
const BARE: [&str; 3] = ["flink-sql-gateway", "flink-sql-client", "flink-python"];

/// Connectors and what else the cluster's class path needs.
const OTHERS: [(&str, &str, &str); 6] = [
    ("org.apache.flink", "flink-sql-connector-kafka", "5.0.0-2.2"),
    ("org.apache.flink", "flink-connector-jdbc-core", "4.0.0-2.0"),
    ("org.apache.flink", "flink-connector-jdbc-postgres", "4.0.0-2.0"),
    ("org.postgresql", "postgresql", "42.7.8"),
    ("org.apache.logging.log4j", "log4j-slf4j-impl", "2.24.3"),
    ("org.apache.logging.log4j", "log4j-core", "2.24.3"),
];

const EXTENSION: &str = "tollgate-flink-1.jar";

/// Whether something has to be fetched or built.
pub(super) fn is_missing(root: &Path) -> bool {
    !jars_are_there(root) || !extension_is_there(root)
}

/// # Errors
/// Maven cannot fetch or build; the sentence has what it said.
pub(super) fn make(root: &Path, steps: &Steps) -> Result<()> {
    if !jars_are_there(root) {
        fetch(root, steps)?;
    }
    if !extension_is_there(root) {
        build_extension(root, steps)?;
    }
    Ok(())
}

fn fetch(root: &Path, steps: &Steps) -> Result<()> {
    let step = steps.begin("Flink's jars", "180 MB through Maven, once");
    let folder = folder(root);
    fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    fs::write(folder.join("pom.xml"), pom())?;
    // A copy that is cut short must not look like a whole one.
    let part = folder.join("lib.part");
    remove(&part)?;
    let mut maven = Command::new("mvn");
    maven.current_dir(&folder).args(["-q", "-B", "dependency:copy-dependencies"]);
    maven.arg(format!("-DoutputDirectory={}", part.display()));
    run(&mut maven).context("fetch Flink through Maven")?;
    fs::write(part.join("pom.xml"), pom())?;
    remove(&folder.join("lib"))?;
    fs::rename(&part, folder.join("lib"))?;
    if !jars_are_there(root) {
        bail!("Maven has fetched no Flink {FLINK_VERSION} into {}", folder.join("lib").display());
    }
    step.done(&format!("Flink {FLINK_VERSION}"));
    Ok(())
}

/// Built in a folder of its own, so that nothing but the jar appears in `target/flink/lib`, at once.
fn build_extension(root: &Path, steps: &Steps) -> Result<()> {
    let step = steps.begin(
        "Flink's extension",
        "the Redis connector and the reader of events, tested and packed by Maven",
    );
    let build = folder(root).join("extension");
    let sources = root.join("config/flink/extension");
    remove(&build.join("src"))?;
    for file in files(&sources) {
        let copy = build.join(file.strip_prefix(&sources)?);
        fs::create_dir_all(copy.parent().context("a file has a folder")?)?;
        fs::copy(&file, copy)?;
    }
    let mut maven = Command::new("mvn");
    maven.current_dir(&build).args(["-q", "-B", "clean", "package"]);
    run(&mut maven).context("build config/flink/extension")?;
    let part = folder(root).join("extension.part");
    fs::copy(build.join("target").join(EXTENSION), &part)?;
    // A cluster that runs keeps the jar it has opened.
    fs::rename(&part, jar(root))?;
    step.done(EXTENSION);
    Ok(())
}

/// The jars that this version of the task runner fetches, and no others.
fn jars_are_there(root: &Path) -> bool {
    fs::read_to_string(folder(root).join("lib/pom.xml")).is_ok_and(|made_of| made_of == pom())
}

/// Whether the jar is newer than all that it is made of.
fn extension_is_there(root: &Path) -> bool {
    let changed = |path: &Path| fs::metadata(path).and_then(|file| file.modified()).ok();
    let sources = files(&root.join("config/flink/extension"));
    let newest = sources.iter().filter_map(|path| changed(path)).max();
    changed(&jar(root)).is_some_and(|built| built >= newest.unwrap_or(SystemTime::UNIX_EPOCH))
}

/// Project file and sources of the extension, without what Maven makes beside them.
fn files(sources: &Path) -> Vec<PathBuf> {
    let mut found = vec![sources.join("pom.xml")];
    let mut folders = vec![sources.join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found
}

fn jar(root: &Path) -> PathBuf {
    folder(root).join("lib").join(EXTENSION)
}

fn folder(root: &Path) -> PathBuf {
    root.join("target/flink")
}

fn remove(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("remove {}", folder.display()))?;
    }
    Ok(())
}

fn pom() -> String {
    let bare = "<exclusions><exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion></exclusions>";
    let dependency = |group: &str, name: &str, version: &str, rest: &str| {
        format!(
            "<dependency><groupId>{group}</groupId><artifactId>{name}</artifactId>\
             <version>{version}</version>{rest}</dependency>"
        )
    };
    let flink = |name: &&str, rest| dependency("org.apache.flink", name, FLINK_VERSION, rest);
    let dependencies: String = MODULES
        .iter()
        .map(|name| flink(name, ""))
        .chain(BARE.iter().map(|name| flink(name, bare)))
        .chain(OTHERS.iter().map(|(group, name, version)| dependency(group, name, version, "")))
        .collect();
    format!(
        "<project><modelVersion>4.0.0</modelVersion><groupId>tollgate</groupId>\
         <artifactId>flink</artifactId><version>1</version>\
         <dependencies>{dependencies}</dependencies></project>\n"
    )
}
