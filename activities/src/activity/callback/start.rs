//! Starts the execution of a payment's attempt, for returns and notifications alike.

use std::time::Duration;

use super::Parts;
use crate::bank::Bank;
use crate::domain::browser_return::ReportedStatus;
use crate::domain::charge::Word;
use crate::domain::ids::{ChargeId, RecordKey};
use crate::executions::{ExecutionInput, NotStarted, Source, Started};
use crate::tables::TableError;
use crate::tables::records::Record;
use crate::tables::sources::{Foreign, Found, TakeOverError};

/// Within which time the bank must say whether it has decided, while a browser waits.
const ASK_WITHIN: Duration = Duration::from_secs(5);

/// What came in, for the input of the execution.
pub(super) struct Message<'a> {
    pub(super) source: Source,
    pub(super) charge_id: &'a ChargeId,
    pub(super) status: ReportedStatus,
    pub(super) request_id: Option<&'a str>,
}

impl Message<'_> {
    pub(super) fn input<'a>(&'a self, record_key: Option<&'a RecordKey>) -> ExecutionInput<'a> {
        ExecutionInput {
            source: self.source,
            charge_id: self.charge_id,
            status: Some(self.status),
            record_key,
            request_id: self.request_id,
        }
    }
}

/// What of a payment is in our own table.
pub(super) enum Here<'a> {
    /// Its record: our own, or the copy of a foreign one.
    Open(Box<Record>),
    /// Nothing: another stack works on it, or is done with it.
    Elsewhere(&'a Foreign),
    /// Nothing: the foreign record cannot be copied. An execution shows in the console what stands in the way.
    Stands(TakeOverError, Started),
}

/// The payment's record in our own table; a foreign one is copied there first, so that it stands in the index of open
/// records before anything of it runs.
///
/// # Errors
/// [`NotStarted`] where it could not be copied now.
pub(super) async fn open_here<'a>(
    parts: &Parts,
    message: &Message<'_>,
    found: &'a Found,
) -> Result<Here<'a>, NotStarted> {
    let foreign = match found {
        Found::Own(record) => return Ok(Here::Open(record.clone())),
        Found::Foreign(foreign) if foreign.is_done() => return Ok(Here::Elsewhere(foreign)),
        Found::Foreign(foreign) => foreign,
    };
    let error = match parts.sources.take_over(foreign, &parts.orders).await {
        Ok(copy) => return Ok(Here::Open(Box::new(copy))),
        Err(TakeOverError::Table(error @ TableError::Unavailable { .. })) => {
            return Err(error.into());
        }
        Err(error) => error,
    };
    let started = parts.executions.start(&message.input(None), 0).await?;
    Ok(match error {
        TakeOverError::HandledElsewhere => Here::Elsewhere(foreign),
        error => Here::Stands(error, started),
    })
}

/// For a return beyond those that are counted. It asks the bank, at most once in a few seconds per charge, and goes on
/// if the bank has decided. Otherwise, and where another return has just asked, reconciliation looks at the payment
/// soon.
pub(super) async fn ask(
    parts: &Parts,
    message: &Message<'_>,
    record: &Record,
    now: i64,
) -> Result<(), NotStarted> {
    let own = parts.sources.own();
    if !record.return_may_ask(now) {
        own.look_soon(record, now).await?;
        return Ok(());
    }
    if !own.take_return_ask(record, now).await? {
        return Ok(());
    }
    // What was found by an index may be behind.
    let Some(record) = own.get(&record.key).await? else {
        return Ok(());
    };
    if !record.is_abandoned() && (record.is_closed() || record.outcome.is_some()) {
        return Ok(());
    }
    let decided = match ask_bank(&parts.bank, &record).await {
        Some(Word::Act) => true,
        // Money may have moved.
        Some(Word::UnknownState) => false,
        // An execution would just wait.
        Some(Word::Undecided | Word::UnknownCharge) | None => return Ok(()),
    };
    if !record.is_abandoned() {
        if decided {
            start_attempt(parts, message, &record).await?;
        }
        return Ok(());
    }
    let Some(attempt) = own.reopen_abandoned(&record).await? else {
        return Ok(());
    };
    tracing::warn!(attempt, "a payment that was given up is opened again");
    // Of a state that is not known here, reconciliation tells a person as long as it lasts: an execution would just
    // wait.
    if decided {
        let input = message.input(Some(&record.key));
        log_start(parts.executions.start(&input, attempt).await?, attempt);
    }
    Ok(())
}

/// What the bank's word on a record's charge asks for; `None` where it does not answer.
async fn ask_bank(bank: &Bank, record: &Record) -> Option<Word> {
    let payment = record.payment()?;
    match bank.within(ASK_WITHIN).judge(&payment).await {
        Ok((_, judged)) => Some(Word::of(judged)),
        Err(error) => {
            tracing::warn!(reason = %error, "the bank could not be asked for a return");
            None
        }
    }
}

/// Starts the execution of the record's attempt, and sets the next look, so that a failed execution is found.
pub(super) async fn start_attempt(
    parts: &Parts,
    message: &Message<'_>,
    record: &Record,
) -> Result<Started, NotStarted> {
    let own = parts.sources.own();
    let looks = own.look_before_a_start(record, own.clock().seconds()).await;
    let brought_forward = left_if_late(looks);
    let started = start_once(parts, message, record).await?;
    // Not before: a name that is used up starts nothing, and whoever posts returns must not put a payment off.
    if started == Started::Now && !brought_forward {
        left_if_late(own.look_after_a_start(record, own.clock().seconds()).await);
    }
    Ok(started)
}

/// The start matters more than the look: LookupRecord sets the next look, too.
fn left_if_late(looks: Result<bool, TableError>) -> bool {
    looks.unwrap_or_else(|error| {
        tracing::warn!(reason = %error, "the next look at the payment may stay late");
        false
    })
}

pub(super) async fn start_once(
    parts: &Parts,
    message: &Message<'_>,
    record: &Record,
) -> Result<Started, NotStarted> {
    let input = message.input(Some(&record.key));
    let started = parts.executions.start(&input, record.attempt).await?;
    log_start(started, record.attempt);
    Ok(started)
}

pub(super) fn log_start(started: Started, attempt: u32) {
    if started == Started::Now {
        tracing::info!(attempt, "execution started");
    }
}

/// `None` where another transaction held the record at that moment.
pub(super) fn unless_conflict<T>(written: Result<T, TableError>) -> Result<Option<T>, NotStarted> {
    match written {
        Ok(written) => Ok(Some(written)),
        Err(error) if error.is_conflict() => Ok(None),
        Err(error) => Err(error.into()),
    }
}
