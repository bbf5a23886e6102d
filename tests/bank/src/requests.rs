//! The requests to the gateway API, for assertions. Without keys, tokens and bodies.

use std::collections::VecDeque;

use serde::Serialize;

use crate::faults::{FaultKind, Operation};

/// How many requests are remembered.
const REMEMBERED: usize = 10_000;

/// A request to the gateway API.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Request {
    /// The operation.
    pub(crate) operation: Operation,
    /// The path.
    pub(crate) path: String,
    /// The status of the answer. None if there was no answer.
    pub(crate) status: Option<u16>,
    /// The planned fault that occurred.
    pub(crate) fault: Option<FaultKind>,
}

/// The latest requests, the oldest first.
#[derive(Default, Serialize)]
#[serde(transparent)]
pub(crate) struct RequestLog(VecDeque<Request>);

impl RequestLog {
    /// Remembers a request. Forgets the oldest if there are too many.
    pub(crate) fn push(&mut self, request: Request) {
        if self.0.len() == REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back(request);
    }
}
