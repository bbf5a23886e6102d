//! `GET /api/payment3/checkstatus/{orderId}`: passes the API's route on under the shop's address, as a shop's CDN does.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use payment3_harness::http::client;
use url::Url;

use super::Parts;
use super::answer::Wrong;

/// Passes the request on, and the answer back.
pub(super) async fn ask(
    State(parts): State<Parts>,
    Path(order_id): Path<String>,
) -> Result<Response, Wrong> {
    let url = address(&parts.outputs.api_url, &order_id)
        .ok_or_else(|| Wrong::refused("this is no order's id"))?;
    let answer = client().get(url).send().await.map_err(no_answer)?;
    let status = StatusCode::from_u16(answer.status().as_u16())
        .map_err(|_| Wrong::refused("the API answered with no status"))?;
    let body = answer.bytes().await.map_err(no_answer)?;
    Ok((
        status,
        [(CONTENT_TYPE, "application/json; charset=utf-8")],
        body,
    )
        .into_response())
}

/// The address of an order's status. The id comes from a browser, so it must stay one segment of the path.
fn address(api: &str, order_id: &str) -> Option<Url> {
    let mut url = Url::parse(api).ok()?;
    url.path_segments_mut()
        .ok()?
        .extend(["checkstatus", order_id]);
    Some(url)
}

fn no_answer(error: reqwest::Error) -> Wrong {
    Wrong::from(anyhow::Error::new(error.without_url()).context("the API does not answer"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_id_stays_one_segment() {
        let url = |id| address("http://127.0.0.1:4566/_aws/execute-api/a1", id).map(String::from);
        let base = "http://127.0.0.1:4566/_aws/execute-api/a1/checkstatus/";
        assert_eq!(url("482500007436"), Some(format!("{base}482500007436")));
        assert_eq!(url("a/b?c#d"), Some(format!("{base}a%2Fb%3Fc%23d")));
    }
}
