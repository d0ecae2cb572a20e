//! Modules for tests: small rules in WAT, good and hostile, and the shipped rules.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part of the support")]

pub mod bombs;
pub mod corpus;
pub mod echo;

use std::path::{Path, PathBuf};

use tollgate_domain::rule::{
    Description, Needs, Param, ParamKind, PriceSource, Reason, Value, World,
};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// Stored price on which `TRAP_ON_POISON` traps, in micros.
pub const POISON_MICROS: i64 = 13_000_013;

/// Charges every click 1,000 micros.
pub const GOOD: &str = "(call $answer (local.get $rows) (i64.const 1000))";
pub const TOO_FEW: &str =
    "(call $answer (i32.sub (local.get $rows) (i32.const 1)) (i64.const 1000))";
pub const TOO_MANY: &str =
    "(call $answer (i32.add (local.get $rows) (i32.const 1)) (i64.const 1000))";
pub const NEGATIVE: &str = "(call $answer (local.get $rows) (i64.const -1))";
pub const ABOVE_ANY_CAP: &str = "(call $answer (local.get $rows) (i64.const 9223372036854775807))";
pub const ENDLESS: &str = "(loop $for_ever (br $for_ever)) (unreachable)";
pub const TRAP: &str = "(unreachable)";
pub const RECURSION: &str = "(call $deeper (i32.const 0))";
pub const GREEDY: &str = "(drop (memory.grow (i32.const 60000))) \
    (call $answer (local.get $rows) (i64.const 1000))";
pub const OUT_OF_BOUNDS: &str = "(i32.store offset=0 (i32.const 4096) (i32.const 2147483632)) \
    (i32.store offset=4 (i32.const 4096) (local.get $rows)) (i32.const 4096)";
pub const TRAP_ON_POISON: &str = "(block $done (loop $next \
    (br_if $done (i32.ge_u (local.get $row) (local.get $rows))) \
    (if (i64.eq (call $stored (local.get $arguments) (local.get $row)) (i64.const 13000013)) \
        (then (unreachable))) \
    (local.set $row (i32.add (local.get $row) (i32.const 1))) (br $next))) \
    (call $answer (local.get $rows) (i64.const 1000))";

/// A module to be built.
pub struct Guest {
    /// Imports of the core module, which come before everything else.
    pub import: String,
    pub memory: String,
    /// Function that the host asks for room; `$alloc` of the template remains the guest's own.
    pub realloc: String,
    pub description: Description,
    pub describe: String,
    pub extra: String,
    /// Body of the world's function.
    pub answer: String,
    /// World that the module is built for, in WIT; its exports are those of the template.
    pub world: String,
    /// Packages that the world names, in WIT.
    pub package: String,
    /// The WAT around these parts.
    pub template: &'static str,
}

impl Guest {
    /// A module that charges as `price` says and is fine otherwise.
    pub fn pricing(price: &str) -> Self {
        Self {
            import: String::new(),
            realloc: String::new(),
            package: String::new(),
            memory: r#"(memory (export "memory") 2 128)"#.to_owned(),
            description: description(),
            describe: "(i32.const 1024)".to_owned(),
            extra: "(func $deeper (param i32) (result i32) (call $deeper (local.get 0)))"
                .to_owned(),
            answer: price.to_owned(),
            world: "export tollgate:rules/pricing@1.0.0;".to_owned(),
            template: include_str!("guest.wat"),
        }
    }

    /// A module that words messages as `compose` says and is fine otherwise.
    pub fn notification(compose: &str) -> Self {
        Self {
            world: "export tollgate:rules/notification@1.0.0;".to_owned(),
            template: include_str!("notifier.wat"),
            ..Self::pricing(compose)
        }
    }

    /// A module that judges movements as `judge` says and is fine otherwise.
    pub fn threshold(judge: &str) -> Self {
        Self {
            world: "export tollgate:rules/threshold@1.0.0;".to_owned(),
            template: include_str!("judge.wat"),
            ..Self::pricing(judge)
        }
    }

    /// A module that decides about compensations as `decide` says and is fine otherwise.
    pub fn refund(decide: &str) -> Self {
        Self {
            world: "export tollgate:rules/refund@1.0.0;".to_owned(),
            template: include_str!("refunder.wat"),
            ..Self::pricing(decide)
        }
    }

    pub fn memory(self, limits: &str) -> Self {
        Self { memory: format!(r#"(memory (export "memory") {limits})"#), ..self }
    }

    pub fn extra(self, extra: &str) -> Self {
        Self { extra: format!("{}{extra}", self.extra), ..self }
    }

    /// Something of the description changed.
    pub fn described(mut self, change: impl FnOnce(&mut Description)) -> Self {
        change(&mut self.description);
        self
    }

    pub fn build(&self) -> Vec<u8> {
        self.wrap(self.core()).expect("the module becomes a component")
    }

    /// A component of a core module that exports what the template does; `None` when it cannot become one.
    pub fn wrap(&self, mut core: Vec<u8>) -> Option<Vec<u8>> {
        let mut resolve = Resolve::default();
        resolve.push_path(root().join("wit")).expect("the contract parses");
        let world = format!("package test:rule; {} world rule {{ {} }}", self.package, self.world);
        let package = resolve.push_source("test.wit", &world).expect("the world parses");
        let world = resolve.select_world(&[package], Some("rule")).expect("there is the world");
        embed_component_metadata(&mut core, &resolve, world, StringEncoding::UTF8).ok()?;
        // Hostile modules are not valid, and the host is to see them as they are.
        let mut encoder = ComponentEncoder::default();
        encoder.validate(false).module(&core).ok()?.encode().ok()
    }

    /// The core module that the component wraps.
    pub fn core(&self) -> Vec<u8> {
        let mut allocator = include_str!("allocator.wat").to_owned();
        if !self.realloc.is_empty() {
            allocator = allocator.replace("(export \"cabi_realloc\")", "") + &self.realloc;
        }
        let wat = self
            .template
            .replace("{import}", &self.import)
            .replace("{allocator}", &allocator)
            .replace("{memory}", &self.memory)
            .replace("{extra}", &self.extra)
            .replace("{describe}", &self.describe)
            .replace("{answer}", &self.answer)
            .replace("{description}", &escape(&encode(&self.description, 1024)));
        wat::parse_str(&wat).unwrap_or_else(|error| panic!("the module is bad WAT: {error}"))
    }
}

/// A description that is fine.
pub fn description() -> Description {
    Description {
        name: "test-rule".to_owned(),
        version: "1.0.0".to_owned(),
        needs: Needs::default(),
        params: vec![Param {
            name: "price".to_owned(),
            kind: ParamKind::Micros,
            many: false,
            default: Value::Number(5),
            lowest: Some(1),
            highest: Some(10),
            help: "Not used.".to_owned(),
        }],
        reasons: vec![Reason {
            code: 1,
            name: "COMPUTED".to_owned(),
            source: PriceSource::Computed,
            help: "A constant.".to_owned(),
        }],
        fuel_base: 1_000_000,
        fuel_per_item: 10_000,
    }
}

/// The rule of a world as `cargo xtask rules` built it.
pub fn shipped(world: World) -> Vec<u8> {
    built(&format!("{world}.wasm"))
}

/// A file of the folder that `cargo xtask rules` makes.
pub fn built(file: &str) -> Vec<u8> {
    let path = root().join("target/rules").join(file);
    std::fs::read(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; run `cargo xtask rules`", path.display()))
}

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .find(|folder| folder.join("wit").is_dir())
        .expect("the repository has a folder `wit`")
        .to_owned()
}

fn escape(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("\\{byte:02x}")).collect()
}

/// The description in the memory layout of the component model, to be placed at `base`.
pub fn encode(description: &Description, base: u32) -> Vec<u8> {
    const HEADER: usize = 56;
    let (params, reasons) = (&description.params, &description.reasons);
    let params_at = HEADER;
    let reasons_at = params_at + params.len() * 72;
    let mut memory = Memory { base, bytes: vec![0; reasons_at + reasons.len() * 24] };
    memory.text(0, &description.name);
    memory.text(8, &description.version);
    memory.list(20, params_at, params.len());
    memory.list(28, reasons_at, reasons.len());
    memory.put(40, &description.fuel_base.to_le_bytes());
    memory.put(48, &description.fuel_per_item.to_le_bytes());
    for (row, param) in params.iter().enumerate() {
        memory.param(params_at + row * 72, param);
    }
    for (row, reason) in reasons.iter().enumerate() {
        let at = reasons_at + row * 24;
        memory.put(at, &reason.code.to_le_bytes());
        memory.text(at + 4, &reason.name);
        memory.put(at + 12, &[reason.source as u8]);
        memory.text(at + 16, &reason.help);
    }
    memory.bytes
}

struct Memory {
    base: u32,
    bytes: Vec<u8>,
}

impl Memory {
    fn param(&mut self, at: usize, param: &Param) {
        self.text(at, &param.name);
        self.put(at + 8, &[param.kind as u8, u8::from(param.many)]);
        match &param.default {
            Value::Number(number) => self.put(at + 24, &number.to_le_bytes()),
            Value::Text(text) => {
                self.put(at + 16, &[1]);
                self.text(at + 24, text);
            }
            Value::Numbers(numbers) => {
                self.put(at + 16, &[2]);
                self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
                self.list(at + 24, self.bytes.len(), numbers.len());
                self.bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
            }
        }
        for (at, bound) in [(at + 32, param.lowest), (at + 48, param.highest)] {
            if let Some(bound) = bound {
                self.put(at, &[1]);
                self.put(at + 8, &bound.to_le_bytes());
            }
        }
        self.text(at + 64, &param.help);
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn list(&mut self, at: usize, items_at: usize, items: usize) {
        self.put(at, &(self.base + items_at as u32).to_le_bytes());
        self.put(at + 4, &(items as u32).to_le_bytes());
    }

    fn text(&mut self, at: usize, text: &str) {
        self.list(at, self.bytes.len(), text.len());
        self.bytes.extend_from_slice(text.as_bytes());
    }
}
