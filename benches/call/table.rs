//! Writes the figures as Markdown, one table per pairing and one for what happened when links changed; and as JSON.

use crate::options::Pairing;
use crate::result::{COLUMNS, Column, Line};
use crate::rows::Row;
use crate::run::Outcome;
use serde_json::{Value, json};

/// All runs of a row.
pub(crate) struct Measured {
    pub(crate) row: Row,
    pub(crate) runs: Vec<Result<Outcome, String>>,
}

impl Measured {
    fn outcomes(&self) -> impl Iterator<Item = &Outcome> {
        self.runs.iter().filter_map(|run| run.as_ref().ok())
    }

    /// The medians of the runs that came to an end, participant by participant.
    fn lines(&self) -> Vec<Line> {
        let Some(first) = self.outcomes().next() else { return Vec::new() };
        let lines = |index: usize| -> Vec<Line> {
            self.outcomes().map(|outcome| outcome.lines[index].clone()).collect()
        };
        (0..first.lines.len()).map(|index| Line::median(&lines(index))).collect()
    }

    pub(crate) fn to_json(&self, pairing: Pairing) -> Value {
        let runs: Vec<Value> = self.runs.iter().map(run_to_json).collect();
        let medians: Vec<Value> = self.lines().iter().map(Line::to_json).collect();
        json!({ "pairing": pairing.title(), "link": self.row.name, "medians": medians, "runs": runs })
    }
}

fn run_to_json(run: &Result<Outcome, String>) -> Value {
    let outcome = match run {
        Ok(outcome) => outcome,
        Err(reason) => return json!({ "failed": reason }),
    };
    let link = outcome.link.as_ref().map(|link| {
        let counts = link.counts.map(|counts| {
            json!({
                "entered": counts.entered, "left": counts.left, "octets_left": counts.octets_left,
                "lost": counts.lost, "overflowed": counts.overflowed, "cut": counts.cut,
            })
        });
        json!({ "there_and_back": counts, "lateness_ms": link.lateness.map(|late| late.as_secs_f64() * 1000.0) })
    });
    json!({
        "seed": outcome.seed, "pressure": outcome.pressure.share, "link": link,
        "lines": outcome.lines.iter().map(Line::to_json).collect::<Vec<_>>(),
    })
}

/// The tables of a pairing.
pub(crate) fn print(pairing: Pairing, rows: &[Measured]) {
    println!("### {}\n", pairing.title());
    print_columns(rows, |column| !column.of_change);
    let changing: Vec<&Measured> = rows.iter().filter(|measured| measured.row.change.is_some()).collect();
    if !changing.is_empty() {
        println!("Around the change (seconds count from the link's return):\n");
        print_columns(changing, |column| column.of_change);
    }
    for measured in rows {
        for reason in measured.runs.iter().filter_map(|run| run.as_ref().err()) {
            println!("{} failed: {}\n", measured.row.title, reason.trim());
        }
        for line in measured.lines() {
            for note in &line.notes {
                println!("{}, {}: {note}.", measured.row.title, line.who);
            }
        }
    }
    println!();
}

fn print_columns<'a>(rows: impl IntoIterator<Item = &'a Measured>, wanted: impl Fn(&Column) -> bool) {
    let indices: Vec<usize> = (0..COLUMNS.len()).filter(|index| wanted(&COLUMNS[*index])).collect();
    let titles: Vec<&str> = indices.iter().map(|index| COLUMNS[*index].title).collect();
    println!("| link | who sees | {} | pressure % |", titles.join(" | "));
    println!("|---|---|{}---:|", "---:|".repeat(indices.len()));
    for measured in rows {
        let pressure = crate::figures::median(measured.outcomes().filter_map(|run| run.pressure.share));
        let pressure = pressure.map_or_else(String::new, |share| format!("{:.0}", share * 100.0));
        for line in measured.lines() {
            let cells: Vec<String> = indices.iter().map(|index| cell(&line, *index)).collect();
            println!("| {} | {} | {} | {pressure} |", measured.row.title, line.who, cells.join(" | "));
        }
    }
    println!();
}

fn cell(line: &Line, index: usize) -> String {
    let decimals = COLUMNS[index].decimals;
    line.values[index].map_or_else(|| "-".into(), |value| format!("{value:.decimals$}"))
}
