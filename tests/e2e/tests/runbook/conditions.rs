//! Whether the condition of a deployed alarm is met. The local AWS is asked for what the alarm itself names.

use std::time::Duration;

use payment3_harness::outputs::Outputs;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::api::call;
use crate::lines::{counts, number};

/// How long log lines may take until they are found.
const LOGS_WITHIN: Duration = Duration::from_secs(15);

/// Every alarm of a branch.
pub(crate) async fn deployed_alarms(outputs: &Outputs) -> Vec<Value> {
    let target = "GraniteServiceVersion20100801.DescribeAlarms";
    let suffix = format!("-{}", outputs.branch);
    let mut alarms = Vec::new();
    let mut page = json!({"MaxRecords": 100});
    loop {
        let found = call(outputs, target, &page).await;
        alarms.extend(found["MetricAlarms"].as_array().expect("alarms").clone());
        match found["NextToken"].as_str() {
            Some(next) => page["NextToken"] = json!(next),
            None => break,
        }
    }
    alarms.retain(|alarm| {
        let name = alarm["AlarmName"].as_str().expect("name");
        name.ends_with(&suffix)
    });
    alarms
}

/// A deployed alarm.
pub(crate) struct Alarm {
    outputs: Outputs,
    description: Value,
    since: i64,
}

impl Alarm {
    /// The alarm of this name in the branch. Earlier events do not count.
    pub(crate) async fn watch(outputs: &Outputs, kebab: &str) -> Self {
        let name = format!("payment3-{kebab}-{}", outputs.branch);
        let mut alarms = deployed_alarms(outputs).await;
        alarms.retain(|alarm| alarm["AlarmName"] == name.as_str());
        assert_eq!(alarms.len(), 1, "{name}");
        Self {
            description: alarms.remove(0),
            outputs: outputs.clone(),
            since: jiff::Timestamp::now().as_millisecond(),
        }
    }

    fn text(&self, field: &str) -> &str {
        self.description[field].as_str().expect(field)
    }

    fn assert_reached(&self, value: f64) {
        let threshold = self.description["Threshold"].as_f64().expect("threshold");
        let name = self.text("AlarmName");
        assert!(value >= threshold, "{name}: {value} is below {threshold}");
    }

    /// Asserts that the metric which this alarm watches, got as the deployed metric filters get it, reaches the
    /// threshold.
    pub(crate) async fn assert_met_in_the_logs(&self) {
        // A function's lines come a moment after its answer.
        let give_up = Instant::now() + LOGS_WITHIN;
        let threshold = self.description["Threshold"].as_f64().expect("threshold");
        let mut value = self.value_in_the_logs().await;
        while value < threshold && Instant::now() < give_up {
            sleep(Duration::from_millis(500)).await;
            value = self.value_in_the_logs().await;
        }
        self.assert_reached(value);
    }

    /// What the metric filters make of the log lines since the watch began: the sum, or the largest, as the alarm says.
    pub(crate) async fn value_in_the_logs(&self) -> f64 {
        let body = json!({"metricName": self.text("MetricName"), "metricNamespace": self.text("Namespace")});
        let found = call(&self.outputs, "Logs_20140328.DescribeMetricFilters", &body).await;
        let filters = found["metricFilters"].as_array().expect("filters");
        assert!(!filters.is_empty(), "no filter for {body}");
        let mut values = Vec::new();
        for filter in filters {
            values.extend(self.values_of(filter).await);
        }
        match self.text("Statistic") {
            "Sum" => values.iter().sum(),
            "Maximum" => values.iter().copied().fold(0.0, f64::max),
            other => panic!("{other}"),
        }
    }

    async fn values_of(&self, filter: &Value) -> Vec<f64> {
        let pattern = filter["filterPattern"].as_str().expect("pattern");
        let transformation = &filter["metricTransformations"][0];
        let value = transformation["metricValue"].as_str().expect("value");
        // A metric with dimensions: the alarm watches the lines of its own dimensions only.
        let own = self.description["Dimensions"].as_array();
        let conditions: Vec<_> = own
            .into_iter()
            .flatten()
            .map(|own| {
                let name = own["Name"].as_str().expect("a name");
                let field = transformation["dimensions"][name].as_str();
                let field = field.expect("a dimension of the metric");
                format!("{{ {field} = {} }}", own["Value"])
            })
            .collect();
        // Asked without a pattern, for the local AWS takes every JSON pattern to match everything.
        let body = json!({"logGroupName": filter["logGroupName"], "startTime": self.since});
        let found = call(&self.outputs, "Logs_20140328.FilterLogEvents", &body).await;
        let events = found["events"].as_array().expect("events").iter();
        events
            .filter_map(|event| event["message"].as_str())
            .filter(|line| counts(pattern, line))
            .filter(|line| conditions.iter().all(|condition| counts(condition, line)))
            .map(|line| match value.parse() {
                Ok(constant) => constant,
                Err(_) => number(value, line),
            })
            .collect()
    }

    /// Asserts that AWS's own metric, which this alarm watches, reaches the threshold.
    pub(crate) async fn assert_met_in_the_metric(&self) {
        let body = json!({
            "Namespace": self.text("Namespace"), "MetricName": self.text("MetricName"),
            "Dimensions": self.description["Dimensions"], "Statistics": ["Sum"], "Period": 86400,
            "StartTime": self.since / 1000 - 1, "EndTime": jiff::Timestamp::now().as_second() + 60,
        });
        let target = "GraniteServiceVersion20100801.GetMetricStatistics";
        let found = call(&self.outputs, target, &body).await;
        let points = found["Datapoints"].as_array().expect("points").iter();
        self.assert_reached(points.filter_map(|point| point["Sum"].as_f64()).sum());
    }
}
