import { CfnSecret } from "aws-cdk-lib/aws-secretsmanager";
import { Construct } from "constructs";
import { acknowledge } from "./acknowledge";
import { resourceName } from "./names";
import type { Branch } from "./settings/branch";
import { lifecycleOf } from "./settings/lifecycle";

/** Length of the generated signing key in characters. 44 letters and digits, decoded as base64, are 33 bytes. */
const SIGNING_KEY_LENGTH = 44;

/** Listed too, because not every implementation of CloudFormation supports `excludePunctuation`. */
const PUNCTUATION = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";

/** What the secrets are made from. */
export interface SecretsProps {
  /** The branch that the secrets are named after, and whose lifecycle they have. */
  readonly branch: Branch;
}

/** The secrets of a branch. The template holds none of their values. */
export class Secrets extends Construct {
  /** ARN of the bank's address and keys: JSON `{"url", "b2c"}`. */
  readonly gatewayArn: string;
  /** ARN of the key that signs events to the shop: JSON `{"signingKey"}`, base64. */
  readonly shopWebhookArn: string;

  constructor(scope: Construct, id: string, { branch }: SecretsProps) {
    super(scope, id);
    // Without a value, which only CfnSecret allows: people set and rotate it, and no deployment overwrites it.
    const gateway = new CfnSecret(this, "Gateway", {
      name: resourceName("gateway", branch),
      description: 'Bank gateway, set by hand: {"url": "<base URL>", "b2c": "<public key>:<secret key>"}',
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
    acknowledge(gateway, "AwsSolutions-SMG4", "The bank issues and changes this key in its portal, so no function here could rotate it.");
    acknowledge(
      shopWebhook,
      "AwsSolutions-SMG4",
      "The shop must know a new key before it is used, so both sides agree on a day: docs/runbook.md#rotate-a-secret. That needs no deployment.",
    );
    // Not Ref: on the local AWS it gives the name instead of the ARN.
    this.gatewayArn = gateway.attrId;
    this.shopWebhookArn = shopWebhook.attrId;
  }
}
