//! `cargo local diagram`.

use std::fs;

use anyhow::{Context, Result};
use payment3_harness::workspace;

use crate::diagram;

/// Draws the state machine into the README.
///
/// # Errors
/// A file cannot be read or written, or the README has no place for the picture.
pub fn run() -> Result<()> {
    let readme_file = workspace::root().join("README.md");
    let readme = fs::read_to_string(&readme_file).context("cannot read README.md")?;
    let definition_file = workspace::state_machine_file();
    let definition = fs::read_to_string(&definition_file)
        .with_context(|| format!("cannot read {}", workspace::shown(&definition_file)))?;
    let definition = serde_json::from_str(&definition)
        .with_context(|| format!("{} is not JSON", workspace::shown(&definition_file)))?;
    let redrawn = diagram::redraw(&readme, &definition)?;
    if redrawn == readme {
        println!("README.md shows the state machine as it is.");
        return Ok(());
    }
    fs::write(&readme_file, redrawn).context("cannot write README.md")?;
    println!("README.md: drawn anew.");
    Ok(())
}
