//! A second branch, deployed to the local AWS of a running environment.

use anyhow::{Context, Result};
use payment3_harness::aws::Aws;
use payment3_harness::endpoints::Endpoints;
use payment3_harness::outputs::Outputs;
use payment3_harness::workspace;
use payment3_shop::site::Site;
use payment3_shop::{OrderBook, Shop};
use tokio::net::TcpListener;

use crate::deploy::{self, Settings};
use crate::environment::outputs_of;
use crate::provision;
use crate::services::Services;

/// A deployed branch with its own shop. It shares the bank with the first branch.
pub struct SecondBranch {
    /// Its addresses and names.
    pub outputs: Outputs,
    settings: Settings,
    services: Services,
}

impl SecondBranch {
    /// Deploys the branch to the local AWS of a running environment.
    ///
    /// # Errors
    /// A step of the deployment fails.
    pub async fn deploy(running: &Outputs, branch: &str) -> Result<Self> {
        let aws = Aws::at(&running.aws_endpoint);
        let listener = TcpListener::bind(("127.0.0.1", 0))
            .await
            .context("no free port for a shop")?;
        let shop_url = format!("http://{}", listener.local_addr()?);
        let directory = workspace::local_dir().join(format!("test-runbook/beside-{branch}"));
        std::fs::create_dir_all(&directory)
            .with_context(|| format!("cannot create {}", workspace::shown(&directory)))?;
        let endpoints = Endpoints {
            aws: running.aws_endpoint.clone(),
            bank: running.bank_url.clone(),
            shop: shop_url,
        };
        let functions = workspace::functions_dir();
        let settings = Settings {
            endpoint: endpoints.aws.clone(),
            context: deploy::context(branch, &endpoints, &endpoints.shop, &functions),
            functions,
            logs: directory.join("logs"),
            directory,
        };
        let deployment = deploy::deploy(&aws, &settings).await?;
        let outputs = outputs_of(&deployment, &endpoints)?;
        provision::put_gateway_secret(&aws, &outputs, &endpoints.bank).await?;
        let key = provision::webhook_key(&aws, &outputs).await?;
        let orders = OrderBook::new(aws.dynamodb.clone(), outputs.table("order")?);
        let mut services = Services::default();
        let site = Site::new(Shop::new(orders, key), &aws, &outputs)?;
        services.spawn(site.serve(listener, services.stopping()));
        Ok(Self {
            outputs,
            settings,
            services,
        })
    }

    /// Deletes the branch's stack and stops its shop.
    ///
    /// # Errors
    /// The CDK fails.
    pub async fn destroy(self) -> Result<()> {
        self.services.stop().await;
        deploy::destroy(&self.settings).await
    }
}
