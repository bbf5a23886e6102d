//! Where things are in the repository, and where the tool puts what it makes.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The branch name used where git cannot tell one (a detached HEAD, an export without `.git`).
const FALLBACK_BRANCH: &str = "local";
/// The directory of [`venv_dir`] in [`local_dir`].
pub const VENV: &str = "venv";
/// The package of the simulator.
pub const SIMULATOR: &str = "payment3-sim";
/// How cargo is told to build everything that is built together, so that nothing is compiled twice. The simulator is not
/// among it: a library in it switches on that JSON keeps its order, which must not reach the functions.
pub const TOGETHER: [&str; 3] = ["--workspace", "--exclude", SIMULATOR];

/// The repository's top directory.
pub fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.ancestors().nth(2).unwrap_or(package).to_path_buf()
}

/// Everything the tool installs, builds and writes: `target/local`.
pub fn local_dir() -> PathBuf {
    root().join("target/local")
}

/// The staged Lambda functions, `<function>/bootstrap` each: what the CDK app takes as its assets.
pub fn functions_dir() -> PathBuf {
    local_dir().join("lambda")
}

/// The same, built as they are shipped.
pub fn shipped_dir() -> PathBuf {
    local_dir().join("lambda-release")
}

/// The Python environment with the local AWS and the AWS command line.
pub fn venv_dir() -> PathBuf {
    local_dir().join(VENV)
}

/// The CDK app.
pub fn cdk_dir() -> PathBuf {
    root().join("cdk")
}

/// The demo shop's pages.
pub fn ui_dir() -> PathBuf {
    root().join("tests/shop/ui")
}

/// The definition of the state machine of payments.
pub fn state_machine_file() -> PathBuf {
    root().join("statemachine/payment.asl.json")
}

/// The definition of the state machine of refunds.
pub fn refund_machine_file() -> PathBuf {
    root().join("statemachine/refund.asl.json")
}

/// The definitions of all state machines.
pub fn definition_files() -> [PathBuf; 2] {
    [state_machine_file(), refund_machine_file()]
}

/// What the API answers, as OpenAPI.
pub fn api_document() -> PathBuf {
    root().join("docs/openapi.yaml")
}

/// A path as people read it: relative to the repository where it lies inside.
pub fn shown(path: &Path) -> String {
    path.strip_prefix(root())
        .unwrap_or(path)
        .display()
        .to_string()
}

/// The checked-out git branch, or `local` where there is none.
pub fn branch() -> String {
    let output = Command::new("git")
        .args(["symbolic-ref", "--quiet", "--short", "HEAD"])
        .current_dir(root())
        .output();
    match output {
        Ok(output) if output.status.success() => {
            let name = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            if name.is_empty() {
                FALLBACK_BRANCH.to_owned()
            } else {
                name
            }
        }
        _ => FALLBACK_BRANCH.to_owned(),
    }
}
