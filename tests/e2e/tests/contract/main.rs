//! docs/openapi.yaml, answer by answer. Real requests provoke each answer that the document names: every status, every
//! error code, every media type. Each answer is compared with the document. Some need the bank or the database to be
//! out of reach, so nothing else may run at the same time: `cargo local test api`.

mod document;
mod outage;
mod requests;
mod schema;

use payment3_harness::http::client;
use payment3_harness::outputs::{FILE_VARIABLE, Outputs};
use serde_json::Value;

use crate::document::{Document, Documented, Received};
use crate::outage::Outage;
use crate::requests::Requests;

/// The code of the answers that need the database to be out of reach.
const NO_DATABASE: &str = "UNAVAILABLE";

#[tokio::test]
#[ignore = "needs the local environment: cargo local test api"]
async fn the_api_gives_every_answer_that_its_document_names() {
    assert!(
        std::env::var_os(FILE_VARIABLE).is_some(),
        "{FILE_VARIABLE} is not set: run this test by `cargo local test api`"
    );
    let outputs = Outputs::of_running(&Outputs::file())
        .await
        .expect("the environment runs");
    let requests = Requests::new(&outputs);
    let document = Document::read();
    let (outages, others): (Vec<_>, Vec<_>) = document
        .answers()
        .into_iter()
        .partition(|answer| answer.code.as_deref() == Some(NO_DATABASE));

    let mut wrong = statuses(&requests, &document).await;
    for answer in others {
        let request = requests.provoking(&answer).await;
        wrong.extend(difference(&answer, request).await);
    }

    let mut prepared = Vec::new();
    for answer in outages {
        let request = requests.provoking(&answer).await;
        prepared.push((answer, request));
    }
    let outage = Outage::begin(&outputs);
    for (answer, request) in prepared {
        wrong.extend(difference(&answer, request).await);
    }
    drop(outage);

    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is wrong with the status of an order, in every word that it may be and every field that it may have: payments
/// provoke each.
async fn statuses(requests: &Requests, document: &Document) -> Vec<String> {
    let documented = document.answers().into_iter();
    let documented: Vec<_> = documented
        .filter(|answer| answer.operation == requests::CHECK_STATUS && answer.status == 200)
        .collect();
    assert_eq!(documented.len(), 1, "one answer is the status");

    let (words, mut unseen) = document.status();
    let mut wrong = Vec::new();
    // And an order of which an unknown part went back.
    for word in words.into_iter().map(Some).chain([None]) {
        let Some(order) = requests.order_that_is(word).await else {
            wrong.push(format!("{word:?}: documented, but no payment here ends so"));
            continue;
        };
        let received = send(requests.ask(&order), "application/json").await;
        let received = received.expect("an answer");
        let shown: Value = serde_json::from_str(&received.body).expect("JSON");
        wrong.extend(documented[0].differs_from(&received));
        if word.is_some_and(|word| shown["status"] != word) {
            wrong.push(format!("{word:?}: {shown}"));
        }
        unseen.retain(|field| shown.get(field).is_none());
    }
    wrong.extend(
        unseen
            .into_iter()
            .map(|field| format!("{field} is documented, but no order here has it")),
    );
    wrong
}

/// Sends the request, and compares the answer with the document. `None` where they agree.
async fn difference(
    answer: &Documented<'_>,
    request: Option<reqwest::RequestBuilder>,
) -> Option<String> {
    let Some(request) = request else {
        return Some(format!(
            "{answer}: documented, but no request here provokes it"
        ));
    };
    let received = match send(request, &answer.media).await {
        Ok(received) => received,
        Err(error) => return Some(format!("{answer}: no answer: {error}")),
    };
    answer
        .differs_from(&received)
        .map(|what| format!("{answer}: {what}\n    {received:?}"))
}

async fn send(request: reqwest::RequestBuilder, media: &str) -> reqwest::Result<Received> {
    let request = request.header("accept", media).build()?;
    let response = client().execute(request).await?;
    Ok(Received {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        body: response.text().await?,
    })
}
