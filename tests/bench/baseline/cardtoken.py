"""`POST /cardpayment`: checks the order, charges the card, stores the record and sends the browser to 3-D Secure."""

import html
import json
import logging
import os
import uuid

import boto3
import requests

import gateway
import http_api
import next_function
import thank_you
from clock import now
from http_api import Refusal, required
from money import baht, satang

RECORDS = os.environ["CARD_PAYMENT_RECORD_TABLE"]
ORDERS = os.environ["ORDER_TABLE"]
CHECK_STATUS = os.environ["CHECK_STATUS_TABLE"]
MAX_ID_LENGTH = 100
MERCHANT_IDS = {mid.strip() for mid in os.environ["MERCHANT_IDS"].split(",")}

dynamodb = boto3.client("dynamodb")
logger = logging.getLogger()
logger.setLevel(logging.INFO)


def handler(event, _context):
    try:
        return http_api.html(redirect_page(check_out(http_api.fields(event))))
    except Refusal as refusal:
        logger.warning("checkout refused: %s %s", refusal.code, refusal.details)
        return refusal.response()


def check_out(form):
    """Where the browser goes."""
    order_id, user_id, _customer, mid, token = (
        identifier(form, name) for name in ("orderId", "userId", "customerId", "mid", "token")
    )
    basket_id = required(form, "basketId")
    amount = grand_total(form)
    if mid not in MERCHANT_IDS:
        raise Refusal(400, "INVALID_INPUT", "`mid` is no merchant account of this shop", "mid")
    check_order(order_id, user_id, amount)

    charge = create_charge(order_id, amount, token, mid)
    redirect_url = charge.get("redirect_url")
    # Without 3-D Secure the bank decides at once.
    paid = not redirect_url and charge["status"] == "success" and charge["transaction_state"] in ("Authorized", "Settled")
    record = {
        "tokenId": {"S": token},
        "chargeId": {"S": charge["id"]},
        "orderId": {"S": order_id},
        "ownerId": {"S": user_id},
        "basketId": {"S": basket_id},
        "mid": {"S": mid},
        "amountSatang": {"N": str(amount)},
        "currency": {"S": "THB"},
        "status": {"BOOL": paid},
        "createdAt": {"S": now()},
    }
    if callback := form.get("callback"):
        record["callback"] = {"S": callback}
    dynamodb.put_item(TableName=RECORDS, Item=record)
    dynamodb.put_item(
        TableName=CHECK_STATUS,
        Item={
            "orderId": {"S": order_id},
            "chargeId": {"S": charge["id"]},
            "status": {"S": "pending"},
            "amountSatang": {"N": str(amount)},
            "updatedAt": {"S": now()},
        },
    )
    logger.info("order %s: charge %s created", order_id, charge["id"])
    if redirect_url:
        return redirect_url
    next_function.invoke("process-paid-order", {"orderId": order_id, "tokenId": token})
    return thank_you.location(callback, order_id, paid, amount)


def identifier(form, name):
    value = required(form, name)
    if len(value) > MAX_ID_LENGTH or not value.isascii() or not value.isprintable() or " " in value:
        raise Refusal(400, "INVALID_INPUT", f"`{name}` must be 1 to {MAX_ID_LENGTH} visible ASCII characters", name)
    return value


def grand_total(form):
    try:
        return satang(required(form, "grandTotal"))
    except ValueError as error:
        raise Refusal(400, "INVALID_INPUT", f"`grandTotal` {error}", "grandTotal") from None


def check_order(order_id, user_id, amount):
    """Refuses an order that this user may not pay now, or not with this amount."""
    found = dynamodb.get_item(TableName=ORDERS, Key={"orderId": {"S": order_id}}, ConsistentRead=True)
    order = found["Item"]["data"]["M"] if "Item" in found else None
    if order is None or order["ownerId"]["S"] != user_id:
        raise Refusal(404, "NOT_FOUND", "this user has no such order", "orderId")
    payment = order["payment"]["M"]
    if payment.get("isPaid", {}).get("BOOL"):
        raise Refusal(409, "ORDER_NOT_PAYABLE", "the order is paid already")
    if order.get("isDrafting", {}).get("BOOL"):
        raise Refusal(409, "ORDER_NOT_PAYABLE", "the order is a draft and cannot be paid yet")
    if satang(payment["grandTotal"]["N"]) != amount:
        raise Refusal(400, "INVALID_INPUT", "`grandTotal` is not the order's: load the checkout again", "grandTotal")


def create_charge(order_id, amount, token, mid):
    try:
        return gateway.post(
            "charge",
            {
                "amount": baht(amount),
                "currency": "THB",
                "description": f"Order {order_id}",
                "source_type": "card",
                "mode": "token",
                "token": token,
                "reference_order": uuid.uuid4().hex[:20],
                "ref_1": order_id,
                "additional_data": {"mid": mid},
            },
        )
    except gateway.BankRefused as error:
        logger.warning("order %s: %s", order_id, error)
        raise Refusal(402, "DECLINED", "the bank refused the card: use another, or enter it again") from None
    except requests.RequestException as error:
        logger.error("order %s: no answer from the bank: %s", order_id, type(error).__name__)
        message = "the bank cannot be reached now: look at the order before you try again"
        raise Refusal(503, "BANK_UNAVAILABLE", message) from None


def redirect_page(location):
    """The page whose refresh or script clients look for."""
    attribute = html.escape(location)
    # A JSON string is one of JavaScript too; with `<` escaped it cannot end the script.
    script = json.dumps(location).replace("<", "\\u003c")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Payment</title>'
        f'<meta http-equiv="refresh" content="0;url={attribute}">'
        f"<script>window.location.href={script}</script></head>"
        f'<body><a href="{attribute}">Continue to your bank</a></body></html>'
    )
