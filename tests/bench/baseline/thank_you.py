"""Where the browser goes in the end."""

import os
from urllib.parse import urlencode

from money import baht

DEFAULT_BASE = os.environ["DEFAULT_CALLBACK_BASE"].rstrip("/")
ALLOWED_BASES = [DEFAULT_BASE, *(base.strip().rstrip("/") for base in os.environ["CALLBACK_BASES"].split(",") if base.strip())]


def location(requested, order_id, succeeded, satang):
    """The thank-you page below the base that the checkout form asked for, if the shop knows that base."""
    base = (requested or "").rstrip("/")
    if not any(base == allowed or base.startswith(allowed + "/") for allowed in ALLOWED_BASES):
        base = DEFAULT_BASE
    status = "success" if succeeded else "failure"
    return f"{base}/thankyou?{urlencode({'orderId': order_id, 'status': status, 'amount': baht(satang)})}"
