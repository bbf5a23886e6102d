//! The ways in which the system is broken on purpose: one list for the matrix on the local AWS and for the simulator.

use crate::broken_copy::{Break, Change};
use crate::definition_change::DefinitionChange;

/// An order is paid even if another payment has paid it already.
pub static PAID_TWICE: Break = Break {
    name: "an order is paid even if another payment has paid it already",
    file: "activities/src/tables/orders/mod.rs",
    change: Change::Replace {
        this: r##".condition_expression(conditions.join(" AND "))"##,
        by: r##".condition_expression(conditions.join(" AND ") + " OR attribute_exists(orderId)")"##,
    },
};

/// A reversal is recorded, but not requested from the bank.
pub static REVERSED_WITHOUT_REQUEST: Break = Break {
    name: "a reversal is recorded, but not requested from the bank",
    file: "activities/src/activity/reverse_charge.rs",
    change: Change::Replace {
        this: "let voided = bank.void(&charge.id, REASON).await;",
        by: "let voided = Ok::<bool, BankError>(true);",
    },
};

/// The record is stored after the charge.
pub static STORED_AFTER_THE_CHARGE: Break = Break {
    name: "the record is stored after the charge",
    file: "activities/src/activity/cardtoken/mod.rs",
    change: Change::Move {
        from: "    let checkouts = &parts.checkouts;\n    let mut begun = ",
        to: "    let new_charge = NewCharge {",
        before: "    let record = records.get(&key).await.map_err(cannot_look)?;\n    proceed(",
    },
};

/// An order that cannot be read is treated as deleted.
pub static UNREADABLE_IS_DELETED: Break = Break {
    name: "an order that cannot be read is treated as deleted",
    file: "activities/src/tables/orders/mod.rs",
    change: Change::Replace {
        this: "let item = self.item(id).await?;",
        by: "let item = self.item(id).await.unwrap_or(None);",
    },
};

/// A failed attempt is not counted, so the name of its execution cannot be used again.
pub static ATTEMPT_NOT_COUNTED: Break = Break {
    name: "a failed attempt is not counted, so the name of its execution cannot be used again",
    file: "activities/src/activity/reconcile/attempts.rs",
    change: Change::Replace {
        this: "self.next_attempt(record, charge_id, &name, &error).await",
        by: "self.put_off(record, super::MINUTE, Noted::Nothing).await?; Ok(Done::Running)",
    },
};

/// More is reserved than was paid.
pub static MORE_RESERVED_THAN_PAID: Break = Break {
    name: "more is reserved than was paid",
    file: "activities/src/tables/records/refunds.rs",
    change: Change::Replace {
        this: r##"None => "(attribute_not_exists(refundedSatang) OR refundedSatang <= :most)".to_owned(),"##,
        by: r##"None => "(attribute_not_exists(refundedSatang) OR refundedSatang <> :most)".to_owned(),"##,
    },
};

/// The ledger does not say that the bank is being asked.
pub static NOT_SAID_THAT_ASKED: Break = Break {
    name: "the ledger does not say that the bank is being asked",
    file: "activities/src/activity/refund_request.rs",
    change: Change::Replace {
        this: "        parts\n            .records\n            .ask_refund(payment, &refund.refund_id, mark, &run),",
        by: "        async { Ok::<bool, TableError>(true) },",
    },
};

/// A request whose answer is lost counts as not sent, and is sent again.
pub static LOST_IS_NOT_SENT: Break = Break {
    name: "a request whose answer is lost counts as not sent, and is sent again",
    file: "activities/src/activity/refund_request.rs",
    change: Change::Replace {
        this: "BankError::Unavailable(_) => Self::AnswerLost(error.to_string()),",
        by: "BankError::Unavailable(_) => Self::RefundNotSent(error.to_string()),",
    },
};

/// A part of which nobody can tell is taken for not done.
pub static UNCLEAR_IS_NOT_DONE: Break = Break {
    name: "a part of which nobody can tell is taken for not done",
    file: "activities/src/activity/find_refund.rs",
    change: Change::Replace {
        this: "        _ => Found::Unclear,",
        by: "        _ => Found::TookNone,",
    },
};

/// An execution takes back what another one asks for.
pub static TAKES_BACK_ANOTHERS: Break = Break {
    name: "an execution takes back what another one asks for",
    file: "statemachine/refund.asl.json",
    change: Change::Definition(DefinitionChange {
        pointer: "/States/TakeBack/Arguments/ConditionExpression",
        this: "refunds.#id.#state = :asked AND refunds.#id.mark = :mark",
        by: "refunds.#id.#state = :asked AND (refunds.#id.mark = :mark OR refunds.#id.mark <> :mark)",
    }),
};

/// The amount of a refund that is given up stays taken.
pub static STAYS_TAKEN: Break = Break {
    name: "the amount of a refund that is given up stays taken",
    file: "statemachine/refund.asl.json",
    change: Change::Definition(DefinitionChange {
        pointer: "/States/ReleaseRefund/Arguments/UpdateExpression",
        this: "ADD refundedSatang :released",
        by: "ADD releasedSatang :released",
    }),
};

/// A refund counts as done without proof from the bank.
pub static BELIEVED_WITHOUT_PROOF: Break = Break {
    name: "a refund counts as done without proof from the bank",
    file: "activities/src/bank/mod.rs",
    change: Change::Replace {
        this: "let said = wire::reversal(&answer, id, &TransactionState::RefundSent)?;",
        by: "let said = Said::Done;",
    },
};

/// A payment that is put off waits a thousand times as long, in milliseconds.
pub static PUT_OFF_FOR_EVER: Break = Break {
    name: "a payment that is put off waits a thousand times as long, in milliseconds",
    file: "activities/src/tables/records/reconcile.rs",
    change: Change::Replace {
        this: "self.put_off_as_read(&record.key, record.look_again_at, update, at, since)",
        by: "self.put_off_as_read(&record.key, record.look_again_at, update, at * 1000, since)",
    },
};

/// Nobody looks at a payment again after its execution was started.
pub static NO_LOOK_AFTER_A_START: Break = Break {
    name: "nobody looks at a payment again after its execution was started",
    file: "activities/src/tables/records/look.rs",
    change: Change::Replace {
        this: r##"                (":latest", Some(n(latest))),
                (":attempt","##,
        by: r##"                (":latest", Some(n(latest * 1000))),
                (":attempt","##,
    },
};

/// Nobody looks at a payment again after its attempt was counted.
pub static NO_LOOK_AFTER_A_COUNT: Break = Break {
    name: "nobody looks at a payment again after its attempt was counted",
    file: "activities/src/tables/records/reconcile.rs",
    change: Change::Replace {
        this: r##"                    (":at", Some(n(at))),
                    (":since", Some(n(trouble_since))),"##,
        by: r##"                    (":at", Some(n(at * 1000))),
                    (":since", Some(n(trouble_since))),"##,
    },
};

/// Reconciliation counts an attempt that another has counted.
pub static COUNTED_WITHOUT_CONDITION: Break = Break {
    name: "reconciliation counts an attempt that another has counted",
    file: "activities/src/tables/records/reconcile.rs",
    change: Change::Replace {
        this: r##""attempt = :this AND attribute_exists(openShard)""##,
        by: r##""(attempt = :this OR attribute_exists(openShard))""##,
    },
};

/// A customer is claimed by the charge, and not by the execution.
pub static CLAIMED_BY_CHARGE: Break = Break {
    name: "a customer is claimed by the charge, and not by the execution",
    file: "activities/src/activity/ensure_kbank_user.rs",
    change: Change::Replace {
        this: "let execution = input.execution.as_deref().unwrap_or(charge.as_str());",
        by: "let execution = charge.as_str();",
    },
};

/// A repeated event has another id.
pub static EVENT_ID_NOT_STABLE: Break = Break {
    name: "a repeated event has another id",
    file: "activities/src/activity/notify.rs",
    change: Change::Replace {
        this: "let event_id = event_id(input);",
        by: r##"let event_id = format!("{}:{}", event_id(input), shop.endpoint.clock().seconds());"##,
    },
};

/// An execution works with the record as an index shows it.
pub static INDEX_BELIEVED_AT_LOOKUP: Break = Break {
    name: "an execution works with the record as an index shows it",
    file: "activities/src/activity/lookup_record.rs",
    change: Change::Replace {
        this: "Some(Found::Own(record)) => read(parts, &record.key, &input.charge_id).await,",
        by: "Some(Found::Own(record)) => Ok(*record),",
    },
};

/// A refund is refused for good where an index does not show its payment yet.
pub static LAG_REFUSES_A_REFUND: Break = Break {
    name: "a refund is refused for good where an index does not show its payment yet",
    file: "activities/src/activity/check_refund.rs",
    change: Change::Replace {
        this: "let key = key_of(tables, &charge, behind).await?;",
        by: "let _ = behind; let key = key_of(tables, &charge, unpaid).await?;",
    },
};

/// A notification is taken for the record as an index shows it.
pub static INDEX_BELIEVED_OF_A_NOTIFICATION: Break = Break {
    name: "a notification is taken for the record as an index shows it",
    file: "activities/src/activity/callback/notification.rs",
    change: Change::Replace {
        this: "let record = parts.sources.own().get(&indexed.key).await;",
        by: "let record = Ok::<_, crate::tables::TableError>(Some(*indexed));",
    },
};

/// A decision never becomes too old.
pub static STALE_DECISION: Break = Break {
    name: "a decision never becomes too old",
    file: "activities/src/domain/decision.rs",
    change: Change::Replace {
        this: ".is_none_or(|asked_at| now - asked_at > HOLDS_FOR)",
        by: ".is_none_or(|asked_at| asked_at - now > HOLDS_FOR)",
    },
};

/// Every return starts an execution.
pub static RETURNS_WITHOUT_BOUND: Break = Break {
    name: "every return starts an execution",
    file: "activities/src/tables/records/returns.rs",
    change: Change::Replace {
        this: "self.recent_return_starts(now).count() < RETURN_STARTS",
        by: "self.recent_return_starts(now).count() < RETURN_STARTS * 1000",
    },
};

/// The record does not say that the bank is asked for a refund.
pub static REVERSAL_NOT_NOTED: Break = Break {
    name: "the record does not say that the bank is asked for a refund",
    file: "activities/src/activity/reverse_charge.rs",
    change: Change::Replace {
        this: "self.note_refund(payment, mark).await",
        by: "Ok(!mark.is_empty() && payment.amount_satang != crate::domain::money::Satang::ZERO)",
    },
};

/// A decline is recorded over an authorisation.
pub static DECLINED_OVER_AUTHORISED: Break = Break {
    name: "a decline is recorded over an authorisation",
    file: "activities/src/tables/records/outcome.rs",
    change: Change::Replace {
        this: r##""outcome IN (:pending, :outcome) AND (attribute_not_exists(paidNotifiedAt)"##,
        by: r##""(outcome IN (:pending, :outcome) OR outcome <> :outcome) AND (attribute_not_exists(paidNotifiedAt)"##,
    },
};

/// A decline is recorded though the bank has signed an authorisation since.
pub static DECLINED_OVER_SIGNED: Break = Break {
    name: "a decline is recorded though the bank has signed an authorisation since",
    file: "activities/src/tables/records/outcome.rs",
    change: Change::Replace {
        this: "OR paidNotifiedAt < :overtaken)",
        by: "OR paidNotifiedAt <> :overtaken)",
    },
};

/// An order that another transaction holds counts as one that cannot be paid.
pub static CONFLICT_IS_REFUSAL: Break = Break {
    name: "an order that another transaction holds counts as one that cannot be paid",
    file: "activities/src/activity/pay_order.rs",
    change: Change::Replace {
        this: "Err(NotWritten::Conflict) => return Err(PayError::TransactionConflict),",
        by: "Err(NotWritten::Conflict) => return Err(PayError::OrderNotPayable),",
    },
};

/// An authorisation after a decline is answered and forgotten.
pub static LATE_AUTHORISATION_IGNORED: Break = Break {
    name: "an authorisation after a decline is answered and forgotten",
    file: "activities/src/activity/callback/notification.rs",
    change: Change::Replace {
        this: "Some(Outcome::Declined) => own.reopen_declined(&record).await,",
        by: "Some(Outcome::Declined) => return Ok(()),",
    },
};

/// A record is closed whatever became of its money.
pub static CLOSED_WITHOUT_GUARD: Break = Break {
    name: "a record is closed whatever became of its money",
    file: "statemachine/payment.asl.json",
    change: Change::Definition(DefinitionChange {
        pointer: "/States/CloseRecord/Arguments/ConditionExpression",
        this: "#attempt = :attempt AND outcome IN (:stored, :later) AND (",
        by: "#attempt = :attempt OR outcome IN (:stored, :later) OR (",
    }),
};

/// An execution counts an attempt that another has counted.
pub static COUNTED_TWICE: Break = Break {
    name: "an execution counts an attempt that another has counted",
    file: "statemachine/payment.asl.json",
    change: Change::Definition(DefinitionChange {
        pointer: "/States/AwaitBank/Arguments/ConditionExpression",
        this: "#attempt = :this AND attribute_exists(openShard)",
        by: "(#attempt = :this OR attribute_exists(openShard))",
    }),
};

/// How a payment ended is written whatever apps are shown by then.
pub static ENDED_UNSEEN: Break = Break {
    name: "a payment's end is written though apps are shown it as pending by then",
    file: "activities/src/tables/write.rs",
    change: Change::Replace {
        this: "for item in [&set, &anothers, &set, &anothers] {\n        let items = needed.iter().chain([item]).cloned().collect();",
        by: "drop(anothers);\n    for item in [Some(&set), None] {\n        let items = needed.iter().chain(item).cloned().collect();",
    },
};

/// All of them.
pub static ALL: [&Break; 31] = [
    &PAID_TWICE,
    &REVERSED_WITHOUT_REQUEST,
    &STORED_AFTER_THE_CHARGE,
    &UNREADABLE_IS_DELETED,
    &ATTEMPT_NOT_COUNTED,
    &MORE_RESERVED_THAN_PAID,
    &NOT_SAID_THAT_ASKED,
    &LOST_IS_NOT_SENT,
    &UNCLEAR_IS_NOT_DONE,
    &TAKES_BACK_ANOTHERS,
    &STAYS_TAKEN,
    &BELIEVED_WITHOUT_PROOF,
    &PUT_OFF_FOR_EVER,
    &NO_LOOK_AFTER_A_START,
    &NO_LOOK_AFTER_A_COUNT,
    &COUNTED_WITHOUT_CONDITION,
    &CLAIMED_BY_CHARGE,
    &EVENT_ID_NOT_STABLE,
    &INDEX_BELIEVED_AT_LOOKUP,
    &LAG_REFUSES_A_REFUND,
    &INDEX_BELIEVED_OF_A_NOTIFICATION,
    &STALE_DECISION,
    &RETURNS_WITHOUT_BOUND,
    &REVERSAL_NOT_NOTED,
    &DECLINED_OVER_AUTHORISED,
    &DECLINED_OVER_SIGNED,
    &CONFLICT_IS_REFUSAL,
    &LATE_AUTHORISATION_IGNORED,
    &CLOSED_WITHOUT_GUARD,
    &COUNTED_TWICE,
    &ENDED_UNSEEN,
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;

    use super::*;
    use crate::workspace;

    #[test]
    fn every_break_fits_the_sources() {
        for broken in ALL {
            let text = fs::read_to_string(workspace::root().join(broken.file));
            let changed = broken.broken().expect("it fits");
            assert_ne!(changed, text.expect("the source"), "{}", broken.name);
        }
    }

    #[test]
    fn every_break_has_a_name_of_its_own() {
        let names: BTreeSet<_> = ALL.iter().map(|broken| broken.name).collect();
        assert_eq!(names.len(), ALL.len());
    }
}
