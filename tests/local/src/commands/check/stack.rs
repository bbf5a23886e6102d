//! The deployed stack: what it must consist of. CloudFormation says it; there is no second list.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail};
use serde_json::Value;

use super::aws::{Aws, Refusal};

/// One resource of the deployed template.
#[derive(Debug, Clone)]
pub(super) struct Resource {
    /// Its type, such as `AWS::Lambda::Function`.
    pub(super) kind: String,
    /// Its properties in the template.
    pub(super) properties: Value,
    /// What CloudFormation calls the real one; `None` where it has none.
    pub(super) physical: Option<String>,
    /// How its last change ended.
    pub(super) status: Option<String>,
}

impl Resource {
    /// Its real name; the last part of an ARN.
    pub(super) fn name(&self) -> &str {
        let physical = self.physical.as_deref().unwrap_or("(never made)");
        match physical.starts_with("arn:") {
            true => physical.rsplit(':').next().unwrap_or(physical),
            false => physical,
        }
    }

    /// What other calls take for it.
    pub(super) fn id(&self) -> String {
        self.physical.clone().unwrap_or_default()
    }
}

/// A deployed stack.
#[derive(Debug, Clone)]
pub(super) struct Stack {
    /// Its name.
    pub(super) name: String,
    /// Its status.
    pub(super) status: String,
    /// Its outputs.
    pub(super) outputs: BTreeMap<String, String>,
    /// The resources by their ids in the template.
    pub(super) resources: BTreeMap<String, Resource>,
}

impl Stack {
    /// Asks CloudFormation.
    ///
    /// # Errors
    /// There is no such stack, or these credentials cannot see it: with what to do.
    pub(super) async fn read(aws: &Aws, name: &str) -> Result<Self> {
        let question = |operation: &str| {
            let words = ["cloudformation", operation, "--stack-name", name];
            words.map(str::to_owned).to_vec()
        };
        let questions = ["describe-stacks", "list-stack-resources", "get-template"];
        let mut answers = Vec::new();
        for answer in aws.ask_all(&questions.map(question)).await {
            answers.push(match answer {
                Ok(answer) => answer,
                Err(Refusal::Denied) => bail!(
                    "these credentials may not see the stack {name}: use some that may read, such as AWS's policy ReadOnlyAccess"
                ),
                Err(Refusal::Unserved) => bail!("this AWS does not serve CloudFormation"),
                Err(Refusal::Broken(words)) if !words.contains("does not exist") => {
                    bail!("the stack {name} cannot be seen: {words}")
                }
                Err(Refusal::Gone | Refusal::Broken(_)) => bail!(
                    "there is no stack {name} in this account and region: \
                     `aws cloudformation describe-stacks --query \"Stacks[].StackName\"` lists those that there are"
                ),
            });
        }
        Ok(Self::of(name, &answers[0], &answers[1], &answers[2]))
    }

    /// Puts the three answers together.
    pub(super) fn of(name: &str, described: &Value, listed: &Value, template: &Value) -> Self {
        let stack = &described["Stacks"][0];
        let outputs = entries(&stack["Outputs"])
            .filter_map(|output| Some((text(output, "OutputKey")?, text(output, "OutputValue")?)))
            .collect();
        let body = match &template["TemplateBody"] {
            // A template that was not given as an object comes as it was given.
            Value::String(text) => serde_json::from_str(text).unwrap_or_default(),
            body => body.clone(),
        };
        let real: BTreeMap<_, _> = entries(&listed["StackResourceSummaries"])
            .filter_map(|one| Some((text(one, "LogicalResourceId")?, one)))
            .collect();
        let declared = body["Resources"].as_object().into_iter().flatten();
        let resources = declared
            // It stands for the CDK and is nothing.
            .filter(|(_, resource)| resource["Type"] != "AWS::CDK::Metadata")
            .map(|(id, resource)| {
                let real = real.get(id).copied().unwrap_or(&Value::Null);
                let resource = Resource {
                    kind: text(resource, "Type").unwrap_or_default(),
                    properties: resource["Properties"].clone(),
                    physical: text(real, "PhysicalResourceId"),
                    status: text(real, "ResourceStatus"),
                };
                (id.clone(), resource)
            })
            .collect();
        Self {
            name: name.to_owned(),
            status: text(stack, "StackStatus").unwrap_or_default(),
            outputs,
            resources,
        }
    }

    /// The resources of a type.
    pub(super) fn all<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Resource> {
        self.resources
            .values()
            .filter(move |resource| resource.kind == kind)
    }

    /// The ids, in the template, of the functions that the state machines call.
    pub(super) fn activities(&self) -> BTreeSet<&str> {
        self.all("AWS::StepFunctions::StateMachine")
            .filter_map(|machine| machine.properties["DefinitionSubstitutions"].as_object())
            .flatten()
            .filter_map(|(_, value)| value["Fn::GetAtt"][0].as_str())
            .filter(|id| {
                let resource = self.resources.get(*id);
                resource.is_some_and(|resource| resource.kind == "AWS::Lambda::Function")
            })
            .collect()
    }
}

/// The entries of a list; none of anything else.
pub(super) fn entries(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

/// A field's text.
pub(super) fn text(value: &Value, field: &str) -> Option<String> {
    value[field].as_str().map(str::to_owned)
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    /// A small stack: one function that a state machine calls, and one resource that was never made.
    pub(in super::super) fn stack() -> Stack {
        let described = json!({"Stacks": [{
            "StackStatus": "UPDATE_COMPLETE",
            "Outputs": [{"OutputKey": "ApiUrl", "OutputValue": "https://api.example"}],
        }]});
        let listed = json!({"StackResourceSummaries": [
            {"LogicalResourceId": "Pay", "PhysicalResourceId": "payment3-pay-x", "ResourceStatus": "CREATE_COMPLETE"},
            {"LogicalResourceId": "Machine", "PhysicalResourceId": "arn:aws:states:r:1:stateMachine:payment3-payment-x",
             "ResourceStatus": "CREATE_COMPLETE"},
        ]});
        let template = json!({"TemplateBody": {"Resources": {
            "Pay": {"Type": "AWS::Lambda::Function", "Properties": {
                "Architectures": ["arm64"], "Timeout": 12, "MemorySize": 256, "Runtime": "provided.al2023"}},
            "Machine": {"Type": "AWS::StepFunctions::StateMachine", "Properties": {"DefinitionSubstitutions": {
                "PayFunction": {"Fn::GetAtt": ["Pay", "Arn"]}, "Table": {"Ref": "Table"}}}},
            "Queue": {"Type": "AWS::SQS::Queue", "Properties": {}},
            "CDKMetadata": {"Type": "AWS::CDK::Metadata"},
        }}});
        Stack::of("payment3-x", &described, &listed, &template)
    }

    #[test]
    fn a_stack_is_what_its_template_says() {
        let stack = stack();
        assert_eq!(stack.outputs["ApiUrl"], "https://api.example");
        let ids: Vec<_> = stack.resources.keys().map(String::as_str).collect();
        assert_eq!(ids, ["Machine", "Pay", "Queue"]);
        assert_eq!(stack.resources["Machine"].name(), "payment3-payment-x");
        assert_eq!(stack.resources["Queue"].physical, None);
        assert_eq!(stack.activities(), BTreeSet::from(["Pay"]));
    }

    #[test]
    fn a_template_that_comes_as_text_is_read_too() {
        let body = json!({"Resources": {"A": {"Type": "AWS::SNS::Topic"}}}).to_string();
        let template = json!({"TemplateBody": body});
        let stack = Stack::of("payment3-x", &Value::Null, &Value::Null, &template);
        assert_eq!(stack.all("AWS::SNS::Topic").count(), 1);
    }
}
