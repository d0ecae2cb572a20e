//! The author's commands as an author types them: what they print, and their exit codes.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tollgate_workbench::cases;

struct Desk {
    folder: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let desk = Self { folder };
        for world in ["pricing", "threshold", "refund", "notification"] {
            let module = root().join(format!("target/rules/{world}.wasm"));
            let bytes = std::fs::read(&module).expect("`cargo xtask rules` builds the modules");
            // Without the cases that it was built with, so that each test says which ones are run.
            let bytes = cases::embed(&bytes, &[]).expect("a module");
            desk.write(&format!("{world}.wasm"), &bytes);
            let cases = std::fs::read(root().join(format!("rules/cases/{world}.toml")));
            desk.write(&format!("{world}.toml"), &cases.expect("cases"));
        }
        desk
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.folder.path().join(name), bytes).expect("written");
    }

    fn rule(&self, arguments: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
        command.arg("rule").args(arguments.split(' ')).current_dir(self.folder.path());
        command.output().expect("the program runs")
    }

    /// Exit code, and parts of what is printed.
    fn check(&self, arguments: &str, exit: i32, expected: &[&str]) {
        let output = self.rule(arguments);
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        let printed = text(&output.stdout) + &text(&output.stderr);
        assert_eq!(output.status.code(), Some(exit), "{arguments}\n{printed}");
        for part in expected {
            assert!(printed.contains(part), "{arguments}: {part:?} is not in\n{printed}");
        }
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn a_module_is_checked() {
    let desk = Desk::new();
    desk.write("text.wasm", b"no module");
    desk.check("check pricing.wasm", 0, &["admitted: cost-per-click 1.0.0, a pricing rule"]);
    desk.check("check pricing.wasm --json", 0, &["\"problems\": []", "\"name\": \"CACHED_PRICE\""]);
    desk.check("check pricing.wasm --kind refund", 2, &["error[WRONG_WORLD]", "--> pricing.wasm"]);
    desk.check("check text.wasm", 2, &["error[NOT_A_COMPONENT]"]);
    desk.check("check missing.wasm", 64, &["error: missing.wasm: "]);
}

#[test]
fn cases_are_run() {
    let desk = Desk::new();
    desk.write("bad.toml", b"[[case]]\nname = \"dear\"\nexpect.charge = 9\n");
    desk.write("odd.toml", b"[[case]]\nname = \"odd\"\nexpect.price = 9\n");
    for world in ["pricing", "threshold", "refund", "notification"] {
        let arguments = format!("test {world}.wasm --cases {world}.toml");
        desk.check(&arguments, 0, &["ok: ", "each compiled two ways"]);
    }
    desk.check(
        "test pricing.wasm --cases bad.toml",
        2,
        &[
            "FAILED dear  (bad.toml:1)",
            "- charge = \"9\"",
            "+ charge = \"1\"",
            "FAILED: 0 of 1 cases",
        ],
    );
    desk.check(
        "test pricing.wasm --cases bad.toml --json",
        2,
        &["\"missed\": [", "\"text\": \"9\""],
    );
    desk.check("test pricing.wasm --cases odd.toml", 64, &["odd.toml:3: unknown key `price`"]);
    desk.check("test pricing.wasm --cases pricing.toml --filter Redis", 0, &["ok: 2 of 2 cases"]);
    desk.check(
        "test pricing.wasm --cases pricing.toml --filter x9",
        64,
        &["no case has \"x9\" in"],
    );
    desk.check("test pricing.wasm", 64, &["pricing.wasm has no cases; name some with --cases"]);
    desk.check("test .", 64, &["is no rule project", "`tollgate rule new` makes one"]);
    desk.check("test pricing.wasm --cases nowhere", 64, &["error: nowhere: "]);
}

#[test]
fn events_are_answered() {
    let desk = Desk::new();
    let click = |campaign: &str| {
        format!(
            "{{\"event_type\":\"CLICK\",\"timestamp\":\"2026-11-20T09:30:00Z\",\"campaign_id\":\"{campaign}\",\
             \"advertiser_id\":\"a\"}}\n"
        )
    };
    desk.write("events.ndjson", (click("one") + &click("two")).as_bytes());
    desk.write("campaigns.ndjson", br#"{"id": "one", "advertiser": "a", "stored_price": "2.50"}"#);
    desk.write("days.ndjson", br#"{"day": {"daily_budget": 10, "spent": 9}}"#);
    desk.check(
        "run pricing.wasm --in events.ndjson",
        0,
        &["answered         2\n", "sum              2\n"],
    );
    desk.check(
        "run pricing.wasm --in events.ndjson --campaigns campaigns.ndjson",
        2,
        &["2.5 STORED_PRICE", "UNKNOWN_CAMPAIGN", "sum              2.5\n"],
    );
    desk.check(
        "run pricing.wasm --in events.ndjson --json",
        0,
        &["{\"line\":1,", "\"amount\":\"2\""],
    );
    desk.check("run pricing.wasm --in events.ndjson --totals", 0, &["answered         2\n"]);
    desk.check("run threshold.wasm --in days.ndjson", 0, &["warn "]);
    desk.check("run threshold.wasm --in days.ndjson --params warn_at=0.95,0.97", 0, &["keep "]);
    desk.check(
        "run threshold.wasm --in days.ndjson --params warn_at",
        64,
        &["expected NAME=VALUE"],
    );
    desk.check("run threshold.wasm --in days.ndjson --params warn=1", 64, &["BAD_PARAMETERS"]);
}

#[test]
fn a_rule_is_measured() {
    let desk = Desk::new();
    desk.check(
        "bench pricing.wasm --batch 1 --batch 8",
        0,
        &["fuel a row", "cost-per-click 1.0.0"],
    );
    desk.check(
        "bench pricing.wasm --batch 8 --against pricing.wasm --profile out.svg --json",
        0,
        &["\"ratio\": {", "\"fuel\": "],
    );
    let picture = std::fs::read_to_string(desk.folder.path().join("out.svg")).expect("a picture");
    assert!(picture.contains("fuel in one call of 256 rows"), "{picture}");
    desk.check(
        "bench pricing.wasm --batch 8 --against refund.wasm",
        1,
        &["compare rules of one world"],
    );
    desk.check("bench pricing.wasm --batch 0", 64, &["0 is not in 1..=100000"]);
}

#[test]
fn a_watch_runs_the_cases_again() {
    let desk = Desk::new();
    let case = |charge: &str| format!("[[case]]\nname = \"a\"\nexpect.charge = {charge}\n");
    desk.write("watched.toml", case("1").as_bytes());
    let arguments = ["rule", "test", "pricing.wasm", "--cases", "watched.toml", "--watch"];
    let mut watching = Command::new(env!("CARGO_BIN_EXE_tollgate"))
        .args(arguments)
        .current_dir(desk.folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program runs");
    let mut lines = BufReader::new(watching.stdout.take().expect("a pipe")).lines();
    let mut next = |expected: &str| {
        let found = lines.find(|line| line.as_ref().is_ok_and(|line| line.starts_with(expected)));
        assert!(found.is_some(), "the program ended before it said {expected:?}");
    };
    next("ok: 1 of 1 cases");
    desk.write("watched.toml", case("9").as_bytes());
    next("FAILED: 0 of 1 cases");
    desk.write("watched.toml", case("1.0").as_bytes());
    desk.write("watched.toml", case("\"1.0\"").as_bytes());
    next("ok: 1 of 1 cases");
    watching.kill().expect("stopped");
    watching.wait().expect("ended");
}
