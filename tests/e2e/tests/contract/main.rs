//! docs/openapi.yaml, answer by answer. Real requests provoke each answer that the document names: every status, every
//! error code, every media type. Each answer is compared with the document. Some need the bank or the database to be
//! out of reach, so nothing else may run at the same time: `cargo local test api`.

mod document;
mod outage;
mod requests;
mod schema;

use payment3_harness::http::client;
use payment3_harness::outputs::{FILE_VARIABLE, Outputs};

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

    let mut wrong = Vec::new();
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
