"""Adds the card to a customer at the bank."""

import logging
from urllib.parse import quote

import gateway

logger = logging.getLogger()
logger.setLevel(logging.INFO)


def handler(event, _context):
    customer_id = event["kbank_customer_id"]
    customer = gateway.post(f"customer/{quote(customer_id, safe='')}/card", {"mode": "token", "token": event["token"]})
    logger.info("customer %s has another card", customer_id)
    return {"kbank_customer_id": customer_id, "cards": customer.get("cards")}
