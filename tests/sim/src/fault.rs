//! Who is called, and how a call fails.

/// Who is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Party {
    /// The tables.
    DynamoDb,
    /// The secrets.
    Secrets,
    /// The executions, as functions call them.
    StepFunctions,
    /// The functions.
    Lambda,
    /// The bank's gateway.
    Bank,
    /// The shop's endpoint.
    Shop,
    /// The API in front of the functions.
    Api,
}

impl Party {
    /// All of them.
    pub(crate) const ALL: [Self; 7] = [
        Self::DynamoDb,
        Self::Secrets,
        Self::StepFunctions,
        Self::Lambda,
        Self::Bank,
        Self::Shop,
        Self::Api,
    ];

    /// Its name in traces and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::DynamoDb => "DynamoDB",
            Self::Secrets => "Secrets Manager",
            Self::StepFunctions => "Step Functions",
            Self::Lambda => "Lambda",
            Self::Bank => "the bank",
            Self::Shop => "the shop",
            Self::Api => "the API",
        }
    }
}

/// How a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// No connection: no effect, and the caller knows.
    NotConnected,
    /// Turned away, as too many: no effect.
    Throttled,
    /// Answered with an error: no effect.
    Error,
    /// An error although it took effect.
    ErrorAfter,
    /// It takes effect, and no answer ever comes.
    AnswerLost,
    /// It takes effect, and the connection breaks.
    Broken,
    /// It never arrives, and no answer comes.
    Lost,
    /// No answer comes. It takes effect long after the caller has given up.
    Late,
    /// It takes effect and is answered, after so long that many a caller has given up.
    Slow,
    /// The process of the function dies while it runs.
    Crash,
}

impl Fault {
    /// Those of a call. What else there is befalls a process.
    pub(crate) const OF_CALLS: [Self; 9] = [
        Self::NotConnected,
        Self::Throttled,
        Self::Error,
        Self::ErrorAfter,
        Self::AnswerLost,
        Self::Broken,
        Self::Lost,
        Self::Late,
        Self::Slow,
    ];

    /// Its name in traces and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotConnected => "no connection",
            Self::Throttled => "throttled",
            Self::Error => "error",
            Self::ErrorAfter => "error after the effect",
            Self::AnswerLost => "answer lost",
            Self::Broken => "connection broken",
            Self::Lost => "request lost",
            Self::Late => "late effect",
            Self::Slow => "slow",
            Self::Crash => "crash",
        }
    }
}
