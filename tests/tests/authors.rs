//! A rule author with nothing but Rust and the program: a project of every kind builds offline, and its module is
//! admitted.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

const KINDS: [&str; 4] = ["pricing", "threshold", "refund", "notification"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the workspace")
}

/// A folder for projects, and an empty home for cargo, which knows no registry.
struct Desk {
    folder: TempDir,
    /// What projects compile to; kept from one run to the next.
    target: PathBuf,
}

impl Desk {
    fn new() -> Self {
        let target = root().join("target/tmp/authors");
        Self { folder: TempDir::new().expect("a folder"), target }
    }

    fn project(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn tollgate(&self, folder: &Path, arguments: &[&str]) -> Output {
        self.run(&mut Command::new(root().join("target/release/tollgate")), folder, arguments)
    }

    fn cargo(&self, folder: &Path, arguments: &[&str]) -> Output {
        self.run(&mut Command::new(env!("CARGO")), folder, arguments)
    }

    fn run(&self, command: &mut Command, folder: &Path, arguments: &[&str]) -> Output {
        command.current_dir(folder).args(arguments);
        command.env("CARGO_NET_OFFLINE", "true").env("CARGO_TARGET_DIR", &self.target);
        command.env("CARGO_HOME", self.folder.path().join("home"));
        command.output().expect("it starts")
    }

    fn make(&self, name: &str, kind: &str) {
        ok(&self.tollgate(self.folder.path(), &["rule", "new", name, "--kind", kind]));
    }
}

/// What it printed; a failure shows all it said.
fn ok(output: &Output) -> String {
    assert!(output.status.success(), "{}", words(output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn words(output: &Output) -> String {
    let (out, error) = (&output.stdout, &output.stderr);
    format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(error))
}

#[test]
fn a_new_project_of_every_kind_tests_builds_and_is_admitted_offline() {
    let desk = Desk::new();
    for kind in KINDS {
        let name = format!("my-{kind}");
        desk.make(&name, kind);
        let project = desk.project(&name);
        let tested = ok(&desk.cargo(&project, &["test", "--lib"]));
        assert!(tested.contains("test result: ok. 1 passed"), "{tested}");
        let built = ok(&desk.tollgate(&project, &["rule", "build"]));
        let module = project.join(format!("{name}.wasm"));
        let bytes = module.metadata().expect("the module").len();
        for line in [
            format!("name     {name}"),
            format!("world    {kind}"),
            format!("size     {bytes} bytes"),
        ] {
            assert!(built.contains(&line), "{built}");
        }
        let proved = ok(&desk.tollgate(&project, &["rule", "test"]));
        assert!(proved.contains("ok: ") && proved.contains("cargo test passed"), "{proved}");
        let inside = ok(&desk.tollgate(&project, &["rule", "test", &format!("{name}.wasm")]));
        assert!(inside.contains("ok: ") && !inside.contains("cargo test"), "{inside}");
        let lock = std::fs::read_to_string(project.join("Cargo.lock")).expect("a lock");
        assert_eq!(
            lock.matches("[[package]]").count(),
            2,
            "a rule depends on its SDK alone:\n{lock}"
        );
    }
}

#[test]
fn equal_sources_give_equal_bytes_in_any_folder() {
    let (here, elsewhere) = (Desk::new(), Desk::new());
    here.make("night", "pricing");
    let deep = elsewhere.folder.path().join("a folder/with spaces");
    std::fs::create_dir_all(&deep).expect("a folder");
    ok(&elsewhere.tollgate(&deep, &["rule", "new", "night", "--kind", "pricing"]));
    let build = |desk: &Desk, project: &Path| {
        let target = desk.folder.path().join("target");
        let desk = Desk { folder: TempDir::new().expect("a folder"), target };
        ok(&desk.tollgate(project, &["rule", "build", "--out", "built.wasm"]));
        std::fs::read(project.join("built.wasm")).expect("the module")
    };
    let (one, other) =
        (build(&here, &here.project("night")), build(&elsewhere, &deep.join("night")));
    assert!(one == other, "the modules differ: {} and {} bytes", one.len(), other.len());
    let folder = here.folder.path().to_string_lossy().into_owned();
    let named = one.windows(folder.len()).any(|bytes| bytes == folder.as_bytes());
    assert!(!named, "the module names the folder it was built in");
}

#[test]
fn what_goes_wrong_is_said_in_words_that_help() {
    let desk = Desk::new();
    desk.make("night", "pricing");
    let project = desk.project("night");
    let rule = project.join("src/lib.rs");
    let good = std::fs::read_to_string(&rule).expect("the rule");
    let check = |change: &dyn Fn(&str) -> String, code: i32, expected: &[&str]| {
        std::fs::write(&rule, change(&good)).expect("the rule");
        let output = desk.tollgate(&project, &["rule", "build"]);
        let words = words(&output);
        assert_eq!(output.status.code(), Some(code), "{words}");
        for part in expected {
            assert!(words.contains(part), "no {part:?} in:\n{words}");
        }
    };
    // The compiler's own words, as they are.
    let wrong = |good: &str| good.to_owned() + "\nconst WRONG: u32 = \"text\";\n";
    check(&wrong, 1, &["error[E0308]", "src/lib.rs", "mismatched types", "BUILD_FAILED"]);
    let floats = |good: &str| {
        good.replace("let campaign = click.campaign();", "let campaign = click.campaign();\n    \
            if f64::from(click.local_minute()).sqrt() > 37.9 { return Quote::new(1, &CACHED_PRICE); }")
    };
    check(&floats, 2, &["floating-point", "FLOAT_REFUSED", "NOT_ADMITTED"]);
    let nothing = |good: &str| good.replace("tollgate_sdk::pricing_module!(crate);", "");
    check(&nothing, 2, &["NOT_ADMITTED", "pricing"]);
    check(&str::to_owned, 0, &["a host would admit it"]);

    let again = desk.tollgate(desk.folder.path(), &["rule", "new", "night", "--kind", "refund"]);
    assert_eq!(again.status.code(), Some(64));
    assert!(words(&again).contains("PROJECT_EXISTS"), "{}", words(&again));
    assert_eq!(std::fs::read_to_string(&rule).expect("the rule"), good);

    // Nothing to compile with: the one command that helps, and no attempt to download.
    let mut bare = Command::new(root().join("target/release/tollgate"));
    bare.env("PATH", desk.folder.path()).env("TOLLGATE_WASM_TOOLCHAIN", "rustup");
    let output = desk.run(&mut bare, &project, &["rule", "build"]);
    assert_eq!(output.status.code(), Some(1));
    let words = words(&output);
    assert!(words.contains("rustup target add wasm32-unknown-unknown"), "{words}");
}
