//! Makes inputs from bytes: mostly such that nearly mean something.

use arbitrary::{Error, Result, Unstructured};

use crate::secrets::stand_in;

/// One of the words, or one of them with something changed, or any short text.
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

/// Visible ASCII, as identifiers are, of the given lengths.
pub(crate) fn visible(u: &mut Unstructured<'_>, from: usize, to: usize) -> Result<String> {
    let length = u.int_in_range(from..=to)?;
    let text: Result<String> = (0..length)
        .map(|_| Ok(char::from(u.int_in_range(b'!'..=b'~')?)))
        .collect();
    harmless(text?)
}

/// Not the token or the key: they stand only where a target puts them.
fn harmless(text: String) -> Result<String> {
    if stand_in(&text) {
        return Err(Error::IncorrectFormat);
    }
    Ok(text)
}

/// The nearest place at or before `at` that is between two characters.
fn boundary(text: &str, at: usize) -> usize {
    (0..=at)
        .rev()
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(0)
}

/// All that is left of the bytes.
pub(crate) fn rest<'a>(u: &mut Unstructured<'a>) -> Result<&'a [u8]> {
    u.bytes(u.len())
}
