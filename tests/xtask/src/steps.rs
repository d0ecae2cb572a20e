//! Shows what is being done, why, and how long it took.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Longest detail behind a spinner, so that a line stays a line.
const DETAIL_CHARS_MAX: usize = 60;

/// A spinner for each step on a terminal, plain lines elsewhere.
pub(crate) struct Steps {
    terminal: bool,
}

/// A step that is under way. One that is dropped has failed, and its error says why.
pub(crate) struct Step {
    name: String,
    begin: Instant,
    bar: Option<ProgressBar>,
}

impl Steps {
    pub(crate) fn new() -> Self {
        Self { terminal: std::io::stderr().is_terminal() }
    }

    /// Begins a step; `why` says what it is good for or what to expect.
    pub(crate) fn begin(&self, name: &str, why: &str) -> Step {
        let bar = self.terminal.then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner:.cyan} {msg} {elapsed:.dim}")
            {
                bar.set_style(style);
            }
            bar.set_message(format!("{name} ({why})"));
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        Step { name: name.to_owned(), begin: Instant::now(), bar }
    }
}

impl Step {
    /// Shows where the step is.
    pub(crate) fn detail(&self, text: &str) {
        if let Some(bar) = &self.bar {
            let short: String = text.chars().take(DETAIL_CHARS_MAX).collect();
            bar.set_message(format!("{}: {short}", self.name));
        }
    }

    /// Ends the step with its outcome.
    pub(crate) fn done(self, outcome: &str) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let seconds = self.begin.elapsed().as_secs_f64();
        eprintln!("✓ {:<24} {seconds:>6.1} s  {outcome}", self.name);
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
