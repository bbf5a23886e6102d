"""Runs MiniStack as the child of another process, and ends it when that process closes our standard input or dies.

MiniStack saves its state when it is asked to terminate, so the end of the input becomes that request.

What the state machine calls can be taken away from it: while the file named by AWAY_FILE has a line for a service (`lambda`,
`lambda pay-order`, `dynamodb`), the state machine is told what AWS tells it when the service turns it away.
"""

import os
import signal
import sys
import threading


def terminate_at_end_of_input():
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)


threading.Thread(target=terminate_at_end_of_input, daemon=True).start()

from ministack.app import main  # noqa: E402  (the import takes a while: the watch comes first)
from ministack.services import stepfunctions  # noqa: E402


def away():
    try:
        with open(os.environ["AWAY_FILE"], encoding="utf-8") as file:
            return file.read().splitlines()
    except FileNotFoundError:
        return []


def turned_away_from_lambda(call):
    def called(function, event):
        name = function.split(":")[6] if function.startswith("arn:") else function
        if any(line == "lambda" or line == f"lambda {name}" for line in away()):
            raise stepfunctions._ExecutionError("Lambda.TooManyRequestsException", "Rate Exceeded.")
        return call(function, event)

    return called


def turned_away_from_tables(call):
    def called(operation, request):
        if "dynamodb" in away():
            raise stepfunctions._ExecutionError("DynamoDB.ThrottlingException", "not now")
        return call(operation, request)

    return called


stepfunctions._call_lambda = turned_away_from_lambda(stepfunctions._call_lambda)
stepfunctions._invoke_dynamodb = turned_away_from_tables(stepfunctions._invoke_dynamodb)

sys.argv = ["ministack"]
main()
