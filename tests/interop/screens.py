"""Every default screen of the UI Kit: the actions of a user, and the expected content of the page."""

from __future__ import annotations

import base64
from queue import Queue
from typing import Callable, Dict
from urllib.parse import quote

from kit import DEADLINE, ME, OTHER, THIRD, Kit, bubble
from playwright.sync_api import expect

from cometchat import Client, MessageListener, TextMessage
from cometchat.sandbox import Sandbox

#: One green pixel.
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)

GEORGE, NANCY, TEAM = "George Alan", "Nancy Grace", "Design team"

#: More than one page of the UI Kit, which asks for 30.
OLD_MESSAGES = 45


def fill(sandbox: Sandbox) -> None:
    """Give the sandbox the groups and the history for the screens."""
    # Answers of a test. Without them, another extension would make clients fetch their settings again.
    translation = {"language_translated": "en-US", "message_translated": "In English"}
    sandbox.answer(
        "POST", "message-translation/v2/translate", {"language_original": "de", "translations": [translation]}
    )
    sandbox.answer("GET", "/ai/conversation-summary/*", {"conversation-summary": "They meet at noon."})
    sandbox.add_group("team", TEAM, members=[ME, OTHER, THIRD])
    sandbox.add_group("open", "Open group", owner=THIRD, members=[THIRD])
    for number in range(OLD_MESSAGES):
        sandbox.send_message(THIRD, ME, f"Old message {number}")
    # Messages that once crashed a search: an edit, a deletion and a call.
    edited = sandbox.send_message(OTHER, ME, "The draft of Monday")
    sandbox.edit_message(edited["id"], "The draft of Tuesday")
    deleted = sandbox.send_message(OTHER, ME, "The draft of Sunday")
    sandbox.delete_message(deleted["id"])
    sandbox.cancel_call(sandbox.call(OTHER, ME))
    for text in ("Shall we meet at noon?", "The plan is at https://example.org/plan", "Bring the charts"):
        sandbox.send_message(OTHER, ME, text)
    sandbox.send_message(ME, OTHER, "See you there")
    sandbox.send_message(OTHER, "team", "Welcome to the team", receiver_type="group")
    sandbox.send_message(ME, "team", "Glad to be here", receiver_type="group")


def conversations(kit: Kit) -> None:
    for name in (GEORGE, NANCY, TEAM):
        expect(kit.list.get_by_text(name, exact=True)).to_be_visible()
    expect(kit.conversation(NANCY)).to_contain_text(f"Old message {OLD_MESSAGES - 1}")
    expect(kit.conversation(NANCY)).to_contain_text(str(OLD_MESSAGES))  # unread
    kit.sandbox.send_message(THIRD, ME, "One more")
    expect(kit.conversation(NANCY)).to_contain_text(str(OLD_MESSAGES + 1))


def messages(kit: Kit) -> None:
    kit.open(GEORGE)
    for text in ("The draft of Tuesday", "Missed Call", "See you there"):
        expect(bubble(text, kit.chat)).to_be_visible()
    kit.send("Written in the UI Kit", kit.chat)
    kit.sandbox.expect_message("Written in the UI Kit", sender=ME, receiver=OTHER)
    kit.sandbox.send_message(OTHER, ME, "Written elsewhere")
    expect(bubble("Written elsewhere", kit.chat)).to_be_visible()


def older_messages(kit: Kit) -> None:
    kit.open(NANCY)
    expect(kit.chat.get_by_text("One more", exact=True)).to_be_in_viewport()
    expect(kit.chat.get_by_text("Old message 0", exact=True)).to_have_count(0)
    kit.chat.locator(".cometchat-message-list__scroll-container").evaluate("(list) => { list.scrollTop = 0; }")
    expect(kit.chat.get_by_text("Old message 0", exact=True)).to_be_attached()
    expect(kit.conversation(NANCY).locator("[class*=unread]")).to_have_count(0)


def edit_and_delete(kit: Kit) -> None:
    kit.open(GEORGE)
    kit.send("With a mistake", kit.chat)
    kit.choose("With a mistake", "Edit")
    kit.write(" no more", kit.chat)
    expect(bubble("no more", kit.chat)).to_contain_text("Edited")
    kit.choose("no more", "Delete")
    kit.confirm("Delete")
    kit.says("This message was deleted")
    theirs = kit.sandbox.send_message(OTHER, ME, "Before")
    expect(bubble("Before", kit.chat)).to_be_visible()
    kit.sandbox.edit_message(theirs["id"], "After")
    expect(bubble("After", kit.chat)).to_contain_text("Edited")


def receipts_after_a_reload(kit: Kit) -> None:
    kit.open(GEORGE)
    kit.send("Read me", kit.chat)
    sent = kit.sandbox.expect_message("Read me")
    kit.sandbox.mark_delivered(sent["id"], OTHER)
    expect(bubble("Read me", kit.chat).locator(".cometchat-receipts-delivered")).to_be_visible()
    kit.sandbox.mark_read(sent["id"], OTHER)
    expect(bubble("Read me", kit.chat).locator(".cometchat-receipts-read")).to_be_visible()
    kit.start()
    expect(kit.conversation(GEORGE).locator("[class*=receipt--read]")).to_be_visible()
    kit.open(GEORGE)
    expect(bubble("Read me", kit.chat).locator(".cometchat-receipts-read")).to_be_visible()


def message_information(kit: Kit) -> None:
    kit.open(TEAM)
    kit.send("Who has read this?", kit.chat)
    sent = kit.sandbox.expect_message("Who has read this?")
    kit.sandbox.mark_read(sent["id"], OTHER)
    kit.choose("Who has read this?", "Info")
    expect(kit.page.locator(".cometchat-message-information")).to_contain_text(GEORGE)


def replies(kit: Kit) -> None:
    kit.open(GEORGE)
    kit.press("Reply", "Shall we meet", kit.chat)
    kit.send("At one", kit.chat)
    expect(bubble("At one", kit.chat)).to_contain_text("Shall we meet at noon?")


def threads(kit: Kit) -> None:
    kit.open(GEORGE)
    kit.choose("Bring the charts", "Reply in thread")
    kit.send("Which of them?", kit.side)
    parent = kit.sandbox.expect_message("Which of them?")["parentId"]
    kit.sandbox.send_message(OTHER, ME, "All of them", parent_id=parent)
    expect(bubble("All of them", kit.side)).to_be_visible()
    kit.says("2 Replies")
    bell = kit.side.locator(".cometchat-thread-header__subscription-icon--on")
    expect(bell).to_be_visible()  # the reply has subscribed the user
    kit.side.locator(".cometchat-thread-header__subscription-button").click()
    expect(bell).to_have_count(0)
    kit.start()
    kit.open(GEORGE)
    expect(bubble("Bring the charts", kit.chat)).to_contain_text("2 Replies")


def reactions(kit: Kit) -> None:
    kit.open(GEORGE)
    kit.press("React", "See you there", kit.chat)
    kit.page.locator(".cometchat-emoji-keyboard__emoji-item").first.click()
    chip = bubble("See you there", kit.chat).locator(".cometchat-reactions__chip")
    expect(chip).to_contain_text("1")
    reaction = chip.locator(".cometchat-reactions__chip-emoji").inner_text()
    kit.asked("POST", f"/reactions/{quote(reaction)}")
    reacted = next(each for each in kit.sandbox.messages if each["data"].get("text") == "See you there")
    kit.sandbox.react(reacted["id"], OTHER, reaction)
    expect(chip).to_contain_text("2")
    chip.hover()
    expect(kit.page.locator(".cometchat-reactions__info")).to_contain_text(GEORGE)
    chip.click()
    expect(chip).to_contain_text("1")
    kit.start()
    kit.open(GEORGE)
    expect(chip).to_contain_text("1")


def mentions(kit: Kit) -> None:
    kit.open(TEAM)
    kit.chat.locator("[contenteditable=true]").click()
    kit.page.keyboard.type("Hello @ge")
    kit.page.locator(".cometchat-message-composer__mentions-list").get_by_text(GEORGE).click()
    kit.send(" and all", kit.chat)
    mentioned = kit.sandbox.wait_until(
        lambda: next((each for each in kit.sandbox.messages if each["data"].get("mentions")), None)
    )
    assert mentioned is not None and OTHER in mentioned["data"]["mentions"]
    expect(bubble("and all", kit.chat)).to_contain_text(f"@{GEORGE}")


def attachments(kit: Kit) -> None:
    kit.open(GEORGE)
    for option, name, kind, content in (
        ("Attach Image", "chart.png", "image/png", PNG),
        ("Attach File", "notes.txt", "text/plain", b"Some notes"),
    ):
        kit.chat.locator(".cometchat-message-composer__attachment-button").click()
        with kit.page.expect_file_chooser() as chooser:
            kit.chat.get_by_text(option, exact=True).click()
        chooser.value.set_files({"name": name, "mimeType": kind, "buffer": content})
        kit.chat.locator(".cometchat-message-composer__send-button:not([class*=disabled])").click()
        sent = kit.sandbox.wait_until(lambda: attached(kit.sandbox, name))
        assert sent, f"{name} was not sent"
    kit.page.wait_for_function(
        "[...document.querySelectorAll('#chat img')].some((one) => one.src.endsWith('chart.png') && one.naturalWidth)"
    )
    kit.says("notes.txt")


def attached(sandbox: Sandbox, name: str) -> bool:
    """Return whether a message with this file is stored."""
    files = [file for each in sandbox.messages for file in each["data"].get("attachments", ())]
    return any(file["name"] == name for file in files)


def search(kit: Kit) -> None:
    kit.tab("Search")
    kit.list.locator("input").fill("draft")
    expect(kit.list.get_by_text("The draft of Tuesday")).to_be_visible()
    expect(kit.list.get_by_text("The draft of Sunday")).to_have_count(0)
    kit.list.locator("input").fill("design")
    expect(kit.list.get_by_text(TEAM, exact=True).first).to_be_visible()


def filters(kit: Kit) -> None:
    kit.sandbox.send_message(OTHER, "team", "Not read yet", receiver_type="group")
    for name, found in (
        ("Unread", TEAM),
        ("Groups", TEAM),
        ("Photos", "chart.png"),
        ("Documents", "notes.txt"),
        ("Links", "The plan is at"),
        ("Videos", "No"),
        ("Audio", "No"),
    ):
        kit.tab("Chats")
        kit.tab("Search")
        kit.list.get_by_text(name, exact=True).click()
        expect(kit.list).to_contain_text(found)


def search_in_a_conversation(kit: Kit) -> None:
    kit.open(GEORGE)
    kit.choose_in_header("Search")
    kit.side.locator("input").fill("plan")
    expect(kit.side.get_by_text("The plan is at")).to_be_visible()
    kit.side.get_by_text("Links", exact=True).click()
    kit.side.get_by_text("The plan is at").click()
    expect(bubble("The plan is at", kit.chat)).to_be_visible()


def users(kit: Kit) -> None:
    kit.tab("Users")
    expect(kit.list.get_by_text("Susan Marie", exact=True)).to_be_visible()
    kit.list.locator("input").fill("john")
    expect(kit.list.get_by_text("Susan Marie", exact=True)).to_have_count(0)
    kit.list.get_by_text("John Paul", exact=True).click()
    kit.send("First words", kit.chat)


def presence_and_typing(kit: Kit) -> None:
    kit.open(GEORGE)
    header = kit.chat.locator(".cometchat-message-header")
    kit.sandbox.presence(OTHER, True)
    expect(header).to_contain_text("Online")
    kit.sandbox.typing(OTHER, ME)
    expect(header).to_contain_text("typing")
    kit.sandbox.typing(OTHER, ME, started=False)
    expect(header).to_contain_text("Online")
    kit.sandbox.presence(OTHER, False)
    expect(header).to_contain_text("Last seen")


def a_python_client(kit: Kit) -> None:
    heard: "Queue[TextMessage]" = Queue()
    kit.open(GEORGE)
    with Client(kit.sandbox.app_id, kit.sandbox.settings()) as client:
        client.add_message_listener(MessageListener(on_text_message_received=heard.put))
        client.login(OTHER, kit.sandbox.auth_key)
        client.connect(timeout=DEADLINE / 1000)
        expect(kit.chat.locator(".cometchat-message-header")).to_contain_text("Online")
        kit.send("From the UI Kit", kit.chat)
        message = heard.get(timeout=DEADLINE / 1000)
        assert message.text == "From the UI Kit", message
        client.mark_as_read(message)
        expect(bubble("From the UI Kit", kit.chat).locator(".cometchat-receipts-read")).to_be_visible()
        client.send_text("From Python", uid=ME)
        expect(bubble("From Python", kit.chat)).to_be_visible()
    expect(kit.chat.locator(".cometchat-message-header")).to_contain_text("Last seen")


def groups(kit: Kit) -> None:
    kit.tab("Groups")
    expect(kit.list.get_by_text(TEAM, exact=True)).to_be_visible()
    kit.list.locator("input").fill("open")
    expect(kit.list.get_by_text(TEAM, exact=True)).to_have_count(0)
    kit.list.get_by_text("Open group", exact=True).click()
    kit.send("Hello from a new member", kit.chat)


def members(kit: Kit) -> None:
    kit.open(TEAM)
    kit.chat.locator(".cometchat-message-header__title").click()
    kit.side.locator("input").fill("nancy")
    expect(kit.side.get_by_text(GEORGE, exact=True)).to_have_count(0)
    kit.side.locator("input").fill("")
    expect(kit.side.get_by_text(GEORGE, exact=True)).to_be_visible()
    for name, item in ((NANCY, "Change Scope"), (NANCY, "Kick"), (GEORGE, "Ban")):
        member = kit.side.locator(".cometchat-group-members__item").filter(has_text=name)
        member.hover()
        member.get_by_label("More options").click()
        kit.menu(item)
        if item == "Change Scope":
            kit.page.locator("[class*=change-scope]").get_by_text("Moderator").first.click()
            kit.page.locator("[class*=change-scope]").get_by_text("Save").click()
            expect(member).to_contain_text("Moderator")
        else:
            expect(member).to_have_count(0)
    for text in (f"made {NANCY} Moderator", f"kicked {NANCY}", f"banned {GEORGE}"):
        expect(kit.chat).to_contain_text(text)


def pinned_messages(kit: Kit) -> None:
    kit.open(GEORGE)
    kit.choose("Shall we meet", "Organize", "Pin message")
    kit.says("Message pinned")
    kit.start()
    kit.open(GEORGE)
    kit.choose_in_header("Pinned Messages")
    expect(kit.side).to_contain_text("Shall we meet at noon?")
    kit.choose("Shall we meet", "Organize", "Unpin message")
    kit.confirm("Unpin")
    expect(kit.side).not_to_contain_text("Shall we meet at noon?")


def saved_messages(kit: Kit) -> None:
    kit.open(GEORGE)
    kit.choose("Bring the charts", "Organize", "Save message")
    kit.says("Message saved")
    kit.tab("Saved")
    expect(kit.list).to_contain_text("Bring the charts")
    kit.choose("Bring the charts", "Organize", "Unsave message")
    kit.confirm("Unsave")
    expect(kit.list).not_to_contain_text("Bring the charts")


def reports(kit: Kit) -> None:
    kit.open(GEORGE)
    kit.choose("Bring the charts", "Report")
    dialog = kit.page.locator(".cometchat-flag-message-dialog")
    dialog.locator(".cometchat-flag-message-dialog__reason").first.click()
    dialog.locator("textarea").fill("There are none")
    dialog.get_by_text("Report", exact=True).click()
    expect(dialog).to_have_count(0)


def conversation_menu(kit: Kit) -> None:
    kit.conversation(NANCY).get_by_label("More options").click()
    kit.menu("Pin conversation")
    first = kit.list.locator(".cometchat-conversations__item").first
    expect(first).to_contain_text(NANCY)
    kit.start()
    expect(first).to_contain_text(NANCY)
    kit.conversation(NANCY).get_by_label("More options").click()
    kit.menu("Unpin conversation")
    kit.confirm("Unpin")
    expect(first).not_to_contain_text(NANCY)
    kit.conversation(NANCY).get_by_label("More options").click()
    kit.menu("Delete")
    kit.confirm("Delete")
    expect(kit.list.get_by_text(NANCY, exact=True)).to_have_count(0)
    kit.start()
    expect(kit.list.get_by_text(NANCY, exact=True)).to_have_count(0)


def extensions(kit: Kit) -> None:
    kit.open(GEORGE)
    kit.chat.locator(".cometchat-message-composer__sticker-button").click()
    kit.page.locator(".cometchat-stickers-keyboard__sticker-item").first.click()
    assert kit.sandbox.wait_until(lambda: kit.sandbox.messages[-1]["type"] == "extension_sticker")
    kit.chat.locator(".cometchat-message-composer__attachment-button").click()
    kit.chat.get_by_text("Polls", exact=True).click()
    kit.page.locator(".cometchat-create-poll__question-input").fill("Lunch?")
    for number, text in enumerate(("Yes", "No")):
        kit.page.locator(".cometchat-create-poll__option-input").nth(number).fill(text)
    kit.page.locator(".cometchat-create-poll__create-button").click()
    expect(kit.page.locator(".cometchat-create-poll__question-input")).to_have_count(0)
    for name in ("Document", "Whiteboard"):
        kit.chat.locator(".cometchat-message-composer__attachment-button").click()
        kit.chat.get_by_text(f"Collaborative {name}", exact=True).click()
        kit.asked("POST", f"{name.lower()}-us.localhost/v1/create")
    kit.choose("Shall we meet", "Translate")
    kit.says("In English")


def summary(kit: Kit) -> None:
    kit.open(GEORGE)
    kit.choose_in_header("Conversation summary")
    kit.says("They meet at noon.")


def notification_feed(kit: Kit) -> None:
    kit.tab("Feed")
    expect(kit.list.locator("[class*=notification-feed__empty]").first).to_be_visible()
    kit.asked("GET", "/campaigns/templates/categories")


def unread_again(kit: Kit) -> None:
    kit.open(GEORGE)
    kit.choose("Bring the charts", "Mark Unread")
    expect(kit.conversation(GEORGE).locator("[class*=unread]").first).to_be_visible()
    kit.start()
    expect(kit.conversation(GEORGE).locator("[class*=unread]").first).to_be_visible()


#: In this order, since later screens find the messages of earlier ones.
SCREENS: Dict[str, Callable[[Kit], None]] = {
    "conversations": conversations,
    "messages": messages,
    "older messages": older_messages,
    "edit and delete": edit_and_delete,
    "receipts after a reload": receipts_after_a_reload,
    "message information": message_information,
    "replies": replies,
    "threads": threads,
    "reactions": reactions,
    "mentions": mentions,
    "attachments": attachments,
    "search": search,
    "filters": filters,
    "search in a conversation": search_in_a_conversation,
    "users": users,
    "presence and typing": presence_and_typing,
    "a Python client": a_python_client,
    "groups": groups,
    "pinned messages": pinned_messages,
    "saved messages": saved_messages,
    "reports": reports,
    "extensions": extensions,
    "summary": summary,
    "notification feed": notification_feed,
    "unread again": unread_again,
    "members": members,
    "conversation menu": conversation_menu,
}
