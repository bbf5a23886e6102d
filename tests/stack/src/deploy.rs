//! Deploys the unmodified CDK app to a local AWS.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use aws_sdk_secretsmanager::error::SdkError;
use aws_sdk_secretsmanager::operation::put_secret_value::PutSecretValueError;
use payment3_harness::aws::{ACCESS_KEY, ACCOUNT, Aws, REGION};
use payment3_harness::endpoints::Endpoints;
use payment3_harness::http::client;
use payment3_harness::json_api::as_administrator;
use payment3_harness::shop_api::WEBHOOK_PATH;
use payment3_harness::shopper::MERCHANT_ID;
use payment3_harness::workspace;
use serde::{Deserialize, Serialize};

use crate::fingerprint::Fingerprint;
use crate::lock::Lock;
use crate::process::Tool;
use crate::{node, progress};

/// The secret that records what was deployed. It is kept in the local AWS itself, so it always matches its state.
const NOTE: &str = "payment3-local-deployment";
/// Entries of the CDK app's directory that do not affect what it deploys.
const NOT_SOURCES: [&str; 3] = ["node_modules", "cdk.out", "test"];
/// The tables: kebab-case name, and the CDK output with the real name.
const TABLES: [(&str, &str); 5] = [
    ("card-payment-record", "CardPaymentRecordTable"),
    ("credit-card-notify", "CreditCardNotifyTable"),
    ("kbank-user-mapping", "KbankUserMappingTable"),
    ("check-status", "CheckStatusTable"),
    ("order", "OrderTable"),
];

/// Where browsers may be sent, apart from the demo shop: an app, and the real shop.
const CALLBACK_BASES: [&str; 2] = ["yourapp://payments", "https://shop.villamarket.com"];

/// The receiver of the alarms. The local AWS sends no mail.
const ALARM_EMAIL: &str = "oncall@shop.example";

/// The settings of a deployment.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The URL of the local AWS.
    pub endpoint: String,
    /// The context of the CDK app, as pairs of key and value.
    pub context: Vec<(&'static str, String)>,
    /// The directory of the built functions.
    pub functions: PathBuf,
    /// The directory for the synthesised app.
    pub directory: PathBuf,
    /// The directory for the CDK's logs.
    pub logs: PathBuf,
}

/// A finished deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    fingerprint: String,
    stack: String,
    outputs: BTreeMap<String, String>,
}

impl Deployment {
    /// One of the stack's outputs.
    ///
    /// # Errors
    /// The CDK app has no such output.
    pub fn output(&self, name: &str) -> Result<&str> {
        self.outputs
            .get(name)
            .map(String::as_str)
            .with_context(|| format!("the stack {} has no output {name}", self.stack))
    }

    /// The names of the tables by their kebab-case names.
    ///
    /// # Errors
    /// The CDK app has no output for one of them.
    pub fn tables(&self) -> Result<BTreeMap<String, String>> {
        TABLES
            .iter()
            .map(|(kebab, output)| Ok(((*kebab).to_owned(), self.output(output)?.to_owned())))
            .collect()
    }

    /// The branch part of the stack's resource names.
    pub fn branch(&self) -> &str {
        self.stack.strip_prefix("payment3-").unwrap_or(&self.stack)
    }
}

/// Deploys, unless this local AWS already has exactly this deployment.
///
/// # Errors
/// A step of the CDK fails.
pub async fn deploy(aws: &Aws, settings: &Settings) -> Result<Deployment> {
    let fingerprint = fingerprint(settings)?;
    let before = read_note(aws).await?;
    match before {
        Some(deployment) if deployment.fingerprint == fingerprint => {
            progress::skipped("Deployment", "up to date");
            return Ok(deployment);
        }
        Some(_) => {}
        None => {
            let target = format!("aws://{ACCOUNT}/{REGION}");
            let bootstrap = cdk(settings)
                .args(["bootstrap", &target])
                .args(context_arguments(&settings.context));
            progress::step(
                "CDK bootstrap",
                bootstrap.logged(&settings.logs.join("bootstrap.log")),
            )
            .await?;
        }
    }
    // Each time: a state from before the local AWS enforced roles has the policy, too.
    allow_archives_without_tls(&settings.endpoint).await?;
    let outputs_file = settings.directory.join("cdk-outputs.json");
    let command = cdk(settings)
        .args([
            "deploy",
            "--require-approval",
            "never",
            "--progress",
            "events",
        ])
        .args(["--outputs-file"])
        .args([&outputs_file])
        .args(context_arguments(&settings.context));
    let packing = Packing::begin(settings).await?;
    progress::step(
        "Deployment",
        command.logged(&settings.logs.join("deploy.log")),
    )
    .await?;
    packing.end()?;
    let (stack, outputs) = read_outputs(&outputs_file)?;
    let deployment = Deployment {
        fingerprint,
        stack,
        outputs,
    };
    write_note(aws, &deployment).await?;
    Ok(deployment)
}

/// The CDK's bucket for the functions' archives denies every call without TLS, and the local AWS has none.
async fn allow_archives_without_tls(endpoint: &str) -> Result<()> {
    let url = format!("{endpoint}/cdk-hnb659fds-assets-{ACCOUNT}-{REGION}?policy");
    let answer = as_administrator(client().delete(url), "s3")
        .send()
        .await
        .context("the local AWS does not answer")?;
    let answer = answer.error_for_status();
    answer
        .map(drop)
        .context("cannot take the policy from the CDK's bucket")
}

/// Deletes a deployed stack with all its data.
///
/// # Errors
/// The CDK fails.
pub async fn destroy(settings: &Settings) -> Result<()> {
    let command = cdk(settings)
        .args(["destroy", "--all", "--force"])
        .args(context_arguments(&settings.context));
    let log = settings.logs.join("destroy.log");
    progress::step("Destruction", command.logged(&log)).await
}

/// The CDK context for this machine. `webhook_host` is the URL under which the functions reach the shop.
pub fn context(
    branch: &str,
    endpoints: &Endpoints,
    webhook_host: &str,
    functions: &Path,
) -> Vec<(&'static str, String)> {
    let architecture = match std::env::consts::ARCH {
        "aarch64" => "arm64",
        other => other,
    };
    let bases: Vec<&str> = std::iter::once(endpoints.shop.as_str())
        .chain(CALLBACK_BASES)
        .collect();
    vec![
        ("branch", branch.to_owned()),
        ("account", ACCOUNT.to_owned()),
        ("region", REGION.to_owned()),
        ("architecture", architecture.to_owned()),
        ("assets", functions.display().to_string()),
        ("shopWebhookUrl", format!("{webhook_host}{WEBHOOK_PATH}")),
        ("merchantIds", MERCHANT_ID.to_owned()),
        ("alarmEmail", ALARM_EMAIL.to_owned()),
        // All branches share one account at the sandbox bank.
        (
            "borrowMasterRecords",
            if branch == "master" { "no" } else { "yes" }.to_owned(),
        ),
        // The sandbox bank supports this.
        ("bankFindsByReference", "yes".to_owned()),
        ("callbackBases", bases.join(",")),
        ("bankRedirectOrigins", endpoints.bank.clone()),
    ]
}

/// The context of the CDK app as command line arguments.
pub fn context_arguments(context: &[(&str, String)]) -> Vec<String> {
    context
        .iter()
        .flat_map(|(key, value)| ["--context".to_owned(), format!("{key}={value}")])
        .collect()
}

fn cdk(settings: &Settings) -> Tool {
    node::tool("cdk")
        .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
        .env("AWS_SECRET_ACCESS_KEY", ACCESS_KEY)
        .env("AWS_REGION", REGION)
        .env("AWS_ENDPOINT_URL", &settings.endpoint)
        .env("AWS_ENDPOINT_URL_S3", &settings.endpoint)
        // Ignore the developer's real AWS configuration.
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env_remove("AWS_PROFILE")
        .env_remove("AWS_DEFAULT_REGION")
        .env_remove("AWS_SESSION_TOKEN")
        .env("NO_PROXY", "127.0.0.1,localhost")
        .env("CDK_DISABLE_VERSION_CHECK", "1")
        .args(["--output"])
        .args([settings.directory.join("cdk.out")])
}

/// Lets the CDK pack the archives of the functions only once for all environments, because packing takes ten seconds.
/// The first deployment of a build packs them while it holds a lock. The others wait for it.
struct Packing {
    done: PathBuf,
    /// Held only by the first deployment.
    _lock: Option<Lock>,
}

impl Packing {
    async fn begin(settings: &Settings) -> Result<Self> {
        let archives = workspace::local_dir().join("archives");
        let lock = Lock::wait(&archives).await?;
        share(&archives, &settings.directory.join("cdk.out"))?;
        let functions = Fingerprint::default()
            .with_tree_times(&settings.functions)?
            .finish();
        let done = archives.join(functions);
        let first = !done.exists();
        Ok(Self {
            done,
            _lock: first.then_some(lock),
        })
    }

    fn end(self) -> Result<()> {
        fs::write(&self.done, "")
            .with_context(|| format!("cannot write {}", workspace::shown(&self.done)))
    }
}

/// Makes the CDK store the archives for `output` in `archives`. Sharing is safe: the names are hashes of the content.
fn share(archives: &Path, output: &Path) -> Result<()> {
    let cache = output.join(".cache");
    if fs::read_link(&cache).is_ok_and(|target| target == archives) {
        return Ok(());
    }
    let linked = || {
        if cache.symlink_metadata().is_ok() {
            fs::remove_dir_all(&cache)?;
        }
        fs::create_dir_all(output)?;
        std::os::unix::fs::symlink(archives, &cache)
    };
    linked().with_context(|| format!("cannot write {}", workspace::shown(&cache)))
}

fn fingerprint(settings: &Settings) -> Result<String> {
    let mut fingerprint = Fingerprint::default()
        .with_tree(&workspace::cdk_dir(), &NOT_SOURCES)?
        .with_tree_times(&settings.functions)?;
    for definition in workspace::definition_files() {
        fingerprint = fingerprint.with_file(&definition)?;
    }
    for (key, value) in &settings.context {
        fingerprint = fingerprint.with(key, value);
    }
    Ok(fingerprint.finish())
}

/// Reads the name and the outputs of the stack from the file that `cdk deploy --outputs-file` wrote.
fn read_outputs(file: &Path) -> Result<(String, BTreeMap<String, String>)> {
    let text = fs::read_to_string(file)
        .with_context(|| format!("cannot read {}", workspace::shown(file)))?;
    let stacks: BTreeMap<String, BTreeMap<String, String>> = serde_json::from_str(&text)
        .with_context(|| format!("{} is not as expected", workspace::shown(file)))?;
    stacks
        .into_iter()
        .next()
        .ok_or_else(|| anyhow!("the CDK app deployed no stack with outputs"))
}

async fn read_note(aws: &Aws) -> Result<Option<Deployment>> {
    let answer = aws.secrets.get_secret_value().secret_id(NOTE).send().await;
    let note = match answer {
        Ok(note) => note,
        Err(SdkError::ServiceError(error)) if error.err().is_resource_not_found_exception() => {
            return Ok(None);
        }
        Err(error) => {
            return Err(
                anyhow::Error::new(error).context("cannot ask the local AWS what is deployed")
            );
        }
    };
    // Ignore a note that another version of this tool wrote in a different format.
    Ok(note
        .secret_string()
        .and_then(|text| serde_json::from_str(text).ok()))
}

async fn write_note(aws: &Aws, deployment: &Deployment) -> Result<()> {
    let text = serde_json::to_string(deployment).context("a deployment is plain JSON")?;
    let put = aws
        .secrets
        .put_secret_value()
        .secret_id(NOTE)
        .secret_string(&text)
        .send()
        .await;
    match put {
        Ok(_) => Ok(()),
        Err(SdkError::ServiceError(error))
            if matches!(
                error.err(),
                PutSecretValueError::ResourceNotFoundException(_)
            ) =>
        {
            let create = aws.secrets.create_secret().name(NOTE).secret_string(text);
            create
                .send()
                .await
                .map(drop)
                .context("cannot note what is deployed")
        }
        Err(error) => Err(anyhow::Error::new(error).context("cannot note what is deployed")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_read_as_the_cdk_writes_them() {
        let file =
            std::env::temp_dir().join(format!("payment3-outputs-{}.json", std::process::id()));
        fs::write(
            &file,
            r#"{"payment3-main":{"ApiId":"abc","OrderTable":"payment3-order-main"}}"#,
        )
        .expect("temporary file");
        let (stack, outputs) = read_outputs(&file).expect("well-formed");
        let _ = fs::remove_file(file);
        let deployment = Deployment {
            fingerprint: String::new(),
            stack,
            outputs,
        };
        assert_eq!(deployment.branch(), "main");
        assert_eq!(deployment.output("ApiId").expect("there"), "abc");
        assert!(deployment.output("ApiUrl").is_err());
    }

    #[test]
    fn an_existing_cache_directory_is_replaced_by_the_shared_archives() {
        let home = std::env::temp_dir().join(format!("payment3-archives-{}", std::process::id()));
        let (archives, output) = (home.join("archives"), home.join("cdk.out"));
        fs::create_dir_all(&archives).expect("temporary directory");
        let cache = output.join(".cache");
        fs::create_dir_all(cache.join("old")).expect("temporary directory");
        for before in ["a directory", "the right link", "a broken link"] {
            if before == "a broken link" {
                fs::remove_file(&cache).expect("it is a link");
                std::os::unix::fs::symlink(home.join("nothing"), &cache).expect("a link");
            }
            share(&archives, &output).expect(before);
            fs::write(cache.join(before), "").expect("an archive");
            assert!(archives.join(before).exists());
        }
        let _ = fs::remove_dir_all(home);
    }
}
