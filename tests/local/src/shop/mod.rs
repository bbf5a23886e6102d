//! The demo shop: has orders, receives payment events and verifies them, and thanks the shopper.

mod events;
mod orders;
mod pages;
mod webhook;

use std::future::Future;
use std::sync::Arc;

use anyhow::{Context, Result};
use axum::Router;
use axum::routing::{get, post, put};
use tokio::net::TcpListener;

pub use events::{Answer, ReceivedEvent};
pub use orders::{NewOrder, Order, OrderBook, Recipient};
pub use webhook::SigningKey;

use events::EventLog;

/// Where the shop receives payment events.
pub const WEBHOOK_PATH: &str = "/webhooks/payment3";

/// The demo shop.
#[derive(Clone)]
pub struct Shop {
    orders: OrderBook,
    key: SigningKey,
    events: Arc<EventLog>,
}

impl Shop {
    /// A shop with its orders in a table, which believes events signed with `key`.
    pub fn new(orders: OrderBook, key: SigningKey) -> Self {
        Self {
            orders,
            key,
            events: Arc::new(EventLog::default()),
        }
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
        Router::new()
            .route(WEBHOOK_PATH, get(events::list).post(events::receive))
            .route("/webhooks/payment3/answer", put(events::set_answer))
            .route("/thankyou", get(pages::thank_you))
            .route("/orders", post(orders::create))
            .route("/orders/{id}", get(orders::read))
            .with_state(self)
    }
}
