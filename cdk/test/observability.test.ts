import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { LOG_METRICS, type LogMetric, filterPattern } from "../lib/log-metrics";
import { FUNCTIONS } from "../lib/function-catalogue";
import { ACTIVITIES } from "../lib/state-machine-definition";
import { ALARM_EMAIL, APP_DIRECTORY, type Resource, type Template, builtFunctions, render, resources, synthesise } from "./support";

const assets = builtFunctions();
const template = synthesise(assets);
const runbook = readFileSync(join(APP_DIRECTORY, "..", "docs", "runbook.md"), "utf8");

const alarms = resources(template, "AWS::CloudWatch::Alarm").map(([, { Properties }]) => Properties);
const filters = resources(template, "AWS::Logs::MetricFilter").map(([, { Properties }]) => Properties);

/** The sections that a link can lead to: GitHub's anchors of the headings. */
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

describe("alarms", () => {
  test("ring for everything that needs somebody", () => {
    const entrances = ["cardtoken", "callback", "check-status", "reconcile"];
    assert.deepEqual(
      alarms.map(({ AlarmName }) => AlarmName).sort(),
      [
        ...["definite", "technical", "shop"].map((kind) => `payment-stands-${kind}`),
        "executions-throttled",
        "charge-mismatch",
        "charge-unknown",
        "outcome-conflict",
        "order-unreadable",
        "orphan-checkout",
        "orphan-charge",
        "unknown-state",
        "refusal-needs-person",
        "notifications-refused",
        "reconcile-behind",
        "reconcile-not-running",
        "activity-crashes",
        "api-errors",
        "api-throttled",
        ...entrances.flatMap((name) => [`function-errors-${name}`, `function-throttles-${name}`]),
        ...ACTIVITIES.map((name) => `activity-throttles-${name}`),
      ]
        .map((name) => `payment3-${name}-feature-a`)
        .sort(),
    );
  });

  test("each tell the topic when they ring and when they stop", () => {
    const [topicId] = topicOf(template);
    for (const { AlarmName, AlarmActions, OKActions, ActionsEnabled } of alarms) {
      assert.deepEqual(AlarmActions, [{ Ref: topicId }], AlarmName);
      assert.deepEqual(OKActions, [{ Ref: topicId }], AlarmName);
      assert.notEqual(ActionsEnabled, false, AlarmName);
    }
  });

  test("each lead to a section of the runbook that is there, and every section of it is led to", () => {
    const known = anchors(runbook);
    const led = new Set<string>();
    for (const { AlarmName, AlarmDescription } of alarms) {
      const [, sentence, anchor] = /^(.{20,}\.) docs\/runbook\.md#([a-z0-9-]+)$/.exec(AlarmDescription) ?? [];
      assert.ok(sentence && anchor, `${AlarmName}: ${AlarmDescription}`);
      assert.ok(known.has(anchor), `docs/runbook.md has no section ${anchor}`);
      led.add(anchor);
    }
    const [, chapter = ""] = /^## Alarms\n(.*?)^## /ms.exec(runbook) ?? [];
    assert.deepEqual([...led].sort(), [...anchors(chapter)].sort());
  });

  test("lead to wherever the deployment says that the runbook is", () => {
    const elsewhere = synthesise(assets, { runbook: "https://git.example/runbook.md" });
    for (const [, { Properties }] of resources(elsewhere, "AWS::CloudWatch::Alarm")) {
      assert.match(Properties["AlarmDescription"], /^.* https:\/\/git\.example\/runbook\.md#[a-z0-9-]+$/);
    }
  });

  test("watch metrics that something gives", () => {
    const given = new Set(filters.flatMap(({ MetricTransformations }) => MetricTransformations.map(({ MetricName }: any) => MetricName)));
    const ofAws: Record<string, Set<string>> = {
      "AWS/States": new Set(["ExecutionThrottled"]),
      "AWS/Lambda": new Set(["Errors", "Throttles"]),
      "payment3/feature-a": given,
    };
    for (const { AlarmName, Namespace, MetricName, Dimensions } of alarms) {
      assert.ok(ofAws[Namespace]?.has(MetricName), `${AlarmName}: ${Namespace} ${MetricName}`);
      const own = MetricName in LOG_METRICS ? (LOG_METRICS as Record<string, LogMetric>)[MetricName]?.by : undefined;
      // One that is told apart is given under its dimensions only, and the sum of it nowhere.
      const names = (Dimensions ?? []).map(({ Name }: any) => Name);
      assert.deepEqual(names, Namespace === "payment3/feature-a" ? Object.keys(own ?? {}) : names, AlarmName);
      assert.equal(names.length > 0, Namespace !== "payment3/feature-a" || own !== undefined, AlarmName);
    }
  });

  test("are still when there is nothing to count, but for reconciliation's, which rings in the silence", () => {
    for (const { AlarmName, TreatMissingData, ComparisonOperator, Threshold } of alarms) {
      const silence = AlarmName === "payment3-reconcile-not-running-feature-a";
      assert.equal(TreatMissingData, silence ? "breaching" : "notBreaching", AlarmName);
      assert.equal(ComparisonOperator, silence ? "LessThanThreshold" : "GreaterThanOrEqualToThreshold", AlarmName);
      assert.ok(Threshold >= 1, AlarmName);
    }
  });
});

describe("a payment that stands", () => {
  const alarm = (name: string): Record<string, any> => {
    const found = alarms.find(({ AlarmName }) => AlarmName === `payment3-${name}-feature-a`);
    assert.ok(found, name);
    return found;
  };

  test("rings when reconciliation, a callback or an execution first says so, whatever failed executions there are", () => {
    for (const kind of ["definite", "technical", "shop"]) {
      const { MetricName, Dimensions, Statistic, Period, EvaluationPeriods, Threshold } = alarm(`payment-stands-${kind}`);
      assert.deepEqual(
        { MetricName, Dimensions, Statistic, Period, EvaluationPeriods, Threshold },
        { MetricName: "PaymentStands", Dimensions: [{ Name: "kind", Value: kind }], Statistic: "Sum", Period: 300, EvaluationPeriods: 1, Threshold: 1 },
      );
    }
    assert.deepEqual(alarms.filter(({ Namespace }) => Namespace === "AWS/States").map(({ MetricName }) => MetricName), ["ExecutionThrottled"]);
  });

  test("is told apart by who can end it", () => {
    assert.deepEqual(LOG_METRICS.PaymentStands.by, { kind: "$.kind" });
  });

  test("is found by a reconciliation that comes in time, in every shard", () => {
    const behind = alarm("reconcile-behind");
    assert.deepEqual([behind["MetricName"], behind["Statistic"], behind["Threshold"], behind["EvaluationPeriods"]], ["OldestDue", "Maximum", 1800, 2]);
    const running = alarm("reconcile-not-running");
    assert.deepEqual([running["MetricName"], running["Statistic"], running["Period"], running["EvaluationPeriods"]], ["ReconcileRuns", "Sum", 300, 3]);
    // Eighty are due in each period. A rule that does not run takes a quarter of them away; up to sixteen may slip into the next period, once in three.
    assert.ok(60 < running["Threshold"] && running["Threshold"] < 80 - 16 / 3, running["Threshold"]);
  });
});

test("a branch that names nobody to tell has no alarms, none of their metrics, and no dashboard: they cost more than the rest of it", () => {
  const unwatched = synthesise(assets, { alarmEmail: undefined });
  for (const type of ["AWS::CloudWatch::Alarm", "AWS::CloudWatch::Dashboard", "AWS::SNS::Topic", "AWS::SNS::TopicPolicy", "AWS::SNS::Subscription"]) {
    assert.notEqual(resources(template, type).length, 0, type);
    assert.deepEqual(resources(unwatched, type), [], type);
  }
  assert.equal(unwatched.Outputs["AlarmTopicArn"], undefined);
  // What counts the API's answers stays: it costs nothing as long as there is nothing to count.
  const counted = resources(unwatched, "AWS::Logs::MetricFilter").map(([, { Properties }]) => Properties["MetricTransformations"][0].MetricName);
  assert.deepEqual(counted.sort(), ["FailedRequests", "ThrottledRequests"]);
});

describe("the alarms' topic", () => {
  test("tells the address of the deployment", () => {
    const [topicId, topic] = topicOf(template);
    assert.equal(topic.Properties["TopicName"], "payment3-alarms-feature-a");
    const subscriptions = resources(template, "AWS::SNS::Subscription").map(([, { Properties }]) => Properties);
    assert.deepEqual(subscriptions, [{ Endpoint: ALARM_EMAIL, Protocol: "email", TopicArn: { Ref: topicId } }]);
  });

  test("takes this branch's alarms, over TLS, and nobody else's", () => {
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
  test("are read from the logs of the functions that write the lines", () => {
    const found = filters.map(({ LogGroupName, FilterPattern, MetricTransformations: [{ MetricName, MetricNamespace, MetricValue }] }) =>
      [MetricName, render(template, LogGroupName), FilterPattern, MetricNamespace, MetricValue].join(" | "),
    );
    const expected = Object.entries<LogMetric>(LOG_METRICS).flatMap(([name, metric]) =>
      metric.functions.map((source) =>
        [name, `/aws/lambda/payment3-${source}-feature-a`, filterPattern(metric), "payment3/feature-a", metric.value ?? "1"].join(" | "),
      ),
    );
    const ofTheApi = (name: string, pattern: string) => `${name}Requests | /aws/vendedlogs/apis/payment3-feature-a | ${pattern} | payment3/feature-a | 1`;
    const notAgain = '($.status != "503") || ($.routeKey != "POST /notify")';
    expected.push(ofTheApi("Throttled", '{ $.status = "429" }'), ofTheApi("Failed", `{ ($.status = "5*") && (${notAgain}) }`));
    assert.deepEqual(found.sort(), expected.sort());
  });

  test("count by words that the functions write", () => {
    const directory = join(APP_DIRECTORY, "..", "activities", "src");
    const sources = readdirSync(directory, { recursive: true, encoding: "utf8" })
      .filter((file) => file.endsWith(".rs"))
      .map((file) => readFileSync(join(directory, file), "utf8"))
      .join("\n");
    for (const [name, { lines, value, by = {} }] of Object.entries<LogMetric>(LOG_METRICS)) {
      for (const { field, is } of lines.flat()) {
        if (field === "$.error") {
          // Written at the line itself, or the name of an activity's failure.
          assert.ok(sources.includes(`error = "${is}"`) || new RegExp(`\\b${is}: (?:Definite|Transient),`).test(sources), `${name}: no function fails with ${is}`);
        } else if (field === "$.event") {
          assert.ok(sources.includes(`event = "${is}"`), `${name}: no function writes the event ${is}`);
        }
      }
      for (const field of [value, ...Object.values(by)]) {
        const word = field?.slice("$.".length);
        assert.ok(word === undefined || new RegExp(`(?:[%?]|\\b)${word}(?: =|,)`).test(sources), `${name}: no line has ${field}`);
      }
    }
  });

  test("have conditions as CloudWatch Logs writes them", () => {
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

test("every function logs as JSON, to a group that a metric or a person reads", () => {
  for (const [id, { Properties }] of resources(template, "AWS::Lambda::Function")) {
    assert.equal(Properties["LoggingConfig"].LogFormat, "JSON", id);
  }
  assert.equal(resources(template, "AWS::Lambda::Function").length, FUNCTIONS.length);
});
