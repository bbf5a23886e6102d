//! A complete payment system on this machine: local AWS, sandbox bank, demo shop, and the deployed CDK app.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use anyhow::{Context, Result};
use payment3_bank::{Bank, BankConfig};
use payment3_harness::away::Away;
use payment3_harness::aws::{Aws, REGION};
use payment3_harness::endpoints::Endpoints;
use payment3_harness::fault_plan::FaultPlans;
use payment3_harness::fault_proxy::Proxy;
use payment3_harness::outputs::Outputs;
use payment3_harness::workspace;
use payment3_shop::site::Site;
use payment3_shop::{OrderBook, Shop};
use tokio::net::TcpListener;

use crate::deploy::{self, Deployment};
use crate::interrupt::Interrupt;
use crate::lock::Lock;
use crate::ministack::{self, MiniStack};
use crate::prerequisites::{self, Port, Programs};
use crate::provision::Notifications;
use crate::services::Services;
use crate::{functions, node, progress, provision, python};

/// The settings of an environment.
#[derive(Debug, Clone)]
pub struct Options {
    /// The command that starts it, for messages.
    pub command: &'static str,
    /// The directory for its state, its logs and `outputs.json`.
    pub directory: PathBuf,
    /// The branch, which is part of the names of functions, tables and so on.
    pub branch: String,
    /// The port of the local AWS; 0 takes any free one.
    pub aws_port: u16,
    /// The port of the sandbox bank; 0 takes any free one.
    pub bank_port: u16,
    /// The port of the demo shop; 0 takes any free one.
    pub shop_port: u16,
    /// Whether it keeps its state.
    pub state: State,
    /// When the bank sends notifications.
    pub notifications: Notifications,
    /// The proxy between the functions and the services that they call.
    pub between: Between,
    /// The directory of the built functions.
    pub functions: PathBuf,
}

impl Options {
    /// An environment for tests: on free ports, with no state from an earlier run, and with no scheduled work.
    #[must_use]
    pub fn for_tests(command: &'static str, directory: PathBuf, branch: &str) -> Self {
        Self {
            command,
            directory,
            branch: branch.to_owned(),
            aws_port: 0,
            bank_port: 0,
            shop_port: 0,
            state: State::Dropped,
            notifications: Notifications::OnDemand,
            between: Between::Nothing,
            functions: workspace::functions_dir(),
        }
    }
}

/// The proxy between the functions and the services that they call: AWS, the bank and the shop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Between {
    /// No proxy.
    Nothing,
    /// The proxy that injects faults, see [`payment3_harness::fault_proxy`].
    FaultProxy,
    /// A proxy that the caller runs at these addresses.
    Proxy(Endpoints),
}

/// Whether an environment keeps its state: payments, orders, deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It starts with the saved state, and saves its state when it stops.
    Kept,
    /// It starts empty, and saves its state when it stops.
    Renewed,
    /// It starts empty and saves nothing.
    Dropped,
}

impl Options {
    fn logs(&self) -> PathBuf {
        self.directory.join("logs")
    }

    fn bank_file(&self) -> PathBuf {
        self.directory.join("bank.json")
    }

    fn shop_file(&self) -> PathBuf {
        self.directory.join("notifications.jsonl")
    }
}

/// A running environment. [`Environment::stop`] stops it in the right order.
pub struct Environment {
    outputs: Outputs,
    outputs_file: PathBuf,
    ministack: MiniStack,
    services: Services,
    fault_plans: Option<FaultPlans>,
    aws: ministack::Settings,
    _lock: Lock,
}

/// The ports. The bank and the shop already listen on theirs; the local AWS opens its own.
struct Ports {
    aws: u16,
    bank: TcpListener,
    shop: TcpListener,
}

impl Ports {
    /// The URLs of the services on these ports.
    fn endpoints(&self) -> Result<Endpoints> {
        Ok(Endpoints {
            aws: format!(
                "http://{}",
                SocketAddr::from((Ipv4Addr::LOCALHOST, self.aws))
            ),
            bank: format!("http://{}", address(&self.bank)?),
            shop: format!("http://{}", address(&self.shop)?),
        })
    }
}

impl Environment {
    /// Checks the machine, builds and installs everything, starts the services, deploys, and creates the seed data.
    ///
    /// # Errors
    /// A step fails or is interrupted. Everything that was started is stopped again.
    pub async fn start(options: Options, interrupt: &mut Interrupt) -> Result<Self> {
        let programs = prerequisites::programs()?;
        let lock = Lock::take(&options.directory, options.command)?;
        let ports = open_ports(&options).await?;
        let outputs_file = options.directory.join("outputs.json");
        remove_if_there(&outputs_file)?;
        interrupt.or(install(&options, &programs)).await?;
        let mut services = Services::default();
        let real = ports.endpoints()?;
        let mut seen = real.clone();
        let mut fault_plans = None;
        match &options.between {
            Between::Nothing => {}
            Between::FaultProxy => {
                let away_file = ministack::away_file(&aws_directory(&options));
                let proxy = Proxy::listen(&real, Away::in_file(away_file)).await?;
                seen = proxy.addresses().clone();
                fault_plans = Some(proxy.fault_plans().clone());
                services.spawn(proxy.serve(services.stopping()));
            }
            Between::Proxy(addresses) => seen = addresses.clone(),
        }
        let aws = aws_settings(&options, ports.aws, &seen);
        let ministack = interrupt.or(start_aws(&options, &aws)).await?;
        let filling = fill(&options, ports, &real, &seen, &mut services);
        let filled = interrupt.or(filling).await;
        match filled.and_then(|outputs| outputs.write(&outputs_file).map(|()| outputs)) {
            Ok(outputs) => Ok(Self {
                outputs,
                outputs_file,
                ministack,
                services,
                fault_plans,
                aws,
                _lock: lock,
            }),
            Err(error) => {
                services.stop().await;
                // Report the first error only.
                let _ = ministack.stop().await;
                Err(error)
            }
        }
    }

    /// Its addresses and names.
    pub fn outputs(&self) -> &Outputs {
        &self.outputs
    }

    /// The real URLs of the services, without a proxy.
    pub fn endpoints(&self) -> Endpoints {
        Endpoints {
            aws: self.outputs.aws_endpoint.clone(),
            bank: self.outputs.bank_url.clone(),
            shop: self.outputs.shop_url.clone(),
        }
    }

    /// The file that the outputs are written to.
    pub fn outputs_file(&self) -> &PathBuf {
        &self.outputs_file
    }

    /// The fault plans of its fault proxy.
    ///
    /// # Errors
    /// It has no fault proxy.
    pub fn fault_plans(&self) -> Result<&FaultPlans> {
        self.fault_plans
            .as_ref()
            .context("this environment has no fault proxy")
    }

    /// Stops the local AWS and starts it again with its saved state, like a reboot of its machine. Bank and shop keep
    /// running.
    ///
    /// # Errors
    /// It does not stop or start properly.
    pub async fn restart_aws(self) -> Result<Self> {
        self.ministack.stop().await?;
        let ministack = MiniStack::start(self.aws.clone()).await?;
        Ok(Self { ministack, ..self })
    }

    /// Waits until one of its services ends unexpectedly.
    pub async fn broken(&mut self) -> anyhow::Error {
        tokio::select! {
            error = self.ministack.ended() => error,
            error = self.services.ended() => error,
        }
    }

    /// Stops the bank and the shop first, then the local AWS, which saves its state.
    ///
    /// # Errors
    /// The local AWS does not stop properly.
    pub async fn stop(self) -> Result<()> {
        remove_if_there(&self.outputs_file)?;
        self.services.stop().await;
        self.ministack.stop().await
    }
}

async fn open_ports(options: &Options) -> Result<Ports> {
    let port = |what, flag, number| Port { what, flag, number };
    let aws = prerequisites::listen(port("local AWS", "--aws-port", options.aws_port)).await?;
    Ok(Ports {
        // This listener closes at once, so that the local AWS can open the port.
        aws: address(&aws)?.port(),
        bank: prerequisites::listen(port("sandbox bank", "--bank-port", options.bank_port)).await?,
        shop: prerequisites::listen(port("demo shop", "--shop-port", options.shop_port)).await?,
    })
}

/// Builds the functions and installs the packages that the environment needs.
async fn install(options: &Options, programs: &Programs) -> Result<()> {
    let logs = options.logs();
    // Two environments may start at the same time, and they share these files.
    let _shared = Lock::wait(&workspace::local_dir()).await?;
    if options.functions == workspace::functions_dir() {
        functions::build(&logs).await?;
    }
    python::LOCAL_AWS.install(&programs.python, &logs).await?;
    node::CDK.install(&logs).await?;
    node::UI.install(&logs).await
}

fn aws_settings(options: &Options, port: u16, seen: &Endpoints) -> ministack::Settings {
    ministack::Settings {
        port,
        functions_endpoint: seen.aws.clone(),
        directory: aws_directory(options),
        log: options.directory.join("ministack.log"),
        keep_state: options.state != State::Dropped,
    }
}

fn aws_directory(options: &Options) -> PathBuf {
    options.directory.join("aws")
}

async fn start_aws(options: &Options, settings: &ministack::Settings) -> Result<MiniStack> {
    if options.state != State::Kept {
        ministack::forget(&settings.directory)?;
        remove_if_there(&options.bank_file())?;
        remove_if_there(&options.shop_file())?;
    }
    progress::step("Local AWS", MiniStack::start(settings.clone())).await
}

/// Deploys to the running local AWS, and starts the bank and the shop.
async fn fill(
    options: &Options,
    ports: Ports,
    real: &Endpoints,
    seen: &Endpoints,
    services: &mut Services,
) -> Result<Outputs> {
    let aws = Aws::at(&real.aws);

    let bank = open_bank(options)?;
    let stopping = services.stopping();
    services.spawn(async move {
        bank.serve(ports.bank, stopping)
            .await
            .context("the sandbox bank cannot serve")
    });

    let deployment = deploy::deploy(
        &aws,
        &deploy::Settings {
            endpoint: real.aws.clone(),
            context: deploy::context(&options.branch, real, &seen.shop, &options.functions),
            functions: options.functions.clone(),
            directory: options.directory.clone(),
            logs: options.logs(),
        },
    )
    .await?;
    let outputs = outputs_of(&deployment, real)?;

    progress::step("Secrets, merchant account and orders", async {
        provision::put_gateway_secret(&aws, &outputs, &seen.bank).await?;
        let key = provision::webhook_key(&aws, &outputs).await?;
        let orders = OrderBook::new(aws.dynamodb.clone(), outputs.table("order")?);
        let shop = match options.state {
            State::Dropped => Shop::new(orders.clone(), key),
            State::Kept | State::Renewed => Shop::open(orders.clone(), key, &options.shop_file())?,
        };
        let site = Site::new(shop, &aws, &outputs)?;
        services.spawn(site.serve(ports.shop, services.stopping()));
        provision::configure_bank(&outputs, options.notifications).await?;
        if options.notifications == Notifications::OnDemand {
            provision::stop_schedule(&outputs).await?;
        }
        provision::seed(&orders).await
    })
    .await?;
    Ok(outputs)
}

fn open_bank(options: &Options) -> Result<Bank> {
    if options.state == State::Dropped {
        return Ok(Bank::new(BankConfig::default()));
    }
    let file = options.bank_file();
    Bank::open(BankConfig::default(), &file)
        .with_context(|| format!("the sandbox bank cannot use {}", workspace::shown(&file)))
}

/// The outputs of a deployment, for commands and tests.
pub(crate) fn outputs_of(deployment: &Deployment, endpoints: &Endpoints) -> Result<Outputs> {
    let endpoint = &endpoints.aws;
    let output = |name: &str| deployment.output(name).map(str::to_owned);
    Ok(Outputs {
        // A path and not a subdomain: subdomains of localhost do not resolve on every machine.
        api_url: format!("{endpoint}/_aws/execute-api/{}", output("ApiId")?),
        aws_endpoint: endpoint.clone(),
        region: REGION.to_owned(),
        bank_url: endpoints.bank.clone(),
        shop_url: endpoints.shop.clone(),
        branch: deployment.branch().to_owned(),
        state_machine_arn: output("StateMachineArn")?,
        refund_state_machine_arn: output("RefundStateMachineArn")?,
        gateway_secret_arn: output("GatewaySecretArn")?,
        shop_webhook_secret_arn: output("ShopWebhookSecretArn")?,
        tables: deployment.tables()?,
        aws_cli: python::aws(),
    })
}

fn address(listener: &TcpListener) -> Result<SocketAddr> {
    listener.local_addr().context("a listener has an address")
}

fn remove_if_there(file: &PathBuf) -> Result<()> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(anyhow::Error::new(error)
                .context(format!("cannot remove {}", workspace::shown(file))))
        }
        _ => Ok(()),
    }
}
