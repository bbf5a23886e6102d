//! The local environment that payments are measured in. The local AWS runs relays in place of the functions, and the
//! functions find a recording proxy in front of every service.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use payment3_harness::aws::{ACCESS_KEY, Aws, REGION};
use payment3_harness::call::Service;
use payment3_harness::counterparties::Counterparties;
use payment3_harness::executions::Executions;
use payment3_harness::inspect::Inspector;
use payment3_harness::json_api::as_administrator;
use payment3_harness::outputs::Outputs;
use payment3_harness::workspace;
use payment3_stack::environment::{Between, Environment, Options};
use payment3_stack::interrupt::Interrupt;
use serde_json::Value;

use crate::lambda::Lambda;
use crate::programs::{Programs, lay_out_relays};
use crate::recording_proxy::RecordingProxy;
use crate::sandbox::{DEPLOYED_MB, Program};

/// The branch of the environment.
pub const BRANCH: &str = "bench";
/// The length of the session token of a function's role on AWS. Every request carries it.
const SESSION_TOKEN_LENGTH: usize = 900;

/// The environment variables in which every AWS SDK finds the address of a service.
const ENDPOINT_VARIABLES: [(&str, Service); 4] = [
    ("AWS_ENDPOINT_URL_DYNAMODB", Service::DynamoDb),
    ("AWS_ENDPOINT_URL_SFN", Service::StepFunctions),
    ("AWS_ENDPOINT_URL_SECRETS_MANAGER", Service::SecretsManager),
    ("AWS_ENDPOINT_URL_LAMBDA", Service::Lambda),
];

/// The running environment, and what acts in it.
pub struct Testbed {
    /// Between the functions and the services.
    pub proxy: RecordingProxy,
    /// Runs the functions.
    pub lambda: Lambda,
    /// Addresses and names.
    pub outputs: Outputs,
    /// Reads what a payment left behind.
    pub inspector: Inspector,
    /// Reads executions.
    pub executions: Executions,
    /// Acts as bank and shop.
    pub counterparties: Counterparties,
    environment: Environment,
}

/// Where the environment keeps its files.
pub fn directory() -> PathBuf {
    workspace::local_dir().join("bench")
}

/// Where the functions and their builds log.
pub fn logs() -> PathBuf {
    directory().join("logs")
}

/// How the environment is started, without the proxy.
pub fn options() -> Options {
    Options {
        functions: workspace::shipped_dir(),
        ..Options::for_tests("cargo local bench", directory(), BRANCH)
    }
}

impl Testbed {
    /// Starts it, with these functions.
    ///
    /// # Errors
    /// A part of it cannot be started.
    pub async fn start(programs: &Programs, interrupt: &mut Interrupt) -> Result<Self> {
        let proxy = RecordingProxy::open(&directory().join("certificates"), &logs()).await?;
        let lambda = Lambda::new(logs());
        proxy.set_lambda(&lambda);
        let relays = directory().join("relays");
        let address = lambda.serve_relays().await?;
        lay_out_relays(programs, &address, &relays, &logs()).await?;
        let options = Options {
            between: Between::Proxy(proxy.endpoints()),
            functions: relays,
            ..options()
        };
        let environment = Environment::start(options, interrupt).await?;
        proxy.forward_to(environment.endpoints());
        let outputs = environment.outputs().clone();
        let aws = Aws::at(&outputs.aws_endpoint);
        let testbed = Self {
            inspector: Inspector::new(&aws, &outputs),
            executions: Executions::of(&aws, &outputs.state_machine_arn),
            counterparties: Counterparties::of(&aws, &outputs),
            proxy,
            lambda,
            outputs,
            environment,
        };
        for (name, bootstrap) in &programs.bootstraps {
            let name = full_name(name);
            let mut settings = testbed.settings_of_every_function();
            settings.extend(testbed.deployed_settings(&name).await?);
            testbed.lambda.add(Program {
                name,
                executable: bootstrap.clone(),
                arguments: Vec::new(),
                directory: directory(),
                settings,
            });
        }
        Ok(testbed)
    }

    /// Stops it.
    ///
    /// # Errors
    /// The local AWS does not end properly.
    pub async fn stop(self) -> Result<()> {
        self.environment.stop().await
    }

    /// The environment variables of a process on AWS Lambda, with the addresses of the proxy.
    pub fn settings_of_every_function(&self) -> BTreeMap<String, String> {
        let root = self.proxy.root_file().display().to_string();
        let token = "obviously-fake-session-token-".repeat(SESSION_TOKEN_LENGTH / 29);
        let mut settings: BTreeMap<String, String> = [
            ("AWS_REGION", REGION),
            ("AWS_DEFAULT_REGION", REGION),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
            ("AWS_SECRET_ACCESS_KEY", ACCESS_KEY),
            ("AWS_SESSION_TOKEN", &token),
            ("AWS_EXECUTION_ENV", "AWS_Lambda_provided.al2023"),
            // The root certificate: for the functions, and for two of Python's libraries.
            ("SSL_CERT_FILE", &root),
            ("AWS_CA_BUNDLE", &root),
            ("REQUESTS_CA_BUNDLE", &root),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        for (variable, service) in ENDPOINT_VARIABLES {
            settings.insert(variable.to_owned(), self.proxy.address(service).to_owned());
        }
        settings
    }

    /// The environment variables that the CDK app gave a function.
    async fn deployed_settings(&self, function: &str) -> Result<BTreeMap<String, String>> {
        let url = format!(
            "{}/2015-03-31/functions/{function}/configuration",
            self.outputs.aws_endpoint
        );
        let request = payment3_harness::http::client().get(url);
        let answer = as_administrator(request, "lambda").send().await?;
        let configuration: Value = answer.error_for_status()?.json().await?;
        ensure!(
            configuration["MemorySize"] == DEPLOYED_MB,
            "{function} was deployed with {} MB, and the benchmark assumes {DEPLOYED_MB}",
            configuration["MemorySize"]
        );
        serde_json::from_value(configuration["Environment"]["Variables"].clone())
            .with_context(|| format!("the function {function} was deployed without settings"))
    }
}

/// A function's name with prefix and branch.
pub fn full_name(short: &str) -> String {
    format!("payment3-{short}-{BRANCH}")
}
