//! What must hold of the refunds of a charge that paid its order. The bank gave back what the ledger says, never more
//! than was paid. The check status, the order and the events agree with the ledger.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Findings, baht};
use crate::ledger::{ELSEWHERE, Entry, EntryState, Ledger};
use crate::shop_api::ReceivedEvent;

/// The beginning of the types of events about refunds.
const KIND: &str = "refund.";

/// What a test knows of the refunds of its payments, and that the system cannot know.
#[derive(Debug, Clone, Default)]
pub struct KnownRefunds {
    /// By charge, how many satang a person gave back in the portal that look like a refund of ours.
    pub hidden_by_hand: BTreeMap<String, i64>,
    /// By charge, how many satang a person gave back in the portal that count as a refund of ours, whose own request came
    /// to nothing.
    pub taken_for_ours: BTreeMap<String, i64>,
    /// Refunds that are not over: they wait, or a person must look at them.
    pub unfinished: BTreeSet<String>,
}

/// What the bank gave back of a charge, in satang.
#[derive(Debug, Clone, Default)]
pub(super) struct Returned {
    pub(super) voided: bool,
    pub(super) refunds: Vec<AtBank>,
}

/// A refund at the bank.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AtBank {
    pub(super) id: String,
    pub(super) satang: i64,
    /// Whether a person made it in the portal.
    pub(super) by_hand: bool,
}

/// Everything about the refunds of one charge.
pub(super) struct Refunds<'a> {
    pub(super) charge: &'a str,
    /// What was paid, in satang.
    pub(super) paid: i64,
    pub(super) ledger: &'a Ledger,
    pub(super) returned: &'a Returned,
    /// The order's `payment`, unless the shop removed or changed the order.
    pub(super) payment: Option<&'a Value>,
    /// The row of the table check-status.
    pub(super) row: Option<&'a Value>,
    /// Whether the API has an address for the order: for an id with a slash it has none.
    pub(super) has_address: bool,
    /// What `/checkstatus` answers.
    pub(super) shown: Option<&'a Value>,
    pub(super) events: Vec<&'a ReceivedEvent>,
    pub(super) known: &'a KnownRefunds,
}

/// Whether an event is about a refund.
pub(super) fn is_about_refund(event: &ReceivedEvent) -> bool {
    event.kind().starts_with(KIND)
}

impl Refunds<'_> {
    pub(super) fn check(&self, findings: &mut Findings) {
        let mut own = Findings::default();
        self.check_ledger(&mut own);
        self.check_bank(&mut own);
        self.check_each_at_the_bank(&mut own);
        self.check_status(&mut own);
        if let Some(payment) = self.payment {
            self.check_order(payment, &mut own);
        }
        self.check_events(&mut own);
        for problem in own.problems {
            findings.note(format!("refunds of charge {}: {problem}", self.charge));
        }
    }

    /// The counters are the sums, and nothing is left undone.
    fn check_ledger(&self, findings: &mut Findings) {
        use EntryState::{Asked, Failed, Reserved, Sent, Uncertain};
        let ledger = self.ledger;
        let live: i64 = ledger
            .in_state(&[Reserved, Asked, Sent, Uncertain])
            .map(|(_, entry)| entry.satang)
            .sum();
        // An unknown amount counts as everything, beside what is there.
        let at_most = if ledger.has_unknown() {
            live
        } else {
            self.paid
        };
        findings.check(ledger.refunded_satang == live, || {
            format!(
                "the counter says {}, the entries {live}",
                ledger.refunded_satang
            )
        });
        findings.check(live <= at_most, || {
            format!("{live} satang are promised, and {} were paid", self.paid)
        });
        let sent = self.sent();
        findings.check(ledger.sent_satang == sent, || {
            format!(
                "the counter of what is sent says {}, not {sent}",
                ledger.sent_satang
            )
        });
        for (id, entry) in &ledger.entries {
            let over = matches!(entry.state, Sent | Failed | Uncertain);
            findings.check(over || self.known.unfinished.contains(id), || {
                format!("{id} is {:?} in the end", entry.state)
            });
            let told = entry.recorded_at.is_some();
            findings.check((entry.state == Sent) == told, || {
                format!("{id} is {:?}, and told = {told}", entry.state)
            });
        }
        let asked: Vec<_> = ledger.in_state(&[Asked]).map(|(id, _)| id).collect();
        let asking: Vec<_> = ledger.asking.iter().map(String::as_str).collect();
        findings.check(asked == asking, || {
            format!("{asked:?} are asked for, and the mark says {asking:?}")
        });
    }

    /// What went back and is recorded, in satang. An unknown amount counts nothing.
    fn sent(&self) -> i64 {
        self.ledger.sum(&[EntryState::Sent])
    }

    /// What the ledger knows to be given back by hand, and whether that is all.
    fn by_hand(&self) -> Option<(i64, bool)> {
        let entry = self.ledger.entries.get(ELSEWHERE)?;
        Some(if entry.unknown {
            (0, false)
        } else {
            (entry.satang, true)
        })
    }

    /// What a person gave back and the ledger does not know, in satang.
    fn hidden_by_hand(&self) -> i64 {
        let hidden = self.known.hidden_by_hand.get(self.charge);
        hidden.copied().unwrap_or(0)
    }

    /// The bank gave back what the ledger says, and at most what nobody can tell more.
    fn check_bank(&self, findings: &mut Findings) {
        let sum = |by_hand: bool| -> i64 {
            let refunds = self.returned.refunds.iter();
            let of = refunds.filter(|refund| refund.by_hand == by_hand);
            of.map(|refund| refund.satang).sum()
        };
        let refunded = sum(true) + sum(false);
        let given = if self.returned.voided {
            self.paid
        } else {
            refunded
        };
        findings.check(given <= self.paid, || {
            format!("the bank gave back {given} of {} satang", self.paid)
        });
        let low = self.sent() + self.hidden_by_hand();
        let unclear = self.ledger.sum(&[EntryState::Uncertain, EntryState::Asked]);
        let high = if self.ledger.has_unknown() {
            self.paid
        } else {
            low + unclear
        };
        findings.check((low..=high).contains(&given), || {
            format!("the bank gave back {given} satang, the ledger says {low} to {high}")
        });
        let taken_for_ours = self.known.taken_for_ours.get(self.charge).copied();
        let own = self.sent()
            - self.by_hand().map_or(0, |(known, _)| known)
            - taken_for_ours.unwrap_or(0);
        let own = own..=own + unclear;
        findings.check(self.returned.voided || own.contains(&sum(false)), || {
            format!(
                "the bank was asked for {} satang, the ledger says {own:?}",
                sum(false)
            )
        });
        findings.check(!self.ledger.has_unknown() || given > low, || {
            format!("an unknown amount is said to be given back, and the bank gave {given}")
        });
    }

    /// No refund at the bank is there twice, and each belongs to one entry.
    fn check_each_at_the_bank(&self, findings: &mut Findings) {
        let mut left: BTreeMap<&str, i64> = self
            .returned
            .refunds
            .iter()
            .map(|refund| (refund.id.as_str(), refund.satang))
            .collect();
        let mut unnamed = Vec::new();
        for (id, entry) in &self.ledger.entries {
            match (entry.state, entry.way.as_deref(), &entry.bank_refund_id) {
                (EntryState::Sent, Some("voided"), _) => {
                    findings.check(self.returned.voided, || {
                        format!("{id} says that the charge is voided")
                    });
                }
                (EntryState::Sent, _, _) if self.returned.voided => {
                    findings.note(format!("{id} does not say that the charge is voided"));
                }
                (EntryState::Sent, _, Some(bank_id)) => {
                    let there = left.remove(bank_id.as_str());
                    findings.check(there == Some(entry.satang), || {
                        format!("{id} over {} is {bank_id} over {there:?}", entry.satang)
                    });
                }
                (EntryState::Sent, ..) if id != ELSEWHERE => unnamed.push((id, entry, true)),
                (EntryState::Uncertain | EntryState::Asked, ..) => unnamed.push((id, entry, false)),
                _ => {}
            }
        }
        for (id, entry, surely) in unnamed {
            let same = left.iter().find(|(_, satang)| **satang == entry.satang);
            let same = same.map(|(bank_id, _)| *bank_id);
            findings.check(same.is_some() || !surely || self.returned.voided, || {
                format!("{id} over {} is not at the bank", entry.satang)
            });
            same.map(|bank_id| left.remove(bank_id));
        }
        let by_hand = self.ledger.entries.get(ELSEWHERE);
        let explained = by_hand.map_or(0, |entry| entry.satang) + self.hidden_by_hand();
        let rest: i64 = left.values().sum();
        findings.check(rest <= explained, || {
            format!("the bank gave back {left:?}, which no entry explains")
        });
    }

    /// The row and what apps are shown.
    fn check_status(&self, findings: &mut Findings) {
        let (sent, unknown) = (self.sent(), self.ledger.has_unknown());
        let row = self.row.unwrap_or(&Value::Null);
        let in_row = row["refundedSatang"].as_i64().unwrap_or_default();
        findings.check(in_row == sent, || {
            format!("the check status holds {in_row}, the ledger {sent}")
        });
        let of_this = row["refundedCharge"] == self.charge;
        findings.check(of_this || sent == 0, || {
            format!(
                "the check status holds refunds of {}",
                row["refundedCharge"]
            )
        });
        let flag = row["refundedElsewhere"] == true;
        findings.check(flag == unknown, || {
            format!("the check status says elsewhere = {flag}, the ledger {unknown}")
        });
        if !self.has_address {
            return;
        }
        let shown = self.shown.unwrap_or(&Value::Null);
        findings.check(shown["refunded"] == in_baht(sent), || {
            format!("apps are shown {shown}, and {sent} satang went back")
        });
        let status = self.status();
        findings.check(shown["status"] == status, || {
            format!("apps are shown {shown}, and not {status}")
        });
        let told = shown.get("refundedElsewhere").cloned();
        let must = unknown.then_some(Value::Bool(true));
        findings.check(told == must, || {
            format!("apps are shown {shown}, and unknown amount = {unknown}")
        });
    }

    /// What apps are shown as status.
    pub(super) fn status(&self) -> &'static str {
        if self.sent() == self.paid {
            "refunded"
        } else {
            "paid"
        }
    }

    /// The order stays paid, and says what went back.
    fn check_order(&self, payment: &Value, findings: &mut Findings) {
        let sent = self.ledger.in_state(&[EntryState::Sent]);
        let (by_hand, own): (Vec<_>, Vec<_>) = sent.partition(|(id, _)| *id == ELSEWHERE);
        let status = match self.sent() {
            0 => "paid",
            all if all == self.paid => "refunded",
            _ => "partially refunded",
        };
        findings.check(payment["status"] == status, || {
            format!("the order's status is {}, not {status}", payment["status"])
        });
        let mut lines = BTreeMap::new();
        let mut told_by_hand = false;
        for line in payment["paymentLog"].as_array().into_iter().flatten() {
            let line = line.as_str().unwrap_or_default();
            let Ok(line) = serde_json::from_str::<Value>(line) else {
                continue;
            };
            told_by_hand |= line["event"] == "refunded elsewhere";
            if line["event"] != "refunded" {
                continue;
            }
            findings.check(line["chargeId"] == self.charge, || {
                format!("the order's log names another charge: {line}")
            });
            let id = line["refundId"].as_str().unwrap_or_default().to_owned();
            let again = lines.insert(id, line["amount"].clone());
            findings.check(again.is_none(), || format!("it is logged twice: {line}"));
        }
        let must: BTreeMap<String, Value> = own
            .into_iter()
            .map(|(id, entry)| (id.to_owned(), amount_of(entry)))
            .collect();
        findings.check(told_by_hand != by_hand.is_empty(), || {
            format!("the order's log tells of a refund by hand = {told_by_hand}")
        });
        findings.check(lines == must, || {
            format!("the order's log has {lines:?}, the ledger {must:?}")
        });
    }

    /// The shop was told each end, and nothing else. Every repeat has the same id.
    fn check_events(&self, findings: &mut Findings) {
        let id = |kind: &str, of: &str| format!("{}:{KIND}{kind}:{of}", self.charge);
        let mut must = BTreeSet::new();
        let mut may = BTreeSet::new();
        for (refund, entry) in &self.ledger.entries {
            match entry.state {
                _ if self.known.unfinished.contains(refund) => {}
                // An amount that is known has an id of its own: it may have been unknown, or another one, before.
                EntryState::Sent if refund == ELSEWHERE && entry.unknown => {
                    must.insert(id("elsewhere", ELSEWHERE));
                }
                EntryState::Sent if refund == ELSEWHERE => {
                    must.insert(id(
                        "elsewhere",
                        &format!("{ELSEWHERE}-{}", in_baht(entry.satang)),
                    ));
                    may.insert(id("elsewhere", ELSEWHERE));
                }
                EntryState::Sent => {
                    must.insert(id("succeeded", refund));
                }
                EntryState::Failed => {
                    must.insert(id("failed", refund));
                }
                _ => {}
            }
        }
        let told: BTreeSet<_> = self.events.iter().map(|event| event.id.clone()).collect();
        let missing: Vec<_> = must.difference(&told).collect();
        findings.check(missing.is_empty(), || {
            format!("the shop was not told {missing:?}")
        });
        let wrong: Vec<_> = told
            .iter()
            .filter(|id| !must.contains(*id) && !may.contains(*id))
            .collect();
        findings.check(wrong.is_empty(), || format!("the shop was told {wrong:?}"));
        for event in &self.events {
            self.check_event(event, findings);
        }
    }

    fn check_event(&self, event: &ReceivedEvent, findings: &mut Findings) {
        let data = &event.body["data"];
        findings.check(event.verified, || format!("{} does not verify", event.id));
        let refund = data["refundId"].as_str().unwrap_or_default();
        let named = format!("{}:{}:{refund}", self.charge, event.kind());
        findings.check(event.id == named, || {
            format!("{} is about {refund}", event.id)
        });
        let by_hand = refund.starts_with(ELSEWHERE);
        let entry = if by_hand { ELSEWHERE } else { refund };
        let entry = self.ledger.entries.get(entry);
        // Told before a person stated the amount.
        let was_unknown = refund == ELSEWHERE && data.get("amount").is_none();
        let amount = entry.map(amount_of);
        findings.check(
            was_unknown || data.get("amount").cloned() == amount.filter(|is| !is.is_null()),
            || format!("{} says {data}, the ledger {entry:?}", event.id),
        );
        let left = data["left"].as_str().map(baht_to_satang);
        findings.check(
            left.is_some_and(|left| (0..=self.paid).contains(&left)),
            || format!("{} says that {} is left", event.id, data["left"]),
        );
    }
}

/// An entry's amount in decimal baht; null where it is not known.
fn amount_of(entry: &Entry) -> Value {
    if entry.unknown {
        Value::Null
    } else {
        Value::from(in_baht(entry.satang))
    }
}

/// Satang as decimal baht.
pub(super) fn in_baht(satang: i64) -> String {
    format!("{}.{:02}", satang / 100, satang % 100)
}

/// Decimal baht as satang; a negative amount where it is none.
pub(super) fn baht_to_satang(text: &str) -> i64 {
    let digits: String = baht(&Value::from(text))
        .chars()
        .filter(|c| *c != '.')
        .collect();
    digits.parse().unwrap_or(-1)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ledger() -> Value {
        json!({
            "refundedSatang": 30_000, "sentSatang": 20_000,
            "refunds": {
                "rf_1": {"state": "sent", "satang": 20_000, "way": "refunded", "bankRefundId": "rfnd_1", "recordedAt": "x"},
                "rf_2": {"state": "uncertain", "satang": 10_000},
            },
        })
    }

    fn shown(refunded: &str, status: &str) -> Value {
        json!({"orderId": "1", "status": status, "amount": "1500.00", "refunded": refunded})
    }

    /// What is found of a charge over 1500 baht of which rf_1 went back.
    fn found(ledger: &Value, refunds: &[(&str, i64)], hidden_by_hand: i64) -> String {
        let ledger = Ledger::of(ledger).expect("a ledger");
        let returned = Returned {
            voided: false,
            refunds: refunds
                .iter()
                .map(|(id, satang)| AtBank {
                    id: (*id).to_owned(),
                    satang: *satang,
                    by_hand: hidden_by_hand == *satang,
                })
                .collect(),
        };
        let row = json!({"refundedSatang": 20_000, "refundedCharge": "chrg_1"});
        let line = json!({"event": "refunded", "refundId": "rf_1", "chargeId": "chrg_1", "amount": "200.00"});
        let payment =
            json!({"status": "partially refunded", "paymentLog": ["{}", line.to_string()]});
        let event = ReceivedEvent {
            number: 1,
            id: "chrg_1:refund.succeeded:rf_1".to_owned(),
            received_at: jiff::Timestamp::UNIX_EPOCH,
            verified: true,
            refusal: None,
            repeated: false,
            answered: 204,
            body: json!({"type": "refund.succeeded",
                "data": {"refundId": "rf_1", "amount": "200.00", "left": "1200.00"}}),
            delivery: crate::shop_api::Delivery {
                headers: BTreeMap::new(),
                body: String::new(),
            },
        };
        let shown = shown("200.00", "paid");
        let refunds = Refunds {
            charge: "chrg_1",
            paid: 150_000,
            ledger: &ledger,
            returned: &returned,
            payment: Some(&payment),
            row: Some(&row),
            has_address: true,
            shown: Some(&shown),
            events: vec![&event],
            known: &KnownRefunds {
                hidden_by_hand: BTreeMap::from([("chrg_1".to_owned(), hidden_by_hand)]),
                ..KnownRefunds::default()
            },
        };
        let mut findings = Findings::default();
        refunds.check(&mut findings);
        findings.to_string()
    }

    const HOLDS: &str = "every invariant holds";

    #[test]
    fn what_the_bank_gave_back_is_what_the_ledger_says_and_perhaps_what_is_uncertain() {
        for refunds in [
            &[("rfnd_1", 20_000)][..],
            &[("rfnd_1", 20_000), ("rfnd_2", 10_000)],
        ] {
            assert_eq!(found(&ledger(), refunds, 0), HOLDS);
        }
    }

    #[test]
    fn money_that_no_entry_explains_is_found() {
        for (refunds, told) in [
            (&[][..], "is not at the bank|gave back 0"),
            (&[("rfnd_1", 10_000)], "over Some(10000)"),
            (&[("rfnd_1", 20_000), ("rfnd_2", 20_000)], "gave back 40000"),
            (
                &[("rfnd_1", 20_000), ("rfnd_2", 5_000)],
                "which no entry explains",
            ),
        ] {
            let found = found(&ledger(), refunds, 0);
            assert_ne!(found, HOLDS, "{refunds:?}");
            assert!(
                told.split('|').any(|told| found.contains(told)),
                "{refunds:?}: {found}"
            );
        }
        let by_hand = [("rfnd_1", 20_000), ("rfnd_2", 5_000)];
        assert_eq!(found(&ledger(), &by_hand, 5_000), HOLDS);
    }

    #[test]
    fn counters_and_states_that_disagree_are_found() {
        let change = |pointer: &str, value: Value| {
            let mut ledger = ledger();
            *ledger.pointer_mut(pointer).expect("there") = value;
            found(&ledger, &[("rfnd_1", 20_000)], 0)
        };
        for (pointer, value, told) in [
            ("/refundedSatang", json!(20_000), "the counter says 20000"),
            ("/sentSatang", json!(0), "what is sent says 0"),
            ("/refunds/rf_2/state", json!("reserved"), "in the end"),
            ("/refunds/rf_2/state", json!("asked"), "are asked for"),
            ("/refunds/rf_2/state", json!("failed"), "was not told"),
            ("/refunds/rf_2/satang", json!(140_000), "are promised"),
            ("/refunds/rf_1/satang", json!(20_001), "over Some(20000)"),
        ] {
            let found = change(pointer, value);
            assert!(found.contains(told), "{pointer}: {found}");
        }
    }
}
