import { Aws } from "aws-cdk-lib";
import { AnyPrincipal, Effect, PolicyStatement, ServicePrincipal } from "aws-cdk-lib/aws-iam";
import { Topic, TopicPolicy } from "aws-cdk-lib/aws-sns";
import { EmailSubscription } from "aws-cdk-lib/aws-sns-subscriptions";
import { Construct } from "constructs";
import { resourceName } from "../names";
import type { Branch } from "../settings/branch";

/** What the topic is for. */
export interface AlarmTopicProps {
  /** The branch whose alarms may write to the topic. */
  readonly branch: Branch;
  /** Who gets the alarms by e-mail. */
  readonly alarmEmail: string;
}

/** The SNS topic of a branch's alarms. Subscribe more receivers, such as a pager or a chat, outside the stack. */
export class AlarmTopic extends Construct {
  readonly topic: Topic;

  constructor(scope: Construct, id: string, { branch, alarmEmail }: AlarmTopicProps) {
    super(scope, id);
    this.topic = new Topic(this, "Topic", {
      topicName: resourceName("alarms", branch),
      displayName: `Card payments of branch ${branch.name}`,
    });
    const resources = [this.topic.topicArn];
    new TopicPolicy(this, "Policy", { topics: [this.topic] }).document.addStatements(
      new PolicyStatement({
        sid: "AlarmsOfThisBranch",
        principals: [new ServicePrincipal("cloudwatch.amazonaws.com")],
        actions: ["sns:Publish"],
        resources,
        conditions: {
          StringEquals: { "aws:SourceAccount": Aws.ACCOUNT_ID },
          ArnLike: { "aws:SourceArn": `arn:${Aws.PARTITION}:cloudwatch:${Aws.REGION}:${Aws.ACCOUNT_ID}:alarm:${resourceName("*", branch)}` },
        },
      }),
      new PolicyStatement({
        sid: "OverTlsOnly",
        effect: Effect.DENY,
        principals: [new AnyPrincipal()],
        actions: ["sns:Publish"],
        resources,
        conditions: { Bool: { "aws:SecureTransport": "false" } },
      }),
    );
    this.topic.addSubscription(new EmailSubscription(alarmEmail));
  }
}
