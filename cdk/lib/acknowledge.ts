import { Validations } from "aws-cdk-lib";
import type { IConstruct } from "constructs";

/** Findings of cdk-nag's AwsSolutions rules that are meant to be. */
export type AcknowledgedRule =
  | "AwsSolutions-IAM5[Resource::*]"
  | `AwsSolutions-IAM5[Resource::arn:${string}:execution:${string}:*]`
  | "AwsSolutions-SMG4"
  | "AwsSolutions-APIG4"
  | "AwsSolutions-DDB3"
  | "AwsSolutions-CFR1"
  | "AwsSolutions-CFR3";

/** Says why a construct does not follow a rule. Everything else that the rules find fails the synthesis. */
export function acknowledge(construct: IConstruct, rule: AcknowledgedRule, reason: string): void {
  Validations.of(construct).acknowledge({ id: `AwsSolutions::${rule}`, reason });
}
