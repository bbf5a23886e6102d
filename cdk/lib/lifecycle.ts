import { RemovalPolicy } from "aws-cdk-lib";
import { RetentionDays } from "aws-cdk-lib/aws-logs";
import type { Branch } from "./branch";

/** What happens to a branch's data, logs and secrets when their time is over. */
export interface Lifecycle {
  /** Whether the branch's data outlives mistakes: point-in-time recovery, deletion protection, stack termination protection. */
  readonly protected: boolean;
  /** For tables. */
  readonly data: RemovalPolicy;
  /** For secrets and log groups, which hold nothing yet while a first deployment rolls back. */
  readonly companions: RemovalPolicy;
  /** How long logs are kept. */
  readonly logRetention: RetentionDays;
  /** How long the API's access log is kept: it names addresses, and is there to shut abusers out. */
  readonly accessLogRetention: RetentionDays;
}

/** Master keeps everything, and its logs for the twelve months that card-industry audits ask for; other branches clean up after themselves. */
export function lifecycleOf(branch: Branch): Lifecycle {
  return branch.isMaster
    ? {
        protected: true,
        data: RemovalPolicy.RETAIN,
        companions: RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
        logRetention: RetentionDays.ONE_YEAR,
        accessLogRetention: RetentionDays.THREE_MONTHS,
      }
    : {
        protected: false,
        data: RemovalPolicy.DESTROY,
        companions: RemovalPolicy.DESTROY,
        logRetention: RetentionDays.TWO_WEEKS,
        accessLogRetention: RetentionDays.TWO_WEEKS,
      };
}
