//! The parts that need no environment: they look at the sources, or run the tests beside them.

use std::path::Path;

use anyhow::Result;
use payment3_harness::endpoints::Endpoints;
use payment3_harness::workspace;
use payment3_stack::cargo_programs::CARGO_DENY;
use payment3_stack::lock::Lock;
use payment3_stack::process::Tool;
use payment3_stack::{deploy, functions, node, prerequisites, progress};

use super::environments::{E2E, directory, logs};
use crate::{cargo_deny, cfn_lint};

pub(super) async fn format() -> Result<()> {
    let format = Tool::cargo().args(["fmt", "--all", "--check"]);
    format.shown().await
}

pub(super) async fn clippy() -> Result<()> {
    Tool::cargo()
        .args(["clippy", "--keep-going", "--workspace", "--all-targets"])
        .args(["--", "-D", "warnings"])
        .shown()
        .await
}

pub(super) async fn unit() -> Result<()> {
    Tool::cargo()
        .args(["test", "--no-fail-fast"])
        .args(workspace::TOGETHER)
        .shown()
        .await
}

pub(super) async fn asl() -> Result<()> {
    install_node_packages().await?;
    let mut validator = node::tool("asl-validator");
    for definition in workspace::definition_files() {
        validator = validator.args(["--json-path"]).args([definition]);
    }
    validator.shown().await
}

pub(super) async fn model() -> Result<()> {
    prerequisites::node()?;
    node::JSONATA.install(&logs()).await?;
    Tool::cargo()
        // The library has a test of its own that needs JSONata.
        .args(["test"])
        .args(workspace::TOGETHER)
        .args(["--lib", "--test", "model", "--", "--ignored"])
        // One after another, with what they found: how much was walked, and how every error is treated.
        .args(["--test-threads", "1", "--nocapture"])
        .shown()
        .await
}

pub(super) async fn cdk() -> Result<()> {
    install_node_packages().await?;
    {
        let _shared = Lock::wait(&workspace::local_dir()).await?;
        functions::build(&logs()).await?;
    }
    let npm = async |script| {
        Tool::new("npm")
            .args(["run", script])
            .current_dir(workspace::cdk_dir())
            .shown()
            .await
    };
    // The types, by `tsc --noEmit`; then the tests, which run without them.
    progress::every([npm("check").await, npm("unit").await, templates().await])
}

/// What the app synthesises with few settings and with all of them, and what a person deploys beside it.
pub(super) async fn templates() -> Result<()> {
    cfn_lint::install(&logs()).await?;
    let endpoints = Endpoints {
        aws: "http://127.0.0.1:4566".into(),
        bank: "http://127.0.0.1:4600".into(),
        shop: "http://127.0.0.1:4601".into(),
    };
    let functions = workspace::functions_dir();
    let here = deploy::context(E2E, &endpoints, &endpoints.shop, &functions);
    // The roles of the pipelines, which a person deploys once.
    let roles = workspace::root().join(".github/aws-roles.yaml");
    progress::every([
        template("local", &here).await,
        template("production", &production()).await,
        cfn_lint::run(&roles).await,
    ])
}

pub(super) async fn template(name: &str, context: &[(&str, String)]) -> Result<()> {
    let output = directory("cdk").join(format!("{name}.out"));
    synthesise(&output, context).await?;
    cfn_lint::run(&output.join("*.template.json")).await
}

/// Runs the whole app, which holds itself against cdk-nag.
pub(super) async fn synthesise(output: &Path, context: &[(&str, String)]) -> Result<()> {
    node::tool("cdk")
        .args(["synth", "--quiet", "--strict", "--output"])
        .args([output])
        .args(deploy::context_arguments(context))
        .shown()
        .await
}

/// A deployment that uses every setting there is.
pub(super) fn production() -> Vec<(&'static str, String)> {
    let assets = workspace::functions_dir().display().to_string();
    let rest = [
        ("branch", "main"),
        ("masterBranch", "main"),
        ("account", "123456789012"),
        ("region", "ap-southeast-1"),
        ("architecture", "arm64"),
        ("orderTable", "shop-orders"),
        ("shopWebhookUrl", "https://shop.example/payment-events"),
        ("merchantIds", "401000000000001"),
        ("saveCardPolicy", "consented"),
        ("alarmEmail", "oncall@shop.example"),
        ("runbook", "https://git.example/payment3/docs/runbook.md"),
        ("reservedConcurrency", "50"),
        ("domainName", "api.shop.example"),
        (
            "certificateArn",
            "arn:aws:acm:ap-southeast-1:123456789012:certificate/0a1b2c3d-0a1b-2c3d-4e5f-0a1b2c3d4e5f",
        ),
        ("edgeDomainName", "pay.shop.example"),
        (
            "edgeCertificateArn",
            "arn:aws:acm:us-east-1:123456789012:certificate/0a1b2c3d-0a1b-2c3d-4e5f-0a1b2c3d4e5f",
        ),
        ("edgeOrigin", "api.shop.example"),
        (
            "executionKeyArn",
            "arn:aws:kms:ap-southeast-1:123456789012:key/0a1b2c3d-0a1b-2c3d-4e5f-0a1b2c3d4e5f",
        ),
    ];
    std::iter::once(("assets", assets))
        .chain(rest.map(|(key, value)| (key, value.to_owned())))
        .collect()
}

pub(super) async fn deps() -> Result<()> {
    CARGO_DENY.install(&logs()).await?;
    cargo_deny::run().await
}

pub(super) async fn install_node_packages() -> Result<()> {
    prerequisites::node()?;
    let _shared = Lock::wait(&workspace::local_dir()).await?;
    node::CDK.install(&logs()).await
}
