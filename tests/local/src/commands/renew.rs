//! `cargo local renew`.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use payment3_model::snapshot;

use crate::diagram;
use payment3_harness::workspace;
use payment3_stack::process::Tool;
use payment3_stack::{node, prerequisites, progress};

/// Updates every file, or part of a file, that is generated from the sources. Tests fail if one of them is stale.
///
/// # Errors
/// A file cannot be read or written, the README lacks the markers for a machine's states, or the CDK app cannot be synthesised.
pub async fn run() -> Result<()> {
    let root = workspace::root();
    let readme = root.join("README.md");
    let text = fs::read_to_string(&readme).context("cannot read README.md")?;
    write(&readme, &diagram::redraw(&text)?)?;
    let lines = snapshot()?.join("\n") + "\n";
    write(&root.join("tests/model/snapshot.txt"), &lines)?;

    prerequisites::node()?;
    node::CDK
        .install(&workspace::local_dir().join("logs"))
        .await?;
    progress::step(
        "cdk/test/snapshot.txt, tests/sim/deployment.json, docs/scale.md",
        async {
            Tool::new("npm")
                .args(["run", "--silent", "renew"])
                .current_dir(workspace::cdk_dir())
                .shown()
                .await
        },
    )
    .await?;
    println!("`git diff` shows what changed: read it before you commit it.");
    Ok(())
}

fn write(file: &Path, text: &str) -> Result<()> {
    let shown = workspace::shown(file);
    fs::write(file, text).with_context(|| format!("cannot write {shown}"))?;
    println!("{shown}");
    Ok(())
}
