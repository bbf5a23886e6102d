//! The pages. One frame stands around the content of each.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use payment3_harness::workspace;

use super::{Parts, assets};

/// A page: its route, the name of its content and script, its title, and its section in the navigation.
struct Page {
    route: &'static str,
    name: &'static str,
    title: &'static str,
    section: &'static str,
}

const fn page(
    route: &'static str,
    name: &'static str,
    title: &'static str,
    section: &'static str,
) -> Page {
    Page {
        route,
        name,
        title,
        section,
    }
}

const PAGES: [Page; 8] = [
    page("/", "shop", "Checkout", "/"),
    page("/orders", "orders", "Orders", "/orders"),
    page("/orders/{orderId}", "order", "Order", "/orders"),
    page("/cards", "cards", "Cards", "/cards"),
    page("/thankyou", "thankyou", "Your payment", "/orders"),
    page(
        "/notifications",
        "notifications",
        "Notifications",
        "/notifications",
    ),
    page("/executions", "executions", "Executions", "/executions"),
    page(
        "/executions/{name}",
        "execution",
        "Execution",
        "/executions",
    ),
];

/// The routes.
pub(super) fn routes() -> Router<Parts> {
    PAGES.iter().fold(Router::new(), |router, page| {
        router.route(
            page.route,
            get(move |State(parts): State<Parts>| async move {
                serve(page, &parts.outputs.bank_url).await
            }),
        )
    })
}

async fn serve(page: &Page, bank: &str) -> Response {
    let read = |file: String| async move {
        let path = assets::path(&file);
        tokio::fs::read_to_string(&path)
            .await
            .map_err(|error| format!("cannot read {}: {error}\n", workspace::shown(&path)))
    };
    let frame = read("pages/frame.html".to_owned()).await;
    let content = read(format!("pages/{}.html", page.name)).await;
    match frame.and_then(|frame| Ok((frame, content?))) {
        Ok((frame, content)) => Html(framed(&frame, &content, page, bank)).into_response(),
        Err(message) => (StatusCode::INTERNAL_SERVER_ERROR, message).into_response(),
    }
}

fn framed(frame: &str, content: &str, page: &Page, bank: &str) -> String {
    let link = format!("<a href=\"{}\"", page.section);
    frame
        .replace("{{title}}", page.title)
        .replace("{{script}}", page.name)
        .replace("{{bank}}", bank)
        .replace(&link, &format!("{link} aria-current=\"page\""))
        .replace("{{content}}", content.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_page_has_its_content_and_marks_its_section() {
        for page in &PAGES {
            let response = serve(page, "http://127.0.0.1:4600").await;
            assert_eq!(response.status(), StatusCode::OK, "{}", page.name);
            let body = axum::body::to_bytes(response.into_body(), usize::MAX)
                .await
                .expect("a body");
            let html = String::from_utf8(body.to_vec()).expect("UTF-8");
            assert!(!html.contains("{{"), "{html}");
            assert_eq!(html.matches("aria-current").count(), 1, "{}", page.name);
            assert_eq!(html.matches("<h1").count(), 1, "{}", page.name);
            // The policy allows no script or style inside a page.
            assert!(!html.contains("style=") && !html.contains("<style"));
            assert_eq!(html.matches("<script").count(), 1);
            assert!(html.contains(&format!("src=\"/ui/{}.js\"", page.name)));
        }
    }
}
