//! `tollgate rule test`

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;
use serde::Serialize;
use tollgate_builder::Said;
use tollgate_domain::fence::FenceLimits;
use tollgate_engine::{Compiler, Engine, Module};
use tollgate_workbench::cases::{self, Cases, CasesError, Checks, Paint, Report};
use tollgate_workbench::project::{Language, Project};
use tollgate_workbench::watch::Watch;

use super::{admit, engine, limits, of_project, read, usage};
use crate::cli::rule::author::TestRule;
use crate::commands::load;
use crate::commands::run::settings::fence_limits;
use crate::config::Config;
use crate::exit::{Exit, ExitError};

pub(super) fn execute(arguments: &TestRule) -> anyhow::Result<Exit> {
    let config = load(&arguments.common, None)?;
    let bench = Bench::new(&config)?;
    if !arguments.watch {
        let tested = bench.test(arguments)?;
        tested.print(arguments)?;
        return Ok(tested.exit());
    }
    let watch = Watch::new(&watched(arguments)?)?;
    loop {
        // What is half written fails now and is tried again when it is whole.
        match bench.test(arguments) {
            Ok(tested) => tested.print(arguments)?,
            Err(error) => eprintln!("error: {error:#}"),
        }
        eprintln!("waiting for changes; Ctrl-C ends");
        let Some(changed) = watch.next() else { return Ok(Exit::Ok) };
        eprintln!("\n{} has changed", changed.display());
    }
}

/// The engines, which outlive a test.
struct Bench {
    engine: Engine,
    /// Nothing on machines that the second compiler does not know.
    second: Option<Engine>,
    fence: FenceLimits,
}

/// A module and what is known of its cases.
struct Candidate {
    bytes: Vec<u8>,
    module: Module,
    cases: Cases,
    /// Whether the project's own tests passed; nothing when there are none to be run natively.
    native: Option<bool>,
}

#[derive(Serialize)]
struct Tested {
    rule: String,
    version: String,
    digest: String,
    world: &'static str,
    native: Option<bool>,
    #[serde(flatten)]
    report: Report,
}

impl Bench {
    fn new(config: &Config) -> anyhow::Result<Self> {
        let second = Engine::with_compiler(limits(config), Compiler::SinglePass);
        if let Err(error) = &second {
            eprintln!("note: the rule is compiled in one way only: {error} ({})", error.code());
        }
        Ok(Self { engine: engine(config)?, second: second.ok(), fence: fence_limits(config)? })
    }

    fn test(&self, arguments: &TestRule) -> anyhow::Result<Tested> {
        let mut candidate = match arguments.path.is_dir() {
            true => self.project(&arguments.path)?,
            false => self.module(&arguments.path)?,
        };
        candidate.add_cases(arguments)?;
        let Candidate { bytes, module, cases, native } = candidate;
        let second = self.second.as_ref().and_then(|second| {
            let admitted = second.admit(module.world(), &bytes);
            // The first compiler took it, so it is only that interpreters are not for the second one.
            admitted
                .inspect_err(|_| eprintln!("note: an interpreter is compiled in one way only"))
                .ok()
        });
        let report = cases::run(&module, &cases, &Checks { fence: self.fence.clone(), second });
        Ok(Tested {
            rule: module.description().name.clone(),
            version: module.description().version.clone(),
            digest: module.digest().to_owned(),
            world: module.world().as_str(),
            native,
            report,
        })
    }

    fn module(&self, path: &Path) -> anyhow::Result<Candidate> {
        let bytes = read(path)?;
        let module = admit(&self.engine, path, &bytes)?;
        let inside = cases::embedded(module.world(), &bytes).map_err(unreadable)?;
        let cases = inside.unwrap_or_else(|| Cases::none(module.world()));
        Ok(Candidate { bytes, module, cases, native: None })
    }

    /// Runs the project's own tests and builds it. Its cases are read where they are written, so that a failure names
    /// the author's own file.
    fn project(&self, folder: &Path) -> anyhow::Result<Candidate> {
        let project = Project::open(folder).map_err(|error| of_project(&error))?;
        let native = native(&project)?;
        let built = project.build(&project.module(), &self.engine, Said::OnFailure);
        let built = built.map_err(|error| of_project(&error))?;
        let mut cases = Cases::none(project.kind());
        for (path, text) in project.cases().map_err(|error| of_project(&error))? {
            let name = path.display().to_string();
            cases.extend(Cases::parse(project.kind(), &name, &text).map_err(unreadable)?);
        }
        Ok(Candidate { bytes: read(&built.path)?, module: built.module, cases, native })
    }
}

/// `cargo test` for rules in Rust, offline as everything here.
fn native(project: &Project) -> anyhow::Result<Option<bool>> {
    if project.language() != Language::Rust {
        return Ok(None);
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut tests = Command::new(cargo);
    tests.args(["test", "--offline", "--quiet"]).current_dir(project.folder());
    // What is printed here is for people; standard output may be for a program.
    let status = tests.stdin(Stdio::null()).stdout(std::io::stderr()).status();
    Ok(Some(status.context("cargo cannot be run; install Rust")?.success()))
}

impl Candidate {
    /// Adds the cases of the command line and leaves those that are wanted.
    fn add_cases(&mut self, arguments: &TestRule) -> Result<(), ExitError> {
        for path in &arguments.cases {
            for file in files(path)? {
                let name = file.display().to_string();
                let text = String::from_utf8(read(&file)?);
                let text = text.map_err(|_| usage(format!("{name}: not UTF-8")))?;
                let more = Cases::parse(self.module.world(), &name, &text).map_err(unreadable)?;
                self.cases.extend(more);
            }
        }
        if self.cases.is_empty() {
            let path = arguments.path.display();
            return Err(usage(format!("{path} has no cases; name some with --cases")));
        }
        let Some(filter) = &arguments.filter else { return Ok(()) };
        self.cases.keep(filter);
        if self.cases.is_empty() {
            return Err(usage(format!("no case has {filter:?} in its name")));
        }
        Ok(())
    }
}

impl Tested {
    fn print(&self, arguments: &TestRule) -> anyhow::Result<()> {
        if arguments.json {
            println!("{}", serde_json::to_string_pretty(self)?);
            return Ok(());
        }
        let is_seen = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        let paint = if is_seen { Paint::Colours } else { Paint::Plain };
        println!("{} {}, a {} rule", self.rule, self.version, self.world);
        print!("{}", cases::shown(&self.report, paint));
        match self.native {
            None => {}
            Some(true) => println!("cargo test passed"),
            Some(false) => println!("cargo test FAILED; what it says stands above"),
        }
        Ok(())
    }

    fn exit(&self) -> Exit {
        let is_good = self.report.is_passed() && self.native != Some(false);
        if is_good { Exit::Ok } else { Exit::Findings }
    }
}

fn unreadable(error: CasesError) -> ExitError {
    usage(format!("{error}\n({})", error.code()))
}

/// The file itself, or the TOML files of a folder in the order of their names.
fn files(path: &Path) -> Result<Vec<PathBuf>, ExitError> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let failed = |error: std::io::Error| usage(format!("{}: {error}", path.display()));
    let entries = std::fs::read_dir(path).map_err(failed)?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let mut files = paths.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    if files.is_empty() {
        return Err(usage(format!("{}: no file of cases (*.toml) is there", path.display())));
    }
    Ok(files)
}

/// A module and its cases, or everything of a project that is no output.
fn watched(arguments: &TestRule) -> Result<Vec<PathBuf>, ExitError> {
    let mut paths = arguments.cases.clone();
    if arguments.path.is_dir() {
        let failed =
            |error: std::io::Error| usage(format!("{}: {error}", arguments.path.display()));
        for entry in std::fs::read_dir(&arguments.path).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if !is_output(&path) {
                paths.push(path);
            }
        }
    } else {
        paths.push(arguments.path.clone());
    }
    match paths.iter().find(|path| !path.exists()) {
        None => Ok(paths),
        Some(missing) => Err(usage(format!("{}: there is nothing", missing.display()))),
    }
}

fn is_output(path: &Path) -> bool {
    const OUTPUTS: [&str; 7] =
        ["Cargo.lock", "build", "dist", "node_modules", "target", "venv", "__pycache__"];
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let is_module =
        path.extension().is_some_and(|extension| extension == "wasm" || extension == "part");
    name.starts_with('.') || OUTPUTS.contains(&&*name) || is_module
}
