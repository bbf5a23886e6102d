//! Which cards are saved: the same definition with each value of the deployment's `SaveCardPolicy`.

use payment3_harness::aws::{ACCOUNT, REGION};
use payment3_harness::executions::{ExecutionReport, Executions};
use payment3_harness::shopper::{CARD_APPROVED, CARD_DECLINED};
use payment3_harness::workspace;
use serde_json::{Value, json};

use crate::support::TestApp;

impl TestApp {
    /// The definition as the environment would deploy it with this policy.
    pub(crate) fn definition(&self, policy: &str) -> Value {
        let mut definition =
            std::fs::read_to_string(workspace::state_machine_file()).expect("definition");
        let branch = &self.outputs.branch;
        for activity in payment3_activities::activity::ACTIVITIES {
            let function = activity.program;
            let arn =
                format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:payment3-{function}-{branch}");
            let words = function.split('-').map(|word| {
                let (first, rest) = word.split_at(1);
                first.to_uppercase() + rest
            });
            let placeholder = format!("${{{}Function}}", words.collect::<String>());
            definition = definition.replace(&placeholder, &arn);
        }
        definition = definition
            .replace(
                "${CardPaymentRecordTable}",
                &self.table("card-payment-record"),
            )
            .replace("${SaveCardPolicy}", policy);
        assert!(
            !definition.contains("${"),
            "a placeholder is new: name it in tests/e2e/policies.rs: {definition}"
        );
        serde_json::from_str(&definition).expect("JSON")
    }

    /// Deploys a definition next to the environment's state machine of payments. Returns its ARN.
    pub(crate) async fn deploy_machine(&self, name: &str, definition: &Value) -> String {
        let payments = &self.outputs.state_machine_arn;
        self.deploy_machine_like(payments, name, definition).await
    }

    /// Deploys a definition with the rights of another state machine. Returns its ARN.
    pub(crate) async fn deploy_machine_like(
        &self,
        other: &str,
        name: &str,
        definition: &Value,
    ) -> String {
        let deployed = self
            .aws
            .sfn
            .describe_state_machine()
            .state_machine_arn(other)
            .send()
            .await
            .expect("described");
        self.aws
            .sfn
            .create_state_machine()
            .name(name)
            .definition(definition.to_string())
            .role_arn(deployed.role_arn())
            .send()
            .await
            .expect("created")
            .state_machine_arn()
            .to_owned()
    }

    /// Runs a payment on this state machine.
    pub(crate) async fn run_on(&self, machine: &str, charge: &str) -> ExecutionReport {
        self.aws
            .sfn
            .start_execution()
            .state_machine_arn(machine)
            .name(charge)
            .input(json!({"chargeId": charge}).to_string())
            .send()
            .await
            .expect("started");
        Executions::of(&self.aws, machine)
            .wait_for(charge, std::time::Duration::from_secs(90))
            .await
            .expect("an execution that ends")
    }
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn each_policy_saves_the_cards_that_it_names() {
    let app = TestApp::connect().await;
    for (policy, rows) in [
        // (card, ticked "save card", is the user ensured, is the card saved)
        (
            "every-order",
            [
                (CARD_APPROVED, "true", true, true),
                (CARD_APPROVED, "false", true, true),
                (CARD_DECLINED, "true", true, false),
            ],
        ),
        (
            "paid-only",
            [
                (CARD_APPROVED, "true", true, true),
                (CARD_APPROVED, "false", true, true),
                (CARD_DECLINED, "true", false, false),
            ],
        ),
        (
            "consented",
            [
                (CARD_APPROVED, "true", true, true),
                (CARD_APPROVED, "false", false, false),
                (CARD_DECLINED, "true", false, false),
            ],
        ),
    ] {
        let name = format!("policy-{policy}");
        let machine = app.deploy_machine(&name, &app.definition(policy)).await;
        for (card, ticked, ensured, saved) in rows {
            let row = format!("{policy}, {card}, saveCard={ticked}");
            let order = app.order().await;
            let mut form = app.checkout_form(&order, card).await;
            form.insert("saveCard".into(), ticked.into());
            // The return repeats the choice, but the policy does not read it there.
            let back = app.pass_three_ds_with(&form).await;
            let execution = app
                .run_on(&machine, back.charge_id().expect("charge"))
                .await;
            assert_eq!(execution.status, "SUCCEEDED", "{row}: {execution:?}");
            assert_eq!(
                execution.states().contains(&"EnsureKBankUser"),
                ensured,
                "{row}"
            );
            let cards = app.saved_cards(&order.owner_id).await;
            assert_eq!(cards, saved.then_some(1), "{row}");
            let output = execution.output.unwrap_or(Value::Null);
            let card = match (ensured, saved) {
                (_, true) => "saved",
                (true, false) => "refused",
                (false, false) => "notSaved",
            };
            assert_eq!(output["card"], card, "{row}: {output}");
        }
    }
}
