"""Makes the owner a customer at the bank with this card; an owner who is one already has the card added."""

import logging
import os

import boto3

import gateway
import next_function
from clock import now

MAPPING = os.environ["KBANK_USER_MAPPING_TABLE"]

dynamodb = boto3.client("dynamodb")
logger = logging.getLogger()
logger.setLevel(logging.INFO)


def handler(event, _context):
    owner_id, token = event["ownerId"], event["token"]
    found = dynamodb.get_item(TableName=MAPPING, Key={"ownerId": {"S": owner_id}}, ConsistentRead=True)
    if "Item" in found:
        customer_id = found["Item"]["kbank_id"]["S"]
        next_function.invoke("kbank-add-card", {"kbank_customer_id": customer_id, "token": token})
        logger.info("customer %s exists", customer_id)
        return

    customer = gateway.post("customer", {"mode": "token", "token": token})
    customer_id = customer.get("id") or customer["customer_id"]
    dynamodb.put_item(
        TableName=MAPPING,
        Item={
            "ownerId": {"S": owner_id},
            "kbank_id": {"S": customer_id},
            "createdAt": {"S": now()},
        },
    )
    logger.info("customer %s created", customer_id)
