"""Events to the shop, signed after Standard Webhooks."""

import base64
import hashlib
import hmac
import json
import os
import time
from functools import cache

import boto3
import requests

SECRET_ARN = os.environ["SHOP_WEBHOOK_SECRET_ARN"]
URL = os.environ["SHOP_WEBHOOK_URL"]
TIMEOUT = int(os.environ["SHOP_TIMEOUT_MS"]) / 1000

secrets_manager = boto3.client("secretsmanager")
http = requests.Session()


@cache
def signing_key():
    value = json.loads(secrets_manager.get_secret_value(SecretId=SECRET_ARN)["SecretString"])
    return base64.b64decode(value["signingKey"].removeprefix("whsec_"))


def signature(event_id, timestamp, body):
    """The `webhook-signature` header."""
    mac = hmac.new(signing_key(), f"{event_id}.{timestamp}.{body}".encode(), hashlib.sha256)
    return "v1," + base64.b64encode(mac.digest()).decode()


def send(kind, occurred_at, data):
    """Delivers one event. Its id is the same at every repeat, so that the shop can drop repeats."""
    event_id = f"{data['chargeId']}:{kind}"
    timestamp = int(time.time())
    body = json.dumps({"type": kind, "timestamp": occurred_at, "data": data})
    response = http.post(
        URL,
        data=body,
        headers={
            "content-type": "application/json",
            "webhook-id": event_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signature(event_id, timestamp, body),
        },
        timeout=TIMEOUT,
        allow_redirects=False,
    )
    if response.status_code // 100 != 2:  # also a redirect: the event goes nowhere else
        raise RuntimeError(f"the shop answered {response.status_code} to an event")
