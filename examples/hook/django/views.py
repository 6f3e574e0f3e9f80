"""The authorisation hook of Widecast for Django: `path("push/hook", views.hook)`, and WIDECAST_HOOK_SECRET in the settings."""

import hashlib
import hmac
import json
import time

from django.conf import settings
from django.http import HttpResponseForbidden, JsonResponse
from django.views.decorators.csrf import csrf_exempt


@csrf_exempt  # The signature shows that the request is the broker's.
def hook(request):
    timestamp = request.headers.get("Widecast-Timestamp", "0")
    signed = timestamp.encode() + b"." + request.body
    expected = hmac.new(settings.WIDECAST_HOOK_SECRET.strip().encode(), signed, hashlib.sha256).hexdigest()
    genuine = hmac.compare_digest(expected.encode(), request.headers.get("Widecast-Signature", "").encode())
    if not genuine or abs(time.time() - int(timestamp)) > 60:
        return HttpResponseForbidden()
    return JsonResponse(decide(json.loads(request.body)))


def decide(question):
    """Says yes or no. Replace this by what your application knows: here rooms are for members, and messages have a length."""
    user, channel = question["user"], question.get("channel", "")
    if channel.startswith("members:") and user is None:
        return {"allow": False, "code": "unauthorized", "reason": "log in to enter " + channel}
    if question["event"] == "publish" and question["message"]["bytes"] > 1000:
        return {"allow": False, "reason": "a message has at most 1000 bytes here"}
    return {"allow": True}
