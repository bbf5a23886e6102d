//! What each function does: a file per state of the state machine, and one for each HTTP route.

pub mod add_card;
pub mod callback;
pub mod cardtoken;
pub mod check_status;
pub mod ensure_kbank_user;
pub mod inquire_charge;
pub mod lookup_record;
pub mod notify;
pub mod parse_callback;
pub mod pay_order;
pub mod reconcile;
pub mod record_outcome;
pub mod reverse_charge;
