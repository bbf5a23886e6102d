//! Where the functions find what they call.

/// Where the functions find what is outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoints {
    /// The AWS endpoint.
    pub aws: String,
    /// The bank.
    pub bank: String,
    /// The shop.
    pub shop: String,
}
