"""The merchant's side of a payment: its published packages, against a running environment."""

import json
import os
import random
import time
from decimal import Decimal

import boto3
import requests
from boto3.dynamodb.conditions import Key
from standardwebhooks import Webhook
from villa_backend_sdk import OrderBuilder, VillaClient
from villa_backend_sdk.config import ApiPaths, VillaConfig
from villa_backend_sdk.orders.models import BillingInfo

MERCHANT_ID = "401012234152001"
APPROVED = "4417706600005830"
OTHER_APPROVED = "5404888000072727"
DECLINED = "5149504001969007"
APPROVED_WITHOUT_3DS = "4024007134786226"
DECLINED_WITHOUT_3DS = "4877300371267473"
OTP = "123456"
# A payment takes seconds; the machine may be busy.
PATIENCE = 90


def digits(count):
    return "".join(random.choices("0123456789", k=count))


class Merchant:
    """A shop that uses the SDK as it is published. Only the addresses are those of the running environment."""

    def __init__(self):
        with open(os.environ["PAYMENT3_OUTPUTS"], encoding="utf-8") as file:
            self.outputs = json.load(file)
        self.sdk = self._sdk(ApiPaths(card_payment_dev="/cardpayment", card_token_dev="/cardtoken"))
        self.orders = self._aws("dynamodb").Table(self.outputs["tables"]["order"])
        self.records = self._aws("dynamodb").Table(self.outputs["tables"]["card-payment-record"])
        self.executions = boto3.client("stepfunctions", **self._access())

    def older_pages(self):
        """The SDK of a shop whose forms still name `/cardtoken`."""
        return self._sdk(ApiPaths(card_payment_dev="/cardtoken", card_token_dev="/cardtoken"))

    def _sdk(self, paths):
        config = VillaConfig(base_url=self.outputs["apiUrl"], merchant_id=MERCHANT_ID, api_paths=paths)
        return VillaClient(config=config)

    def _aws(self, service):
        return boto3.resource(service, **self._access())

    def _access(self):
        return {
            "endpoint_url": self.outputs["awsEndpoint"],
            "region_name": self.outputs["region"],
            "aws_access_key_id": "test",
            "aws_secret_access_key": "test",
        }

    def order(self, grand_total=1500.0, owner=None):
        """An order from the SDK's builder, in the order table as the shop stores it."""
        owner = owner or "usr_" + digits(12)
        order = (
            OrderBuilder()
            .with_ids(order_id=digits(12), owner_id=owner, basket_id=OrderBuilder.new_basket_id())
            .with_branch("1000")
            .add_product(cprcode=25281, quantity=3)
            .with_delivery_shipping(shipping_postcode="10110", shipping_phone="021234567", shipping_address="1 Example Road")
            .with_billing(BillingInfo(customerEmail=f"{owner}@example.com"))
            .with_payment_totals(grand_total=grand_total, sub_total=grand_total, shipping_amount=0.0, discount_amount=0.0)
            .build()
        )
        self.sdk.schema_validator.validate_order(order.to_api_payload())
        data = json.loads(json.dumps(order.to_api_payload()), parse_float=Decimal)
        self.orders.put_item(Item={"orderId": order.order_id, "data": data})
        return order

    def stored(self, order_id):
        """What stands in the order table under this id, as a program reads it; None without an order."""
        item = self.orders.get_item(Key={"orderId": order_id}, ConsistentRead=True).get("Item")
        return item and plain(item["data"])

    def change(self, order_id, field, value):
        self.orders.update_item(
            Key={"orderId": order_id},
            UpdateExpression="SET #data.#field = :value",
            ExpressionAttributeNames={"#data": "data", "#field": field},
            ExpressionAttributeValues={":value": value},
        )

    def request(self, order, card, **others):
        """The SDK's form for an order, with a token for the card from the bank."""
        token = requests.post(f"{self.outputs['bankUrl']}/sandbox/tokens", json={"cardNumber": card}, timeout=30)
        token.raise_for_status()
        return self.sdk.payments.build_card_payment_request(
            order_id=order.order_id,
            basket_id=order.basket_id,
            grand_total=order.payment.grand_total,
            token=token.json()["token"],
            callback=self.outputs["shopUrl"],
            customer_id=order.owner_id,
            **others,
        )

    def pass_3ds(self, page):
        """The shopper on the bank's page: returns the form that the browser then posts."""
        answer = requests.post(
            page, data={"otp": OTP, "action": "approve"}, headers={"Accept": "application/json"}, timeout=30
        )
        answer.raise_for_status()
        return answer.json()

    def come_back(self, form):
        """The browser's return: where it is sent, read by the SDK."""
        answer = requests.post(form["action"], data=form["fields"], allow_redirects=False, timeout=30)
        assert answer.status_code == 303, answer.text
        return self.sdk.payments.parse_callback(answer.headers["location"])

    def record(self, charge):
        found = self.records.query(IndexName="chargeId_index", KeyConditionExpression=Key("chargeId").eq(charge))
        return found["Items"][0] if found["Items"] else None

    def settled(self, charge):
        """The payment's record, once nothing is left to do for it."""
        give_up = time.monotonic() + PATIENCE
        while time.monotonic() < give_up:
            record = self.record(charge)
            if record and "closedAt" in record:
                return record
            time.sleep(0.3)
        raise AssertionError(f"the payment of {charge} is not closed after {PATIENCE} s: {self.record(charge)}")

    def charge_of(self, order_id):
        """The charge that an order's app is told about."""
        table = self._aws("dynamodb").Table(self.outputs["tables"]["check-status"])
        return table.get_item(Key={"orderId": order_id}, ConsistentRead=True)["Item"]["chargeId"]

    def give_back(self, order_id, refund_id, **amount):
        """A refund, started by the shop's back office. Returns the name of its execution."""
        return self.start_refund(refund_id, refundId=refund_id, orderId=order_id, **amount)

    def start_refund(self, name, **fields):
        machine = self.outputs["refundStateMachineArn"]
        self.executions.start_execution(stateMachineArn=machine, name=name, input=json.dumps(fields))
        return name

    def stop_refund(self, name):
        self.executions.stop_execution(executionArn=self._refund(name))

    def refund_ended(self, name):
        """How the execution of a refund ended."""
        return self._refund_once(name, lambda execution: execution["status"] != "RUNNING")["status"]

    def refund_waits(self, name):
        """Waits until an execution has reached the state in which it waits for settlement."""
        def waits(execution):
            history = self.executions.get_execution_history(executionArn=execution["executionArn"], reverseOrder=True)
            return any(event["type"] == "WaitStateEntered" for event in history["events"])

        self._refund_once(name, waits)

    def _refund_once(self, name, is_so):
        give_up = time.monotonic() + PATIENCE
        while time.monotonic() < give_up:
            try:
                execution = self.executions.describe_execution(executionArn=self._refund(name))
                if is_so(execution):
                    return execution
            except self.executions.exceptions.ExecutionDoesNotExist:
                pass
            time.sleep(0.3)
        raise AssertionError(f"the refund {name} is not so far after {PATIENCE} s")

    def _refund(self, name):
        return self.outputs["refundStateMachineArn"].replace(":stateMachine:", ":execution:") + ":" + name

    def bank_does(self, charge, what):
        """What the bank does by itself: `settle` a charge, or `notify` us of what it is now."""
        answer = requests.post(f"{self.outputs['bankUrl']}/sandbox/charges/{charge}/{what}", timeout=30)
        answer.raise_for_status()

    def in_the_portal(self, charge, what, **body):
        """A clerk gives money back by hand: `void` or `refund`."""
        secret = self._secrets().get_secret_value(SecretId=self.outputs["gatewaySecretArn"])
        key = json.loads(secret["SecretString"])["b2c"].split(":")[1]
        url = f"{self.outputs['bankUrl']}/card/v2/charge/{charge}/{what}"
        requests.post(url, json={"reason": "by hand", **body}, headers={"x-api-key": key}, timeout=30).raise_for_status()

    def shown(self, order_id):
        """What an app is told about an order."""
        answer = requests.get(f"{self.outputs['apiUrl']}/checkstatus/{order_id}", timeout=30)
        answer.raise_for_status()
        return answer.json()

    def deliveries(self, charge):
        """What the shop received about a charge, as it came over the wire."""
        answer = requests.get(f"{self.outputs['shopUrl']}/webhooks/payment3", params={"chargeId": charge}, timeout=30)
        answer.raise_for_status()
        return [event["delivery"] for event in answer.json()]

    def signing_key(self):
        """The key of the shop's events, as its secret has it."""
        secret = self._secrets().get_secret_value(SecretId=self.outputs["shopWebhookSecretArn"])
        return json.loads(secret["SecretString"])["signingKey"]

    def rotate_signing_key(self, key):
        text = json.dumps({"signingKey": key})
        self._secrets().put_secret_value(SecretId=self.outputs["shopWebhookSecretArn"], SecretString=text)

    def _secrets(self):
        return boto3.client("secretsmanager", **self._access())


def verified(delivery, key):
    """The event in a delivery, if the reference verifier accepts it with this key."""
    return Webhook(key).verify(delivery["body"], delivery["headers"])


def plain(value):
    """A DynamoDB value as JSON has it: numbers as numbers."""
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    if isinstance(value, list):
        return [plain(part) for part in value]
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value
