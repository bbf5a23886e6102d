//! Charges: their data, what may happen to them, and how they are shown.

use std::borrow::Cow;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::OTP;
use crate::cards::{Card, CardObject};
use crate::dialect::{Dialect, Info, ReversalAnswer};
use crate::error::GatewayError;
use crate::ids::Ids;
use crate::money::Satang;
use crate::time::bangkok_stamp;
use crate::token::{Token, slow_issuer_ms};
use crate::transaction_state::TransactionState;

/// How many wrong one-time passwords decline a charge.
const MAX_WRONG_OTPS: u8 = 3;

/// Why a charge was declined: a response code of ISO 8583 and its text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Refusal {
    Issuer,
    Authentication,
}

impl Refusal {
    fn failure(self) -> Failure {
        let (code, message) = match self {
            Self::Issuer => ("05", "Do not honor"),
            Self::Authentication => ("63", "3-D Secure authentication failed"),
        };
        Failure {
            code: code.to_owned(),
            message: message.to_owned(),
        }
    }
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Failure {
    code: String,
    message: String,
}

/// By which way the bank was asked to give money back.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Channel {
    /// The gateway API: by the merchant's system.
    #[default]
    Api,
    /// The merchant's portal: by a person.
    Portal,
}

/// How the bank refuses every void and refund that the API asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Refusing {
    /// With an error object and 400.
    Error,
    /// With the charge as it is, the status `fail`, and 200.
    Fail,
}

/// A change of a charge's state.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Event {
    at: Timestamp,
    transaction_state: TransactionState,
    /// By which way a void or a refund was asked for. None for every other change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    by: Option<Channel>,
}

/// A notification of a charge, and what the merchant answered.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Notification {
    /// When the bank made it.
    pub(crate) at: Timestamp,
    /// The state that it reports.
    pub(crate) transaction_state: TransactionState,
    /// The HTTP status of the answer; none as long as there is no answer.
    pub(crate) answer: Option<u16>,
    /// Why there is no answer.
    pub(crate) error: Option<String>,
}

/// A refund that was accepted.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Refund {
    id: String,
    amount: Satang,
    at: Timestamp,
    /// Refunds from before this was noted count as the API's.
    #[serde(default)]
    by: Channel,
    #[serde(default)]
    reason: Option<String>,
}

/// What a merchant asks for: the data of a charge that is checked and not made yet.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) amount: Satang,
    pub(crate) description: String,
    pub(crate) reference_order: String,
    pub(crate) ref_1: Option<String>,
    pub(crate) ref_2: Option<String>,
    pub(crate) ref_3: Option<String>,
    pub(crate) mid: Option<String>,
}

/// What the shopper does on the 3-D Secure page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ShopperAction<'a> {
    /// Sends this one-time password.
    Confirm {
        /// As typed.
        otp: &'a str,
    },
    /// Lets the authentication fail.
    Fail,
}

/// The result of the shopper's action.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ThreeDsResult {
    /// The action decided the charge.
    Decided,
    /// A slow issuer has been asked.
    Asked,
    /// The charge was decided before. Nothing changed.
    AlreadyDecided,
    /// The password was wrong.
    WrongOtp {
        /// How many tries are left.
        left: u8,
    },
}

/// A charge.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Charge {
    pub(crate) id: String,
    /// The charge's place in the order of creation.
    pub(crate) number: u64,
    pub(crate) token: String,
    pub(crate) order: Order,
    card: Card,
    card_id: String,
    #[serde(default)]
    dialect: Dialect,
    created: Timestamp,
    state: TransactionState,
    failure: Option<Failure>,
    approval_code: Option<String>,
    refunds: Vec<Refund>,
    wrong_otps: u8,
    /// How long the issuer of a slow card takes.
    #[serde(default = "slow_issuer_ms")]
    issuer_delay_ms: u64,
    /// Whether a slow issuer has been asked. The state says whether it has decided.
    #[serde(default)]
    issuer_asked: bool,
    /// How many inquiries and reversals were made, if the dialect counts them.
    #[serde(default)]
    inquiries: u32,
    #[serde(default)]
    reversals: u32,
    /// How voids and refunds are refused, until the bank is told otherwise.
    #[serde(default)]
    refusing: Option<Refusing>,
    history: Vec<Event>,
    pub(crate) notifications: Vec<Notification>,
}

impl Charge {
    /// The only currency.
    pub(crate) const CURRENCY: &'static str = "THB";

    /// Charges a card. With 3-D Secure it waits for the shopper; without it the issuer decides at once.
    pub(crate) fn create(
        order: Order,
        number: u64,
        (token_id, token): (&str, &Token),
        ids: &Ids,
        now: Timestamp,
    ) -> Self {
        let mut charge = Self {
            id: ids.new_id("chrg_test_", token_id),
            number,
            token: token_id.to_owned(),
            order,
            card: token.card,
            card_id: token.card_id.clone(),
            dialect: token.dialect,
            issuer_delay_ms: token.issuer_delay_ms,
            created: now,
            state: TransactionState::PreAuthorized,
            failure: None,
            approval_code: None,
            refunds: Vec::new(),
            wrong_otps: 0,
            issuer_asked: false,
            inquiries: 0,
            reversals: 0,
            refusing: None,
            history: Vec::new(),
            notifications: Vec::new(),
        };
        if token.card.needs_three_ds() {
            charge.enter(TransactionState::PreAuthorized, now);
        } else {
            charge.ask_issuer(now);
        }
        charge
    }

    /// Where the charge stands.
    pub(crate) fn state(&self) -> TransactionState {
        self.state
    }

    /// The dialect of what the bank says about it.
    pub(crate) fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Sets the dialect of what the bank says about it from now on.
    pub(crate) fn set_dialect(&mut self, dialect: Dialect) {
        self.dialect = dialect;
    }

    /// Counts an inquiry, if the dialect answers early ones otherwise. Returns how many there were before.
    pub(crate) fn count_inquiry(&mut self) -> u32 {
        let before = self.inquiries;
        if matches!(self.dialect, Dialect::InquiryLags | Dialect::PageInOutage) {
            self.inquiries += 1;
        }
        before
    }

    /// Refuses every void and refund that the API asks for from now on, or none.
    pub(crate) fn set_refusing(&mut self, refusing: Option<Refusing>) {
        self.refusing = refusing;
    }

    /// Counts a request for a void or a refund. Returns how the bank answers it. One that it was told to refuse does not
    /// count.
    pub(crate) fn count_reversal(&mut self) -> ReversalAnswer {
        match self.refusing {
            Some(Refusing::Error) => return ReversalAnswer::ErrorObject,
            Some(Refusing::Fail) => return ReversalAnswer::FailObject,
            None => {}
        }
        let manner = self.dialect.reversal(self.reversals == 0);
        self.reversals += 1;
        manner
    }

    /// Whether the charge has a 3-D Secure page.
    pub(crate) fn has_three_ds(&self) -> bool {
        self.card.needs_three_ds()
    }

    /// Whether the shopper still has to pass 3-D Secure.
    pub(crate) fn waits_for_shopper(&self) -> bool {
        self.state == TransactionState::PreAuthorized && !self.issuer_asked
    }

    /// Whether a slow issuer has been asked and has not decided.
    pub(crate) fn waits_for_issuer(&self) -> bool {
        self.state == TransactionState::PreAuthorized && self.issuer_asked
    }

    /// How long a slow issuer takes.
    pub(crate) fn issuer_delay(&self) -> Duration {
        Duration::from_millis(self.issuer_delay_ms)
    }

    /// The slow issuer decides, if it was asked.
    pub(crate) fn decide_late(&mut self, now: Timestamp) {
        if self.waits_for_issuer() {
            self.ask_issuer(now);
        }
    }

    /// Whether the shop gets neither callback nor notification of this charge.
    pub(crate) fn loses_the_callback(&self) -> bool {
        self.card.loses_the_callback()
    }

    /// The masked number of the card.
    pub(crate) fn card_masking(&self) -> String {
        self.card.masking()
    }

    /// The text of the decision on the way back to the shop.
    pub(crate) fn outcome_message(&self) -> &str {
        match &self.failure {
            Some(failure) => &failure.message,
            None if self.state.was_approved() => "Success",
            None => "Pending",
        }
    }

    /// Takes the shopper's action on the 3-D Secure page.
    pub(crate) fn authenticate(
        &mut self,
        action: ShopperAction<'_>,
        now: Timestamp,
    ) -> ThreeDsResult {
        if !self.waits_for_shopper() {
            return ThreeDsResult::AlreadyDecided;
        }
        match action {
            ShopperAction::Confirm { otp } if otp == OTP && self.card.is_slow() => {
                self.issuer_asked = true;
                return ThreeDsResult::Asked;
            }
            ShopperAction::Confirm { otp } if otp == OTP => self.ask_issuer(now),
            ShopperAction::Confirm { .. } => {
                self.wrong_otps += 1;
                if self.wrong_otps < MAX_WRONG_OTPS {
                    return ThreeDsResult::WrongOtp {
                        left: MAX_WRONG_OTPS - self.wrong_otps,
                    };
                }
                self.decline(Refusal::Authentication, now);
            }
            ShopperAction::Fail => self.decline(Refusal::Authentication, now),
        }
        ThreeDsResult::Decided
    }

    /// Cancels the whole charge. This is possible only before it is settled.
    pub(crate) fn void(&mut self, by: Channel, now: Timestamp) -> Result<(), GatewayError> {
        self.expect(
            TransactionState::Authorized,
            "charge_not_voidable",
            "voided",
        )?;
        self.enter_by(Some(by), TransactionState::Voided, now);
        Ok(())
    }

    /// The issuer approves after all: its decline was not the last word.
    pub(crate) fn approve_after_all(&mut self, now: Timestamp) -> Result<(), GatewayError> {
        self.expect(
            TransactionState::Declined,
            "charge_not_declined",
            "approved after all",
        )?;
        self.failure = None;
        self.approval_code = Some(approval_code(&self.id));
        self.enter(TransactionState::Authorized, now);
        Ok(())
    }

    /// Puts the charge into the settlement, as the daily batch does.
    pub(crate) fn settle(&mut self, now: Timestamp) -> Result<(), GatewayError> {
        self.expect(
            TransactionState::Authorized,
            "charge_not_settleable",
            "settled",
        )?;
        self.enter(TransactionState::Settled, now);
        Ok(())
    }

    /// Gives `amount` back. This is possible until nothing is left; the same amount again is another refund. Returns the
    /// refund's id.
    pub(crate) fn refund(
        &mut self,
        amount: Satang,
        by: Channel,
        reason: Option<String>,
        ids: &Ids,
        now: Timestamp,
    ) -> Result<String, GatewayError> {
        if self.state != TransactionState::RefundSent {
            self.expect(
                TransactionState::Settled,
                "charge_not_refundable",
                "refunded",
            )?;
        }
        let left = self.left();
        if amount == Satang::ZERO && left > Satang::ZERO {
            return Err(GatewayError::invalid(
                "`amount` of a refund must be more than 0",
            ));
        }
        if amount > left || left == Satang::ZERO {
            return Err(GatewayError::refused(
                "refund_exceeds_charge",
                format!(
                    "{} THB of the charge are left to refund",
                    left.two_decimals()
                ),
            ));
        }
        let refund = Refund {
            id: ids.new_id("rfnd_test_", &self.id),
            amount,
            at: now,
            by,
            reason,
        };
        let id = refund.id.clone();
        self.refunds.push(refund);
        self.enter_by(Some(by), TransactionState::RefundSent, now);
        Ok(id)
    }

    /// How much of the charge the shopper has paid and not got back.
    pub(crate) fn left(&self) -> Satang {
        match self.state {
            TransactionState::Authorized
            | TransactionState::Settled
            | TransactionState::RefundSent => self.order.amount.minus(self.refunded()),
            TransactionState::PreAuthorized
            | TransactionState::Declined
            | TransactionState::Voided => Satang::ZERO,
        }
    }

    /// The sum of the refunds.
    fn refunded(&self) -> Satang {
        // The sum never exceeds the charge's amount, so it does not overflow.
        self.refunds
            .iter()
            .try_fold(Satang::ZERO, |sum, refund| sum.plus(refund.amount))
            .unwrap_or(self.order.amount)
    }

    fn expect(
        &self,
        state: TransactionState,
        code: &'static str,
        what: &str,
    ) -> Result<(), GatewayError> {
        if self.state == state {
            return Ok(());
        }
        Err(GatewayError::refused(
            code,
            format!(
                "only a charge in the state {} can be {what}, this one is {}",
                state.as_str(),
                self.state.as_str()
            ),
        ))
    }

    fn ask_issuer(&mut self, now: Timestamp) {
        if self.card.approves() {
            self.approval_code = Some(approval_code(&self.id));
            self.enter(TransactionState::Authorized, now);
        } else {
            self.decline(Refusal::Issuer, now);
        }
    }

    fn decline(&mut self, refusal: Refusal, now: Timestamp) {
        self.failure = Some(refusal.failure());
        self.enter(TransactionState::Declined, now);
    }

    fn enter(&mut self, state: TransactionState, now: Timestamp) {
        self.enter_by(None, state, now);
    }

    fn enter_by(&mut self, by: Option<Channel>, state: TransactionState, now: Timestamp) {
        self.state = state;
        self.history.push(Event {
            at: now,
            transaction_state: state,
            by,
        });
    }

    /// The charge as the gateway answers it; `base` is the bank's own address.
    pub(crate) fn object(&self, base: &str) -> ChargeObject {
        ChargeObject {
            id: self.id.clone(),
            object: "charge",
            amount: self.order.amount.to_json(),
            currency: Self::CURRENCY,
            transaction_state: self.state.as_str().into(),
            status: self.state.status(),
            source: CardObject::new(&self.card_id, self.card),
            created: bangkok_stamp(self.created),
            redirect_url: (self.state == TransactionState::PreAuthorized)
                .then(|| format!("{base}/3ds/{}", self.id)),
            approval_code: self.approval_code.clone(),
            failure_code: self.failure.as_ref().map(|failure| failure.code.clone()),
            failure_message: self.failure.as_ref().map(|failure| failure.message.clone()),
            livemode: false,
            mpi: (),
            settlement_info: None,
            refund_info: None,
            metadata: (),
            reference_order: self.order.reference_order.clone(),
            description: self.order.description.clone(),
            ref_1: self.order.ref_1.clone(),
            ref_2: self.order.ref_2.clone(),
            ref_3: self.order.ref_3.clone(),
            refund_id: None,
        }
    }

    /// The text of the charge object in the charge's dialect. It is JSON, perhaps after a blank line.
    pub(crate) fn text_in_dialect(&self, base: &str) -> String {
        self.dialect
            .write(&self.object_in_dialect(base), self.order.amount)
    }

    /// The charge object with state and status in the charge's dialect, and with what happened to the money if the
    /// dialect tells it.
    pub(crate) fn object_in_dialect(&self, base: &str) -> ChargeObject {
        let (state, status) = self.dialect.state(self.state);
        ChargeObject {
            transaction_state: state,
            status,
            settlement_info: self.dialect.info(self.settlements()),
            refund_info: self.dialect.info(self.refund_infos()),
            ..self.object(base)
        }
    }

    /// The settlement, once there is one.
    fn settlements(&self) -> Vec<SettlementInfo> {
        self.history
            .iter()
            .filter(|event| event.transaction_state == TransactionState::Settled)
            .map(|event| SettlementInfo {
                amount: self.order.amount.to_json(),
                created: bangkok_stamp(event.at),
            })
            .collect()
    }

    /// The refunds, the oldest first.
    fn refund_infos(&self) -> Vec<RefundInfo> {
        self.refunds
            .iter()
            .map(|refund| RefundInfo {
                refund_id: refund.id.clone(),
                amount: refund.amount.to_json(),
                created: bangkok_stamp(refund.at),
            })
            .collect()
    }

    /// The charge and all that happened to it, as the sandbox shows it.
    pub(crate) fn record(&self, base: &str) -> ChargeRecord<'_> {
        ChargeRecord {
            charge: self.object(base),
            mid: self.order.mid.as_deref(),
            dialect: self.dialect,
            wrong_otps: self.wrong_otps,
            left: self.left().to_json(),
            refusing: self.refusing,
            history: &self.history,
            notifications: &self.notifications,
            refunds: self
                .refunds
                .iter()
                .map(|refund| RefundRecord {
                    refund_id: &refund.id,
                    amount: refund.amount.to_json(),
                    at: refund.at,
                    by: refund.by,
                    reason: refund.reason.as_deref(),
                })
                .collect(),
        }
    }
}

/// Six digits like an issuer's approval code. They are always the same for one charge.
fn approval_code(charge_id: &str) -> String {
    let hash = Sha256::digest(charge_id);
    let number = u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]);
    format!("{:06}", number % 1_000_000)
}

/// The gateway's charge object.
///
/// `mpi`, `settlement_info`, `refund_info` and `metadata` stand in the bank's own sample, where the two in the middle are
/// `""` (public/PaymentGateway/Charge.en.md in github.com/mzget/markdown-for-open-api), and in other samples as null,
/// objects and lists. Their layout is not public: what two dialects write into them is this sandbox's own.
#[derive(Serialize)]
pub(crate) struct ChargeObject {
    pub(crate) id: String,
    object: &'static str,
    amount: Box<RawValue>,
    currency: &'static str,
    pub(crate) transaction_state: Cow<'static, str>,
    pub(crate) status: &'static str,
    source: CardObject,
    created: String,
    redirect_url: Option<String>,
    approval_code: Option<String>,
    failure_code: Option<String>,
    failure_message: Option<String>,
    livemode: bool,
    mpi: (),
    settlement_info: Option<Info<SettlementInfo>>,
    refund_info: Option<Info<RefundInfo>>,
    metadata: (),
    reference_order: String,
    description: String,
    ref_1: Option<String>,
    ref_2: Option<String>,
    ref_3: Option<String>,
    /// Only in the answer to a refund.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) refund_id: Option<String>,
}

#[derive(Serialize)]
struct SettlementInfo {
    amount: Box<RawValue>,
    created: String,
}

#[derive(Serialize)]
struct RefundInfo {
    refund_id: String,
    amount: Box<RawValue>,
    created: String,
}

/// A charge with its history.
#[derive(Serialize)]
pub(crate) struct ChargeRecord<'a> {
    #[serde(flatten)]
    charge: ChargeObject,
    mid: Option<&'a str>,
    dialect: Dialect,
    wrong_otps: u8,
    /// What the shopper has paid and not got back, in baht.
    left: Box<RawValue>,
    refusing: Option<Refusing>,
    history: &'a [Event],
    notifications: &'a [Notification],
    refunds: Vec<RefundRecord<'a>>,
}

#[derive(Serialize)]
struct RefundRecord<'a> {
    refund_id: &'a str,
    amount: Box<RawValue>,
    at: Timestamp,
    by: Channel,
    reason: Option<&'a str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const RIGHT: ShopperAction<'_> = ShopperAction::Confirm { otp: OTP };
    const WRONG: ShopperAction<'_> = ShopperAction::Confirm { otp: "654321" };

    fn satang(json: &str) -> Satang {
        Satang::from_json(&RawValue::from_string(json.to_owned()).unwrap()).unwrap()
    }

    fn ids() -> Ids {
        Ids::of(crate::ids::system())
    }

    fn charge(card: &str) -> Charge {
        let order = Order {
            amount: satang("100"),
            description: "Order 482500007436".to_owned(),
            reference_order: "482500007436-1".to_owned(),
            ref_1: None,
            ref_2: None,
            ref_3: None,
            mid: None,
        };
        let (id, now) = ("tokn_test_x", Timestamp::UNIX_EPOCH);
        let card = Card::by_number(card).unwrap();
        let token = Token::issue(id, card, Dialect::Usual, None, &ids(), now);
        Charge::create(order, 1, (id, &token), &ids(), now)
    }

    fn history(charge: &Charge) -> Vec<&'static str> {
        charge
            .history
            .iter()
            .map(|event| event.transaction_state.as_str())
            .collect()
    }

    #[test]
    fn the_card_decides_what_a_new_charge_is() {
        for (card, states) in [
            ("4417706600005830", "Pre-Authorized"),
            ("5149504001969007", "Pre-Authorized"),
            ("4024007134786226", "Authorized"),
            ("4877300371267473", "Declined"),
        ] {
            assert_eq!(history(&charge(card)), [states], "{card}");
        }
    }

    #[test]
    fn a_second_action_after_the_decision_changes_nothing() {
        let mut charge = charge("4417706600005830");
        assert_eq!(
            charge.authenticate(RIGHT, Timestamp::UNIX_EPOCH),
            ThreeDsResult::Decided
        );
        let decided = charge.clone();
        for action in [ShopperAction::Fail, WRONG, RIGHT] {
            assert_eq!(
                charge.authenticate(action, Timestamp::UNIX_EPOCH),
                ThreeDsResult::AlreadyDecided
            );
        }
        assert_eq!(charge, decided);
    }

    #[test]
    fn a_slow_issuer_decides_once_after_it_was_asked() {
        let mut charge = charge("4000000000005100");
        charge.decide_late(Timestamp::UNIX_EPOCH);
        assert!(charge.waits_for_shopper());
        assert_eq!(
            charge.authenticate(RIGHT, Timestamp::UNIX_EPOCH),
            ThreeDsResult::Asked
        );
        assert!(charge.waits_for_issuer() && !charge.waits_for_shopper());
        assert_eq!(
            charge.authenticate(ShopperAction::Fail, Timestamp::UNIX_EPOCH),
            ThreeDsResult::AlreadyDecided
        );
        charge.decide_late(Timestamp::UNIX_EPOCH);
        charge.decide_late(Timestamp::UNIX_EPOCH);
        assert_eq!(history(&charge), ["Pre-Authorized", "Authorized"]);
    }

    #[test]
    fn the_third_wrong_password_declines() {
        let mut charge = charge("4417706600005830");
        let results: Vec<_> = (0..3)
            .map(|_| charge.authenticate(WRONG, Timestamp::UNIX_EPOCH))
            .collect();
        assert_eq!(
            results,
            [
                ThreeDsResult::WrongOtp { left: 2 },
                ThreeDsResult::WrongOtp { left: 1 },
                ThreeDsResult::Decided
            ]
        );
        assert_eq!(history(&charge), ["Pre-Authorized", "Declined"]);
    }

    #[test]
    fn a_right_password_is_accepted_after_wrong_ones() {
        let mut charge = charge("4417706600005830");
        charge.authenticate(WRONG, Timestamp::UNIX_EPOCH);
        charge.authenticate(WRONG, Timestamp::UNIX_EPOCH);
        charge.authenticate(RIGHT, Timestamp::UNIX_EPOCH);
        assert_eq!(history(&charge), ["Pre-Authorized", "Authorized"]);
    }

    #[test]
    fn refunds_never_exceed_the_charge() {
        let mut charge = charge("4024007134786226");
        let now = Timestamp::UNIX_EPOCH;
        charge.settle(now).unwrap();
        charge
            .refund(satang("60.5"), Channel::Api, None, &ids(), now)
            .unwrap();
        let error = charge
            .refund(satang("39.51"), Channel::Api, None, &ids(), now)
            .unwrap_err();
        assert_eq!(error.code, "refund_exceeds_charge");
        assert!(error.message.starts_with("39.50 THB"), "{}", error.message);
        assert_eq!(
            charge
                .refund(Satang::ZERO, Channel::Api, None, &ids(), now)
                .unwrap_err()
                .code,
            "invalid_request"
        );
        charge
            .refund(satang("39.50"), Channel::Api, None, &ids(), now)
            .unwrap();
        assert!(
            charge
                .refund(satang("0.01"), Channel::Api, None, &ids(), now)
                .is_err()
        );
        assert_eq!(
            history(&charge),
            ["Authorized", "Settled", "Refund Sent", "Refund Sent"]
        );
    }

    #[test]
    fn a_charge_is_voided_settled_and_refunded_only_in_the_right_state() {
        let now = Timestamp::UNIX_EPOCH;
        let one = satang("1");
        let mut pending = charge("4417706600005830");
        assert!(
            pending.void(Channel::Api, now).is_err()
                && pending.settle(now).is_err()
                && pending
                    .refund(one, Channel::Api, None, &ids(), now)
                    .is_err()
        );
        let mut declined = charge("4877300371267473");
        assert!(
            declined.void(Channel::Api, now).is_err()
                && declined.settle(now).is_err()
                && declined
                    .refund(one, Channel::Api, None, &ids(), now)
                    .is_err()
        );
        declined.approve_after_all(now).unwrap();
        assert_eq!(history(&declined).last(), Some(&"Authorized"));
        assert!(
            declined.approve_after_all(now).is_err() && pending.approve_after_all(now).is_err()
        );
        declined.settle(now).unwrap();
        let mut voided = charge("4024007134786226");
        assert!(voided.refund(one, Channel::Api, None, &ids(), now).is_err());
        voided.void(Channel::Api, now).unwrap();
        assert!(
            voided.void(Channel::Api, now).is_err()
                && voided.settle(now).is_err()
                && voided.refund(one, Channel::Api, None, &ids(), now).is_err()
        );
        let mut settled = charge("4024007134786226");
        settled.settle(now).unwrap();
        assert!(settled.void(Channel::Api, now).is_err() && settled.settle(now).is_err());
    }
}
