//! What carries the functions' requests to the bank and to the shop.

use std::time::Duration;

use futures_util::FutureExt;
use http::{Request, Response};
use payment3_activities::http_client::{SendError, Sender};
use payment3_harness::call;
use tokio::time::timeout;

use crate::bank::{Operation, SimBank};
use crate::fault::Party;
use crate::network::{CALLER, Network, Unanswered};
use crate::shop::Shop;
use crate::watch::Watch;

/// Carries what the functions send to the bank.
pub(crate) fn bank_sender(network: &Network, bank: &SimBank, watch: &Watch) -> Sender {
    let (network, bank, watch) = (network.clone(), bank.clone(), watch.clone());
    Sender::new(move |request| {
        let (bank, watch) = (bank.clone(), watch.clone());
        let what = format!("{} {}", request.method, request.url.path());
        let wait = request.timeout;
        let network = network.clone();
        async move {
            let path = request.url.path().to_owned();
            let operation = || call::of_bank(request.method.as_str(), &path);
            let planned = network.planned(Party::Bank, operation, &path, &request.body);
            let sent = plain_request(request);
            let caller = CALLER.try_with(|caller| caller.name().to_owned());
            let caller = caller.unwrap_or_default();
            let effect = async move {
                let asks = sent.method() == http::Method::GET;
                let answer = bank.answer(sent).await;
                if asks && answer.is_some() {
                    watch.asked(&caller);
                }
                if let Some(charge) = reversal_of(&path)
                    && bank.requests_of(charge).last().is_some_and(|last| {
                        matches!(last.operation, Operation::Void | Operation::Refund)
                            && last.status == 200
                    })
                    && bank.charge(charge).is_some_and(|charge| {
                        matches!(
                            charge["transaction_state"].as_str(),
                            Some("Voided" | "Refund Sent")
                        )
                    })
                {
                    watch.given_back(charge, &caller);
                }
                answer
            };
            let carried = network.carry_call(planned, Party::Bank, &what, effect);
            let carried = async { carried.await?.ok_or(Unanswered::Broken) };
            answered(carried, wait).await
        }
        .boxed()
    })
}

/// The charge that a request wants to void or to refund.
fn reversal_of(path: &str) -> Option<&str> {
    let path = path.strip_prefix("/card/v2/charge/")?;
    path.strip_suffix("/void")
        .or_else(|| path.strip_suffix("/refund"))
}

/// Carries what the functions send to the shop.
pub(crate) fn shop_sender(network: &Network, shop: &Shop) -> Sender {
    let (network, shop) = (network.clone(), shop.clone());
    Sender::new(move |request| {
        let (network, shop) = (network.clone(), shop.clone());
        let wait = request.timeout;
        async move {
            let (what, path) = ("POST event", request.url.path());
            let planned = network.planned(Party::Shop, || what.to_owned(), path, &request.body);
            let sent = plain_request(request);
            let effect = async move { shop.call(sent).await };
            answered(network.carry_call(planned, Party::Shop, what, effect), wait).await
        }
        .boxed()
    })
}

fn plain_request(request: payment3_activities::http_client::Request) -> Request<Vec<u8>> {
    let mut sent = Request::new(request.body);
    *sent.method_mut() = request.method;
    *sent.headers_mut() = request.headers;
    if let Ok(uri) = request.url.as_str().parse() {
        *sent.uri_mut() = uri;
    }
    sent
}

/// What a client of ours makes of what the network says.
async fn answered(
    carried: impl Future<Output = Result<Response<Vec<u8>>, Unanswered>>,
    wait: Duration,
) -> Result<Response<Vec<u8>>, SendError> {
    let error = |status: u16| {
        let mut answer = Response::new(b"<html>Service unavailable</html>".to_vec());
        *answer.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
        Ok(answer)
    };
    match timeout(wait, carried).await {
        Err(_) => Err(SendError::TimedOut),
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(Unanswered::NotConnected)) => Err(SendError::NotConnected),
        Ok(Err(Unanswered::Broken)) => Err(SendError::Broken("the connection broke".to_owned())),
        Ok(Err(Unanswered::Throttled)) => error(429),
        Ok(Err(Unanswered::Error)) => error(503),
    }
}
