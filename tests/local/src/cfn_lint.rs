//! cfn-lint: checks a template against CloudFormation's specification of every resource. Its configuration is
//! `tests/stack/cfn/cfnlintrc.yaml`.

use std::path::Path;

use anyhow::Result;
use payment3_harness::workspace;
use payment3_stack::lock::Lock;
use payment3_stack::prerequisites;
use payment3_stack::process::Tool;
use payment3_stack::python::CFN_LINT;

/// Installs cfn-lint, unless it is installed already.
///
/// # Errors
/// Python is missing, or the packages cannot be installed.
pub async fn install(logs: &Path) -> Result<()> {
    let programs = prerequisites::programs()?;
    let _shared = Lock::wait(&workspace::local_dir()).await?;
    CFN_LINT.install(&programs.python, logs).await
}

/// Lints a template, or all templates that match a pattern.
///
/// # Errors
/// It has a finding.
pub async fn run(templates: &Path) -> Result<()> {
    Tool::new(CFN_LINT.program("cfn-lint"))
        .args(["--config-file"])
        .args([workspace::root().join("tests/stack/cfn/cfnlintrc.yaml")])
        .args(["--template"])
        .args([templates])
        .shown()
        .await
}
