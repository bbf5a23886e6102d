//! Every flow in every dialect of the bank. A dialect changes nothing, or the payment waits untouched until the bank
//! uses words that are known.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use payment3_bank::Dialect;
use payment3_harness::json_api;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::flows::{FLOWS, Flow, check};
use crate::support::TestApp;

/// Which dialects are tried: `all`, or their names, separated by commas.
const WHICH_VARIABLE: &str = "PAYMENT3_DIALECTS";
/// How many cells are tried side by side: each mostly waits.
const SIDE_BY_SIDE: usize = 16;

/// A row in a dialect.
#[derive(Clone, Copy)]
struct Cell {
    row: usize,
    dialect: Dialect,
}

impl Cell {
    fn flow(self) -> &'static Flow {
        &FLOWS[self.row]
    }

    fn name(self) -> String {
        format!("{} | {}", self.flow().name, self.dialect)
    }
}

/// The cells to try, and how they were chosen.
fn cells(which: Option<&str>) -> (Vec<Cell>, String) {
    let all = || {
        Dialect::ALL
            .iter()
            .flat_map(|&dialect| (0..FLOWS.len()).map(move |row| Cell { row, dialect }))
    };
    let (cells, chosen): (Vec<_>, _) = match which {
        None | Some("all") => (all().collect(), "all of them".to_owned()),
        Some(names) => {
            let named: Vec<Dialect> = names
                .split(',')
                .map(|name| name.parse().expect("a dialect"))
                .collect();
            let cells = all().filter(|cell| named.contains(&cell.dialect));
            (cells.collect(), format!("those in {names}"))
        }
    };
    let size = format!(
        "{} rows × {} dialects = {} cells; {}: {}",
        FLOWS.len(),
        Dialect::ALL.len(),
        FLOWS.len() * Dialect::ALL.len(),
        cells.len(),
        chosen
    );
    (cells, size)
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test dialects"]
async fn every_flow_is_the_same_in_every_dialect_or_waits() {
    let which = std::env::var(WHICH_VARIABLE).ok();
    let (cells, size) = cells(which.as_deref());
    println!("\n{size}");
    let app = Arc::new(TestApp::connect().await);
    let begun = Instant::now();
    let since = jiff::Timestamp::now().as_millisecond();
    let turns = Arc::new(Semaphore::new(SIDE_BY_SIDE));
    let mut running = JoinSet::new();
    for &cell in &cells {
        let (app, turns) = (Arc::clone(&app), Arc::clone(&turns));
        running.spawn(async move {
            let _turn = turns.acquire_owned().await;
            // Each cell has a task of its own: a panic fails that cell only.
            let played = tokio::spawn(async move { check(&app, cell.flow(), cell.dialect).await });
            (cell, played.await.map_err(said))
        });
    }
    let (mut failed, mut unknown) = (Vec::new(), BTreeSet::new());
    while let Some(done) = running.join_next().await {
        match done.expect("the cells catch their own panics") {
            (cell, Ok(charge)) => {
                let flow = cell.flow();
                if !flow.is_declined() && flow.decides_nothing_in(cell.dialect) {
                    unknown.insert(charge);
                }
            }
            (cell, Err(problem)) => failed.push(format!("{}: {problem}", cell.name())),
        }
    }
    failed.sort();
    for cell in &failed {
        println!("failed: {cell}");
    }
    println!(
        "{} cells, {} failed, {:.0} s",
        cells.len(),
        failed.len(),
        begun.elapsed().as_secs_f64()
    );
    assert!(failed.is_empty(), "failed cells:\n{}", failed.join("\n"));
    app.assert_logged_as_unknown(&unknown, since).await;
}

/// What a panic said, in one line.
fn said(error: tokio::task::JoinError) -> String {
    let text = match error.try_into_panic() {
        Ok(payload) => match payload.downcast::<String>() {
            Ok(text) => *text,
            Err(_) => "it panicked".to_owned(),
        },
        Err(error) => error.to_string(),
    };
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl TestApp {
    /// Asserts that the log names each charge of which the bank said something unknown. An alarm counts those lines.
    async fn assert_logged_as_unknown(&self, charges: &BTreeSet<String>, since: i64) {
        let group = format!(
            "/aws/lambda/payment3-inquire-charge-{}",
            self.outputs.branch
        );
        let mut untold = charges.clone();
        let mut page = Value::Null;
        loop {
            let mut body = json!({"logGroupName": group, "startTime": since});
            if page.is_string() {
                body["nextToken"] = page;
            }
            let target = "Logs_20140328.FilterLogEvents";
            let found = json_api::call(&self.outputs.aws_endpoint, target, &body).await;
            let found = found.expect("the logs");
            for line in found["events"].as_array().into_iter().flatten() {
                let line = line["message"].as_str().unwrap_or_default();
                if line.contains("\"UnknownState\"") {
                    untold.retain(|charge| !line.contains(charge.as_str()));
                }
            }
            page = found["nextToken"].clone();
            if !page.is_string() {
                break;
            }
        }
        assert!(untold.is_empty(), "no line tells of {untold:?}");
    }
}
