"""What the two functions behind API Gateway (payload format 2.0) read and answer."""

import base64
import json
from urllib.parse import parse_qsl


class Refusal(Exception):
    """A request that is answered with an error: `{error, code, details}`."""

    def __init__(self, status, code, message, field=None):
        super().__init__(message)
        self.status = status
        self.code = code
        self.details = {"field": field} if field else {}

    def response(self):
        body = {"error": str(self), "code": self.code, "details": self.details}
        return response(self.status, "application/json; charset=utf-8", json.dumps(body))


def fields(event):
    """The body's fields, all text: of a JSON object, else of a form. A blank field counts as absent."""
    body = event.get("body") or ""
    if event.get("isBase64Encoded"):
        try:
            body = base64.b64decode(body, validate=True).decode()
        except ValueError:
            raise Refusal(400, "INVALID_INPUT", "the body cannot be decoded: send UTF-8", "body") from None
    try:
        parsed = json.loads(body)
    except ValueError:
        parsed = None
    pairs = parsed.items() if isinstance(parsed, dict) else parse_qsl(body)
    return {name: str(value) for name, value in pairs if value not in (None, "")}


def required(form, name):
    """A field that must be there."""
    try:
        return form[name]
    except KeyError:
        raise Refusal(400, "MISSING_FIELD", f"`{name}` is required", name) from None


def html(page):
    """A page that must not be kept: it may lead into somebody's payment."""
    return response(200, "text/html; charset=utf-8", page)


def see_other(location):
    """Sends the browser on with a GET."""
    return response(303, "text/plain; charset=utf-8", "", {"location": location})


def response(status, content_type, body, headers=None):
    return {
        "statusCode": status,
        "headers": {
            "content-type": content_type,
            "cache-control": "no-store",
            "referrer-policy": "no-referrer",
            "x-content-type-options": "nosniff",
            "x-frame-options": "DENY",
            **(headers or {}),
        },
        "body": body,
    }
