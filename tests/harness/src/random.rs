//! Fresh identifiers for things that must not collide.

/// `length` random decimal digits.
pub fn digits(length: usize) -> String {
    (0..length)
        .map(|_| char::from(b'0' + u8::try_from(random() % 10).unwrap_or_default()))
        .collect()
}

/// `prefix` and 16 random hexadecimal digits.
pub fn id(prefix: &str) -> String {
    format!("{prefix}{:016x}", random())
}

fn random() -> u64 {
    getrandom::u64().expect("the operating system has random numbers")
}
