//! What a metric filter counts: the conditions on JSON log lines that the CDK app's filters use.

use serde_json::Value;

/// Whether a metric filter's pattern counts a log line.
pub(crate) fn counts(pattern: &str, line: &str) -> bool {
    let Ok(line) = serde_json::from_str::<Value>(line) else {
        return false;
    };
    let inner = pattern
        .trim()
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'))
        .unwrap_or_else(|| panic!("not a pattern for JSON: {pattern}"));
    holds(inner.trim(), &line)
}

fn holds(expression: &str, line: &Value) -> bool {
    let any = split(expression, "||");
    if any.len() > 1 {
        return any.into_iter().any(|part| holds(part, line));
    }
    let all = split(expression, "&&");
    if all.len() > 1 {
        return all.into_iter().all(|part| holds(part, line));
    }
    match expression
        .strip_prefix('(')
        .and_then(|rest| rest.strip_suffix(')'))
    {
        Some(inner) => holds(inner.trim(), line),
        None => compare(expression, line),
    }
}

/// Splits at an operator that stands outside of parentheses and quotes.
fn split<'a>(expression: &'a str, operator: &str) -> Vec<&'a str> {
    let (mut depth, mut quoted, mut start) = (0, false, 0);
    let mut parts = Vec::new();
    for (at, byte) in expression.bytes().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            b'(' if !quoted => depth += 1,
            b')' if !quoted => depth -= 1,
            _ if depth == 0 && !quoted && at >= start && expression[at..].starts_with(operator) => {
                parts.push(expression[start..at].trim());
                start = at + operator.len();
            }
            _ => {}
        }
    }
    parts.push(expression[start..].trim());
    parts
}

fn compare(condition: &str, line: &Value) -> bool {
    if let Some((field, wanted)) = condition.split_once(" != ") {
        return !compare(&format!("{field} = {wanted}"), line);
    }
    let (field, wanted) = condition
        .split_once(" = ")
        .unwrap_or_else(|| panic!("not a condition: {condition}"));
    let pointer = field
        .trim()
        .strip_prefix('$')
        .expect("a field")
        .replace('.', "/");
    let wanted = wanted.trim().trim_matches('"');
    let Some(Value::String(found)) = line.pointer(&pointer) else {
        return false;
    };
    match wanted.strip_suffix('*') {
        Some(beginning) => found.starts_with(beginning),
        None => found == wanted,
    }
}

/// The number of a field, as a metric filter takes it.
pub(crate) fn number(field: &str, line: &str) -> f64 {
    let line: Value = serde_json::from_str(line).expect("JSON");
    let pointer = field.strip_prefix('$').expect("a field").replace('.', "/");
    line.pointer(&pointer)
        .and_then(Value::as_f64)
        .unwrap_or_else(|| panic!("{field} is no number in {line}"))
}

#[test]
fn conditions_are_read_as_cloudwatch_logs_reads_them() {
    let line = r#"{"error": "A", "record": {"status": "timeout", "errorType": "Runtime.Exit"}}"#;
    for (pattern, expected) in [
        (r#"{ $.error = "A" }"#, true),
        (r#"{ $.error = "B" }"#, false),
        (r#"{ $.error != "A" }"#, false),
        (r#"{ $.error != "B" }"#, true),
        (r#"{ $.record.status = "time*" }"#, true),
        (
            r#"{ ($.error = "A") && ($.record.status = "timeout") }"#,
            true,
        ),
        (
            r#"{ ($.error = "A") && ($.record.status = "success") }"#,
            false,
        ),
        (
            r#"{ (($.error = "B") && ($.error = "A")) || ($.record.errorType = "Runtime.*") }"#,
            true,
        ),
        (r#"{ $.missing = "A" }"#, false),
    ] {
        assert_eq!(counts(pattern, line), expected, "{pattern}");
    }
    assert!(!counts(r#"{ $.error = "A" }"#, "START RequestId"));
}
