//! Hostile modules from the folder `hostile`: each file is one, and says in its first line what is wrong with it.
//!
//! A file is either a whole component in WAT, or parts for a template, each after a line `;;@ part`. A `poison` is what
//! a pricing module does when the click of the poison campaign is among the rows; otherwise it charges 1,000 a click.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use tollgate_domain::rule::{PriceSource, Reason, World};

use super::{GOOD, Guest, POISON_MICROS, root};

/// What a module comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Not admitted, with this code.
    Refused(&'static str),
    /// Admitted, and what it answers about the poison is not used, with this code.
    Fault(&'static str),
    /// Admitted, and what it answers is within the fence.
    Answers,
}

use End::{Answers, Fault, Refused};

/// Every file of the folder, then everything that `bombs` makes.
#[rustfmt::skip]
pub const ENDS: &[(&str, End)] = &[
    ("answers-at-an-odd-place", Fault("RULE_WRONG_ANSWERS")),
    ("answers-beyond-memory", Fault("RULE_WRONG_ANSWERS")),
    ("answers-column-beyond-memory", Fault("RULE_WRONG_ANSWERS")),
    ("answers-length-of-everything", Fault("RULE_WRONG_ANSWERS")),
    ("answers-length-that-wraps", Fault("RULE_WRONG_ANSWERS")),
    ("answers-none", Fault("RULE_WRONG_ANSWERS")),
    ("answers-of-megabytes", Fault("RULE_WRONG_ANSWERS")),
    ("answers-out-of-order", Fault("FENCE_BREACH")),
    ("answers-ragged", Fault("RULE_WRONG_ANSWERS")),
    ("answers-too-few", Fault("RULE_WRONG_ANSWERS")),
    ("answers-too-many", Fault("RULE_WRONG_ANSWERS")),
    ("async-lift", Refused("NOT_A_COMPONENT")),
    ("calls-itself-through-the-host", Refused("MODULE_TOO_COMPLEX")),
    ("component-without-types-of-the-world", Refused("WRONG_WORLD")),
    ("components-in-each-other", Refused("MODULE_TOO_COMPLEX")),
    ("components-that-multiply", Refused("MODULE_TOO_COMPLEX")),
    ("describe-at-an-odd-place", Refused("BAD_DESCRIPTION")),
    ("describe-beyond-memory", Refused("BAD_DESCRIPTION")),
    ("describe-many-parameters-of-megabytes", Refused("BAD_DESCRIPTION")),
    ("describe-name-of-megabytes", Refused("BAD_DESCRIPTION")),
    ("describe-not-in-utf8", Refused("BAD_DESCRIPTION")),
    ("describe-parameter-of-no-kind", Refused("BAD_DESCRIPTION")),
    ("float-answer", Refused("FLOAT_REFUSED")),
    ("float-behind-a-trap", Refused("FLOAT_REFUSED")),
    ("float-block", Refused("FLOAT_REFUSED")),
    ("float-global", Refused("FLOAT_REFUSED")),
    ("float-instruction", Refused("FLOAT_REFUSED")),
    ("float-moved", Refused("FLOAT_REFUSED")),
    ("float-nan-smuggled", Refused("FLOAT_REFUSED")),
    ("float-parameter", Refused("FLOAT_REFUSED")),
    ("float-saturating", Refused("FLOAT_REFUSED")),
    ("import-component", Refused("IMPORT_REFUSED")),
    ("import-function", Refused("IMPORT_REFUSED")),
    ("import-interface", Refused("IMPORT_REFUSED")),
    ("import-memory-of-nobody", Refused("NOT_A_COMPONENT")),
    ("import-module", Refused("IMPORT_REFUSED")),
    ("import-resource", Refused("IMPORT_REFUSED")),
    ("import-type", Refused("IMPORT_REFUSED")),
    ("import-value", Refused("IMPORT_REFUSED")),
    ("import-wasi", Refused("IMPORT_REFUSED")),
    ("loop-at-start", Refused("BAD_DESCRIPTION")),
    ("loop-in-describe", Refused("BAD_DESCRIPTION")),
    ("loop-in-price", Fault("RULE_OUT_OF_FUEL")),
    ("loop-of-bulk-copies", Fault("RULE_OUT_OF_FUEL")),
    ("loop-of-calls", Fault("RULE_OUT_OF_FUEL")),
    ("loop-of-divisions", Fault("RULE_OUT_OF_FUEL")),
    ("loop-of-empty-growths", Fault("RULE_OUT_OF_FUEL")),
    ("memories-in-one-module", Refused("MODULE_TOO_COMPLEX")),
    ("memories-in-two-modules", Refused("MODULE_TOO_COMPLEX")),
    ("memory-filled-by-price", Answers),
    ("memory-grown-at-start", Refused("BAD_DESCRIPTION")),
    ("memory-grown-by-describe", Refused("BAD_DESCRIPTION")),
    ("memory-grown-by-price", Fault("RULE_OUT_OF_MEMORY")),
    ("memory-hoarded-by-price", Fault("RULE_OUT_OF_MEMORY")),
    ("memory-huge-at-once", Refused("MEMORY_TOO_LARGE")),
    ("memory-huge-maximum", Refused("MEMORY_TOO_LARGE")),
    ("memory-of-64-bits", Refused("NOT_A_COMPONENT")),
    ("memory-of-small-pages", Refused("NOT_A_COMPONENT")),
    ("memory-one-page-too-many", Refused("MEMORY_TOO_LARGE")),
    ("memory-shared", Refused("NOT_A_COMPONENT")),
    ("memory-unbounded", Refused("MEMORY_UNBOUNDED")),
    ("notification-by-no-channel", Fault("RULE_WRONG_ANSWERS")),
    ("notification-endless-text", Fault("FENCE_BREACH")),
    ("notification-flood", Fault("FENCE_BREACH")),
    ("notification-not-in-utf8", Fault("RULE_WRONG_ANSWERS")),
    ("notification-of-megabytes", Fault("RULE_WRONG_ANSWERS")),
    ("notification-of-nobody", Fault("FENCE_BREACH")),
    ("post-return-loops", Fault("RULE_OUT_OF_FUEL")),
    ("post-return-of-describe-loops", Refused("BAD_DESCRIPTION")),
    ("post-return-traps", Fault("RULE_TRAP")),
    ("price-huge", Fault("FENCE_BREACH")),
    ("price-least", Fault("FENCE_BREACH")),
    ("price-negative", Fault("FENCE_BREACH")),
    ("price-not-the-cached", Fault("FENCE_BREACH")),
    ("price-not-the-stored", Fault("FENCE_BREACH")),
    ("proposal-exceptions", Refused("NOT_A_COMPONENT")),
    ("proposal-garbage-collection", Refused("NOT_A_COMPONENT")),
    ("proposal-stack-switching", Refused("NOT_A_COMPONENT")),
    ("proposal-tail-calls", Refused("NOT_A_COMPONENT")),
    ("proposal-threads", Refused("NOT_A_COMPONENT")),
    ("proposal-typed-functions", Refused("NOT_A_COMPONENT")),
    ("proposal-wide-arithmetic", Refused("NOT_A_COMPONENT")),
    ("realloc-at-an-odd-place", Fault("RULE_WRONG_ANSWERS")),
    ("realloc-beyond-memory", Fault("RULE_WRONG_ANSWERS")),
    ("realloc-loops", Fault("RULE_OUT_OF_FUEL")),
    ("realloc-traps", Fault("RULE_TRAP")),
    ("reason-of-no-price", Fault("FENCE_BREACH")),
    ("reason-undeclared", Fault("FENCE_BREACH")),
    ("recursion-at-start", Refused("BAD_DESCRIPTION")),
    ("recursion-in-describe", Refused("BAD_DESCRIPTION")),
    ("recursion-in-price", Fault("RULE_TRAP")),
    ("recursion-through-a-table", Fault("RULE_TRAP")),
    ("recursion-with-large-frames", Fault("RULE_TRAP")),
    ("refund-above-the-day", Fault("FENCE_BREACH")),
    ("refund-negative", Fault("FENCE_BREACH")),
    ("refund-of-nothing", Fault("FENCE_BREACH")),
    ("refund-too-few-reasons", Fault("RULE_WRONG_ANSWERS")),
    ("resource-of-its-own", Refused("MODULE_TOO_COMPLEX")),
    ("simd-instruction", Refused("VECTOR_REFUSED")),
    ("simd-local", Refused("VECTOR_REFUSED")),
    ("simd-relaxed", Refused("VECTOR_REFUSED")),
    ("start-harmless", Answers),
    ("table-grown-at-start", Refused("BAD_DESCRIPTION")),
    ("table-grown-by-price", Fault("RULE_OUT_OF_MEMORY")),
    ("table-huge-at-once", Refused("TABLE_TOO_LARGE")),
    ("tables-in-numbers", Refused("MODULE_TOO_COMPLEX")),
    ("threshold-allows-below-zero", Fault("FENCE_BREACH")),
    ("threshold-allows-too-much", Fault("FENCE_BREACH")),
    ("threshold-pause-without-level", Fault("FENCE_BREACH")),
    ("threshold-reason-undeclared", Fault("FENCE_BREACH")),
    ("threshold-too-few", Fault("RULE_WRONG_ANSWERS")),
    ("threshold-unknown-action", Fault("FENCE_BREACH")),
    ("trap-at-start", Refused("BAD_DESCRIPTION")),
    ("trap-division-by-zero", Fault("RULE_TRAP")),
    ("trap-division-overflow", Fault("RULE_TRAP")),
    ("trap-elements-beyond-table", Refused("BAD_DESCRIPTION")),
    ("trap-function-of-another-type", Fault("RULE_TRAP")),
    ("trap-in-describe", Refused("BAD_DESCRIPTION")),
    ("trap-load-beyond-memory", Fault("RULE_TRAP")),
    ("trap-null-function", Fault("RULE_TRAP")),
    ("trap-segment-beyond-memory", Refused("BAD_DESCRIPTION")),
    ("trap-unreachable", Fault("RULE_TRAP")),
    ("world-in-name-only", Refused("WRONG_WORLD")),
    ("world-with-functions-of-other-types", Refused("WRONG_WORLD")),
    ("world-with-more-exports", Refused("WRONG_WORLD")),
    ("world-without-anything", Refused("WRONG_WORLD")),
    ("empty-file", Refused("NOT_A_COMPONENT")),
    ("script", Refused("NOT_A_COMPONENT")),
    ("zeros", Refused("NOT_A_COMPONENT")),
    ("core-module", Refused("NOT_A_COMPONENT")),
    ("cut-in-its-code", Refused("NOT_A_COMPONENT")),
    ("cut-by-a-byte", Refused("NOT_A_COMPONENT")),
    ("cut-to-its-header", Refused("WRONG_WORLD")),
    ("flipped-in-its-magic", Refused("NOT_A_COMPONENT")),
    ("flipped-in-its-layer", Refused("NOT_A_COMPONENT")),
    ("flipped-in-a-length", Refused("NOT_A_COMPONENT")),
    ("something-behind-its-end", Refused("NOT_A_COMPONENT")),
    ("another-component-behind-its-end", Refused("NOT_A_COMPONENT")),
    ("a-section-that-ends-never", Refused("NOT_A_COMPONENT")),
    ("too-many-bytes", Refused("MODULE_TOO_LARGE")),
    ("another-world", Refused("WRONG_WORLD")),
    ("another-version", Refused("WRONG_WORLD")),
    ("a-later-version", Refused("WRONG_WORLD")),
    ("another-column", Refused("WRONG_WORLD")),
    ("name-of-kilobytes", Refused("BAD_DESCRIPTION")),
    ("name-for-terminals", Refused("BAD_DESCRIPTION")),
    ("name-of-nothing", Refused("BAD_DESCRIPTION")),
    ("version-of-no-numbers", Refused("BAD_DESCRIPTION")),
    ("help-of-kilobytes", Refused("BAD_DESCRIPTION")),
    ("help-of-two-lines", Refused("BAD_DESCRIPTION")),
    ("parameter-twice", Refused("BAD_DESCRIPTION")),
    ("parameters-in-numbers", Refused("BAD_DESCRIPTION")),
    ("default-below-bounds", Refused("BAD_DESCRIPTION")),
    ("default-above-bounds", Refused("BAD_DESCRIPTION")),
    ("default-of-another-type", Refused("BAD_DESCRIPTION")),
    ("default-of-kilobytes", Refused("BAD_DESCRIPTION")),
    ("default-of-no-order", Refused("BAD_DESCRIPTION")),
    ("bounds-the-wrong-way", Refused("BAD_DESCRIPTION")),
    ("texts-in-numbers", Refused("BAD_DESCRIPTION")),
    ("reason-twice", Refused("BAD_DESCRIPTION")),
    ("reasons-none", Refused("BAD_DESCRIPTION")),
    ("reasons-in-numbers", Refused("BAD_DESCRIPTION")),
    ("fuel-without-end", Refused("FUEL_TOO_HIGH")),
    ("fuel-for-rows-without-end", Refused("FUEL_TOO_HIGH")),
    ("bomb-of-functions", Refused("MODULE_TOO_COMPLEX")),
    ("bomb-of-types", Refused("MODULE_TOO_COMPLEX")),
    ("bomb-of-globals", Refused("MODULE_TOO_COMPLEX")),
    ("bomb-of-segments", Refused("MODULE_TOO_COMPLEX")),
    ("bomb-of-exports", Refused("MODULE_TOO_COMPLEX")),
    ("bomb-of-locals", Refused("MODULE_TOO_COMPLEX")),
    ("bomb-of-one-function", Refused("MODULE_TOO_COMPLEX")),
    ("bomb-of-branches", Refused("MODULE_TOO_COMPLEX")),
    ("bomb-of-blocks", Refused("MODULE_TOO_COMPLEX")),
    ("bomb-of-loops-around-variables", Refused("MODULE_TOO_COMPLEX")),
    ("bomb-of-forks-between-variables", Refused("MODULE_TOO_COMPLEX")),
    ("bomb-of-returns", Refused("NOT_A_COMPONENT")),
    ("bomb-of-parameters", Refused("NOT_A_COMPONENT")),
    ("bomb-of-instances", Refused("MODULE_TOO_COMPLEX")),
    ("bomb-of-modules", Refused("MODULE_TOO_COMPLEX")),
    ("bomb-of-components", Refused("MODULE_TOO_COMPLEX")),
    ("bomb-of-component-types", Refused("MODULE_TOO_COMPLEX")),
    ("bomb-of-doubled-types", Refused("NOT_A_COMPONENT")),
    ("bomb-of-names", Refused("MODULE_TOO_COMPLEX")),
    ("ballast", Answers),
];

/// Names of all files, in order.
pub fn names() -> Vec<String> {
    let files = fs::read_dir(folder()).expect("the folder is there");
    let mut names: Vec<String> = files
        .map(|file| file.expect("the folder can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "wat"))
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// The module of a file.
pub fn module(name: &str) -> Vec<u8> {
    let source = source(name);
    if source.lines().any(|line| line.starts_with("(component")) {
        return wat::parse_str(&source).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    guest(world(name), &parts(&source)).build()
}

/// The world of a hostile module; that of prices when it does not name another.
pub fn world(name: &str) -> World {
    if !names().iter().any(|file| file == name) {
        return World::Pricing;
    }
    let Some(named) = part(name, "for") else { return World::Pricing };
    let found = World::ALL.into_iter().find(|world| world.to_string() == named.trim());
    found.unwrap_or_else(|| panic!("{name} names no world"))
}

/// The part of a file, when it has it.
pub fn part(name: &str, part: &str) -> Option<String> {
    parts(&source(name)).remove(part)
}

/// A pricing module that does something else for each poison: the n-th when the stored price is `POISON_MICROS` + n.
pub fn menagerie(names: &[&str]) -> Vec<u8> {
    let cases = names.iter().enumerate().map(|(at, name)| {
        let poison = part(name, "poison").unwrap_or_else(|| panic!("{name} has no poison"));
        on_stored_price(POISON_MICROS + at as i64, &poison)
    });
    let extra: String = names.iter().filter_map(|name| part(name, "extra")).collect();
    let price = format!("{} {GOOD}", cases.collect::<String>());
    let guest = with_reasons(Guest::pricing(&price)).extra(&extra);
    // Little fuel for a row, because every second call is going to use up all of it.
    guest.described(|description| description.fuel_per_item = 2_000).build()
}

/// Leaves with `poison` when a click has this stored price.
fn on_stored_price(price_micros: i64, poison: &str) -> String {
    format!(
        "(local.set $row (i32.const 0))
         (block $absent (loop $next
            (br_if $absent (i32.ge_u (local.get $row) (local.get $rows)))
            (if (i64.eq (call $stored (local.get $arguments) (local.get $row)) (i64.const {price_micros}))
                (then (return {poison})))
            (local.set $row (i32.add (local.get $row) (i32.const 1)))
            (br $next)))"
    )
}

/// Reasons for every source of a price: 1 computed, 2 stored, 3 cached, 4 none.
pub fn with_reasons(guest: Guest) -> Guest {
    let sources = [
        (2, "STORED", PriceSource::Stored),
        (3, "CACHED", PriceSource::Cached),
        (4, "NOTHING", PriceSource::None),
    ];
    guest.described(|description| {
        description.reasons.extend(sources.map(|(code, name, source)| Reason {
            code,
            name: name.to_owned(),
            source,
            help: String::new(),
        }));
    })
}

fn guest(world: World, parts: &BTreeMap<String, String>) -> Guest {
    let get = |name: &str| parts.get(name).cloned();
    let answer = get("answer").unwrap_or_default();
    let mut guest = match world {
        World::Threshold => Guest::threshold(&answer),
        World::Refund => Guest::refund(&answer),
        World::Notification => Guest::notification(&answer),
        World::Pricing => {
            let poison = get("poison").unwrap_or_else(|| GOOD.to_owned());
            Guest::pricing(&format!("{} {GOOD}", on_stored_price(POISON_MICROS, &poison)))
        }
    };
    guest = with_reasons(guest).extra(&get("extra").unwrap_or_default());
    guest.import = get("import").unwrap_or_default();
    guest.realloc = get("realloc").unwrap_or_default();
    guest.package = get("package").unwrap_or_default();
    guest.world = get("world").unwrap_or_default() + &guest.world;
    guest.memory = get("memory").unwrap_or(guest.memory);
    guest.describe = get("describe").unwrap_or(guest.describe);
    if let Some(fuel) = get("fuel-base") {
        guest.description.fuel_base = fuel.trim().parse().expect("a number");
    }
    guest
}

/// The parts of a file by their names.
fn parts(source: &str) -> BTreeMap<String, String> {
    let parts = source.split("\n;;@ ").skip(1).map(|part| {
        let (name, rest) = part.split_once([' ', '\n']).unwrap_or((part, ""));
        (name.to_owned(), format!("{rest}\n"))
    });
    parts.collect()
}

fn source(name: &str) -> String {
    let path = folder().join(format!("{name}.wat"));
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn folder() -> PathBuf {
    root().join("host/engine/tests/hostile")
}
