//! cargo-deny: checks the licences and sources of all crates, and that forbidden crates are absent. The rules are in
//! `deny.toml`.

use anyhow::Result;
use payment3_stack::cargo_programs::CARGO_DENY;
use payment3_stack::process::Tool;

/// Checks everything except the advisories, because their database is not in a package registry.
///
/// # Errors
/// A dependency breaks a rule in `deny.toml`.
pub async fn run() -> Result<()> {
    Tool::new(CARGO_DENY.path())
        .args(["check", "licenses", "bans", "sources"])
        .shown()
        .await
}
