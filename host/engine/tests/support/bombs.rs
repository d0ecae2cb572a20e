//! Hostile modules that are made, because as files they would be long or unreadable: files that are no modules,
//! descriptions out of bounds, and modules that cost a compiler more than they weigh.

use std::fmt::Write as _;

use tollgate_domain::rule::{Description, ParamKind, Reason, Value, World};

use super::{GOOD, Guest, shipped};

/// A name, and the module or what pretends to be one.
pub type Bomb = (&'static str, Vec<u8>);

/// Files that are no modules, or no longer.
pub fn broken() -> Vec<Bomb> {
    let good = Guest::pricing(GOOD).build();
    let flipped = |at: usize, bit: u8| {
        let mut bytes = good.clone();
        bytes[at] ^= 1 << bit;
        bytes
    };
    let with_end = |end: &[u8]| [&*good, end].concat();
    let renamed = |from: &str, to: &str| replace(&good, from.as_bytes(), to.as_bytes());
    vec![
        ("empty-file", Vec::new()),
        ("script", b"#!/bin/sh\nrm -rf /\n".to_vec()),
        ("zeros", vec![0; 4_096]),
        ("too-many-bytes", vec![0; (1 << 20) + 1]),
        ("core-module", Guest::pricing(GOOD).core()),
        ("cut-in-its-code", good[..good.len() / 3].to_vec()),
        ("cut-by-a-byte", good[..good.len() - 1].to_vec()),
        ("cut-to-its-header", good[..8].to_vec()),
        ("flipped-in-its-magic", flipped(1, 3)),
        ("flipped-in-its-layer", flipped(6, 0)),
        ("flipped-in-a-length", flipped(9, 7)),
        ("something-behind-its-end", with_end(b"and more")),
        ("another-component-behind-its-end", with_end(&good)),
        ("a-section-that-ends-never", with_end(&[0, 0xff, 0xff, 0xff, 0xff, 0x0f])),
        ("another-world", shipped(World::Threshold)),
        ("another-version", renamed("pricing@1.0.0", "pricing@1.0.1")),
        ("a-later-version", renamed("pricing@1.0.0", "pricing@2.0.0")),
        ("another-column", renamed("charge-micros", "charge-pennys")),
    ]
}

/// Descriptions that the host cannot use.
pub fn descriptions() -> Vec<Bomb> {
    let described = |change: fn(&mut Description)| Guest::pricing(GOOD).described(change).build();
    vec![
        ("name-of-kilobytes", described(|it| it.name = "x".repeat(20_000))),
        ("name-for-terminals", described(|it| it.name = "\u{1b}[31mred".to_owned())),
        ("name-of-nothing", described(|it| it.name.clear())),
        ("version-of-no-numbers", described(|it| it.version = "latest".to_owned())),
        ("help-of-kilobytes", described(|it| it.params[0].help = "x".repeat(401))),
        ("help-of-two-lines", described(|it| it.reasons[0].help = "a\nb".to_owned())),
        ("parameter-twice", described(|it| it.params.push(it.params[0].clone()))),
        ("parameters-in-numbers", described(many_params)),
        ("default-below-bounds", described(|it| it.params[0].default = Value::Number(0))),
        ("default-above-bounds", described(|it| it.params[0].default = Value::Number(11))),
        ("default-of-another-type", described(|it| it.params[0].default = Value::Text("5".into()))),
        ("default-of-kilobytes", described(long_default)),
        ("default-of-no-order", described(unordered_default)),
        ("bounds-the-wrong-way", described(|it| it.params[0].lowest = Some(20))),
        ("texts-in-numbers", described(many_texts)),
        ("reason-twice", described(|it| it.reasons.push(it.reasons[0].clone()))),
        ("reasons-none", described(|it| it.reasons.clear())),
        ("reasons-in-numbers", described(many_reasons)),
        ("fuel-without-end", described(|it| it.fuel_base = u64::MAX)),
        ("fuel-for-rows-without-end", described(|it| it.fuel_per_item = u64::MAX)),
    ]
}

fn many_params(description: &mut Description) {
    let param = description.params[0].clone();
    description.params = (0..65)
        .map(|at| (at, param.clone()))
        .map(|(at, mut param)| {
            param.name = format!("price_{at}");
            param
        })
        .collect();
}

fn many_reasons(description: &mut Description) {
    let reason = description.reasons[0].clone();
    let numbered = |code: u16| Reason { code, name: format!("REASON_{code}"), ..reason.clone() };
    description.reasons = (0..65).map(numbered).collect();
}

fn long_default(description: &mut Description) {
    let param = &mut description.params[0];
    (param.kind, param.highest) = (ParamKind::Text, None);
    param.default = Value::Text("x".repeat(1_025));
}

fn unordered_default(description: &mut Description) {
    let param = &mut description.params[0];
    (param.many, param.default) = (true, Value::Numbers(vec![3, 2]));
}

fn many_texts(description: &mut Description) {
    let param = &mut description.params[0];
    (param.kind, param.many, param.default) = (ParamKind::Text, true, Value::Numbers(vec![]));
}

/// Modules that weigh less than a megabyte and would cost a compiler, or the host that keeps them, much more.
pub fn bombs() -> Vec<Bomb> {
    let with = |extra: String| {
        let guest = Guest::pricing(GOOD).extra(&extra);
        guest.wrap(guest.core()).unwrap_or_else(|| wrapped(&guest.core()))
    };
    let in_function = |body: String| with(format!("(func {body})"));
    vec![
        ("bomb-of-functions", with("(func)".repeat(60_000))),
        ("bomb-of-types", with(types(20_000))),
        ("bomb-of-globals", with("(global i32 (i32.const 0))".repeat(60_000))),
        ("bomb-of-segments", with("(data (i32.const 0) \"\")".repeat(60_000))),
        ("bomb-of-exports", with(exports(20_000))),
        ("bomb-of-locals", in_function(format!("(local {})", "i64 ".repeat(50_000)))),
        ("bomb-of-one-function", in_function("(drop (i64.const 1))".repeat(60_000))),
        ("bomb-of-branches", in_function(branches(200, 4_000))),
        ("bomb-of-blocks", in_function("(block ".repeat(30_000) + &")".repeat(30_000))),
        ("bomb-of-loops-around-variables", in_function(loops(2_000, 2_000))),
        ("bomb-of-forks-between-variables", in_function(forks(2_000, 3_000))),
        (
            "bomb-of-returns",
            with(format!("(func (result {}) (unreachable))", "i64 ".repeat(1_001))),
        ),
        ("bomb-of-parameters", with(format!("(func (param {}))", "i64 ".repeat(1_001)))),
        (
            "bomb-of-instances",
            component("(core module $m)", "(core instance (instantiate $m))", 5_000),
        ),
        ("bomb-of-modules", component("", "(core module)", 2_000)),
        ("bomb-of-components", component("", "(component)", 2_000)),
        ("bomb-of-component-types", component("", "(type (func))", 20_000)),
        ("bomb-of-doubled-types", doubled_types(40)),
        ("bomb-of-names", component("(type $t (func))", "(export \"x{}\" (type $t))", 20_000)),
        ("ballast", ballast(900_000)),
    ]
}

/// Modules just within the limits.
pub fn heavy() -> Vec<Bomb> {
    let functions = |count: usize, body: String| {
        Guest::pricing(GOOD).extra(&format!("(func {body})").repeat(count)).build()
    };
    let straight = |statements: usize| {
        let sum = "(local.set 1 (i64.add (i64.mul (local.get 0) (local.get 1)) (i64.xor (local.get 2) (local.get 0))))";
        format!("(local i64 i64 i64) {}", sum.repeat(statements))
    };
    let memory =
        "(i64.store offset=8 (i32.const 64) (i64.add (i64.load (i32.const 8)) (i64.const 1)))";
    vec![
        ("tiny functions", functions(4_900, String::new())),
        ("straight code", functions(15, straight(3_800))),
        ("loads and stores", functions(15, memory.repeat(3_000))),
        ("one loop nest", functions(1, loops(900, 2_000))),
        ("loop nests", functions(15, loops(900, 140))),
        ("many loop nests", functions(60, loops(160, 160))),
        ("one chain of forks", functions(1, forks(900, 2_000))),
        ("chains of forks", functions(15, forks(900, 140))),
        ("many variables", functions(15, loops(1_900, 50))),
        ("branches", functions(30, branches(30, 130))),
        ("blocks", functions(15, "(block ".repeat(9_000) + &")".repeat(9_000))),
    ]
}

fn types(count: usize) -> String {
    (0..count).fold(String::new(), |mut text, at| {
        let types = (0..16).map(|bit| if at >> bit & 1 == 0 { "i32 " } else { "i64 " });
        write!(text, "(type (func (param {})))", types.collect::<String>()).unwrap();
        text
    })
}

fn exports(count: usize) -> String {
    (0..count).fold("(func $out)".to_owned(), |mut text, at| {
        write!(text, "(export \"e{at}\" (func $out))").unwrap();
        text
    })
}

fn branches(tables: usize, targets: usize) -> String {
    let table = format!("(block (br_table {} (i32.const 1)))", "0 ".repeat(targets));
    table.repeat(tables)
}

/// Loops in each other around the use of variables, so that each variable may have another value in each loop.
fn loops(variables: usize, loops: usize) -> String {
    format!(
        "(local {}) {} {} {}",
        "i64 ".repeat(variables),
        "(loop ".repeat(loops),
        uses(variables),
        ")".repeat(loops)
    )
}

/// Forks of the way between the beginning and the use of variables.
fn forks(variables: usize, forks: usize) -> String {
    let fork = "(if (i64.eqz (local.get 0)) (then) (else (nop)))".repeat(forks);
    format!("(local {}) {fork} {}", "i64 ".repeat(variables), uses(variables))
}

fn uses(variables: usize) -> String {
    (0..variables).fold(String::new(), |mut text, at| {
        write!(text, "(local.set {at} (i64.add (local.get {at}) (i64.const 1)))").unwrap();
        text
    })
}

fn component(before: &str, repeated: &str, count: usize) -> Vec<u8> {
    let all: String = (0..count).map(|at| repeated.replace("{}", &at.to_string())).collect();
    wat::parse_str(format!("(component {before} {all})")).expect("the component is good WAT")
}

/// Types of which each holds the one before twice, so that the last has 2^`levels` fields.
fn doubled_types(levels: usize) -> Vec<u8> {
    let mut text = "(component (type $t0 (tuple u8 u8))".to_owned();
    for at in 1..=levels {
        write!(text, "(type $t{at} (tuple $t{} $t{}))", at - 1, at - 1).unwrap();
    }
    wat::parse_str(text + ")").expect("the component is good WAT")
}

/// A good module that carries this many bytes of something else.
fn ballast(bytes: usize) -> Vec<u8> {
    let mut module = Guest::pricing(GOOD).build();
    section(&mut module, 0, &[&[4][..], b"junk", &vec![0xa5; bytes]].concat());
    module
}

/// A component around a core module that no tool would wrap.
fn wrapped(core: &[u8]) -> Vec<u8> {
    let mut component = b"\0asm\x0d\0\x01\0".to_vec();
    section(&mut component, 1, core);
    component
}

fn section(module: &mut Vec<u8>, kind: u8, bytes: &[u8]) {
    module.push(kind);
    let mut length = bytes.len();
    while length > 127 {
        module.push((length & 127) as u8 | 128);
        length >>= 7;
    }
    module.push(length as u8);
    module.extend(bytes);
}

fn replace(bytes: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    assert_eq!(old.len(), new.len());
    let mut bytes = bytes.to_vec();
    let mut found = false;
    for at in 0..=bytes.len() - old.len() {
        if bytes[at..at + old.len()] == *old {
            bytes[at..at + old.len()].copy_from_slice(new);
            found = true;
        }
    }
    assert!(found, "the module does not hold {}", String::from_utf8_lossy(old));
    bytes
}
