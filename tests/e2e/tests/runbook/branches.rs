//! Several branches in one account. Each pays its own orders, and deleting one leaves the others alone.

use payment3_harness::aws::Aws;
use payment3_harness::executions::Executions;
use payment3_harness::http::FORM;
use payment3_harness::inspect::Inspector;
use payment3_harness::outputs::Outputs;
use payment3_harness::shop_api::NewOrder;
use payment3_harness::shopper::{self, CARD_APPROVED};
use payment3_harness::{items, random, workspace};
use payment3_stack::second_branch::SecondBranch;

use serde_json::{Value, json};

use crate::api::{call, lambda};
use crate::conditions::deployed_alarms;
use crate::shell::Shell;
use crate::support::TestApp;

/// Pays an order of a branch through its own API, and returns order and charge.
async fn pay(outputs: &Outputs) -> (String, String) {
    let new = NewOrder::of(random::id("usr_"));
    let order = shopper::order(outputs, &new).await.expect("an order");
    let token = shopper::card_token(outputs, CARD_APPROVED).await;
    let form = shopper::pass_three_ds(outputs, &order, &token.expect("a token"))
        .await
        .expect("3-D Secure");
    let charge = form.charge_id().expect("charge").to_owned();
    // The bank's one merchant account calls back to one branch; this is that call for the others.
    let url = format!("{}/callback", outputs.api_url);
    let body = shopper::bare_return(&charge);
    let answer = shopper::post_callback(&url, FORM, body)
        .await
        .expect("a callback");
    assert_eq!(answer.status, 303, "{answer:?}");
    let aws = Aws::at(&outputs.aws_endpoint);
    let execution = Executions::of(&aws, &outputs.state_machine_arn)
        .wait_for(&charge, std::time::Duration::from_secs(90))
        .await
        .expect("an execution that ends");
    assert_eq!(execution.status, "SUCCEEDED", "{execution:?}");
    let inspector = Inspector::new(&aws, outputs);
    let item = inspector
        .order(&order.order_id)
        .await
        .expect("table")
        .expect("order");
    assert_eq!(item["data"]["payment"]["paymentId"], charge.as_str());
    let events = inspector
        .shop_events(&order.order_id)
        .await
        .expect("the shop");
    assert_eq!(events.len(), 1, "{events:?}");
    assert!(
        events[0].verified && events[0].answered == 204,
        "{events:?}"
    );
    (order.order_id, charge)
}

/// Whether anything in the tables or executions of a branch speaks of a payment.
async fn knows(outputs: &Outputs, (order, charge): &(String, String)) -> bool {
    let aws = Aws::at(&outputs.aws_endpoint);
    for table in outputs.tables.values() {
        let scan = aws
            .dynamodb
            .scan()
            .table_name(table)
            .send()
            .await
            .expect("scanned");
        for item in scan.items() {
            let text = items::to_json(item).to_string();
            if text.contains(order.as_str()) || text.contains(charge.as_str()) {
                return true;
            }
        }
    }
    let executions = Executions::of(&aws, &outputs.state_machine_arn);
    executions.find(charge).await.expect("executions").is_some()
}

/// All functions, of every branch: AWS lists 50 at a time.
async fn functions(outputs: &Outputs) -> Value {
    let mut all = Vec::new();
    let mut page = String::new();
    loop {
        let found = lambda(outputs, reqwest::Method::GET, &page, None).await;
        all.extend(found["Functions"].as_array().expect("functions").clone());
        let Some(next) = found["NextMarker"].as_str().filter(|next| !next.is_empty()) else {
            return json!({ "Functions": all });
        };
        page = format!("?Marker={next}");
    }
}

/// All log groups, of every branch: AWS lists 50 at a time.
async fn log_groups(outputs: &Outputs) -> Value {
    let mut all = Vec::new();
    let mut page = json!({});
    loop {
        let found = call(outputs, "Logs_20140328.DescribeLogGroups", &page).await;
        all.extend(found["logGroups"].as_array().expect("log groups").clone());
        match found["nextToken"].as_str() {
            Some(next) => page["nextToken"] = json!(next),
            None => return json!({ "logGroups": all }),
        }
    }
}

/// Every name of a branch's resources that are there.
async fn remains(outputs: &Outputs) -> Vec<String> {
    let sources = [
        (functions(outputs).await, "/Functions", "FunctionName"),
        (
            call(outputs, "DynamoDB_20120810.ListTables", &json!({})).await,
            "/TableNames",
            "",
        ),
        (log_groups(outputs).await, "/logGroups", "logGroupName"),
        (
            call(outputs, "AWSStepFunctions.ListStateMachines", &json!({})).await,
            "/stateMachines",
            "name",
        ),
        (
            call(outputs, "AWSEvents.ListRules", &json!({})).await,
            "/Rules",
            "Name",
        ),
        (
            call(outputs, "secretsmanager.ListSecrets", &json!({})).await,
            "/SecretList",
            "Name",
        ),
        (json!(deployed_alarms(outputs).await), "", "AlarmName"),
    ];
    let suffix = format!("-{}", outputs.branch);
    let mut names = Vec::new();
    for (answer, list, field) in sources {
        let found = answer.pointer(list).and_then(Value::as_array);
        let found = found.unwrap_or_else(|| panic!("no {list} in {answer}"));
        let of_branch = found
            .iter()
            .map(|one| if field.is_empty() { one } else { &one[field] })
            .map(|name| name.as_str().expect("name"))
            .filter(|name| name.ends_with(&suffix));
        // Resources of different kinds may share a name.
        names.extend(of_branch.map(|name| format!("{list} {name}")));
    }
    names.sort();
    names
}

/// What `cargo local check` prints of a branch, and whether it passes.
fn check(shell: &Shell, outputs: &Outputs) -> (String, bool) {
    let program =
        std::env::var("PAYMENT3_LOCAL").expect("run this with `cargo local test runbook`");
    let command = format!("'{program}' check --stack 'payment3-{}'", outputs.branch);
    // The exit code is what a workflow looks at.
    let printed = shell.script(
        &format!("status=0; {command} || status=$?; echo \"exit $status\""),
        "cargo local check",
    );
    println!("{printed}");
    let (table, status) = printed.rsplit_once("exit ").expect("an exit code");
    assert!(!table.contains("test_sandbox_only"), "a secret is shown");
    (table.to_owned(), status.trim() == "0")
}

/// The lines of a table that begin with a word.
fn lines<'a>(table: &'a str, word: &str) -> Vec<&'a str> {
    let lines = table.lines().filter_map(|line| line.strip_prefix(word));
    lines.map(str::trim).collect()
}

/// The lines that fail, but for alarms that ring. The tests of the alarms write numbers of one function or machine, and for
/// minutes the local AWS raises the alarms of all of them: it looks at a metric's name and not at its dimensions.
fn failures(table: &str) -> Vec<&str> {
    let mut failed = lines(table, "FAILS ");
    failed.retain(|line| !line.ends_with("  it rings"));
    failed
}

/// A whole branch passes. One with a secret, an alarm and a function that are not as deployed fails in these three lines,
/// each with its mend.
fn check_tells_what_is_broken(outputs: &Outputs) {
    let shell = Shell::open(outputs);
    let (table, passed) = check(&shell, outputs);
    assert_eq!(failures(&table), [""; 0], "the whole branch:\n{table}");
    assert_eq!(passed, lines(&table, "FAILS ").is_empty(), "{table}");
    // What the local AWS cannot tell: its API has no TLS, and it does not say how state machines log.
    let names = ["address", "state machine", "state machine"];
    let unseen = lines(&table, "unseen ");
    assert_eq!(unseen.len(), names.len(), "{unseen:?}");
    for (line, name) in unseen.iter().zip(names) {
        assert!(line.starts_with(name), "{line}");
    }

    let branch = &outputs.branch;
    let other = match std::env::consts::ARCH {
        "aarch64" => "x86_64",
        _ => "arm64",
    };
    shell.script(
        &format!(
            r#"aws secretsmanager delete-secret --secret-id payment3-gateway-{branch} --force-delete-without-recovery
            aws cloudwatch delete-alarms --alarm-names payment3-orphan-charge-{branch}
            aws cloudformation get-template --stack-name payment3-{branch} --output json --query \
              "TemplateBody.Resources.*.Properties | [?FunctionName=='payment3-notify-{branch}'].Code | [0]" > code.json
            KEY=$(sed -n 's/.*"S3Key": "\(.*\)".*/\1/p' code.json)
            aws lambda update-function-code --function-name payment3-notify-{branch} --architectures {other} \
              --s3-bucket cdk-hnb659fds-assets-000000000000-$AWS_REGION --s3-key "$KEY""#
        ),
        "breaking the branch",
    );
    let (table, passed) = check(&shell, outputs);
    assert!(!passed, "the broken branch:\n{table}");
    let failed = failures(&table);
    let broken = [
        format!("function payment3-notify-{branch} "),
        "secret with the bank's keys ".to_owned(),
        format!("alarm payment3-orphan-charge-{branch} "),
    ];
    assert_eq!(failed.len(), broken.len(), "{failed:?}");
    for (failed, broken) in failed.iter().zip(&broken) {
        assert!(failed.starts_with(broken.as_str()), "{failed}");
    }
    let mends = table.matches("mend: ").count();
    assert_eq!(mends, lines(&table, "FAILS ").len(), "{table}");
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn branches_pay_side_by_side_and_one_that_goes_leaves_the_others_whole() {
    let app = TestApp::connect().await;
    let master = SecondBranch::deploy(&app.outputs, "master")
        .await
        .expect("deployed");
    let feature = SecondBranch::deploy(&app.outputs, "feature/one")
        .await
        .expect("deployed");
    let all = [&app.outputs, &master.outputs, &feature.outputs];
    let mut names = Vec::new();
    for outputs in all {
        names.extend(remains(outputs).await);
    }
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count, "branches share resources");

    let paid = [pay(all[0]).await, pay(all[1]).await, pay(all[2]).await];
    for (branch, outputs) in all.iter().enumerate() {
        for (payer, payment) in paid.iter().enumerate() {
            assert_eq!(
                knows(outputs, payment).await,
                branch == payer,
                "{} and {payment:?}",
                outputs.branch
            );
        }
    }

    check_tells_what_is_broken(&feature.outputs);
    let gone = feature.outputs.clone();
    let before = [remains(&app.outputs).await, remains(&master.outputs).await];
    feature.destroy().await.expect("destroyed");
    assert_eq!(remains(&gone).await, [""; 0]);
    let after = [remains(&app.outputs).await, remains(&master.outputs).await];
    assert_eq!(after, before);
    for (outputs, payment) in [(&app.outputs, &paid[0]), (&master.outputs, &paid[1])] {
        assert!(
            knows(outputs, payment).await,
            "{} lost a payment",
            outputs.branch
        );
        pay(outputs).await;
    }
}

/// The commands of a section of docs/deploy.md, which has one block of them.
fn deployment_page(section: &str) -> String {
    let page = std::fs::read_to_string(workspace::root().join("docs/deploy.md")).expect("a page");
    let (_, after) = page
        .split_once(&format!("### {section}\n"))
        .expect("a section");
    let section = after.split("\n#").next().expect("its text");
    let blocks: Vec<_> = section.split("```").collect();
    assert_eq!(blocks.len(), 3, "{section}");
    blocks[1]
        .strip_prefix("sh\n")
        .expect("commands of a shell")
        .to_owned()
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test runbook"]
async fn a_first_deployment_of_production_that_failed_is_repeated_with_all_its_data() {
    let app = TestApp::connect().await;
    let shell = Shell::open(&app.outputs);
    let functions = workspace::functions_dir();
    let settings = format!(
        "-c branch=first -c masterBranch=first -c account=000000000000 -c region={} -c assets={} -c merchantIds=401000000000001 \
         -c shopWebhookUrl=https://shop.example/events -c alarmEmail=oncall@shop.example",
        app.outputs.region,
        functions.display()
    );
    let terminal = |commands: &str| {
        format!(
            "cd {}\n\
             export AWS_ENDPOINT_URL_S3=$AWS_ENDPOINT_URL NODE_NO_WARNINGS=1 CDK_OUTPUT=$(mktemp -d) \
             CDK_APP='node --import tsx test/first-deployment.ts'\n\
             trap 'rm -rf \"$CDK_OUTPUT\"' EXIT\n\
             STACK=payment3-first SETTINGS='{settings}'\n{commands}",
            workspace::cdk_dir().display()
        )
    };
    let deploy = "npx cdk deploy $STACK --require-approval never $SETTINGS";
    shell.script(
        &terminal(&format!(
            "FAILS=1 {deploy} && exit 9\n\
             aws dynamodb put-item --table-name payment3-order-first --item '{{\"orderId\": {{\"S\": \"kept\"}}}}'\n\
             {deploy} &> \"$CDK_OUTPUT/again\" && exit 9\n\
             grep 'cannot be deleted while TerminationProtection is enabled' \"$CDK_OUTPUT/again\""
        )),
        "a first deployment that fails, and cannot be repeated",
    );

    let repair = deployment_page("A first deployment of production that failed");
    // A second failure on the way leaves the tables where they were.
    let lines: Vec<_> = repair.lines().collect();
    assert!(lines[1].starts_with("npx cdk deploy"), "{repair}");
    shell.script(
        &terminal(&format!(
            "{}\nFAILS=1 {} && exit 9\ntrue",
            lines[0], lines[1]
        )),
        "the cause was not repaired",
    );
    shell.script(&terminal(&repair), "the way out");
    let seen = shell.script(
        "aws dynamodb scan --table-name payment3-order-first --query 'Items[].orderId.S' --output text\n\
         aws cloudformation describe-stacks --stack-name payment3-first \
         --query 'Stacks[].[StackStatus, EnableTerminationProtection]' --output text\n\
         for table in card-payment-record credit-card-notify kbank-user-mapping check-status order; do\n\
         aws dynamodb describe-table --table-name payment3-$table-first --query Table.DeletionProtectionEnabled\n\
         aws dynamodb describe-continuous-backups --table-name payment3-$table-first --output text \
         --query ContinuousBackupsDescription.PointInTimeRecoveryDescription.PointInTimeRecoveryStatus\n\
         done",
        "what is there",
    );
    assert_eq!(
        seen,
        format!(
            "kept\nCREATE_COMPLETE\tTrue\n{}",
            "true\nENABLED\n".repeat(5)
        )
    );

    // The rest of the runbook's tests need no second production.
    shell.script(
        "aws cloudformation update-termination-protection --no-enable-termination-protection --stack-name payment3-first\n\
         aws cloudformation delete-stack --stack-name payment3-first\n\
         aws cloudformation wait stack-delete-complete --stack-name payment3-first",
        "tidying up",
    );
}
