"""The site: one page with the indicator and the newest messages, the app's views, the admin."""

from collections import deque

from buttons import buttons
from django.contrib import admin
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import include, path
from django.views.decorators.http import require_POST

from cometchat import TextMessage
from cometchat.contrib.django.signals import message_received

#: The newest messages. Several threads may change and read a deque.
newest = deque(maxlen=10)


@receiver(message_received, sender=TextMessage)
def keep(message: TextMessage, **kwargs: object) -> None:
    newest.appendleft(message)


def page(request: HttpRequest) -> HttpResponse:
    return render(request, "page.html", {"messages": list(newest), "buttons": list(buttons)})


@require_POST
def press(request: HttpRequest, name: str) -> HttpResponse:
    buttons[name]()
    return redirect("/")


urlpatterns = [
    path("", page),
    path("press/<name>", press, name="press"),
    path("cometchat/", include("cometchat.contrib.django.urls")),
    path("admin/", admin.site.urls),
]
