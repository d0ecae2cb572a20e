//! Costs as people read them.

use comfy_table::{CellAlignment, Table, presets};

use super::{BatchCost, Bench, Cost, Spread};
use crate::check::grouped;

impl Bench {
    #[must_use]
    pub fn text(&self) -> String {
        let mut table = Table::new();
        table.load_preset(presets::NOTHING);
        let one = ["rows", "fuel a row", "memory", "ns a row", "middle half"];
        let mut header: Vec<&str> = one.to_vec();
        if self.against.is_some() {
            header.extend(["| fuel a row", "ns a row", "| fuel", "time", "middle half"]);
        }
        table.set_header(header);
        for batch in &self.batches {
            table.add_row(row(batch));
        }
        for column in table.column_iter_mut() {
            column.set_cell_alignment(CellAlignment::Right);
        }
        let title = match &self.against {
            None => self.rule.clone(),
            Some(against) => format!("{}, against {against}", self.rule),
        };
        format!("{title}\n{table}\n")
    }
}

fn row(batch: &BatchCost) -> Vec<String> {
    let Cost { fuel, memory_bytes, ns } = &batch.cost;
    let mut cells = vec![
        grouped(batch.rows as u64),
        per_row(*fuel, batch.rows),
        format!("{} KiB", grouped(memory_bytes / 1_024)),
        format!("{:.1}", ns.median),
        format!("{:.1} – {:.1}", ns.lower_quartile, ns.upper_quartile),
    ];
    if let (Some(against), Some(ratio)) = (&batch.against, batch.ratio) {
        let fuel_ratio = *fuel as f64 / against.fuel.max(1) as f64;
        let Spread { median, lower_quartile, upper_quartile } = ratio;
        cells.extend([
            per_row(against.fuel, batch.rows),
            format!("{:.1}", against.ns.median),
            change(fuel_ratio),
            change(median),
            format!("{} – {}", change(lower_quartile), change(upper_quartile)),
        ]);
    }
    cells
}

/// Fuel of a call by its rows, with one decimal and without a float.
fn per_row(fuel: u64, rows: usize) -> String {
    let tenths = fuel * 10 / rows.max(1) as u64;
    format!("{}.{}", grouped(tenths / 10), tenths % 10)
}

/// A quotient as more or less in per cent.
fn change(ratio: f64) -> String {
    format!("{:+.1} %", (ratio - 1.0) * 100.0)
}
