//! Runs every target with its committed inputs: those that reach different code, and those that once broke a property.

use std::fs;
use std::path::{Path, PathBuf};

use arbitrary::Unstructured;
use payment3_fuzz::{Check, TARGETS};

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

fn inputs(directory: &Path) -> Vec<PathBuf> {
    let entries =
        fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut paths: Vec<_> = entries
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.sort();
    paths
}

/// Runs a target with its inputs. The error names a file that fails, or that makes no input.
fn run(name: &str, check: Check) {
    let paths = inputs(&corpus().join(name));
    assert!(!paths.is_empty(), "{name} has no inputs");
    for path in paths {
        let bytes = fs::read(&path).expect("an input");
        let named = Named(&path);
        let made = check(&mut Unstructured::new(&bytes));
        assert!(made.is_ok(), "{} makes no input: {made:?}", path.display());
        std::mem::forget(named);
    }
}

/// Prints the input's file when the check panics.
struct Named<'a>(&'a Path);

impl Drop for Named<'_> {
    fn drop(&mut self) {
        eprintln!("the input is {}", self.0.display());
    }
}

macro_rules! corpora {
    ($($target:ident)*) => {
        $(
            #[test]
            fn $target() {
                run(stringify!($target), payment3_fuzz::$target::check);
            }
        )*

        #[test]
        fn every_directory_is_a_target_that_runs() {
            let names: Vec<_> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
            assert_eq!(vec![$(stringify!($target).to_owned()),*], names);
            let directories: Vec<_> = inputs(&corpus())
                .iter()
                .filter_map(|path| path.file_name()?.to_str().map(str::to_owned))
                .collect();
            assert_eq!(directories, names);
        }
    };
}

corpora!(bank callback checkout money names notification old_items payment redirect);
