//! What each function does: a file per state of the state machine, and one for each HTTP route.

pub mod add_card;
pub mod callback;
pub mod cardtoken;
pub mod check_refund;
pub mod check_status;
pub mod ensure_kbank_user;
pub mod find_refund;
pub mod inquire_charge;
pub mod lookup_record;
pub mod notify;
pub mod parse_callback;
pub mod pay_order;
pub mod reconcile;
pub mod record_elsewhere;
pub mod record_outcome;
pub mod record_refund;
pub mod refund_charge;
pub mod refund_request;
pub mod report_stuck;
pub mod reverse_charge;
pub mod void_charge;

use crate::failure::{Failure, Name};

/// A function that a state machine calls: that of payments, that of refunds, or both.
#[derive(Debug, Clone, Copy)]
pub struct Activity {
    /// Its program in `src/bin`, and the middle part of the function's name. The file in `src/activity` has this name,
    /// too, and so has the placeholder for its ARN in `statemachine/*.asl.json`: `${RecordOutcomeFunction}`.
    pub program: &'static str,
    /// Its own errors. That its input cannot be read may befall each of them.
    pub errors: &'static [Name],
}

/// Every function that a state machine calls.
pub const ACTIVITIES: &[Activity] = &[
    activity::<parse_callback::InvalidCallback>("parse-callback"),
    activity::<lookup_record::LookupError>("lookup-record"),
    activity::<inquire_charge::InquiryError>("inquire-charge"),
    activity::<record_outcome::RecordError>("record-outcome"),
    activity::<pay_order::PayError>("pay-order"),
    activity::<reverse_charge::ReverseError>("reverse-charge"),
    activity::<notify::NotifyError>("notify"),
    activity::<ensure_kbank_user::EnsureError>("ensure-kbank-user"),
    activity::<add_card::AddCardError>("add-card"),
    activity::<check_refund::CheckError>("check-refund"),
    activity::<refund_request::RequestError>("void-charge"),
    activity::<refund_request::RequestError>("refund-charge"),
    activity::<find_refund::FindError>("find-refund"),
    activity::<record_refund::RecordError>("record-refund"),
    activity::<record_elsewhere::ElsewhereError>("record-elsewhere"),
    activity::<report_stuck::ReportError>("report-stuck"),
];

const fn activity<E: Failure>(program: &'static str) -> Activity {
    Activity {
        program,
        errors: E::NAMES,
    }
}
