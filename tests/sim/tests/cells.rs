//! The cells of the fault matrix end in the simulator as the matrix wants them to end on the local AWS, and each flow makes
//! the same calls in both.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use payment3_harness::fault_plan::Fault;
use payment3_harness::flow::Flow;
use payment3_sim::{calls, cells_of, problem};

/// Fewer are no matrix.
const AT_LEAST: usize = 3_000;

#[test]
fn every_cell_ends_as_on_the_local_aws() {
    let cells = cells_of(&Flow::ALL, &Fault::ALL).expect("without a fault, every flow ends well");
    assert!(cells.len() > AT_LEAST, "{} cells", cells.len());
    let next = AtomicUsize::new(0);
    let problems = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(cell) = cells.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let found = problem(cell).unwrap_or_else(|error| Some(format!("{error:#}")));
                    problems.lock().expect("nobody panics").extend(found);
                }
            });
        }
    });
    let problems = problems.into_inner().expect("nobody panics");
    assert!(
        problems.is_empty(),
        "{} of {} cells end otherwise:\n{}",
        problems.len(),
        cells.len(),
        problems.join("\n")
    );
}

#[test]
fn each_flow_makes_the_calls_that_it_makes_on_the_local_aws() {
    let written = include_str!("../../harness/calls.txt");
    assert_eq!(
        calls().expect("without a fault, every flow ends well"),
        written,
        "read what differs, and then: cargo run --profile simulating -p payment3-sim -- --calls > \
         tests/harness/calls.txt"
    );
}
