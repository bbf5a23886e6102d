//! Style, scripts and the graph library: fixed routes to fixed files.

use std::path::PathBuf;

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use payment3_harness::workspace;

const STYLE: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const PICTURE: &str = "image/svg+xml";

/// Route, file in `tests/shop/ui`, media type.
const FILES: [(&str, &str, &str); 16] = [
    ("/ui/style.css", "style.css", STYLE),
    ("/ui/icon.svg", "icon.svg", PICTURE),
    ("/ui/dom.js", "dom.js", SCRIPT),
    ("/ui/format.js", "format.js", SCRIPT),
    ("/ui/data.js", "data.js", SCRIPT),
    ("/ui/form.js", "form.js", SCRIPT),
    ("/ui/graph.js", "graph.js", SCRIPT),
    ("/ui/shop.js", "shop.js", SCRIPT),
    ("/ui/orders.js", "orders.js", SCRIPT),
    ("/ui/order.js", "order.js", SCRIPT),
    ("/ui/cards.js", "cards.js", SCRIPT),
    ("/ui/thankyou.js", "thankyou.js", SCRIPT),
    ("/ui/notifications.js", "notifications.js", SCRIPT),
    ("/ui/executions.js", "executions.js", SCRIPT),
    ("/ui/execution.js", "execution.js", SCRIPT),
    (
        "/ui/vendor/dagre.js",
        "node_modules/@dagrejs/dagre/dist/dagre.esm.js",
        SCRIPT,
    ),
];

/// The routes.
pub(super) fn routes() -> Router {
    FILES
        .iter()
        .fold(Router::new(), |router, &(route, file, media_type)| {
            router.route(route, get(move || serve(file, media_type)))
        })
}

async fn serve(file: &'static str, media_type: &'static str) -> Response {
    match tokio::fs::read(path(file)).await {
        Ok(content) => ([(CONTENT_TYPE, media_type)], content).into_response(),
        Err(error) => {
            let shown = workspace::shown(&path(file));
            let message = format!("cannot read {shown}: {error}\n");
            (StatusCode::INTERNAL_SERVER_ERROR, message).into_response()
        }
    }
}

/// A file of the pages.
pub(super) fn path(file: &str) -> PathBuf {
    workspace::ui_dir().join(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_our_own_is_there_and_every_script_is_served() {
        for (_, file, _) in FILES {
            // The files of npm packages exist only after `npm ci`.
            assert!(
                file.starts_with("node_modules/") || path(file).is_file(),
                "{file}"
            );
        }
        for entry in std::fs::read_dir(workspace::ui_dir()).expect("the directory") {
            let name = entry.expect("an entry").file_name();
            let name = name.to_string_lossy();
            if name.ends_with(".js") {
                assert!(FILES.iter().any(|(_, file, _)| *file == name), "{name}");
            }
        }
    }
}
