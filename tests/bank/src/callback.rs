//! Sends the browser's return to the shop in place of the browser: late, or more than once.

use std::time::Duration;

use axum::http::header::{ACCEPT, CONTENT_TYPE, LOCATION};
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::browser_return::ReturnFields;
use crate::error::GatewayError;

/// The most returns that are sent at once.
const MOST: u32 = 5;
/// The longest that a return may be late.
const LATEST: Duration = Duration::from_secs(120);

/// What the caller asks for.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Request {
    /// How many returns are sent at once.
    #[serde(default = "once")]
    times: u32,
    /// Milliseconds until they are sent.
    #[serde(default)]
    delay_ms: u64,
}

fn once() -> u32 {
    1
}

/// What the shop's API answered to one return.
#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    status: Option<u16>,
    location: Option<String>,
    error: Option<String>,
}

/// Sends the return of a charge. It shows the charge's state when the delay is over.
pub(crate) async fn send(
    app: &App,
    id: &str,
    request: Request,
) -> Result<Vec<Answer>, GatewayError> {
    let delay = Duration::from_millis(request.delay_ms);
    if !(1..=MOST).contains(&request.times) || delay > LATEST {
        return Err(GatewayError::invalid(format!(
            "`times` must be 1 to {MOST}, and `delayMs` at most {}",
            LATEST.as_millis()
        )));
    }
    app.lock().ledger.charge(id)?;
    tokio::select! {
        () = tokio::time::sleep(delay) => {}
        () = app.stopped() => {}
    }
    let (url, form) = {
        let state = app.lock();
        let url = state.ledger.merchant.callback_url.clone().ok_or_else(|| {
            GatewayError::refused(
                "no_callback_url",
                "the merchant account has no callbackUrl; set one with PUT /sandbox/merchant",
            )
        })?;
        let fields = ReturnFields::of(state.ledger.charge(id)?);
        let form = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields.pairs())
            .finish();
        (url, form)
    };
    let returns: Vec<_> = (0..request.times)
        .map(|_| tokio::spawn(post(app.clone(), url.clone(), form.clone())))
        .collect();
    let mut answers = Vec::new();
    for answer in returns {
        answers.push(match answer.await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => Answer::without(error),
            Err(e) => Answer::without(e.to_string()),
        });
    }
    Ok(answers)
}

impl Answer {
    fn without(error: String) -> Self {
        Self {
            status: None,
            location: None,
            error: Some(error),
        }
    }
}

async fn post(app: App, url: String, form: String) -> Result<Answer, String> {
    let headers = [
        (CONTENT_TYPE, "application/x-www-form-urlencoded"),
        (ACCEPT, "text/html"),
    ];
    let response = app.core.merchant.post(&url, headers, form).await?;
    Ok(Answer {
        status: Some(response.status().as_u16()),
        location: response
            .headers()
            .get(LOCATION)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned),
        error: None,
    })
}
