"""How one function hands over to the next."""

import json
import os

import boto3

BRANCH = os.environ["BRANCH"]

functions = boto3.client("lambda")


def invoke(name, event):
    """Has a function run with this event; does not wait for it."""
    functions.invoke(
        FunctionName=f"payment3-{name}-{BRANCH}",
        InvocationType="Event",
        Payload=json.dumps(event),
    )
