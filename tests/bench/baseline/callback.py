"""`POST /callback`: the browser is back from 3-D Secure. Notes what it says and has the order processed."""

import logging
import os

import boto3

import http_api
import next_function
import thank_you
from clock import now
from http_api import Refusal, required

RECORDS = os.environ["CARD_PAYMENT_RECORD_TABLE"]
NOTIFY = os.environ["CREDIT_CARD_NOTIFY_TABLE"]
STATUS = {"true": True, "success": True, "false": False, "failure": False}

dynamodb = boto3.client("dynamodb")
logger = logging.getLogger()
logger.setLevel(logging.INFO)


def handler(event, _context):
    try:
        return http_api.see_other(take(http_api.fields(event)))
    except Refusal as refusal:
        logger.warning("callback refused: %s %s", refusal.code, refusal.details)
        return refusal.response()


def take(form):
    """Where the browser goes."""
    charge_id = form.get("objectId") or form.get("id") or required(form, "objectId")
    # As in the former system, the posted status is taken for the bank's: nobody asks the bank.
    paid = STATUS.get(required(form, "status").strip().lower())
    if paid is None:
        raise Refusal(400, "INVALID_INPUT", "`status` must be true, success, false or failure", "status")

    record = find_record(charge_id)
    order_id, amount = record["orderId"]["S"], int(record["amountSatang"]["N"])
    dynamodb.update_item(
        TableName=RECORDS,
        Key={"tokenId": record["tokenId"]},
        UpdateExpression="SET #status = :status, updatedAt = :now",
        ExpressionAttributeNames={"#status": "status"},
        ExpressionAttributeValues={":status": {"BOOL": paid}, ":now": {"S": now()}},
    )
    dynamodb.put_item(
        TableName=NOTIFY,
        Item={
            "chargeId": {"S": charge_id},
            "outcome": {"S": "paid" if paid else "declined"},
            "orderId": {"S": order_id},
            "amountSatang": {"N": str(amount)},
            "recordedAt": {"S": now()},
        },
    )
    next_function.invoke("process-paid-order", {"orderId": order_id, "tokenId": record["tokenId"]["S"]})
    logger.info("order %s: callback of charge %s taken", order_id, charge_id)
    return thank_you.location(record.get("callback", {}).get("S"), order_id, paid, amount)


def find_record(charge_id):
    found = dynamodb.query(
        TableName=RECORDS,
        IndexName="chargeId_index",
        KeyConditionExpression="chargeId = :charge",
        ExpressionAttributeValues={":charge": {"S": charge_id}},
    )
    if not found["Items"]:
        raise Refusal(404, "NOT_FOUND", "no payment has this charge", "objectId")
    return found["Items"][0]
