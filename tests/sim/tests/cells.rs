//! The cells of the fault matrix end in the simulator as the matrix wants them to end on the local AWS, and each flow makes
//! the same calls in both.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use payment3_harness::fault_plan::Fault;
use payment3_harness::flow::Flow;
use payment3_sim::{
    Definitions, answers, calls, cells_of, is_current, not_entered, not_read, problem,
    released_inputs,
};

/// Fewer are no matrix.
const AT_LEAST: usize = 3_000;

/// Plays all cells. Says what is wrong.
fn problems(definitions: Definitions) -> String {
    let cells = cells_of(&Flow::ALL, &Fault::ALL).expect("without a fault, every flow ends well");
    assert!(cells.len() > AT_LEAST, "{} cells", cells.len());
    let next = AtomicUsize::new(0);
    let problems = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(cell) = cells.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let found = problem(cell, definitions)
                        .unwrap_or_else(|error| Some(format!("{error:#}")));
                    problems.lock().expect("nobody panics").extend(found);
                }
            });
        }
    });
    let problems = problems.into_inner().expect("nobody panics");
    if problems.is_empty() {
        return String::new();
    }
    let (wrong, all) = (problems.len(), cells.len());
    format!(
        "{wrong} of {all} cells end otherwise:\n{}",
        problems.join("\n")
    )
}

#[test]
fn every_cell_ends_as_on_the_local_aws() {
    let problems = problems(Definitions::Current);
    assert!(problems.is_empty(), "{problems}");
}

#[test]
fn the_functions_serve_executions_that_began_before_an_upgrade() {
    // With the same definitions, the test above has seen it.
    if is_current().expect("tests/sim/released can be read") {
        return;
    }
    let problems = problems(Definitions::Released);
    assert!(
        problems.is_empty(),
        "with the last release's definitions, and the present functions, {problems}\nExecutions that began with \
         them run for days: let the functions do for them what they did before."
    );
}

#[test]
fn the_functions_read_what_the_last_releases_states_give_them() {
    let inputs = released_inputs().expect("tests/sim/released can be read");
    let missing = not_entered(&inputs, Definitions::Released).expect("the definitions can be read");
    assert_eq!(
        missing,
        Vec::<String>::new(),
        "tests/sim/released/inputs.json"
    );
    let problems = not_read(&inputs).expect("the functions can be made");
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn a_name_that_a_function_reads_no_more_is_found() {
    let renamed = |function: &str, from: &str, to: &str| {
        let mut inputs = released_inputs().expect("tests/sim/released can be read");
        inputs.retain(|given| given.function == function);
        for given in &mut inputs {
            let input = given.input.as_object_mut().expect("an object");
            let value = input.remove(from).expect("it has this name");
            input.insert(to.to_owned(), value);
        }
        not_read(&inputs).expect("the functions can be made")
    };
    let needed = renamed("notify", "occurredAt", "happenedAt");
    assert!(!needed.is_empty());
    for problem in needed {
        assert!(problem.contains("missing field `occurredAt`"), "{problem}");
    }
    let optional = renamed("ensure-kbank-user", "execution", "by");
    assert_eq!(optional.len(), 1, "{optional:?}");
    assert!(
        optional[0].starts_with(
            "ensure-kbank-user cannot serve EnsureKBankUser of the last release's payment machine: it does not read \
             by any more."
        ),
        "{optional:?}"
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

#[test]
fn the_system_answers_word_for_word_what_it_should() {
    let written = include_str!("../answers.txt");
    assert_eq!(
        answers().expect("every flow ends"),
        written,
        "read what differs, and then: cargo run --profile simulating -p payment3-sim -- --answers > tests/sim/answers.txt"
    );
}
