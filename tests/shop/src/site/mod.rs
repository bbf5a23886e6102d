//! The site of the local environment: the demo shop's pages, and the executions of both state machines.
//!
//! The pages are plain files in `tests/shop/ui`. They are read at every request, so an edit shows on the next load.
//! Their data comes as JSON from `/api`, without card tokens. Only this machine can use the site ([`guard`]).

mod account;
mod answer;
mod api;
mod assets;
mod checkstatus;
mod directory;
mod executions;
mod guard;
mod pages;
mod payments;

use std::future::Future;
use std::sync::Arc;

use anyhow::{Context, Result};
use axum::Router;
use axum::middleware;
use payment3_harness::aws::Aws;
use payment3_harness::inspect::Inspector;
use payment3_harness::operator::Operator;
use payment3_harness::outputs::Outputs;
use payment3_harness::refunds::BackOffice;
use tokio::net::TcpListener;

use crate::Shop;

use directory::Directory;
use executions::Watch;

/// The demo shop and all pages.
pub struct Site {
    shop: Shop,
    parts: Parts,
}

/// What the routes share.
#[derive(Clone)]
struct Parts {
    outputs: Arc<Outputs>,
    inspector: Inspector,
    directory: Directory,
    watch: Watch,
    operator: Operator,
    back_office: BackOffice,
}

impl Site {
    /// The site of the environment with these outputs.
    ///
    /// # Errors
    /// The deployment lacks a table.
    pub fn new(shop: Shop, aws: &Aws, outputs: &Outputs) -> Result<Self> {
        let inspector = Inspector::new(aws, outputs);
        Ok(Self {
            shop,
            parts: Parts {
                directory: Directory::of(aws, outputs)?,
                watch: Watch::of(aws, outputs),
                operator: Operator::of(aws, outputs),
                back_office: BackOffice::of(outputs),
                inspector,
                outputs: Arc::new(outputs.clone()),
            },
        })
    }

    /// Serves it until `shutdown` completes.
    ///
    /// # Errors
    /// The listener fails.
    pub async fn serve(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Result<()> {
        axum::serve(listener, self.router())
            .with_graceful_shutdown(shutdown)
            .await
            .context("the demo shop cannot serve")
    }

    fn router(self) -> Router {
        let policy = guard::policy(&self.parts.outputs);
        Router::new()
            .merge(pages::routes())
            .merge(api::routes())
            .with_state(self.parts)
            .merge(self.shop.router())
            .merge(assets::routes())
            .layer(middleware::from_fn_with_state(
                policy,
                guard::answer_headers,
            ))
            .layer(middleware::from_fn(guard::only_from_here))
    }
}
