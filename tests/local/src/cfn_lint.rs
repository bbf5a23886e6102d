//! cfn-lint: holds a template against what CloudFormation documents of every resource. What it looks at is
//! decided in `tests/cfn/cfnlintrc.yaml`.

use std::path::Path;

use anyhow::Result;

use crate::lock::Lock;
use crate::process::Tool;
use crate::python::CFN_LINT;
use crate::{prerequisites, workspace};

/// Installs it, if it is not there.
///
/// # Errors
/// Python is missing, or the packages cannot be installed.
pub async fn install(logs: &Path) -> Result<()> {
    let programs = prerequisites::programs()?;
    let _shared = Lock::wait(&workspace::local_dir()).await?;
    CFN_LINT.install(&programs.python, logs).await
}

/// Lints a template, or all that a pattern names.
///
/// # Errors
/// It finds something.
pub async fn run(templates: &Path) -> Result<()> {
    Tool::new(CFN_LINT.program("cfn-lint"))
        .args(["--config-file"])
        .args([workspace::root().join("tests/cfn/cfnlintrc.yaml")])
        .args(["--template"])
        .args([templates])
        .shown()
        .await
}
