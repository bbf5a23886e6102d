//! The services of AWS, as the functions call them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::cloud::Service;
use crate::dynamodb::DynamoDb;
use crate::secrets::Secrets as Vault;
use crate::step_functions::StepFunctions;

/// The tables, as the functions call them.
pub(crate) struct TableService(pub(crate) DynamoDb);

impl Service for TableService {
    fn call(&self, operation: String, body: Vec<u8>) -> BoxFuture<'static, (u16, Vec<u8>)> {
        let tables = self.0.clone();
        async move { tables.call(&operation, &body).await }.boxed()
    }
}

/// The secrets.
pub(crate) struct SecretService(pub(crate) Vault);

impl Service for SecretService {
    fn call(&self, operation: String, body: Vec<u8>) -> BoxFuture<'static, (u16, Vec<u8>)> {
        futures_util::future::ready(self.0.call(&operation, &body)).boxed()
    }
}

/// The executions, which are there once the functions are.
pub(crate) struct ExecutionService(pub(crate) Slot<StepFunctions>);

impl Service for ExecutionService {
    fn call(&self, operation: String, body: Vec<u8>) -> BoxFuture<'static, (u16, Vec<u8>)> {
        let Some(executions) = self.0.get() else {
            return futures_util::future::ready((500, Vec::new())).boxed();
        };
        async move {
            let body = serde_json::from_slice(&body).unwrap_or_default();
            let (status, answer) = executions.answer(&operation, &body);
            (status, answer.to_string().into_bytes())
        }
        .boxed()
    }
}

/// A part that is made after those that use it. It is taken out in the end: the parts hold each other, and nothing of a
/// run may stay.
pub(crate) struct Slot<T>(Arc<Mutex<Option<T>>>);

impl<T> Clone for Slot<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: Clone> Slot<T> {
    pub(crate) fn empty() -> Self {
        Self(Arc::default())
    }

    fn content(&self) -> MutexGuard<'_, Option<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn put(&self, part: T) {
        *self.content() = Some(part);
    }

    pub(crate) fn get(&self) -> Option<T> {
        self.content().clone()
    }

    pub(crate) fn take(&self) {
        self.content().take();
    }
}
