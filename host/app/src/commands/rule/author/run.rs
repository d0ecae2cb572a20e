//! `tollgate rule run`

use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;

use anyhow::Context as _;
use tollgate_domain::day::Zone;
use tollgate_workbench::cases::Campaigns;
use tollgate_workbench::run::{Answer, Runner, Surroundings};

use super::{admit, bind, engine, read, usage};
use crate::cli::rule::author::RunRule;
use crate::commands::load;
use crate::commands::run::settings;
use crate::exit::Exit;

pub(super) fn execute(arguments: &RunRule) -> anyhow::Result<Exit> {
    let config = load(&arguments.common, None)?;
    let engine = engine(&config)?;
    let module = admit(&engine, &arguments.module, &read(&arguments.module)?)?;
    let world = module.world();
    let surroundings = Surroundings {
        decode: settings::decode_limits(&config),
        fence: settings::fence_limits(&config)?,
        zone: Zone::new(&config.notify.zone)?,
    };
    let campaigns = arguments.campaigns.as_deref().map(campaigns).transpose()?;
    let mut runner = Runner::new(bind(module, &arguments.params)?, campaigns, surroundings);
    let mut out = io::BufWriter::new(io::stdout().lock());
    if !arguments.json && !arguments.totals {
        writeln!(out, "{}", Answer::header(world))?;
    }
    for line in input(&arguments.input)?.lines() {
        let line = line.with_context(|| arguments.input.display().to_string())?;
        let Some(answer) = runner.ask(&line) else { continue };
        match (arguments.totals, arguments.json) {
            (true, _) => {}
            (false, true) => writeln!(out, "{}", serde_json::to_string(&answer)?)?,
            (false, false) => writeln!(out, "{}", answer.columns(world))?,
        }
    }
    let totals = runner.totals();
    match arguments.json {
        true => writeln!(out, "{}", serde_json::json!({ "totals": totals }))?,
        false => write!(out, "\n{}", totals.text())?,
    }
    out.flush()?;
    Ok(if totals.failed == 0 { Exit::Ok } else { Exit::Findings })
}

fn campaigns(path: &Path) -> anyhow::Result<Campaigns> {
    let bytes = read(path)?;
    let name = path.display().to_string();
    let text = String::from_utf8(bytes).map_err(|_| usage(format!("{name} is not UTF-8")))?;
    Ok(Campaigns::parse(&name, &text).map_err(|error| usage(error.to_string()))?)
}

fn input(path: &Path) -> anyhow::Result<Box<dyn BufRead>> {
    if path == Path::new("-") {
        return Ok(Box::new(io::stdin().lock()));
    }
    let file =
        std::fs::File::open(path).map_err(|error| usage(format!("{}: {error}", path.display())))?;
    Ok(Box::new(BufReader::new(file)))
}
