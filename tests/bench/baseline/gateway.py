"""The bank's gateway."""

import json
import os
from functools import cache
from http import HTTPStatus

import boto3
import requests

SECRET_ARN = os.environ["GATEWAY_SECRET_ARN"]
# These speak of us or of the moment, not of the request.
NOT_NOW = {401, 403, 408, 425, 429}
TIMEOUT = int(os.environ["BANK_TIMEOUT_MS"]) / 1000

secrets_manager = boto3.client("secretsmanager")
http = requests.Session()


class BankRefused(Exception):
    """The bank's definite no. Holds nothing of the request."""

    def __init__(self, status):
        super().__init__(f"the bank refused with {status}")


@cache
def secret():
    """The gateway's URL and the key to it."""
    value = json.loads(secrets_manager.get_secret_value(SecretId=SECRET_ARN)["SecretString"])
    return value["url"].rstrip("/"), value["b2c"].partition(":")[2].strip()


def post(path, body):
    """Sends one request, and answers the bank's object. BankRefused, or requests.RequestException where nothing is sure."""
    url, key = secret()
    response = http.post(
        f"{url}/card/v2/{path}",
        json=body,
        headers={"x-api-key": key},
        timeout=TIMEOUT,
        allow_redirects=False,
    )
    if response.status_code in NOT_NOW or response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        response.raise_for_status()
    answer = response.json()
    if not response.ok or answer.get("object") == "error":
        raise BankRefused(response.status_code)
    return answer
