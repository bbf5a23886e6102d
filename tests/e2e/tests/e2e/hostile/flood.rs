//! A flood of forged returns for one payment: what it starts, what it costs, and that the true return still pays.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use payment3_harness::http::FORM;
use payment3_harness::shopper::{self, CARD_APPROVED};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::support::{TestApp, charge_on};

/// How many forged returns are sent, by how many at once, and the pause of each between two.
const FORGED: usize = 1000;
const AT_ONCE: usize = 10;
const PAUSE: Duration = Duration::from_millis(1200);
/// How often further returns ask the bank, in seconds.
const ASKED_EVERY: u64 = 10;
/// After so many of them the shopper returns. By then an unbounded flood would have started twice as many executions.
const TRUE_ONE_AFTER: usize = 800;
/// How many executions returns may start in ten minutes while the bank has decided nothing.
const MOST: usize = 3;
/// How often an execution asks the bank while it waits.
const INQUIRIES_OF_ONE: usize = 5;
/// How soon the true return must pay: the bound may take ten seconds, and the machine may be busy.
const PAID_WITHIN: Duration = Duration::from_secs(30);

/// What a charge's executions and record show.
struct Seen {
    executions: usize,
    entered: usize,
    retries: usize,
    inquiries: usize,
}

impl Seen {
    async fn of(app: &TestApp, charge: &str) -> Self {
        let names = app.executions_of(charge).await;
        let (mut entered, mut retries) = (0, 0);
        for name in &names {
            let execution = app.find_execution(name).await.expect("listed");
            entered += execution.path.len();
            retries += execution
                .path
                .iter()
                .map(|visit| visit.retries)
                .sum::<usize>();
        }
        Self {
            executions: names.len(),
            entered,
            retries,
            inquiries: app.inquiries_of(charge).await,
        }
    }

    fn print(&self, when: &str, sent: usize, since: Instant) {
        println!(
            "{when}: {sent} forged returns in {:.0} s: {} executions, {} states entered and {} retries, {} inquiries at the bank",
            since.elapsed().as_secs_f64(),
            self.executions,
            self.entered,
            self.retries,
            self.inquiries
        );
    }
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test hostile"]
async fn a_thousand_forged_returns_start_three_executions_and_the_true_one_pays() {
    let app = Arc::new(TestApp::connect().await);
    let order = app.order().await;
    let page = app.check_out(&order, CARD_APPROVED).await;
    let charge = charge_on(&page);
    // Only returns must start executions here.
    app.hide_from_reconciliation(&app.key_of(&charge).await)
        .await;
    let began = Instant::now();
    let (taken, sent) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut flood = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (app, taken, sent) = (app.clone(), taken.clone(), sent.clone());
        let forged = format!("objectId={charge}&status=true");
        flood.spawn(async move {
            while taken.fetch_add(1, Ordering::SeqCst) < FORGED {
                let answer = app.post_callback(FORM, forged.clone()).await;
                assert_eq!(answer.status, 303, "{answer:?}");
                sent.fetch_add(1, Ordering::SeqCst);
                sleep(PAUSE).await;
            }
        });
    }
    while sent.load(Ordering::SeqCst) < TRUE_ONE_AFTER {
        assert!(flood.try_join_next().is_none(), "the flood broke off");
        sleep(Duration::from_millis(100)).await;
    }
    let undecided = Seen::of(&app, &charge).await;
    undecided.print("undecided", sent.load(Ordering::SeqCst), began);
    let asked_by_returns = began.elapsed().as_secs() / ASKED_EVERY + 1;
    let asked_by_returns = usize::try_from(asked_by_returns).expect("short");
    assert!(undecided.executions <= MOST, "{}", undecided.executions);
    let most = MOST * INQUIRIES_OF_ONE + asked_by_returns;
    assert!(undecided.inquiries <= most, "{}", undecided.inquiries);

    let form = shopper::authenticate(&page).await.expect("the bank's page");
    let returned = Instant::now();
    assert_eq!(app.return_with(&form).await.status, 303);
    while app.payment_of(&order).await["isPaid"] != true {
        assert!(returned.elapsed() < PAID_WITHIN, "not paid yet");
        sleep(Duration::from_millis(200)).await;
    }
    println!(
        "the true return among them: paid after {:.1} s",
        returned.elapsed().as_secs_f64()
    );
    flood.join_all().await;
    let mut paid_by = Vec::new();
    for name in app.executions_of(&charge).await {
        let execution = app.execution(&name).await;
        assert!(execution.has_succeeded(), "{execution:?}");
        if execution.states().contains(&"PayOrder") {
            paid_by.push(execution.input.expect("an input")["source"].clone());
        }
    }
    assert_eq!(paid_by, ["callback"]);
    let all = Seen::of(&app, &charge).await;
    all.print("in the end", sent.load(Ordering::SeqCst), began);
    assert!(all.executions <= MOST + 1, "{}", all.executions);
    assert_eq!(app.payment_of(&order).await["paymentId"], charge.as_str());
    assert_eq!(app.event_kinds_for(&order).await, ["payment.succeeded"]);
}
