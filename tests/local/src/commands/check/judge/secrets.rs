//! The secrets, of which no line shows a value.

use payment3_activities::bank::GatewaySecret;
use payment3_activities::shop::SigningKey;

use super::super::aws::{Answer, Refusal};
use super::super::routes::Verification;
use super::super::stack::entries;
use super::super::table::Line;
use super::{PUT_BACK, refused};

/// What a secret is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Secret {
    /// The bank's address and keys.
    Gateway,
    /// The key that signs events to the shop.
    ShopWebhook,
}

impl Secret {
    /// The secrets, by the output of the stack that names each.
    pub(crate) const ALL: [(&'static str, Self); 2] = [
        ("GatewaySecretArn", Self::Gateway),
        ("ShopWebhookSecretArn", Self::ShopWebhook),
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Gateway => "secret with the bank's keys",
            Self::ShopWebhook => "secret with the key of the shop's events",
        }
    }

    fn mend(self) -> &'static str {
        match self {
            Self::Gateway => "put it: docs/runbook.md#the-banks-keys",
            Self::ShopWebhook => {
                "put one, and give it to the shop: docs/runbook.md#the-key-of-the-shops-events"
            }
        }
    }

    /// Reads it as the functions do. The reason holds nothing of the value.
    fn parse(self, value: &str) -> Result<(), String> {
        match self {
            Self::Gateway => GatewaySecret::parse(value)
                .map(drop)
                .map_err(|e| e.to_string()),
            Self::ShopWebhook => SigningKey::parse(value)
                .map(drop)
                .map_err(|e| e.to_string()),
        }
    }
}

/// A secret: its value where there is one that these credentials may read, else what AWS says about it (`described`) and,
/// for the bank's keys, whether the callback's function can use them.
pub(crate) fn secret(
    secret: Secret,
    value: &Answer,
    described: Option<&Answer>,
    verification: Verification,
) -> Line {
    let what = secret.name();
    let unusable = || {
        let says =
            "the function of the callback cannot read it, so it refuses the bank's notifications";
        Line::fails(what, says, "its log says why: docs/runbook.md#api-errors")
    };
    let cannot = secret == Secret::Gateway && verification == Verification::Cannot;
    match (value, described) {
        (Ok(value), _) => match secret.parse(value["SecretString"].as_str().unwrap_or_default()) {
            Ok(()) if cannot => unusable(),
            Ok(()) => Line::ok(what, "it has a value of the right form"),
            Err(reason) => Line::fails(what, reason, secret.mend()),
        },
        (Err(Refusal::Gone), Some(Err(Refusal::Gone))) => {
            let says = "it is gone: the stack has it, and AWS does not";
            Line::fails(what, says, format!("{PUT_BACK}; then {}", secret.mend()))
        }
        (Err(Refusal::Gone), _) => Line::fails(what, "it has no value", secret.mend()),
        (Err(Refusal::Denied), Some(Ok(described))) => {
            let versions = described["VersionIdsToStages"].as_object();
            let stages = versions
                .into_iter()
                .flatten()
                .flat_map(|(_, stages)| entries(stages));
            let unread = "these credentials may not read it";
            if !stages.into_iter().any(|stage| stage == "AWSCURRENT") {
                Line::fails(what, "it has no value", secret.mend())
            } else if cannot {
                unusable()
            } else if secret == Secret::Gateway && verification == Verification::Works {
                let says =
                    format!("{unread}; the function of the callback can, and its form is right");
                Line::ok(what, says)
            } else {
                Line::unseen(
                    what,
                    format!("it has a value; {unread}, so its form is not seen"),
                )
            }
        }
        (Err(refusal), _) => refused(what, refusal),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::super::table::Verdict;
    use super::super::tests::fails_with;
    use super::*;

    const VALUE: &str = r#"{"url": "https://bank.example", "b2c": "pkey_test_x:skey_test_hidden"}"#;

    #[test]
    fn no_part_of_a_secret_is_in_its_line() {
        let gateway = |value: &str| {
            let value = Ok(json!({"SecretString": value}));
            secret(Secret::Gateway, &value, None, Verification::Works)
        };
        assert_eq!(gateway(VALUE).verdict, Verdict::Ok);
        for broken in [
            "skey_test_hidden",
            r#"{"url": "https://bank.example", "b2c": "skey_test_hidden"}"#,
            r#"{"url": "http://bank.example", "b2c": "p:skey_test_hidden"}"#,
            "",
        ] {
            let line = gateway(broken);
            assert!(line.failed(), "{broken}");
            let shown = format!("{line:?}");
            assert!(
                !shown.contains("hidden") && !shown.contains("bank.example"),
                "{shown}"
            );
        }
        let webhook = |value: &str| {
            let value = Ok(json!({"SecretString": value}));
            secret(Secret::ShopWebhook, &value, None, Verification::Unknown)
        };
        assert_eq!(
            webhook(r#"{"signingKey": "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}"#).verdict,
            Verdict::Ok
        );
        let short = webhook(r#"{"signingKey": "c2hvcnQ="}"#);
        assert!(
            short.failed() && !format!("{short:?}").contains("c2hvcnQ"),
            "{short:?}"
        );
    }

    #[test]
    fn a_secret_that_nobody_put_or_that_the_function_cannot_read_fails() {
        let value = Ok(json!({"SecretString": VALUE}));
        fails_with(
            &secret(
                Secret::Gateway,
                &Err(Refusal::Gone),
                None,
                Verification::Cannot,
            ),
            "no value",
        );
        fails_with(
            &secret(Secret::Gateway, &value, None, Verification::Cannot),
            "the callback cannot read it",
        );
        let gone = |described: Answer| {
            let described = Some(&described);
            let line = secret(
                Secret::Gateway,
                &Err(Refusal::Gone),
                described,
                Verification::Cannot,
            );
            format!("{line:?}")
        };
        let never_put = gone(Ok(json!({"Name": "payment3-gateway-x"})));
        assert!(
            never_put.contains("no value") && !never_put.contains(PUT_BACK),
            "{never_put}"
        );
        let deleted = gone(Err(Refusal::Gone));
        assert!(
            deleted.contains("it is gone") && deleted.contains(PUT_BACK),
            "{deleted}"
        );
    }

    #[test]
    fn a_secret_that_may_not_be_read_is_seen_through_the_function() {
        let of = |which, stages: Value, verification| {
            let described = Ok(json!({"VersionIdsToStages": {"1": stages}}));
            secret(which, &Err(Refusal::Denied), Some(&described), verification)
        };
        let current = || json!(["AWSCURRENT"]);
        let (gateway, webhook) = (Secret::Gateway, Secret::ShopWebhook);
        assert_eq!(
            of(gateway, current(), Verification::Works).verdict,
            Verdict::Ok
        );
        assert_eq!(
            of(gateway, current(), Verification::Unknown).verdict,
            Verdict::Unseen
        );
        assert_eq!(
            of(webhook, current(), Verification::Works).verdict,
            Verdict::Unseen
        );
        assert!(of(gateway, current(), Verification::Cannot).failed());
        fails_with(
            &of(webhook, json!(["AWSPREVIOUS"]), Verification::Works),
            "no value",
        );
    }
}
