"""Runs MiniStack as the child of another process. MiniStack ends when that process closes our standard input or dies.

MiniStack saves its state when it gets SIGTERM, so the end of the input sends this signal.

Tests can make a service unavailable to the state machine. While the file in AWAY_FILE has a line for the service (`lambda`,
`lambda pay-order`, `dynamodb`), each call from the state machine fails with the error of a throttled service.
"""

import os
import signal
import sys
import threading


def terminate_at_end_of_input():
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)


threading.Thread(target=terminate_at_end_of_input, daemon=True).start()

from ministack.app import main  # noqa: E402  (this import is slow, so the thread starts first)
from ministack.services import stepfunctions  # noqa: E402


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


stepfunctions._call_lambda = throttled_lambda(stepfunctions._call_lambda)
stepfunctions._invoke_dynamodb = throttled_dynamodb(stepfunctions._invoke_dynamodb)

sys.argv = ["ministack"]
main()
