//! A seed is the whole of a run: played again, it gives the same trace.

use std::collections::BTreeSet;

use payment3_sim::{Options, Outcome, run};

fn traced(options: &Options) -> Outcome {
    run(options).unwrap_or_else(|error| panic!("seed {}: {error:#}", options.seed))
}

/// Shows the first line in which two runs differ.
fn same(again: &Outcome, first: &Outcome) {
    let mut pairs = first.trace.iter().zip(&again.trace);
    let differs = pairs.find(|(one, other)| one != other);
    assert_eq!(differs, None, "seed {}", first.seed);
    assert_eq!(again.trace.len(), first.trace.len(), "seed {}", first.seed);
}

#[test]
fn the_same_seed_gives_the_same_trace_byte_for_byte() {
    let mut faults = 0;
    for seed in [3, 36, 42] {
        let options = Options {
            seed,
            trace: true,
            ..Options::default()
        };
        let first = traced(&options);
        faults += first.struck.len();
        assert!(first.trace.len() > 20, "seed {seed} is of no use here");
        // Another one between them must change nothing.
        traced(&Options {
            seed: seed + 1,
            ..Options::default()
        });
        same(&traced(&options), &first);
    }
    assert!(faults > 20, "{faults} faults are of no use here");
}

#[test]
fn a_run_with_the_faults_that_happened_is_the_same_run() {
    let all = Options {
        seed: 42,
        trace: true,
        ..Options::default()
    };
    let first = traced(&all);
    let named: BTreeSet<_> = first.struck.iter().map(|one| one.call.clone()).collect();
    assert!(!named.is_empty());
    let again = traced(&Options {
        faults: Some(named),
        ..all.clone()
    });
    same(&again, &first);
    let none = traced(&Options {
        faults: Some(BTreeSet::new()),
        ..all
    });
    assert_eq!(none.struck.len(), 0);
    assert_eq!(none.findings, Vec::<String>::new());
}
