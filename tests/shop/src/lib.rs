//! The demo shop. It has orders, and receives and verifies payment events.

mod events;
mod orders;
pub mod site;
mod webhook;

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use axum::Router;
use axum::routing::{get, post, put};
use payment3_harness::shop_api::WEBHOOK_PATH;

pub use events::Answer;
pub use orders::OrderBook;
pub use webhook::SigningKey;

use events::EventLog;

/// The demo shop.
#[derive(Clone)]
pub struct Shop {
    orders: OrderBook,
    key: SigningKey,
    events: Arc<EventLog>,
}

impl Shop {
    /// A shop with its orders in a table. It accepts events that are signed with `key`.
    pub fn new(orders: OrderBook, key: SigningKey) -> Self {
        Self {
            orders,
            key,
            events: Arc::new(EventLog::default()),
        }
    }

    /// A shop that keeps its received events in this file, next to the orders in their table.
    ///
    /// # Errors
    /// The file cannot be used, or holds something else.
    pub fn open(orders: OrderBook, key: SigningKey, events: &Path) -> Result<Self> {
        Ok(Self {
            events: Arc::new(EventLog::open(events)?),
            ..Self::new(orders, key)
        })
    }

    /// Its routes. [`crate::site`] serves them together with the pages.
    pub(crate) fn router(self) -> Router {
        Router::new()
            .route(WEBHOOK_PATH, get(events::list).post(events::receive))
            .route("/webhooks/payment3/answer", put(events::set_answer))
            .route("/orders", post(orders::create))
            .route("/api/orders/{orderId}", get(orders::read))
            .with_state(self)
    }
}
