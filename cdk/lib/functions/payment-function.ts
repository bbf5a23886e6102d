import { Duration } from "aws-cdk-lib";
import type { Metric } from "aws-cdk-lib/aws-cloudwatch";
import { PolicyDocument, Role, ServicePrincipal } from "aws-cdk-lib/aws-iam";
import { Architecture, Function as LambdaFunction, LoggingFormat, Runtime, Tracing } from "aws-cdk-lib/aws-lambda";
import { LogGroup } from "aws-cdk-lib/aws-logs";
import { Construct } from "constructs";
import { acknowledge } from "../acknowledge";
import { resourceName } from "../names";
import { SHARDS } from "../schedule";
import { lifecycleOf } from "../settings/lifecycle";
import { FUNCTION_CATALOGUE, type FunctionName, type FunctionSpec } from "./function-catalogue";
import { functionCode } from "./function-code";
import { type Wiring, functionEnvironment } from "./function-environment";
import { acknowledgeExecutions, functionStatements } from "./function-statements";
import { sendTraces, writeLogs } from "./telemetry-statements";

/** In megabytes. On AWS Lambda the share of a processor grows with the memory. */
const MEMORY_SIZE = 256;

/** Two runs of each shard: a person may start one, and the schedule may deliver one twice. */
const RECONCILE_CONCURRENCY = 2 * SHARDS;

/** Which function it is, and what it is connected to. */
export interface PaymentFunctionProps extends Wiring {
  /** The middle part of its name: its entry in the catalogue, and its program. */
  readonly name: FunctionName;
}

/** One function with its own role and log group. */
export class PaymentFunction extends Construct {
  readonly lambda: LambdaFunction;
  readonly logGroup: LogGroup;
  /** Runs that ended with an error, a crash or a timeout. */
  readonly errors: Metric;
  /** Runs that AWS Lambda did not let begin. */
  readonly throttles: Metric;
  /** How long its runs take, in milliseconds. */
  readonly duration: Metric;

  constructor(scope: Construct, id: string, { name, ...wiring }: PaymentFunctionProps) {
    super(scope, id);
    const { branch, architecture, assetsDirectory, reservedConcurrency } = wiring.settings;
    const lifecycle = lifecycleOf(branch);
    const spec: FunctionSpec = FUNCTION_CATALOGUE[name];
    const functionName = resourceName(name, branch);
    this.logGroup = new LogGroup(this, "Logs", {
      logGroupName: `/aws/lambda/${functionName}`,
      retention: lifecycle.logRetention,
      removalPolicy: lifecycle.companions,
    });
    const role = new Role(this, "Role", {
      assumedBy: new ServicePrincipal("lambda.amazonaws.com"),
      description: `What ${functionName} may do`,
      inlinePolicies: {
        Access: new PolicyDocument({ statements: [...functionStatements(name, wiring), writeLogs(this.logGroup), ...(spec.untraced ? [] : [sendTraces()])] }),
      },
    });
    if (!spec.untraced) {
      acknowledge(role, "AwsSolutions-IAM5[Resource::*]", "X-Ray has no resource types for sending traces.");
    }
    if (spec.looksAt) {
      acknowledgeExecutions(role, spec.looksAt, branch, "It reads the status of any execution of this branch. Executions are named after charges, so their names are not known.");
    }
    this.lambda = new LambdaFunction(this, "Function", {
      functionName,
      description: spec.description,
      runtime: Runtime.PROVIDED_AL2023,
      handler: "bootstrap",
      architecture: architecture === "arm64" ? Architecture.ARM_64 : Architecture.X86_64,
      code: functionCode(assetsDirectory, name, architecture),
      memorySize: MEMORY_SIZE,
      timeout: Duration.seconds(spec.timeoutSeconds),
      tracing: spec.untraced ? Tracing.PASS_THROUGH : Tracing.ACTIVE,
      ...(reservedConcurrency === undefined ? {} : { reservedConcurrentExecutions: name === "reconcile" ? RECONCILE_CONCURRENCY : reservedConcurrency }),
      environment: functionEnvironment(name, wiring),
      logGroup: this.logGroup,
      loggingFormat: LoggingFormat.JSON,
      // The role stays as declared above: the CDK must not add anything.
      role: role.withoutPolicyUpdates(),
    });
    // The name as a text: with a reference, an alarm would wait for its function.
    const named = { dimensionsMap: { FunctionName: functionName } };
    this.errors = this.lambda.metricErrors(named);
    this.throttles = this.lambda.metricThrottles(named);
    this.duration = this.lambda.metricDuration(named);
  }
}
