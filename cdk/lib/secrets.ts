import { CfnSecret } from "aws-cdk-lib/aws-secretsmanager";
import { Construct } from "constructs";
import { acknowledge } from "./acknowledge";
import type { Branch } from "./branch";
import { lifecycleOf } from "./lifecycle";
import { resourceName } from "./names";

/** Length of the generated signing key in characters: 44 letters and digits read as base64 are 33 bytes. */
const SIGNING_KEY_LENGTH = 44;

/** Excluded by name too, because not every implementation of CloudFormation knows the switch for punctuation. */
const PUNCTUATION = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";

/** The secrets of a branch. No value of theirs stands in the template. */
export class Secrets extends Construct {
  /** ARN of the bank's address and keys: JSON `{"url", "b2c"}`. */
  readonly gatewayArn: string;
  /** ARN of the key that signs events to the shop: JSON `{"signingKey"}`, base64. */
  readonly shopWebhookArn: string;

  constructor(scope: Construct, id: string, branch: Branch) {
    super(scope, id);
    // Declared without a value, which only CfnSecret can do: people put it and rotate it, and no deployment ever writes over it.
    const gateway = new CfnSecret(this, "Gateway", {
      name: resourceName("gateway", branch),
      description: 'Bank gateway, put by hand: {"url": "<base URL>", "b2c": "<public key>:<secret key>"}',
    });
    const shopWebhook = new CfnSecret(this, "ShopWebhook", {
      name: resourceName("shop-webhook", branch),
      description: 'Signs events to the shop, generated: {"signingKey": "<base64 of the HMAC key>"}',
      generateSecretString: {
        secretStringTemplate: "{}",
        generateStringKey: "signingKey",
        passwordLength: SIGNING_KEY_LENGTH,
        excludePunctuation: true,
        excludeCharacters: PUNCTUATION,
        includeSpace: false,
      },
    });
    for (const secret of [gateway, shopWebhook]) {
      secret.applyRemovalPolicy(lifecycleOf(branch).companions);
    }
    acknowledge(gateway, "AwsSolutions-SMG4", "The bank gives this key in its portal and changes it there: no function of ours could rotate it.");
    acknowledge(
      shopWebhook,
      "AwsSolutions-SMG4",
      "The shop must know the key before it is used, so the two sides agree on the day: docs/runbook.md#rotate-a-secret. No deployment is needed.",
    );
    // The attribute, for Ref gives the name instead of the ARN on the local AWS.
    this.gatewayArn = gateway.attrId;
    this.shopWebhookArn = shopWebhook.attrId;
  }
}
