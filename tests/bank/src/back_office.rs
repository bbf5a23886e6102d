//! The bank's own pages: its ledger, and its controls for a person. They need no build, and load nothing from other
//! servers.

use axum::Router;
use axum::extract::{Path, State as Shared};
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::app::App;
use crate::dialect::Dialect;
use crate::three_ds_pages::escape;

const FRAME: &str = include_str!("../ui/frame.html");
const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// Scripts and style: route, content, media type.
const FILES: [(&str, &str, &str); 5] = [
    (
        "/ui/bank.css",
        include_str!("../ui/bank.css"),
        "text/css; charset=utf-8",
    ),
    ("/ui/parts.js", include_str!("../ui/parts.js"), SCRIPT),
    ("/ui/charges.js", include_str!("../ui/charges.js"), SCRIPT),
    ("/ui/charge.js", include_str!("../ui/charge.js"), SCRIPT),
    (
        "/ui/customers.js",
        include_str!("../ui/customers.js"),
        SCRIPT,
    ),
];

/// The routes.
pub(crate) fn routes() -> Router<App> {
    let router = Router::new()
        .route("/", get(charges))
        .route("/charges/{id}", get(charge))
        .route("/customers", get(customers));
    FILES
        .iter()
        .fold(router, |router, &(route, content, media_type)| {
            router.route(
                route,
                get(move || async move { answer(media_type, content.to_owned()) }),
            )
        })
}

async fn charges(Shared(app): Shared<App>) -> Response {
    framed(&app, "Charges", "charges", "/")
}

async fn charge(Shared(app): Shared<App>, Path(id): Path<String>) -> Response {
    // The page itself asks whether there is such a charge.
    framed(&app, &format!("Charge {id}"), "charge", "/")
}

async fn customers(Shared(app): Shared<App>) -> Response {
    framed(&app, "Customers", "customers", "/customers")
}

fn framed(app: &App, title: &str, script: &str, section: &str) -> Response {
    let shop = app.lock().ledger.merchant.shop_url.clone();
    let shop = escape(&shop.unwrap_or_default());
    let shop_link = if shop.is_empty() {
        String::new()
    } else {
        format!("<a href=\"{shop}\">Demo shop</a>")
    };
    let dialects: Vec<_> = Dialect::ALL.iter().map(|dialect| dialect.name()).collect();
    let link = format!("<a href=\"{section}\"");
    let html = FRAME
        .replace("{{script}}", script)
        .replace(&link, &format!("{link} aria-current=\"page\""))
        .replace("{{shop}}", &shop_link)
        .replace("{{shop-url}}", &shop)
        .replace("{{dialects}}", &dialects.join(" "))
        .replace("{{title}}", &escape(title));
    answer(HTML, html)
}

fn answer(media_type: &'static str, content: String) -> Response {
    let policy = "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
    let headers = [
        (CONTENT_TYPE, media_type),
        (CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, policy),
    ];
    (headers, content).into_response()
}
