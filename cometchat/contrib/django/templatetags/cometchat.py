"""``{% load cometchat %}{% cometchat_status %}``: the indicator, and the script that draws it."""

from __future__ import annotations

from typing import Any, Mapping

from django import template
from django.core.exceptions import ImproperlyConfigured
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from ...web import status_tag

register: template.Library = template.Library()


@register.simple_tag(takes_context=True)
def cometchat_status(context: template.Context, **attributes: Any) -> SafeString:
    """Render the indicator. The page then asks the views for the status, so the template does not wait.

    The script has the nonce of the page's content security policy from ``csp_nonce`` or ``request.csp_nonce``.

    :param attributes: of the tag, with underscores for hyphens: ``{% cometchat_status text_connected="Online" %}``.
        True sets an attribute without a value; False leaves it out.
    :raises ImproperlyConfigured: the urlconf lacks the views.
    """
    try:
        events, status, script = (reverse(f"cometchat:{name}") for name in ("events", "status", "script"))
    except NoReverseMatch:
        raise ImproperlyConfigured(
            '{% cometchat_status %} needs the views: add path("cometchat/", include("cometchat.contrib.django.urls"))'
            " to the urlconf."
        ) from None
    words: Mapping[str, object] = {name.replace("_", "-"): value for name, value in attributes.items()}
    nonce = _nonce(context)
    head = format_html('<script type="module" src="{}"{}></script>', script, nonce)
    # status_tag escapes its arguments.
    return SafeString(f"{head}{status_tag(events, status, words)}")  # nosec B703


def _nonce(context: template.Context) -> SafeString:
    for nonce in (context.get("csp_nonce"), getattr(context.get("request"), "csp_nonce", None)):
        # Django's nonce and django-csp's are lazy, and false until their text is used.
        if nonce is not None and str(nonce):
            return format_html(' nonce="{}"', nonce)
    return SafeString("")
