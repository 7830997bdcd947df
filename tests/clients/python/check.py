"""OpenFeature's Python SDK, with its OFREP provider, against a running gateway."""

import os

from openfeature import api
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import Reason

URL, TOKEN = os.environ["FLAGGATE_URL"], os.environ.get("FLAGGATE_TOKEN")
checks = 0


def client(**headers):
    if TOKEN and "Authorization" not in headers:
        headers["Authorization"] = f"Bearer {TOKEN}"
    api.set_provider(OFREPProvider(URL, headers_factory=lambda: headers))
    return api.get_client()


def expect(found, expected):
    global checks
    checks += 1
    assert found == expected, f"expected {expected!r}, found {found!r}"


def answered(details, value, variant, reason, ours):
    expect(
        (details.value, details.variant, details.reason, details.error_code, details.flag_metadata.get("flaggate_reason")),
        (value, variant, reason, None, ours),
    )


def failed(details, default, code):
    expect((details.value, details.reason, details.error_code), (default, Reason.ERROR, code))
    assert details.error_message, details


ANN = EvaluationContext("ann", {"plan": "free"})
PRO = EvaluationContext("ann", {"plan": "pro"})
NOBODY = EvaluationContext()
flags = client()

# The four types.
answered(flags.get_boolean_details("on", False, ANN), True, "true", Reason.STATIC, "default")
answered(flags.get_string_details("theme", "x", ANN), "dark", "dark", Reason.DEFAULT, "default")
answered(flags.get_float_details("ratio", 0.0, ANN), 0.25, "0.25", Reason.STATIC, "default")
answered(flags.get_float_details("limit", 0.0, ANN), 10.0, "10", Reason.STATIC, "default")
layout = {"columns": 2, "areas": ["a", "b"], "wide": True}
answered(flags.get_object_details("layout", {}, ANN), layout, "default", Reason.STATIC, "default")

# The other reasons, and another context.
answered(flags.get_string_details("theme", "x", PRO), "light", "light", Reason.TARGETING_MATCH, "targeting_match")
answered(flags.get_boolean_details("everyone", False, ANN), True, "true", Reason.SPLIT, "rollout")
answered(flags.get_boolean_details("off", False, ANN), True, "true", Reason.DISABLED, "flag_disabled")
# Null: the code's own default.
answered(flags.get_object_details("nothing", {"mine": 1}, ANN), {"mine": 1}, "default", Reason.STATIC, "default")

# The errors.
failed(flags.get_boolean_details("gone", True, ANN), True, ErrorCode.FLAG_NOT_FOUND)
failed(flags.get_boolean_details("half", True, NOBODY), True, ErrorCode.TARGETING_KEY_MISSING)
failed(flags.get_boolean_details("on", False, EvaluationContext(5)), False, ErrorCode.INVALID_CONTEXT)
failed(flags.get_boolean_details("broken", True, ANN), True, ErrorCode.PARSE_ERROR)
failed(flags.get_boolean_details("theme", True, ANN), True, ErrorCode.TYPE_MISMATCH)
huge = EvaluationContext("ann", {"huge": "x" * (1 << 20)})
failed(flags.get_boolean_details("on", False, huge), False, ErrorCode.GENERAL)
failed(client(Origin="https://elsewhere.example").get_boolean_details("on", False, ANN), False, ErrorCode.GENERAL)
if TOKEN:
    wrong = client(Authorization="Bearer wrong").get_boolean_details("on", False, ANN)
    failed(wrong, False, ErrorCode.GENERAL)
    expect(wrong.error_message, "unauthorized")

# A context without a key is fine where no bucket needs it, and so is none at all.
flags = client()
answered(flags.get_boolean_details("on", False, NOBODY), True, "true", Reason.STATIC, "default")
answered(flags.get_boolean_details("on", False), True, "true", Reason.STATIC, "default")

print(f"python: {checks} checks passed")
