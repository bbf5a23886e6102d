//! What the shopper sees.

use axum::extract::Query;
use axum::response::Html;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ThankYou {
    #[serde(default)]
    order_id: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    amount: String,
}

/// `GET /thankyou`: where the shopper ends up. Its query is a claim; a real shop shows what the order says.
pub(super) async fn thank_you(Query(claim): Query<ThankYou>) -> Html<String> {
    let heading = if claim.status == "success" {
        "Thank you"
    } else {
        "The payment did not succeed"
    };
    Html(format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{heading}</title></head>\n\
         <body><h1>{heading}</h1>\n<dl><dt>Order</dt><dd>{}</dd><dt>Status</dt><dd>{}</dd><dt>Amount</dt><dd>{} THB</dd></dl>\n\
         </body></html>\n",
        escaped(&claim.order_id),
        escaped(&claim.status),
        escaped(&claim.amount),
    ))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_page_shows_the_claim_as_text() {
        let claim = ThankYou {
            order_id: "<script>".to_owned(),
            status: "success".to_owned(),
            amount: "1500.00".to_owned(),
        };
        let Html(page) = thank_you(Query(claim)).await;
        assert!(page.contains("<h1>Thank you</h1>"));
        assert!(page.contains("&lt;script&gt;") && !page.contains("<script>"));
        assert!(page.contains("1500.00 THB"));
    }
}
