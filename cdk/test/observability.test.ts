import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { FUNCTIONS } from "../lib/functions/function-catalogue";
import { LOG_METRICS, type LogMetric, filterPattern } from "../lib/observability/log-metrics";
import { ACTIVITIES } from "../lib/state-machine-definition";
import { ALARM_EMAIL, APP_DIRECTORY, type Resource, type Template, builtFunctions, render, resources, synthesise } from "./support";

const assets = builtFunctions();
const template = synthesise(assets);
const runbook = readFileSync(join(APP_DIRECTORY, "..", "docs", "runbook.md"), "utf8");

const alarms = resources(template, "AWS::CloudWatch::Alarm").map(([, { Properties }]) => Properties);
const filters = resources(template, "AWS::Logs::MetricFilter").map(([, { Properties }]) => Properties);

/** GitHub's anchors of the headings. */
function anchors(markdown: string): Set<string> {
  const prose = markdown.replaceAll(/^ *```.*?^ *```$/gms, "");
  const headings = [...prose.matchAll(/^#+ (.*)$/gm)].map((match) => match[1] ?? "");
  return new Set(headings.map((heading) => heading.toLowerCase().replace(/[^a-z0-9 -]/g, "").replaceAll(" ", "-")));
}

function topicOf(from: Template): [string, Resource] {
  const found = resources(from, "AWS::SNS::Topic");
  assert.equal(found.length, 1);
  return found[0] as [string, Resource];
}

/** Alarms on something that lasts. */
const CONDITIONS = [
  "executions-throttled",
  "reconcile-behind",
  "reconcile-not-running",
  "activity-crashes",
  "api-errors",
  "api-throttled",
  ...["cardtoken", "callback", "check-status", "reconcile"].flatMap((name) => [`function-errors-${name}`, `function-throttles-${name}`]),
  ...ACTIVITIES.map((name) => `activity-throttles-${name}`),
];
/** Alarms on something that happened. */
const EVENTS = [
  ...["definite", "technical", "shop"].map((kind) => `payment-stands-${kind}`),
  "charge-mismatch",
  "charge-unknown",
  "outcome-conflict",
  "order-unreadable",
  "orphan-checkout",
  "orphan-charge",
  "unknown-state",
  "refusal-needs-person",
  "refund-uncertain",
  "refund-stuck",
  "refund-timed-out",
  "refund-aborted",
  "refund-elsewhere",
  "notifications-refused",
];

describe("alarms", () => {
  test("exist for everything that needs a person", () => {
    assert.deepEqual(
      alarms.map(({ AlarmName }) => AlarmName).sort(),
      [...CONDITIONS, ...EVENTS].map((name) => `payment3-${name}-feature-a`).sort(),
    );
  });

  test("each notify the topic when they are raised", () => {
    const [topicId] = topicOf(template);
    for (const { AlarmName, AlarmActions, InsufficientDataActions, ActionsEnabled } of alarms) {
      assert.deepEqual(AlarmActions, [{ Ref: topicId }], AlarmName);
      assert.equal(InsufficientDataActions, undefined, AlarmName);
      assert.notEqual(ActionsEnabled, false, AlarmName);
    }
  });

  test("say that it is over only if they watch a condition: a counted event is not over because no other follows", () => {
    const [topicId] = topicOf(template);
    for (const { AlarmName, OKActions } of alarms) {
      const watchesACondition = CONDITIONS.some((name) => AlarmName === `payment3-${name}-feature-a`);
      assert.deepEqual(OKActions, watchesACondition ? [{ Ref: topicId }] : undefined, AlarmName);
    }
  });

  test("each link to an existing section of the runbook, and every section has an alarm", () => {
    const known = anchors(runbook);
    const linked = new Set<string>();
    for (const { AlarmName, AlarmDescription } of alarms) {
      const [, sentence, anchor] = /^(.{20,}\.) docs\/runbook\.md#([a-z0-9-]+)$/.exec(AlarmDescription) ?? [];
      assert.ok(sentence && anchor, `${AlarmName}: ${AlarmDescription}`);
      assert.ok(known.has(anchor), `docs/runbook.md has no section ${anchor}`);
      linked.add(anchor);
    }
    const [, chapter = ""] = /^## Alarms\n(.*?)^## /ms.exec(runbook) ?? [];
    assert.deepEqual([...linked].sort(), [...anchors(chapter)].sort());
  });

  test("link to the runbook's address from the settings", () => {
    const moved = synthesise(assets, { runbook: "https://git.example/runbook.md" });
    for (const [, { Properties }] of resources(moved, "AWS::CloudWatch::Alarm")) {
      assert.match(Properties["AlarmDescription"], /^.* https:\/\/git\.example\/runbook\.md#[a-z0-9-]+$/);
    }
  });

  test("watch metrics that exist", () => {
    const given = new Set(filters.flatMap(({ MetricTransformations }) => MetricTransformations.map(({ MetricName }: any) => MetricName)));
    const ofAws: Record<string, Set<string>> = {
      "AWS/States": new Set(["ExecutionThrottled", "ExecutionsTimedOut", "ExecutionsAborted"]),
      "AWS/Lambda": new Set(["Errors", "Throttles"]),
      "payment3/feature-a": given,
    };
    for (const { AlarmName, Namespace, MetricName, Dimensions } of alarms) {
      assert.ok(ofAws[Namespace]?.has(MetricName), `${AlarmName}: ${Namespace} ${MetricName}`);
      const own = MetricName in LOG_METRICS ? (LOG_METRICS as Record<string, LogMetric>)[MetricName]?.by : undefined;
      // A metric with a dimension has values only per dimension, and no sum.
      const names = (Dimensions ?? []).map(({ Name }: any) => Name);
      assert.deepEqual(names, Namespace === "payment3/feature-a" ? Object.keys(own ?? {}) : names, AlarmName);
      assert.equal(names.length > 0, Namespace !== "payment3/feature-a" || own !== undefined, AlarmName);
    }
  });

  test("are quiet without data, except reconciliation's: one is raised then, and one does not end then", () => {
    const withoutData = new Map([["payment3-reconcile-not-running-feature-a", "breaching"], ["payment3-reconcile-behind-feature-a", "ignore"]]);
    for (const { AlarmName, TreatMissingData, ComparisonOperator, Threshold } of alarms) {
      const silence = AlarmName === "payment3-reconcile-not-running-feature-a";
      assert.equal(TreatMissingData, withoutData.get(AlarmName) ?? "notBreaching", AlarmName);
      assert.equal(ComparisonOperator, silence ? "LessThanThreshold" : "GreaterThanOrEqualToThreshold", AlarmName);
      assert.ok(Threshold >= 1, AlarmName);
    }
  });
});

function alarm(name: string): Record<string, any> {
  const found = alarms.find(({ AlarmName }) => AlarmName === `payment3-${name}-feature-a`);
  assert.ok(found, name);
  return found;
}

describe("a refund that needs a person", () => {
  test("raises an alarm at the first line that says so", () => {
    for (const [name, metric] of [["refund-uncertain", "RefundUncertain"], ["refund-stuck", "RefundStuck"], ["refund-elsewhere", "RefundElsewhere"]] as const) {
      const { Namespace, MetricName, Statistic, Period, EvaluationPeriods, Threshold } = alarm(name);
      assert.deepEqual(
        { Namespace, MetricName, Statistic, Period, EvaluationPeriods, Threshold },
        { Namespace: "payment3/feature-a", MetricName: metric, Statistic: "Sum", Period: 300, EvaluationPeriods: 1, Threshold: 1 },
      );
    }
  });

  test("raises an alarm when its execution ended without a word, whose section is that of a stuck refund", () => {
    for (const [name, metric] of [["refund-timed-out", "ExecutionsTimedOut"], ["refund-aborted", "ExecutionsAborted"]] as const) {
      const { Namespace, MetricName, Dimensions, Statistic, Period, EvaluationPeriods, Threshold, AlarmDescription } = alarm(name);
      assert.deepEqual(
        { Namespace, MetricName, Statistic, Period, EvaluationPeriods, Threshold },
        { Namespace: "AWS/States", MetricName: metric, Statistic: "Sum", Period: 300, EvaluationPeriods: 1, Threshold: 1 },
      );
      assert.deepEqual(Dimensions.map(({ Name, Value }: any) => [Name, render(template, Value)]), [["StateMachineArn", "payment3-refund-feature-a.Arn"]]);
      assert.match(AlarmDescription, /#refund-stuck$/);
    }
  });
});

describe("a payment that stands", () => {
  test("raises an alarm at the first report of it, and failed executions raise none", () => {
    for (const kind of ["definite", "technical", "shop"]) {
      const { MetricName, Dimensions, Statistic, Period, EvaluationPeriods, Threshold } = alarm(`payment-stands-${kind}`);
      assert.deepEqual(
        { MetricName, Dimensions, Statistic, Period, EvaluationPeriods, Threshold },
        { MetricName: "PaymentStands", Dimensions: [{ Name: "kind", Value: kind }], Statistic: "Sum", Period: 300, EvaluationPeriods: 1, Threshold: 1 },
      );
    }
    const ofPayments = alarms.filter(({ Namespace, Dimensions }) => Namespace === "AWS/States" && render(template, Dimensions[0].Value) === "payment3-payment-feature-a.Arn");
    assert.deepEqual(ofPayments.map(({ MetricName }) => MetricName), ["ExecutionThrottled"]);
  });

  test("is counted by kind", () => {
    assert.deepEqual(LOG_METRICS.PaymentStands.by, { kind: "$.kind" });
  });

  test("is found in time, because alarms watch that reconciliation runs in every shard", () => {
    const behind = alarm("reconcile-behind");
    assert.deepEqual([behind["MetricName"], behind["Statistic"], behind["Threshold"], behind["EvaluationPeriods"]], ["OldestDue", "Maximum", 1800, 2]);
    const running = alarm("reconcile-not-running");
    assert.deepEqual([running["MetricName"], running["Statistic"], running["Period"], running["EvaluationPeriods"]], ["ReconcileRuns", "Sum", 300, 3]);
    // A period has 80 runs. If one rule does not run, 60 are left. Once in three periods, up to 16 fall into the next.
    assert.ok(60 < running["Threshold"] && running["Threshold"] < 80 - 16 / 3, running["Threshold"]);
  });
});

test("a branch without alarmEmail has no alarms, no metrics for them and no dashboard, which cost more than the rest of it", () => {
  const unwatched = synthesise(assets, { alarmEmail: undefined });
  for (const type of ["AWS::CloudWatch::Alarm", "AWS::CloudWatch::Dashboard", "AWS::SNS::Topic", "AWS::SNS::TopicPolicy", "AWS::SNS::Subscription"]) {
    assert.notEqual(resources(template, type).length, 0, type);
    assert.deepEqual(resources(unwatched, type), [], type);
  }
  assert.equal(unwatched.Outputs["AlarmTopicArn"], undefined);
  // The counts of the API's responses stay: they cost nothing while there is nothing to count.
  const counted = resources(unwatched, "AWS::Logs::MetricFilter").map(([, { Properties }]) => Properties["MetricTransformations"][0].MetricName);
  assert.deepEqual(counted.sort(), ["FailedRequests", "ThrottledRequests"]);
});

describe("the alarms' topic", () => {
  test("notifies the e-mail address of the settings", () => {
    const [topicId, topic] = topicOf(template);
    assert.equal(topic.Properties["TopicName"], "payment3-alarms-feature-a");
    const subscriptions = resources(template, "AWS::SNS::Subscription").map(([, { Properties }]) => Properties);
    assert.deepEqual(subscriptions, [{ Endpoint: ALARM_EMAIL, Protocol: "email", TopicArn: { Ref: topicId } }]);
  });

  test("accepts only this branch's alarms, over TLS", () => {
    const policies = resources(template, "AWS::SNS::TopicPolicy").map(([, { Properties }]) => Properties["PolicyDocument"].Statement);
    assert.equal(policies.length, 1);
    const [allow, deny, ...others] = policies[0];
    assert.equal(others.length, 0);
    assert.deepEqual([allow.Effect, allow.Action, allow.Principal], ["Allow", "sns:Publish", { Service: "cloudwatch.amazonaws.com" }]);
    assert.deepEqual(allow.Condition.StringEquals, { "aws:SourceAccount": { Ref: "AWS::AccountId" } });
    assert.equal(
      render(template, allow.Condition.ArnLike["aws:SourceArn"]),
      "arn:AWS::Partition:cloudwatch:AWS::Region:AWS::AccountId:alarm:payment3-*-feature-a",
    );
    assert.deepEqual([deny.Effect, deny.Action, deny.Principal], ["Deny", "sns:Publish", { AWS: "*" }]);
    assert.deepEqual(deny.Condition, { Bool: { "aws:SecureTransport": "false" } });
  });
});

describe("metrics", () => {
  test("are made from the logs of the functions that write the lines", () => {
    const found = filters.map(({ LogGroupName, FilterPattern, MetricTransformations: [{ MetricName, MetricNamespace, MetricValue }] }) =>
      [MetricName, render(template, LogGroupName), FilterPattern, MetricNamespace, MetricValue].join(" | "),
    );
    const expected = Object.entries<LogMetric>(LOG_METRICS).flatMap(([name, metric]) =>
      metric.functions.map((source) =>
        [name, `/aws/lambda/payment3-${source}-feature-a`, filterPattern(metric), "payment3/feature-a", metric.value ?? "1"].join(" | "),
      ),
    );
    const ofTheApi = (name: string, pattern: string) => `${name}Requests | /aws/vendedlogs/apis/payment3-feature-a | ${pattern} | payment3/feature-a | 1`;
    const notRepeated = '($.status != "503") || ($.routeKey != "POST /notify")';
    expected.push(ofTheApi("Throttled", '{ $.status = "429" }'), ofTheApi("Failed", `{ ($.status = "5*") && (${notRepeated}) }`));
    assert.deepEqual(found.sort(), expected.sort());
  });

  test("use words that the functions write", () => {
    const directory = join(APP_DIRECTORY, "..", "activities", "src");
    const sources = readdirSync(directory, { recursive: true, encoding: "utf8" })
      .filter((file) => file.endsWith(".rs"))
      .map((file) => readFileSync(join(directory, file), "utf8"))
      .join("\n");
    for (const [name, { lines, value, by = {} }] of Object.entries<LogMetric>(LOG_METRICS)) {
      for (const { field, is } of lines.flat()) {
        if (field === "$.error") {
          // The name is written in the log call, or is that of an activity's failure.
          assert.ok(sources.includes(`error = "${is}"`) || new RegExp(`\\b${is}: (?:Definite|Transient),`).test(sources), `${name}: no function logs the error ${is}`);
        } else if (field === "$.event") {
          assert.ok(sources.includes(`event = "${is}"`), `${name}: no function logs the event ${is}`);
        }
      }
      for (const field of [value, ...Object.values(by)]) {
        const word = field?.slice("$.".length);
        assert.ok(word === undefined || new RegExp(`(?:[%?]|\\b)${word}(?: =|,)`).test(sources), `${name}: no line has ${field}`);
      }
    }
  });

  test("have conditions in CloudWatch Logs' syntax", () => {
    const one = { meaning: "", functions: [], lines: [[{ field: "$.a", is: "x" }]] } as const;
    assert.equal(filterPattern(one), '{ $.a = "x" }');
    const both = [{ field: "$.a", is: "x" }, { field: "$.b.c", is: "y*" }] as const;
    assert.equal(filterPattern({ ...one, lines: [both] }), '{ ($.a = "x") && ($.b.c = "y*") }');
    assert.equal(filterPattern({ ...one, lines: [both, [{ field: "$.d", is: "z" }]] }), '{ (($.a = "x") && ($.b.c = "y*")) || ($.d = "z") }');
  });
});

test("one dashboard shows every alarm and every metric", () => {
  const dashboards = resources(template, "AWS::CloudWatch::Dashboard");
  assert.equal(dashboards.length, 1);
  const { DashboardName, DashboardBody } = (dashboards[0] as [string, Resource])[1].Properties;
  assert.equal(DashboardName, "payment3-feature-a");
  const body = JSON.stringify(DashboardBody);
  for (const [id] of resources(template, "AWS::CloudWatch::Alarm")) {
    assert.ok(body.includes(`"${id}"`), id);
  }
  const hidden = ["Refusals", "ReconcileRuns"];
  for (const name of [...Object.keys(LOG_METRICS), "ThrottledRequests", "FailedRequests"].filter((name) => !hidden.includes(name))) {
    assert.ok(body.includes(name), `${name} is not shown`);
  }
});

test("every function logs as JSON", () => {
  for (const [id, { Properties }] of resources(template, "AWS::Lambda::Function")) {
    assert.equal(Properties["LoggingConfig"].LogFormat, "JSON", id);
  }
  assert.equal(resources(template, "AWS::Lambda::Function").length, FUNCTIONS.length);
});
