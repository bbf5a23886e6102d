//! cargo-deny: the licences and sources of all crates, and those that must not be among them. What is allowed is decided in
//! `deny.toml`.

use anyhow::Result;
use payment3_stack::cargo_programs::CARGO_DENY;
use payment3_stack::process::Tool;

/// Checks everything but the advisories, whose database is not in a package registry.
///
/// # Errors
/// A dependency is not as `deny.toml` wants it.
pub async fn run() -> Result<()> {
    Tool::new(CARGO_DENY.path())
        .args(["check", "licenses", "bans", "sources"])
        .shown()
        .await
}
