//! Every course of a refund as a row of a table: what happens, and what follows from it. That is the exact path of each
//! execution, the ledger, the bank's state, the order, what apps are shown, and the events by their ids.

use std::collections::BTreeMap;
use std::pin::Pin;

use payment3_bank::Dialect;
use payment3_harness::invariants::KnownRefunds;
use payment3_harness::ledger::EntryState::{self, Failed, Sent, Uncertain};
use payment3_harness::random;
use payment3_harness::shop_api::TOTAL;
use serde_json::{Value, json};

use super::{Known, PATIENCE, Times, input, without_repeats};
use crate::support::{Authenticated, TestApp};

/// One row of the table.
struct Row {
    name: &'static str,
    steps: &'static [Step],
    ends: Ends,
}

/// Something that happens, in its order.
enum Step {
    /// The bank settles the charge.
    Settle,
    /// The bank uses this dialect.
    Speak(Dialect),
    /// The bank's API refuses each void and refund, or accepts them again.
    Refuse(bool),
    /// The bank loses the answer to the next request for this: `void` or `refund`.
    LosesAnswer(&'static str),
    /// The bank turns the next request for this away, as one of too many.
    Busy(&'static str),
    /// The back office starts a refund.
    Refund(Refund),
    /// A person voids the charge in the portal, and the bank notifies.
    PortalVoids,
    /// A person gives back so much in the portal, and the bank notifies.
    PortalRefunds(&'static str),
    /// The same, and no notification comes.
    PortalRefundsUnnoticed(&'static str),
    /// The notification of what the charge is now comes once more.
    Notified,
    /// The execution that the notification started takes this path.
    Found(&'static [&'static str]),
    /// A person has the bank asked whether money was given back by hand: the path, and the end.
    LookedFor(&'static [&'static str], End),
    /// A person states how much was given back by hand.
    Stated(&'static str, &'static [&'static str]),
    /// The shop deletes the order.
    OrderGone,
    /// The shop replaces the order's payment.
    OrderEdited,
    /// The refund was reserved so many days earlier than it was.
    Earlier(&'static str, i64),
}

/// A refund, and how its execution goes.
struct Refund {
    /// Stands for its id.
    label: &'static str,
    /// Added to the execution's name, where it is started again.
    again: &'static str,
    amount: Option<&'static str>,
    times: Times,
    /// What happens once the execution is in this state.
    meanwhile: Option<(&'static str, &'static [Step])>,
    path: &'static [&'static str],
    end: End,
}

/// How an execution ends.
#[derive(Clone, Copy)]
enum End {
    /// With this result.
    Result(&'static str),
    /// With this error.
    Fails(&'static str),
    /// A person stops it.
    Stopped,
}

/// What is there in the end.
struct Ends {
    /// The entries by their labels, each with its satang.
    ledger: &'static [(&'static str, EntryState, i64)],
    /// The bank's word, and each refund there in satang, whoever asked for it.
    bank: (&'static str, &'static [i64]),
    /// How often the bank's API was asked for a void or a refund.
    asked: usize,
    /// The status of the order's payment; none where the shop changed or deleted it.
    order: Option<&'static str>,
    /// What apps are shown: status and amount.
    shown: (&'static str, &'static str),
    /// The events about refunds, each as type and label.
    events: &'static [&'static str],
    /// How many satang a person gave back that look like a refund of ours.
    hidden_by_hand: i64,
    /// The labels of refunds that are not over.
    unfinished: &'static [&'static str],
}

/// The amount of a part.
const PART: Option<&str> = Some("120.50");

const VOIDED: &[&str] = &[
    "CheckRefund",
    "RefundState",
    "InquireCharge",
    "RefundWay",
    "VoidCharge",
    "RecordRefund",
    "NotifyRefund",
    "RefundDone",
];
const REFUNDED: &[&str] = &[
    "CheckRefund",
    "RefundState",
    "InquireCharge",
    "RefundWay",
    "RefundCharge",
    "RecordRefund",
    "NotifyRefund",
    "RefundDone",
];
/// A part that waits for the bank's settlement.
const WAITED: &[&str] = &[
    "CheckRefund",
    "RefundState",
    "InquireCharge",
    "RefundWay",
    "AwaitSettlement",
    "InquireCharge",
    "RefundWay",
    "RefundCharge",
    "RecordRefund",
    "NotifyRefund",
    "RefundDone",
];
/// Started again after its end.
const SENT_BEFORE: &[&str] = &[
    "CheckRefund",
    "RefundState",
    "RecordRefund",
    "NotifyRefund",
    "RefundDone",
];
const REFUSED_ONCE: &[&str] = &[
    "CheckRefund",
    "RefundState",
    "InquireCharge",
    "RefundWay",
    "RefundCharge",
    "TakeBack",
    "AwaitRetry",
    "InquireCharge",
    "RefundWay",
    "RefundCharge",
    "RecordRefund",
    "NotifyRefund",
    "RefundDone",
];
const REFUSED_FOR_GOOD: &[&str] = &[
    "CheckRefund",
    "RefundState",
    "InquireCharge",
    "RefundWay",
    "RefundCharge",
    "TakeBack",
    "AwaitRetry",
    "InquireCharge",
    "RefundWay",
    "ReleaseRefund",
    "NotifyRefundFailed",
    "RecordElsewhere",
    "Elsewhere",
    "RefundDone",
];
const BY_HAND: &[&str] = &[
    "CheckRefund",
    "RefundState",
    "InquireCharge",
    "RefundWay",
    "RecordElsewhere",
    "Elsewhere",
    "NotifyElsewhere",
    "RefundDone",
];

/// For an hour, the bank has not shown that money went back: a person is told.
const NEVER_SEEN: &[&str] = &[
    "CheckRefund",
    "RefundState",
    "InquireCharge",
    "RefundWay",
    "ReportStuck",
    "RefundStuck",
];

/// A refund explains what the bank says.
const EXPLAINED: &[&str] = &[
    "CheckRefund",
    "RefundState",
    "InquireCharge",
    "RefundWay",
    "RecordElsewhere",
    "Elsewhere",
    "RefundDone",
];

/// A part of a settled charge; the others say what differs.
const A: Refund = Refund {
    label: "a",
    again: "",
    amount: PART,
    times: Times::Deployed,
    meanwhile: None,
    path: REFUNDED,
    end: End::Result("refunded"),
};
const B: Refund = Refund { label: "b", ..A };
/// All of it, before the bank has settled.
const WHOLE: Refund = Refund {
    amount: None,
    path: VOIDED,
    ..A
};
const AGAIN: Refund = Refund {
    again: "-again",
    path: SENT_BEFORE,
    ..A
};

/// A part that waits for the settlement, until a person stops it.
const STOPPED: Refund = Refund {
    meanwhile: Some(("AwaitSettlement", &[])),
    path: &[
        "CheckRefund",
        "RefundState",
        "InquireCharge",
        "RefundWay",
        "AwaitSettlement",
    ],
    end: End::Stopped,
    ..A
};
/// A part of a charge that was voided by hand.
const VOIDED_MEANWHILE: &[&str] = &[
    "CheckRefund",
    "RefundState",
    "InquireCharge",
    "RefundWay",
    "ReleaseRefund",
    "NotifyRefundFailed",
    "RecordElsewhere",
    "Elsewhere",
    "NotifyElsewhere",
    "RefundDone",
];

/// The ends of a part of a settled charge.
const ONE_PART: Ends = Ends {
    ledger: &[("a", Sent, 12_050)],
    bank: ("Refund Sent", &[12_050]),
    asked: 1,
    order: Some("partially refunded"),
    shown: ("paid", "120.50"),
    events: &["succeeded a"],
    hidden_by_hand: 0,
    unfinished: &[],
};
const ALL_VOIDED: Ends = Ends {
    ledger: &[("a", Sent, 150_000)],
    bank: ("Voided", &[]),
    order: Some("refunded"),
    shown: ("refunded", TOTAL),
    ..ONE_PART
};
const ALL_REFUNDED: Ends = Ends {
    bank: ("Refund Sent", &[150_000]),
    ..ALL_VOIDED
};
const NOTHING: Ends = Ends {
    ledger: &[("a", Failed, 12_050)],
    bank: ("Authorized", &[]),
    asked: 0,
    order: Some("paid"),
    shown: ("paid", "0.00"),
    events: &["failed a"],
    ..ONE_PART
};

const ROWS: &[Row] = &[
    Row {
        name: "all of it, before settlement: a void; started again after it",
        steps: &[
            Step::Refund(WHOLE),
            Step::Refund(Refund {
                again: "-again",
                path: SENT_BEFORE,
                ..WHOLE
            }),
            Step::Notified,
        ],
        ends: ALL_VOIDED,
    },
    Row {
        name: "all of it, after settlement: a refund",
        steps: &[
            Step::Settle,
            Step::Refund(Refund {
                path: REFUNDED,
                ..WHOLE
            }),
            Step::Notified,
        ],
        ends: ALL_REFUNDED,
    },
    Row {
        name: "all of it, as its amount",
        steps: &[Step::Refund(Refund {
            amount: Some(TOTAL),
            ..WHOLE
        })],
        ends: ALL_VOIDED,
    },
    Row {
        name: "a part, after settlement; started again after it",
        steps: &[
            Step::Settle,
            Step::Refund(A),
            Step::Refund(AGAIN),
            Step::Notified,
        ],
        ends: ONE_PART,
    },
    Row {
        name: "a part, before settlement: it waits for the settlement",
        steps: &[Step::Refund(Refund {
            times: Times::Fast,
            meanwhile: Some(("AwaitSettlement", &[Step::Settle])),
            path: WAITED,
            ..A
        })],
        ends: ONE_PART,
    },
    Row {
        name: "a part that waits is stopped by a person, and started again after the settlement",
        steps: &[
            Step::Refund(STOPPED),
            Step::Settle,
            Step::Refund(Refund {
                path: REFUNDED,
                ..AGAIN
            }),
        ],
        ends: ONE_PART,
    },
    Row {
        name: "a part that the bank does not settle in seven days is given up",
        steps: &[
            Step::Refund(STOPPED),
            Step::Earlier("a", 7),
            Step::Refund(Refund {
                path: &[
                    "CheckRefund",
                    "RefundState",
                    "InquireCharge",
                    "RefundWay",
                    "ReleaseRefund",
                    "NotifyRefundFailed",
                    "RecordElsewhere",
                    "Elsewhere",
                    "RefundDone",
                ],
                end: End::Result("failed"),
                ..AGAIN
            }),
        ],
        ends: NOTHING,
    },
    Row {
        name: "two parts that make the whole",
        steps: &[
            Step::Settle,
            Step::Refund(A),
            Step::Refund(Refund {
                amount: Some("1379.50"),
                ..B
            }),
        ],
        ends: Ends {
            ledger: &[("a", Sent, 12_050), ("b", Sent, 137_950)],
            bank: ("Refund Sent", &[12_050, 137_950]),
            asked: 2,
            events: &["succeeded a", "succeeded b"],
            ..ALL_REFUNDED
        },
    },
    Row {
        name: "a part, and then without an amount what is left",
        steps: &[
            Step::Settle,
            Step::Refund(A),
            Step::Refund(Refund { amount: None, ..B }),
            // No amount means what was reserved the first time.
            Step::Refund(Refund {
                label: "b",
                amount: None,
                ..AGAIN
            }),
        ],
        ends: Ends {
            ledger: &[("a", Sent, 12_050), ("b", Sent, 137_950)],
            bank: ("Refund Sent", &[12_050, 137_950]),
            asked: 2,
            events: &["succeeded a", "succeeded b"],
            ..ALL_REFUNDED
        },
    },
    Row {
        name: "two equal parts are two refunds",
        steps: &[Step::Settle, Step::Refund(A), Step::Refund(B)],
        ends: Ends {
            ledger: &[("a", Sent, 12_050), ("b", Sent, 12_050)],
            bank: ("Refund Sent", &[12_050, 12_050]),
            asked: 2,
            shown: ("paid", "241.00"),
            events: &["succeeded a", "succeeded b"],
            ..ONE_PART
        },
    },
    Row {
        name: "the bank refuses the first request with an error object",
        steps: &[
            Step::Settle,
            Step::Speak(Dialect::ReversalsRefused),
            Step::Refund(Refund {
                times: Times::Fast,
                path: REFUSED_ONCE,
                ..A
            }),
        ],
        ends: Ends {
            asked: 2,
            ..ONE_PART
        },
    },
    Row {
        name: "the bank refuses the first request with a charge that says fail",
        steps: &[
            Step::Settle,
            Step::Speak(Dialect::ReversalsFail),
            Step::Refund(Refund {
                times: Times::Fast,
                path: REFUSED_ONCE,
                ..A
            }),
        ],
        ends: Ends {
            asked: 2,
            ..ONE_PART
        },
    },
    Row {
        name: "a void that is refused because the bank has settled becomes a refund",
        steps: &[
            Step::Speak(Dialect::ReversalsRefused),
            Step::Refund(Refund {
                times: Times::Fast,
                meanwhile: Some(("AwaitRetry", &[Step::Settle])),
                path: &[
                    "CheckRefund",
                    "RefundState",
                    "InquireCharge",
                    "RefundWay",
                    "VoidCharge",
                    "TakeBack",
                    "AwaitRetry",
                    "InquireCharge",
                    "RefundWay",
                    "RefundCharge",
                    "RecordRefund",
                    "NotifyRefund",
                    "RefundDone",
                ],
                ..WHOLE
            }),
        ],
        ends: Ends {
            asked: 2,
            ..ALL_REFUNDED
        },
    },
    Row {
        name: "the bank refuses for good: given up, and given back under another id",
        steps: &[
            Step::Settle,
            Step::Refuse(true),
            Step::Refund(Refund {
                times: Times::Impatient,
                path: REFUSED_FOR_GOOD,
                end: End::Result("failed"),
                ..A
            }),
            Step::Refuse(false),
            Step::Refund(Refund {
                amount: Some(TOTAL),
                ..B
            }),
            // It stays given up, and the shop is told once more.
            Step::Refund(Refund {
                path: &[
                    "CheckRefund",
                    "RefundState",
                    "InquireCharge",
                    "RefundWay",
                    "NotifyRefundFailed",
                    "RecordElsewhere",
                    "Elsewhere",
                    "RefundDone",
                ],
                end: End::Result("failed"),
                ..AGAIN
            }),
        ],
        ends: Ends {
            ledger: &[("a", Failed, 12_050), ("b", Sent, 150_000)],
            asked: 2,
            events: &["failed a", "succeeded b"],
            ..ALL_REFUNDED
        },
    },
    Row {
        name: "the answer to a void is lost: the charge shows it",
        steps: &[
            Step::LosesAnswer("void"),
            Step::Refund(Refund {
                times: Times::Fast,
                path: &[
                    "CheckRefund",
                    "RefundState",
                    "InquireCharge",
                    "RefundWay",
                    "VoidCharge",
                    "AwaitAnswer",
                    "InquireCharge",
                    "RefundWay",
                    "FindRefund",
                    "RefundFound",
                    "RecordRefund",
                    "NotifyRefund",
                    "RefundDone",
                ],
                ..WHOLE
            }),
        ],
        ends: ALL_VOIDED,
    },
    Row {
        name: "a refund of all of it works, and its answer does not show it",
        steps: &[
            Step::Settle,
            Step::Speak(Dialect::ReversalsAnswerEmpty),
            Step::Refund(Refund {
                times: Times::Fast,
                path: &[
                    "CheckRefund",
                    "RefundState",
                    "InquireCharge",
                    "RefundWay",
                    "RefundCharge",
                    "AwaitAnswer",
                    "InquireCharge",
                    "RefundWay",
                    "FindRefund",
                    "RefundFound",
                    "RecordRefund",
                    "NotifyRefund",
                    "RefundDone",
                ],
                ..WHOLE
            }),
        ],
        ends: ALL_REFUNDED,
    },
    Row {
        name: "the answer to a part is lost: nobody can tell; started again it stays so, and another part goes on",
        steps: &[
            Step::Settle,
            Step::LosesAnswer("refund"),
            Step::Refund(Refund {
                times: Times::Fast,
                path: &[
                    "CheckRefund",
                    "RefundState",
                    "InquireCharge",
                    "RefundWay",
                    "RefundCharge",
                    "AwaitAnswer",
                    "InquireCharge",
                    "RefundWay",
                    "FindRefund",
                    "RefundFound",
                    "RefundUncertain",
                ],
                end: End::Fails("RefundUncertain"),
                ..A
            }),
            Step::Refund(Refund {
                path: &[
                    "CheckRefund",
                    "RefundState",
                    "FindRefund",
                    "RefundFound",
                    "RefundUncertain",
                ],
                end: End::Fails("RefundUncertain"),
                ..AGAIN
            }),
            Step::Refund(B),
        ],
        ends: Ends {
            ledger: &[("a", Uncertain, 12_050), ("b", Sent, 12_050)],
            bank: ("Refund Sent", &[12_050, 12_050]),
            asked: 2,
            events: &["succeeded b"],
            ..ONE_PART
        },
    },
    Row {
        name: "the first part has no effect and no answer: the charge shows that, and it is asked for again",
        steps: &[
            Step::Settle,
            Step::Speak(Dialect::ReversalsEmpty),
            Step::Refund(Refund {
                times: Times::Fast,
                path: &[
                    "CheckRefund",
                    "RefundState",
                    "InquireCharge",
                    "RefundWay",
                    "RefundCharge",
                    "AwaitAnswer",
                    "InquireCharge",
                    "RefundWay",
                    "FindRefund",
                    "RefundFound",
                    "RefundWay",
                    "RefundCharge",
                    "RecordRefund",
                    "NotifyRefund",
                    "RefundDone",
                ],
                ..A
            }),
        ],
        ends: Ends {
            asked: 2,
            ..ONE_PART
        },
    },
    Row {
        name: "a part is given back in the portal: of unknown amount, until a person states it",
        steps: &[
            Step::Settle,
            Step::PortalRefunds("200.00"),
            Step::Found(BY_HAND),
            Step::Notified,
            // Nothing is given back as long as nobody knows how much is left.
            Step::Refund(Refund {
                path: &["CheckRefund"],
                end: End::Fails("RefundTooLarge"),
                ..A
            }),
            Step::Stated("200.00", BY_HAND),
            Step::Refund(B),
        ],
        ends: Ends {
            ledger: &[("elsewhere", Sent, 20_000), ("b", Sent, 12_050)],
            bank: ("Refund Sent", &[20_000, 12_050]),
            shown: ("paid", "320.50"),
            events: &[
                "elsewhere elsewhere",
                "elsewhere elsewhere-200.00",
                "succeeded b",
            ],
            ..ONE_PART
        },
    },
    Row {
        name: "nothing was given back by hand: looked for before anything went back, which a person learns, and after",
        steps: &[
            Step::LookedFor(NEVER_SEEN, End::Fails("RefundStuck")),
            Step::Settle,
            Step::Refund(A),
            Step::LookedFor(EXPLAINED, End::Result("explained")),
        ],
        ends: ONE_PART,
    },
    Row {
        name: "a part is given back in the portal, and no amount is known",
        steps: &[
            Step::Settle,
            Step::PortalRefunds("200.00"),
            Step::Found(BY_HAND),
        ],
        ends: Ends {
            ledger: &[("elsewhere", Sent, 150_000)],
            bank: ("Refund Sent", &[20_000]),
            asked: 0,
            order: Some("paid"),
            shown: ("paid", "0.00"),
            events: &["elsewhere elsewhere"],
            ..ONE_PART
        },
    },
    Row {
        name: "the charge is voided in the portal",
        steps: &[
            Step::PortalVoids,
            Step::Found(BY_HAND),
            Step::Notified,
            Step::LookedFor(BY_HAND, End::Result("elsewhere")),
            Step::Refund(Refund {
                path: &["CheckRefund"],
                end: End::Fails("RefundTooLarge"),
                ..WHOLE
            }),
        ],
        ends: Ends {
            ledger: &[("elsewhere", Sent, 150_000)],
            asked: 0,
            events: &["elsewhere elsewhere-1500.00"],
            ..ALL_VOIDED
        },
    },
    Row {
        name: "the charge is voided in the portal while a part waits: the part is given up, and the void is found",
        steps: &[Step::Refund(Refund {
            times: Times::Fast,
            meanwhile: Some(("AwaitSettlement", &[Step::PortalVoids])),
            path: &[
                "CheckRefund",
                "RefundState",
                "InquireCharge",
                "RefundWay",
                "AwaitSettlement",
                "InquireCharge",
                "RefundWay",
                "ReleaseRefund",
                "NotifyRefundFailed",
                "RecordElsewhere",
                "Elsewhere",
                "NotifyElsewhere",
                "RefundDone",
            ],
            end: End::Result("failed"),
            ..A
        })],
        ends: Ends {
            ledger: &[("a", Failed, 12_050), ("elsewhere", Sent, 150_000)],
            asked: 0,
            events: &["failed a", "elsewhere elsewhere-1500.00"],
            ..ALL_VOIDED
        },
    },
    Row {
        name: "the charge is voided in the portal while two parts wait: both are given up",
        steps: &[
            Step::Refund(STOPPED),
            Step::Refund(Refund {
                label: "b",
                ..STOPPED
            }),
            Step::PortalVoids,
            Step::Found(BY_HAND),
            Step::Refund(Refund {
                path: VOIDED_MEANWHILE,
                end: End::Result("failed"),
                ..AGAIN
            }),
            Step::Refund(Refund {
                label: "b",
                path: VOIDED_MEANWHILE,
                end: End::Result("failed"),
                ..AGAIN
            }),
        ],
        ends: Ends {
            ledger: &[
                ("a", Failed, 12_050),
                ("b", Failed, 12_050),
                ("elsewhere", Sent, 150_000),
            ],
            asked: 0,
            events: &["failed a", "failed b", "elsewhere elsewhere-1500.00"],
            ..ALL_VOIDED
        },
    },
    Row {
        name: "all of it is given back in the portal and the bank does not notify: refused, given up, and found",
        steps: &[
            Step::Settle,
            Step::PortalRefundsUnnoticed(TOTAL),
            Step::Refund(Refund {
                times: Times::Impatient,
                path: &[
                    "CheckRefund",
                    "RefundState",
                    "InquireCharge",
                    "RefundWay",
                    "RefundCharge",
                    "TakeBack",
                    "AwaitRetry",
                    "InquireCharge",
                    "RefundWay",
                    "ReleaseRefund",
                    "NotifyRefundFailed",
                    "RecordElsewhere",
                    "Elsewhere",
                    "NotifyElsewhere",
                    "RefundDone",
                ],
                end: End::Result("failed"),
                ..A
            }),
        ],
        ends: Ends {
            ledger: &[("a", Failed, 12_050), ("elsewhere", Sent, 150_000)],
            bank: ("Refund Sent", &[150_000]),
            asked: 1,
            order: Some("paid"),
            shown: ("paid", "0.00"),
            events: &["failed a", "elsewhere elsewhere"],
            ..ONE_PART
        },
    },
    Row {
        name: "a part is given back in the portal beside one of ours: it looks like ours",
        steps: &[Step::Settle, Step::Refund(A), Step::PortalRefunds("200.00")],
        ends: Ends {
            bank: ("Refund Sent", &[12_050, 20_000]),
            hidden_by_hand: 20_000,
            ..ONE_PART
        },
    },
    Row {
        name: "the order is gone: the ledger and the apps say it all the same",
        steps: &[Step::Settle, Step::OrderGone, Step::Refund(A)],
        ends: Ends {
            order: None,
            ..ONE_PART
        },
    },
    Row {
        name: "the order was edited: it stays as the shop wrote it",
        steps: &[Step::OrderEdited, Step::Refund(WHOLE)],
        ends: Ends {
            order: None,
            ..ALL_VOIDED
        },
    },
    Row {
        name: "technical trouble for too long: stuck, and started again after the repair",
        steps: &[
            Step::Settle,
            Step::Busy("refund"),
            Step::Refund(Refund {
                times: Times::Impatient,
                path: &[
                    "CheckRefund",
                    "RefundState",
                    "InquireCharge",
                    "RefundWay",
                    "RefundCharge",
                    "TakeBack",
                    "AwaitRetry",
                    "InquireCharge",
                    "RefundWay",
                    "ReportStuck",
                    "RefundStuck",
                ],
                end: End::Fails("RefundStuck"),
                ..A
            }),
            Step::Refund(Refund {
                path: REFUNDED,
                ..AGAIN
            }),
        ],
        ends: Ends {
            asked: 2,
            ..ONE_PART
        },
    },
];

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn every_refund_takes_its_path_and_leaves_what_it_must() {
    let app = TestApp::connect().await;
    let mut failed = Vec::new();
    // Several at once: each mostly waits.
    for some in ROWS.chunks(AT_ONCE) {
        let mut running = tokio::task::JoinSet::new();
        for row in some {
            let app = TestApp::connect().await;
            running.spawn(async move {
                // A task of its own: a panic fails that row only.
                let played = tokio::spawn(async move { Course::of(&app, row).await.play().await });
                (row.name, played.await)
            });
        }
        while let Some(done) = running.join_next().await {
            let (name, played) = done.expect("the rows catch their own panics");
            println!("{name}{}", if played.is_ok() { "" } else { ": FAILED" });
            if played.is_err() {
                failed.push(name);
            }
        }
    }
    drop(app);
    assert!(failed.is_empty(), "these failed: {failed:#?}");
}

/// How many rows are played at once.
const AT_ONCE: usize = 4;

/// A row that is being played.
struct Course<'a> {
    app: &'a TestApp,
    row: &'static Row,
    paid: Authenticated,
    /// The beginning of the ids of its refunds.
    ids: String,
}

impl<'a> Course<'a> {
    async fn of(app: &'a TestApp, row: &'static Row) -> Self {
        Self {
            app,
            row,
            paid: app.paid().await,
            ids: random::id("rf_"),
        }
    }

    fn charge(&self) -> &str {
        self.paid.charge_id()
    }

    /// What a label stands for.
    fn id(&self, label: &str) -> String {
        match label {
            label if label.starts_with("elsewhere") => label.to_owned(),
            label => format!("{}-{label}", self.ids),
        }
    }

    async fn play(self) {
        for step in self.row.steps {
            self.take(step).await;
        }
        self.check_ledger().await;
        self.check_bank().await;
        self.check_order().await;
        self.check_shown().await;
        self.check_events().await;
        let ends = &self.row.ends;
        let known = Known {
            order_changed: ends.order.is_none(),
            refunds: KnownRefunds {
                hidden_by_hand: BTreeMap::from([(self.charge().to_owned(), ends.hidden_by_hand)]),
                unfinished: ends.unfinished.iter().map(|label| self.id(label)).collect(),
                ..KnownRefunds::default()
            },
        };
        self.app.assert_invariants_of(&self.paid, known).await;
    }

    fn take<'s>(&'s self, step: &'s Step) -> Pin<Box<dyn Future<Output = ()> + Send + 's>> {
        Box::pin(async move {
            let (app, charge, order) = (self.app, self.charge(), &self.paid.order.order_id);
            match step {
                Step::Settle => app.settle(charge).await,
                Step::Speak(dialect) => app.speak(charge, *dialect).await,
                Step::Refuse(refuse) => app.refuse_reversals(charge, *refuse).await,
                Step::LosesAnswer(operation) => {
                    self.plan_fault(operation, "lost_answer").await;
                }
                Step::Busy(operation) => self.plan_fault(operation, "busy").await,
                Step::Refund(refund) => self.refund(refund).await,
                Step::PortalVoids => {
                    app.void_by_hand(charge).await;
                    app.assert_notification_answered(charge, 200).await;
                }
                Step::PortalRefunds(amount) => {
                    app.refund_by_hand(charge, amount).await;
                    app.assert_notification_answered(charge, 200).await;
                }
                Step::PortalRefundsUnnoticed(amount) => app.refund_by_hand(charge, amount).await,
                Step::Notified => app.assert_notification_answered(charge, 200).await,
                Step::Found(path) => {
                    let office = app.refund_machine(Times::Deployed).await;
                    let name = format!("elsewhere-{charge}");
                    let found = office.end_of(&name, PATIENCE).await.expect("an end");
                    assert_eq!(found.states(), *path, "{found:?}");
                    self.assert_end(&found, End::Result("elsewhere"));
                }
                Step::LookedFor(path, end) => {
                    let (input, name) = (json!({"chargeId": charge}), super::refund_id());
                    let looked = app.refund_as(Times::Impatient, &name, &input).await;
                    assert_eq!(looked.states(), *path, "{looked:?}");
                    self.assert_end(&looked, *end);
                }
                Step::Stated(amount, path) => {
                    let input = json!({"chargeId": charge, "amount": amount});
                    let name = format!("{}-stated", self.ids);
                    let stated = app.refund_as(Times::Deployed, &name, &input).await;
                    assert_eq!(stated.states(), *path, "{stated:?}");
                    self.assert_end(&stated, End::Result("elsewhere"));
                }
                Step::OrderGone => app.remove_order(order).await,
                Step::OrderEdited => {
                    let payment = json!({"isPaid": false, "grandTotal": 1500, "remark": "edited"});
                    app.change_order(order, "payment", &payment).await;
                }
                Step::Earlier(label, days) => self.reserved_earlier(label, *days).await,
            }
        })
    }

    async fn plan_fault(&self, operation: &str, kind: &str) {
        let token = self.paid.token();
        let fault = json!({"operation": operation, "kind": kind, "token": token, "delayMs": 0});
        self.app.plan_bank_fault(&fault).await;
    }

    async fn refund(&self, refund: &Refund) {
        let (app, id) = (self.app, self.id(refund.label));
        let name = format!("{id}{}", refund.again);
        let office = app.refund_machine(refund.times).await;
        let input = input(&id, &self.paid, refund.amount);
        office.start(&name, &input).await.expect("started");
        if let Some((state, steps)) = refund.meanwhile {
            app.until_in(&office, &name, state).await;
            for step in steps {
                self.take(step).await;
            }
        }
        if matches!(refund.end, End::Stopped) {
            office.stop(&name).await.expect("stopped");
        }
        let execution = office.end_of(&name, PATIENCE).await.expect("an end");
        let name = format!("{}: {}{}", self.row.name, refund.label, refund.again);
        let states = execution.states();
        assert_eq!(
            without_repeats(&states),
            refund.path,
            "{name}: {execution:?}"
        );
        self.assert_end(&execution, refund.end);
    }

    fn assert_end(&self, execution: &payment3_harness::executions::ExecutionReport, end: End) {
        let name = self.row.name;
        match end {
            End::Result(result) => {
                assert_eq!(execution.status, "SUCCEEDED", "{name}: {execution:?}");
                let output = execution.output.as_ref().expect("an output");
                assert_eq!(output["result"], result, "{name}: {output}");
                // Its last state has told the shop, or had nothing to tell it.
                let told = execution.states().contains(&"NotifyElsewhere") || result == "refunded";
                let notified = output.get("notified");
                let must = told.then_some(Value::Bool(true));
                assert_eq!(notified, must.as_ref(), "{name}: {output}");
            }
            End::Fails(error) => {
                assert_eq!(execution.status, "FAILED", "{name}: {execution:?}");
                let failure = execution.failure.as_ref().expect("a failure");
                assert_eq!(failure.error, error, "{name}: {}", failure.cause);
            }
            End::Stopped => assert_eq!(execution.status, "ABORTED", "{name}: {execution:?}"),
        }
    }

    /// Changes when a refund was reserved.
    async fn reserved_earlier(&self, label: &str, days: i64) {
        let at = jiff::Timestamp::now().as_second() - days * 24 * 60 * 60 - 60;
        let key = self.app.key_of(self.charge()).await;
        // The id holds a `-`, which a path cannot: a name stands for it.
        let update = self.app.aws.dynamodb.update_item();
        update
            .table_name(self.app.table("card-payment-record"))
            .key("tokenId", aws_sdk_dynamodb::types::AttributeValue::S(key))
            .update_expression("SET refunds.#id.reservedAt = :at")
            .expression_attribute_names("#id", self.id(label))
            .expression_attribute_values(
                ":at",
                aws_sdk_dynamodb::types::AttributeValue::N(at.to_string()),
            )
            .send()
            .await
            .expect("changed");
    }

    async fn check_ledger(&self) {
        let ledger = self.app.ledger(self.charge()).await;
        let entries: Vec<_> = ledger
            .entries
            .iter()
            .map(|(id, entry)| (id.clone(), entry.state, entry.satang))
            .collect();
        let mut expected: Vec<_> = self
            .row
            .ends
            .ledger
            .iter()
            .map(|(label, state, satang)| (self.id(label), *state, *satang))
            .collect();
        expected.sort();
        assert_eq!(entries, expected, "{}", self.row.name);
        assert_eq!(ledger.asking, None, "{}", self.row.name);
    }

    async fn check_bank(&self) {
        let (name, ends) = (self.row.name, &self.row.ends);
        let charge = self.app.inspector.bank_charge(self.charge()).await;
        let charge = charge.expect("the bank knows it");
        assert_eq!(charge["transaction_state"], ends.bank.0, "{name}");
        let refunds = charge["refunds"].as_array().expect("a list");
        let satang = |refund: &Value| (refund["amount"].as_f64().expect("baht") * 100.0).round();
        let refunds: Vec<f64> = refunds.iter().map(satang).collect();
        let expected: Vec<f64> = ends.bank.1.iter().map(|satang| *satang as f64).collect();
        assert_eq!(refunds, expected, "{name}");
        let asked = self.app.reversals_asked(self.charge()).await;
        assert_eq!(asked, ends.asked, "{name}");
    }

    async fn check_order(&self) {
        let Some(status) = self.row.ends.order else {
            let item = self.app.inspector.order(&self.paid.order.order_id).await;
            let payment = item
                .expect("the table")
                .map(|item| item["data"]["payment"].clone());
            let untouched = payment.is_none_or(|payment| payment["remark"] == "edited");
            assert!(untouched, "{}", self.row.name);
            return;
        };
        let payment = self.app.payment_of(&self.paid.order).await;
        assert_eq!(payment["status"], status, "{}: {payment}", self.row.name);
        assert_eq!(payment["isPaid"], true, "{}: {payment}", self.row.name);
        assert_eq!(payment["paymentId"], self.charge(), "{}", self.row.name);
    }

    async fn check_shown(&self) {
        let (name, (status, refunded)) = (self.row.name, self.row.ends.shown);
        let shown = self
            .app
            .inspector
            .shown_status(&self.paid.order.order_id)
            .await;
        let shown = shown.expect("an answer").expect("a status");
        assert_eq!(shown["status"], status, "{name}: {shown}");
        assert_eq!(shown["refunded"], refunded, "{name}: {shown}");
        assert_eq!(shown["amount"], TOTAL, "{name}: {shown}");
    }

    async fn check_events(&self) {
        let events = self
            .app
            .inspector
            .shop_events_of_charge(self.charge())
            .await;
        let events = events.expect("the shop answers");
        let about_refunds = events
            .iter()
            .filter(|event| event.kind().starts_with("refund."));
        let mut ids: Vec<&str> = about_refunds.map(|event| event.id.as_str()).collect();
        // A repeat has the same id.
        ids.sort_unstable();
        ids.dedup();
        let mut expected: Vec<_> = self
            .row
            .ends
            .events
            .iter()
            .map(|event| {
                let (kind, label) = event.split_once(' ').expect("a type and a label");
                format!("{}:refund.{kind}:{}", self.charge(), self.id(label))
            })
            .collect();
        expected.sort();
        assert_eq!(ids, expected, "{}", self.row.name);
    }
}
