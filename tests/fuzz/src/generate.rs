//! Makes inputs from bytes. Most of them are valid or almost valid.

use arbitrary::{Error, Result, Unstructured};

use crate::secrets::contains_secret;

/// One of the words, one of them with a small change, or any short text.
pub(crate) fn word(u: &mut Unstructured<'_>, words: &[&str]) -> Result<String> {
    Ok(match u.int_in_range(0..=7)? {
        0..=4 => (*u.choose(words)?).to_owned(),
        5 => {
            let mut text = (*u.choose(words)?).to_owned();
            let at = boundary(&text, u.int_in_range(0..=text.len())?);
            text.insert(at, u.arbitrary()?);
            text
        }
        6 => {
            let mut text = (*u.choose(words)?).to_owned();
            if !text.is_empty() {
                let at = boundary(&text, u.int_in_range(0..=text.len() - 1)?);
                text.remove(at);
            }
            text
        }
        _ => short(u)?,
    })
}

/// Any text of up to 120 bytes.
pub(crate) fn short(u: &mut Unstructured<'_>) -> Result<String> {
    let length = u.int_in_range(0..=120)?.min(u.len());
    harmless(String::from_utf8_lossy(u.bytes(length)?).into_owned())
}

/// Visible ASCII, as in ids, with a length in the given range.
pub(crate) fn visible(u: &mut Unstructured<'_>, from: usize, to: usize) -> Result<String> {
    let length = u.int_in_range(from..=to)?;
    let text: Result<String> = (0..length)
        .map(|_| Ok(char::from(u.int_in_range(b'!'..=b'~')?)))
        .collect();
    harmless(text?)
}

/// Rejects a text with the token or the key. They may occur only where a target puts them.
fn harmless(text: String) -> Result<String> {
    if contains_secret(&text) {
        return Err(Error::IncorrectFormat);
    }
    Ok(text)
}

/// The nearest character boundary at or before `at`.
fn boundary(text: &str, at: usize) -> usize {
    (0..=at)
        .rev()
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(0)
}

/// The rest of the bytes.
pub(crate) fn rest<'a>(u: &mut Unstructured<'a>) -> Result<&'a [u8]> {
    u.bytes(u.len())
}
