"""Checks the system with the programs that the merchant runs: `cargo local test clients`."""

import base64
import json
import pathlib
import re
import secrets
import unittest
from types import SimpleNamespace
from urllib.parse import parse_qsl, unquote, urlsplit

import requests
from standardwebhooks.webhooks import WebhookVerificationError
from villa_backend_sdk import VillaClient
from villa_backend_sdk.exceptions import VillaApiError
from villa_backend_sdk.orders.models import Order
from villa_backend_sdk.payments.models import CardTokenRequest

from merchant import (
    APPROVED,
    APPROVED_WITHOUT_3DS,
    DECLINED,
    DECLINED_WITHOUT_3DS,
    MERCHANT_ID,
    OTHER_APPROVED,
    Merchant,
    digits,
    verified,
)


PAGES = pathlib.Path(__file__).with_name("redirect")
# Other clients search the page in ways of their own.
LOOSE = (
    r"""<meta[^>]+content=["'][^"']*url=([^"']+)""",
    r"""url=["']?([^"'>\s]+)""",
    r"""content="0;\s*url=(.*)\"""",
    r"""location\.href\s*=\s*["'](.+?)["']""",
)


class TheCheckoutsAnswer(unittest.TestCase):
    """The page that sends the browser on. A test of the functions checks that they answer these files."""

    def assert_leads_to(self, name, location, *parts):
        """The SDK reads this address, each character; and a looser expression one that a server reads alike."""
        page = (PAGES / f"{name}.html").read_text(encoding="utf-8")
        answer = requests.Response()
        answer.status_code, answer._content, answer.encoding = 200, page.encode(), "utf-8"
        session = requests.Session()
        session.request = lambda **_: answer
        sdk = VillaClient(base_url="https://api.example", merchant_id=MERCHANT_ID, session=session)
        form = sdk.payments.build_card_payment_request(order_id="1", basket_id="1", grand_total=1, token="tokn_test_x", customer_id="usr_1")
        self.assertEqual(sdk.payments.initiate_card_payment(form).redirect_url, location)
        for expression in LOOSE:
            found = re.search(expression, page, re.IGNORECASE).group(1)
            url = urlsplit(found)
            self.assertEqual(f"{url.scheme}://{url.netloc}", "https://bank.example", expression)
            read = unquote(url.path), parse_qsl(url.query, keep_blank_values=True), unquote(url.fragment)
            self.assertEqual(read, parts, expression)

    def test_an_address_with_several_parameters_a_return_url_and_quotes_is_read_whole(self):
        self.assert_leads_to(
            "return-url",
            "https://bank.example/3ds?a=1&b=2&returnUrl=https://x.example/?c=3&d=%274%22",
            "/3ds",
            [("a", "1"), ("b", "2"), ("returnUrl", "https://x.example/?c=3"), ("d", "'4\"")],
            "",
        )

    def test_an_address_that_looks_like_html_is_read_as_it_is(self):
        self.assert_leads_to(
            "references",
            "https://bank.example/it%27s/url=1?a&copy;&not_paid=1&copy=2#&#65;",
            "/it's/url=1",
            [("a", ""), ("copy;", ""), ("not_paid", "1"), ("copy", "2")],
            "&#65;",
        )


class TheMerchantsClients(unittest.TestCase):
    """Every flow, played by the SDK, and read by the SDK and the reference verifier."""

    @classmethod
    def setUpClass(cls):
        cls.merchant = Merchant()

    def check_out(self, order, card, sdk=None):
        """Posts the form by the SDK. Returns where the SDK says that the browser goes."""
        answer = (sdk or self.merchant.sdk).payments.initiate_card_payment(self.merchant.request(order, card))
        self.assertEqual(answer.status_code, 200, answer.body)
        self.assertIsNotNone(answer.redirect_url, answer.body)
        return answer.redirect_url

    def pay(self, order, card, meanwhile=lambda: None, sdk=None):
        """Pays with 3-D Secure. Returns the charge and the redirect, read by the SDK."""
        form = self.merchant.pass_3ds(self.check_out(order, card, sdk))
        meanwhile()
        callback = self.merchant.come_back(form)
        charge = form["fields"]["objectId"]
        self.merchant.settled(charge)
        return charge, callback

    def assert_came_back(self, callback, order, status, amount="1500.00"):
        self.assertEqual((callback.status, callback.order_id, callback.amount), (status, order.order_id, amount))

    def assert_valid(self, order_id):
        """The SDK accepts the stored order: its schema, and its model."""
        stored = self.merchant.stored(order_id)
        with self.subTest("the SDK's validator accepts the order"):
            self.merchant.sdk.schema_validator.validate_order(stored)
        with self.subTest("the SDK's model reads the order"):
            Order.model_validate(stored)
        return stored["payment"]

    def assert_told(self, charge, *kinds):
        """The reference verifier accepts every delivery."""
        key = self.merchant.signing_key()
        events = [verified(delivery, key) for delivery in self.merchant.deliveries(charge)]
        self.assertEqual([event["type"] for event in events], list(kinds))
        self.assertTrue(all(event["data"]["chargeId"] == charge for event in events), events)

    def test_an_order_is_paid_with_3ds(self):
        order = self.merchant.order()
        charge, callback = self.pay(order, APPROVED)
        self.assert_came_back(callback, order, "success")
        payment = self.assert_valid(order.order_id)
        self.assertEqual((payment["isPaid"], payment["paymentId"]), (True, charge))
        self.assert_told(charge, "payment.succeeded")

    def test_an_order_is_paid_without_3ds(self):
        order = self.merchant.order()
        callback = self.merchant.sdk.payments.parse_callback(self.check_out(order, APPROVED_WITHOUT_3DS))
        self.assert_came_back(callback, order, "success")
        charge = self.merchant.charge_of(order.order_id)
        self.merchant.settled(charge)
        self.assertTrue(self.assert_valid(order.order_id)["isPaid"])
        self.assert_told(charge, "payment.succeeded")

    def test_a_payment_is_declined_with_3ds(self):
        order = self.merchant.order()
        charge, callback = self.pay(order, DECLINED)
        self.assert_came_back(callback, order, "failure")
        self.assertFalse(self.assert_valid(order.order_id)["isPaid"])
        self.assert_told(charge, "payment.failed")

    def test_a_payment_is_declined_without_3ds(self):
        order = self.merchant.order()
        callback = self.merchant.sdk.payments.parse_callback(self.check_out(order, DECLINED_WITHOUT_3DS))
        self.assert_came_back(callback, order, "failure")
        charge = self.merchant.charge_of(order.order_id)
        self.merchant.settled(charge)
        self.assertFalse(self.assert_valid(order.order_id)["isPaid"])
        self.assert_told(charge, "payment.failed")

    def test_an_order_that_became_a_draft_again_is_not_paid_and_the_money_goes_back(self):
        order = self.merchant.order()
        charge, _ = self.pay(order, APPROVED, meanwhile=lambda: self.merchant.change(order.order_id, "isDrafting", True))
        self.assertEqual(self.merchant.record(charge)["resolution"], "reversed")
        self.assertFalse(self.assert_valid(order.order_id)["isPaid"])
        self.assert_told(charge, "payment.reversed")

    def test_a_card_is_added(self):
        verification = SimpleNamespace(
            order_id="ADDCARD",
            owner_id="usr_" + digits(12),
            basket_id="none",
            payment=SimpleNamespace(grand_total=1.0),
        )
        charge, callback = self.pay(verification, APPROVED)
        self.assert_came_back(callback, verification, "success", "1.00")
        self.assertIsNone(self.merchant.stored("ADDCARD"))
        self.assert_told(charge, "card.saved")

    def test_a_known_customer_pays_with_a_second_card(self):
        first = self.merchant.order()
        self.pay(first, APPROVED)
        second = self.merchant.order(owner=first.owner_id)
        charge, callback = self.pay(second, OTHER_APPROVED)
        self.assert_came_back(callback, second, "success")
        for order in (first, second):
            self.assertTrue(self.assert_valid(order.order_id)["isPaid"])
        self.assert_told(charge, "payment.succeeded")

    def test_a_sum_of_prices_is_paid_with_the_noise_that_adding_leaves(self):
        order = self.merchant.order(grand_total=19.9 * 3)
        self.assertEqual(str(order.payment.grand_total), "59.699999999999996")
        charge, callback = self.pay(order, APPROVED)
        self.assert_came_back(callback, order, "success", "59.70")
        self.assertTrue(self.assert_valid(order.order_id)["isPaid"])
        self.assert_told(charge, "payment.succeeded")

    def assert_given_back(self, charge, *expected):
        """The reference verifier accepts every event of a refund: type, refund id, amount and what is left."""
        key = self.merchant.signing_key()
        found = []
        for delivery in self.merchant.deliveries(charge):
            event = verified(delivery, key)
            if event["type"].startswith("refund."):
                data = event["data"]
                found.append((event["type"], data["refundId"], data.get("amount"), data["left"]))
                self.assertEqual((data["chargeId"], data["currency"]), (charge, "THB"))
                self.assertEqual(delivery["headers"]["webhook-id"], f"{charge}:{event['type']}:{data['refundId']}")
        self.assertEqual(found, list(expected))

    def assert_shown(self, order, status, refunded, elsewhere=None):
        shown = self.merchant.shown(order.order_id)
        self.assertEqual((shown["status"], shown["amount"], shown["refunded"]), (status, "1500.00", refunded))
        self.assertEqual(shown.get("refundedElsewhere"), elsewhere)

    def assert_paid_still(self, order, charge, status):
        """The SDK reads an order of which money went back as the paid order that it was."""
        payment = self.assert_valid(order.order_id)
        self.assertEqual((payment["isPaid"], payment["paymentId"], payment["totalPaid"]), (True, charge, 1500))
        self.assertEqual(payment["status"], status)
        return [json.loads(line) for line in payment["paymentLog"]]

    def test_an_order_is_given_back_in_two_parts(self):
        order = self.merchant.order()
        charge, _ = self.pay(order, APPROVED)
        self.merchant.bank_does(charge, "settle")
        one, other = "rf_" + digits(12), "rf_" + digits(12)
        self.assertEqual(self.merchant.refund_ended(self.merchant.give_back(order.order_id, one, amount="120.50")), "SUCCEEDED")
        self.assert_shown(order, "paid", "120.50")
        _, line = self.assert_paid_still(order, charge, "partially refunded")
        self.assertEqual(
            (line.pop("at")[:2], line),
            ("20", {"event": "refunded", "chargeId": charge, "refundId": one, "amount": "120.50"}),
        )
        self.assertEqual(self.merchant.refund_ended(self.merchant.give_back(order.order_id, other)), "SUCCEEDED")
        self.assert_shown(order, "refunded", "1500.00")
        self.assertEqual(len(self.assert_paid_still(order, charge, "refunded")), 3)
        self.assert_given_back(
            charge,
            ("refund.succeeded", one, "120.50", "1379.50"),
            ("refund.succeeded", other, "1379.50", "0.00"),
        )

    def test_an_order_is_given_back_before_it_is_settled(self):
        order = self.merchant.order()
        charge, _ = self.pay(order, APPROVED)
        refund = "rf_" + digits(12)
        self.assertEqual(self.merchant.refund_ended(self.merchant.give_back(order.order_id, refund)), "SUCCEEDED")
        self.assert_shown(order, "refunded", "1500.00")
        self.assert_paid_still(order, charge, "refunded")
        self.assert_given_back(charge, ("refund.succeeded", refund, "1500.00", "0.00"))

    def test_a_part_that_was_given_back_by_hand_is_told_without_an_amount_and_then_with_it(self):
        order = self.merchant.order()
        charge, _ = self.pay(order, APPROVED)
        self.merchant.bank_does(charge, "settle")
        self.merchant.in_the_portal(charge, "refund", amount="100.00")
        self.merchant.bank_does(charge, "notify")
        self.assertEqual(self.merchant.refund_ended(f"elsewhere-{charge}"), "SUCCEEDED")
        self.assert_shown(order, "paid", "0.00", elsewhere=True)
        unknown = ("refund.elsewhere", "elsewhere", None, "0.00")
        self.assert_given_back(charge, unknown)
        stated = self.merchant.start_refund("stated-" + digits(12), chargeId=charge, amount="100.00")
        self.assertEqual(self.merchant.refund_ended(stated), "SUCCEEDED")
        self.assert_shown(order, "paid", "100.00")
        self.assert_paid_still(order, charge, "partially refunded")
        self.assert_given_back(charge, unknown, ("refund.elsewhere", "elsewhere-100.00", "100.00", "1400.00"))

    def test_a_part_of_a_charge_that_somebody_voids_meanwhile_is_told_as_failed(self):
        order = self.merchant.order()
        charge, _ = self.pay(order, APPROVED)
        refund = "rf_" + digits(12)
        self.merchant.refund_waits(self.merchant.give_back(order.order_id, refund, amount=120.5))
        self.merchant.in_the_portal(charge, "void")
        # It would look again in an hour.
        self.merchant.stop_refund(refund)
        again = self.merchant.start_refund(refund + "-hand", refundId=refund, orderId=order.order_id, amount=120.5)
        self.assertEqual(self.merchant.refund_ended(again), "SUCCEEDED")
        self.assert_shown(order, "refunded", "1500.00")
        self.assert_paid_still(order, charge, "refunded")
        self.assert_given_back(
            charge,
            ("refund.failed", refund, "120.50", "1500.00"),
            ("refund.elsewhere", "elsewhere-1500.00", "1500.00", "0.00"),
        )

    def test_an_event_is_signed_with_both_keys_while_the_key_is_rotated(self):
        former = self.merchant.signing_key()
        fresh = base64.b64encode(secrets.token_bytes(32)).decode()
        self.merchant.rotate_signing_key(fresh)
        try:
            order = self.merchant.order()
            charge, _ = self.pay(order, APPROVED)
            deliveries = self.merchant.deliveries(charge)
            self.assertEqual(len(deliveries), 1, deliveries)
            for key in (former, fresh):
                self.assertEqual(verified(deliveries[0], key)["type"], "payment.succeeded")
            with self.assertRaises(WebhookVerificationError):
                verified(deliveries[0], base64.b64encode(secrets.token_bytes(32)).decode())
        finally:
            # The demo shop knows the former key alone.
            self.merchant.rotate_signing_key(former)

    def test_a_form_of_an_older_page_is_the_same_checkout(self):
        order = self.merchant.order()
        charge, callback = self.pay(order, APPROVED, sdk=self.merchant.older_pages())
        self.assert_came_back(callback, order, "success")
        self.assert_told(charge, "payment.succeeded")

    def test_a_form_without_a_token_is_told_that_the_token_is_missing(self):
        order = self.merchant.order()
        request = self.merchant.sdk.payments.build_card_token_request(
            order_id=order.order_id,
            basket_id=order.basket_id,
            grand_total=order.payment.grand_total,
            customer_id=order.owner_id,
        )
        self.assertIsInstance(request, CardTokenRequest)
        with self.assertRaises(VillaApiError) as refused:
            self.merchant.sdk.payments.create_card_token(request)
        self.assertEqual(refused.exception.status_code, 400)
        self.assertIn('"token"', refused.exception.body)


if __name__ == "__main__":
    unittest.main(verbosity=2)
