//! Amounts: what is read is exactly what was written, to the satang, or it is refused.

use arbitrary::{Result, Unstructured};
use payment3_activities::domain::money::{MoneyError, Satang};

use crate::generate::rest;

const MAX: u128 = 999_999_999_999;

/// Checks a number as an amount, then the rest of the bytes as the text of one.
pub fn check(u: &mut Unstructured<'_>) -> Result<()> {
    number(u.arbitrary()?);
    let bytes = rest(u)?;
    if let Ok(written) = std::str::from_utf8(bytes) {
        text(written);
    }
    Ok(())
}

/// Of a number: it is an amount within the bounds and nowhere else, and every way to write it reads back as itself.
fn number(satang: i64) {
    let amount = Satang::new(satang);
    if !(0..=MAX as i64).contains(&satang) {
        assert_eq!(amount, Err(MoneyError::OutOfRange));
        return;
    }
    let amount = amount.expect("within the bounds");
    assert_eq!(amount.satang(), satang);
    let written = amount.to_string();
    assert_eq!(
        (
            written.len(),
            &written[written.len() - 3..=written.len() - 3]
        ),
        (written.len().max(4), "."),
        "two decimals, and a digit before them"
    );
    let (baht, decimals) = written.split_at(written.len() - 3);
    for text in [
        written.clone(),
        format!("{written}00"),
        format!("000{written}"),
        grouped(baht) + decimals,
    ] {
        assert_eq!(Satang::parse_grouped(&text), Ok(amount), "{text}");
    }
    assert_eq!(Satang::parse_baht(&written), Ok(amount));
    assert_eq!(Satang::parse_json(&format!("\"{written}\"")), Ok(amount));
    assert_eq!(Satang::parse_json(&written), Ok(amount));
    let json = serde_json::to_string(&amount).expect("an integer");
    assert_eq!(json, satang.to_string());
    assert_eq!(serde_json::from_str::<Satang>(&json).ok(), Some(amount));
}

fn grouped(digits: &str) -> String {
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Of a text: each layout reads exactly what the grammar says, and the value of its digits.
fn text(text: &str) {
    let plain = value(text);
    assert_eq!(read(Satang::parse_baht(text)), plain, "{text:?}");
    let quoted = text
        .len()
        .checked_sub(2)
        .filter(|_| text.starts_with('"') && text.ends_with('"'))
        .map(|length| &text[1..=length]);
    assert_eq!(
        read(Satang::parse_json(text)),
        value(quoted.unwrap_or(text)),
        "{text:?}"
    );
    assert_eq!(
        read(Satang::parse_grouped(text)),
        grouped_value(text),
        "{text:?}"
    );
}

fn read(amount: std::result::Result<Satang, MoneyError>) -> Option<u128> {
    amount
        .ok()
        .map(|amount| u128::try_from(amount.satang()).expect("no amount is negative"))
}

/// The satang of `digits` or `digits.digits`, where no more than two decimals count.
pub(crate) fn value(text: &str) -> Option<u128> {
    let mut satang: u128 = 0;
    let (mut digits, mut decimals) = (0, None::<usize>);
    for byte in text.bytes() {
        match (byte, &mut decimals) {
            (b'.', None) if digits > 0 => decimals = Some(0),
            (b'0'..=b'9', None) => {
                digits += 1;
                satang = satang
                    .saturating_mul(10)
                    .saturating_add(u128::from(byte - b'0') * 100);
            }
            (b'0'..=b'9', Some(place)) => {
                *place += 1;
                let digit = u128::from(byte - b'0');
                match *place {
                    1 => satang = satang.saturating_add(digit * 10),
                    2 => satang = satang.saturating_add(digit),
                    _ if digit == 0 => {}
                    _ => return None,
                }
            }
            _ => return None,
        }
    }
    (digits > 0 && decimals != Some(0) && satang <= MAX).then_some(satang)
}

/// [`value`], with separators where they belong.
pub(crate) fn grouped_value(text: &str) -> Option<u128> {
    let plain = separated(text).then(|| text.replace(',', ""));
    plain.and_then(|text| value(&text))
}

/// Whether separators stand between groups of three digits of the baht, and nowhere else.
fn separated(text: &str) -> bool {
    let baht = text.split('.').next().unwrap_or_default();
    let decimals = &text[baht.len()..];
    let lengths: Vec<_> = baht.split(',').map(str::len).collect();
    !decimals.contains(',')
        && (lengths.len() == 1
            || ((1..=3).contains(&lengths[0]) && lengths[1..].iter().all(|length| *length == 3)))
}
