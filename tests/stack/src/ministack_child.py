"""Runs MiniStack as the child of another process. MiniStack ends when that process closes our standard input or dies.

MiniStack saves its state when it gets SIGTERM, so the end of the input sends this signal.

Tests can make a service unavailable to the state machine. While the file in AWAY_FILE has a line for the service (`lambda`,
`lambda pay-order`, `dynamodb`), each call from the state machine fails with the error of a throttled service.

MiniStack denies the calls of functions that their roles do not allow. Here the calls of state machines are held against
their roles, too, and each denial names the resource, as those of AWS do.
"""

import contextvars
import os
import signal
import sys
import threading


def terminate_at_end_of_input():
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)


threading.Thread(target=terminate_at_end_of_input, daemon=True).start()

from ministack.app import main  # noqa: E402  (this import is slow, so the thread starts first)
from ministack.core import iam_actions, iam_evaluator  # noqa: E402
from ministack.services import stepfunctions  # noqa: E402

# The role of the state machine whose execution runs here.
machine_role = contextvars.ContextVar("machine_role")
# What the last denial of this request is about.
denied_resource = contextvars.ContextVar("denied_resource", default="*")


def away():
    try:
        with open(os.environ["AWAY_FILE"], encoding="utf-8") as file:
            return file.read().splitlines()
    except FileNotFoundError:
        return []


def throttled_lambda(call):
    def called(function, event):
        name = function.split(":")[6] if function.startswith("arn:") else function
        if any(line == "lambda" or line == f"lambda {name}" for line in away()):
            raise stepfunctions._ExecutionError("Lambda.TooManyRequestsException", "Rate Exceeded.")
        return call(function, event)

    return called


def throttled_dynamodb(call):
    def called(operation, request):
        if "dynamodb" in away():
            raise stepfunctions._ExecutionError("DynamoDB.ThrottlingException", "not now")
        return call(operation, request)

    return called


def as_its_machine(run):
    def runs(execution_arn):
        machine = stepfunctions._state_machines.get(stepfunctions._executions[execution_arn]["stateMachineArn"])
        # Without its machine it fails before its first call.
        if machine:
            machine_role.set(machine["roleArn"])
        return run(execution_arn)

    return runs


def hold(error, action, resource):
    """Fails with this error if the running machine's role does not allow the action."""
    _, _, _, _, account, role = machine_role.get().split(":", 5)
    role = role.rsplit("/", 1)[-1]
    context = iam_evaluator.EvalContext(
        principal_arn=f"arn:aws:sts::{account}:assumed-role/{role}/execution",
        principal_type="AssumedRole",
        principal_account=account,
        action=action,
        resource_arn=resource,
        region=os.environ["MINISTACK_REGION"],
    )
    decision = iam_evaluator.evaluate(context, iam_evaluator._gather_role_policies(role, account)).decision
    if decision != "Allow":
        message = iam_actions.identity_denial_message(action, context.principal_arn, resource, decision == "Deny")
        raise stepfunctions._ExecutionError(error, message)


def arn(service, resource):
    account = machine_role.get().split(":")[4]
    return f"arn:aws:{service}:{os.environ['MINISTACK_REGION']}:{account}:{resource}"


def allowed_lambda(call):
    def called(function, event):
        resource = function if function.startswith("arn:") else arn("lambda", f"function:{function}")
        hold("Lambda.AWSLambdaException", "lambda:InvokeFunction", resource)
        return call(function, event)

    return called


def allowed_dynamodb(call):
    def called(operation, request):
        action = f"dynamodb:{operation[0].upper()}{operation[1:]}"
        hold("DynamoDB.AccessDeniedException", action, arn("dynamodb", f"table/{request['TableName']}"))
        return call(operation, request)

    return called


def told_of(enforce):
    def enforced(*arguments, resource_arn="*", **named):
        denied = enforce(*arguments, resource_arn=resource_arn, **named)
        if denied:
            denied_resource.set(resource_arn)
        return denied

    return enforced


def with_resource(respond):
    def responds(service, action, principal, request_id, **named):
        if not (named.get("error_code") or named.get("message") or named.get("resource_policy_arn")):
            explicit = named.get("explicit_deny", False)
            named["message"] = iam_actions.identity_denial_message(action, principal, denied_resource.get(), explicit)
        return respond(service, action, principal, request_id, **named)

    return responds


stepfunctions._call_lambda = throttled_lambda(allowed_lambda(stepfunctions._call_lambda))
stepfunctions._invoke_dynamodb = throttled_dynamodb(allowed_dynamodb(stepfunctions._invoke_dynamodb))
stepfunctions._run_execution = as_its_machine(stepfunctions._run_execution)
iam_evaluator.enforce = told_of(iam_evaluator.enforce)
iam_actions.access_denied_response = with_resource(iam_actions.access_denied_response)

sys.argv = ["ministack"]
main()
