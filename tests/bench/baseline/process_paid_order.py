"""Pays the order or says that it is not paid, tells the shop, and has the card saved."""

import json
import logging
import os
import time

import boto3

import next_function
import shop_webhook
from clock import now
from money import baht

RECORDS = os.environ["CARD_PAYMENT_RECORD_TABLE"]
ORDERS = os.environ["ORDER_TABLE"]
CHECK_STATUS = os.environ["CHECK_STATUS_TABLE"]

dynamodb = boto3.client("dynamodb")
logger = logging.getLogger()
logger.setLevel(logging.INFO)


class NotFound(Exception):
    """The order or its payment is not there."""


def handler(event, _context):
    order_id, token = event["orderId"], event["tokenId"]
    order = read(ORDERS, {"orderId": {"S": order_id}}, "order")["data"]["M"]
    record = read(RECORDS, {"tokenId": {"S": token}}, "payment record")
    # The record says what the callback said: see there.
    paid = record["status"]["BOOL"]
    at = now()
    if paid:
        pay(order_id, order, record, at)
    write_check_status(order_id, record, "paid" if paid else "declined", at)
    shop_webhook.send(
        "payment.succeeded" if paid else "payment.failed",
        at,
        {
            "orderId": order_id,
            "ownerId": order["ownerId"]["S"],
            "chargeId": record["chargeId"]["S"],
            "amount": baht(int(record["amountSatang"]["N"])),
            "currency": "THB",
        },
    )
    if paid:
        next_function.invoke("kbank-create-user", {"ownerId": order["ownerId"]["S"], "token": token})
    logger.info("order %s: %s", order_id, "paid" if paid else "declined")


def read(table, key, what):
    item = dynamodb.get_item(TableName=table, Key=key, ConsistentRead=True).get("Item")
    if item is None:
        raise NotFound(f"the {what} is not in its table")
    return item


def pay(order_id, order, record, at):
    """Writes `data.payment`; what stood there otherwise is kept."""
    before = order.get("payment", {}).get("M", {})
    amount = {"N": baht(int(record["amountSatang"]["N"]))}
    entry = {"event": "paid", "chargeId": record["chargeId"]["S"], "amount": amount["N"], "at": at}
    seconds = {"N": str(int(time.time()))}
    payment = {
        **before,
        "isPaid": {"BOOL": True},
        "status": {"S": "paid"},
        "paymentId": record["chargeId"],
        "paymentMethod": {"S": "Credit/Debit Card"},
        "paymentDate": seconds,
        "timestamp": seconds,
        "totalPaid": amount,
        "paymentLog": {"L": [*before.get("paymentLog", {}).get("L", []), {"S": json.dumps(entry)}]},
    }
    dynamodb.update_item(
        TableName=ORDERS,
        Key={"orderId": {"S": order_id}},
        UpdateExpression="SET #data.#payment = :payment",
        ExpressionAttributeNames={"#data": "data", "#payment": "payment"},
        ExpressionAttributeValues={":payment": {"M": payment}},
    )


def write_check_status(order_id, record, status, at):
    dynamodb.put_item(
        TableName=CHECK_STATUS,
        Item={
            "orderId": {"S": order_id},
            "chargeId": record["chargeId"],
            "status": {"S": status},
            "amountSatang": record["amountSatang"],
            "updatedAt": {"S": at},
        },
    )
