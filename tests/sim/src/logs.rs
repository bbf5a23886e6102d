//! What the functions write to their logs: the lines that alarms count, and a look at every line for what must never
//! stand in one.

use std::collections::BTreeMap;
use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use crate::secrecy::Secrets;

/// What stands in other lines that are kept.
const KEPT_WORDS: &str = "orphan customer";

/// A line of a log, as fields with their texts. Those of the span are among them.
pub(crate) type Line = BTreeMap<&'static str, String>;

/// The logs of all functions.
#[derive(Clone)]
pub(crate) struct Logs {
    lines: Arc<Mutex<Vec<Line>>>,
    secrets: Secrets,
}

impl Logs {
    /// Empty logs. What is written into them is looked at for these secrets.
    pub(crate) fn new(secrets: &Secrets) -> Self {
        Self {
            lines: Arc::default(),
            secrets: secrets.clone(),
        }
    }

    fn kept(&self) -> MutexGuard<'_, Vec<Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lines about customers at the bank that nothing may point at, oldest first.
    pub(crate) fn about_orphan_customers(&self) -> Vec<Line> {
        let lines = self.kept();
        lines.iter().filter(|line| is_kept(line)).cloned().collect()
    }

    /// All lines that are kept, oldest first: those with the name of an error, which alarms count, and those about customers
    /// that nothing may point at.
    pub(crate) fn all(&self) -> Vec<Line> {
        self.kept().clone()
    }

    /// The lines with this error, oldest first.
    pub(crate) fn with_error(&self, error: &str) -> Vec<Line> {
        let lines = self.kept();
        let of = |line: &&Line| line.get("error").is_some_and(|name| name == error);
        lines.iter().filter(of).cloned().collect()
    }
}

fn is_kept(line: &Line) -> bool {
    line.get("message")
        .is_some_and(|message| message.contains(KEPT_WORDS))
}

/// The fields of a span.
struct Fields(Line);

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut text = String::new();
        let _ = write!(text, "{value:?}");
        self.0.insert(field.name(), text);
    }
}

/// Whether a line or a span is the product's own and reaches its log, where nothing stands below `info`.
fn is_ours(metadata: &Metadata<'_>) -> bool {
    metadata.target().starts_with("payment3") && *metadata.level() <= Level::INFO
}

impl<S: Subscriber + for<'span> LookupSpan<'span>> Layer<S> for Logs {
    // Asked once for each place in the code. The SDK alone opens a dozen spans for every call.
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if is_ours(metadata) {
            Interest::always()
        } else {
            Interest::never()
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        is_ours(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::INFO)
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields(Line::new());
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields(Line::new());
        event.record(&mut fields);
        for text in fields.0.values() {
            self.secrets.look_at("a log line", text);
        }
        if !fields.0.contains_key("error") && !is_kept(&fields.0) {
            return;
        }
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(of_span) = span.extensions().get::<Fields>() {
                for (name, text) in &of_span.0 {
                    fields.0.entry(name).or_insert_with(|| text.clone());
                }
            }
        }
        self.kept().push(fields.0);
    }
}
