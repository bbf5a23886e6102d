import { RemovalPolicy } from "aws-cdk-lib";
import { RetentionDays } from "aws-cdk-lib/aws-logs";
import type { Branch } from "./branch";

/** How long a branch's data, logs and secrets are kept. */
export interface Lifecycle {
  /** Whether point-in-time recovery, deletion protection and stack termination protection are on. */
  readonly protected: boolean;
  /** What happens to the tables when the stack is deleted. */
  readonly data: RemovalPolicy;
  /** The same for secrets and log groups, which are still empty when a first deployment rolls back. */
  readonly companions: RemovalPolicy;
  /** For all logs but the access log. */
  readonly logRetention: RetentionDays;
  /** For the API's access log, which holds IP addresses. */
  readonly accessLogRetention: RetentionDays;
}

/**
 * Master keeps its data, and its logs for the twelve months that card-industry audits ask for. The data of any other
 * branch is deleted with its stack.
 */
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
