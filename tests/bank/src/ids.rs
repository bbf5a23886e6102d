//! Random ids. Nothing else differs between two runs of the bank.

/// A new id: `prefix` and 24 random hex digits.
pub(crate) fn new(prefix: &str) -> String {
    format!("{prefix}{}", random_hex::<12>())
}

/// `N` random bytes in hex.
pub(crate) fn random_hex<const N: usize>() -> String {
    let mut bytes = [0_u8; N];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    hex::encode(bytes)
}
