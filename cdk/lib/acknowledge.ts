import { Validations } from "aws-cdk-lib";
import type { IConstruct } from "constructs";

/** The findings of cdk-nag's AwsSolutions rules that this app accepts. */
export type AcknowledgedRule =
  | "AwsSolutions-IAM5[Resource::*]"
  | `AwsSolutions-IAM5[Resource::arn:${string}:execution:${string}:*]`
  | "AwsSolutions-SMG4"
  | "AwsSolutions-APIG4"
  | "AwsSolutions-DDB3"
  | "AwsSolutions-CFR1"
  | "AwsSolutions-CFR3";

/** Accepts a finding on a construct, with the reason. Any other finding fails the synthesis. */
export function acknowledge(construct: IConstruct, rule: AcknowledgedRule, reason: string): void {
  Validations.of(construct).acknowledge({ id: `AwsSolutions::${rule}`, reason });
}
