// Shows each default screen of the vendor's UI Kit, unchanged, against a sandbox.
import React, { useState } from "react";
import { createRoot } from "react-dom/client";
import { CometChat } from "@cometchat/chat-sdk-javascript";
import {
  CometChatConversations,
  CometChatGroupMembers,
  CometChatGroups,
  CometChatMessageComposer,
  CometChatMessageHeader,
  CometChatMessageList,
  CometChatNotificationFeed,
  CometChatPinnedMessages,
  CometChatProvider,
  CometChatSavedMessages,
  CometChatSearch,
  CometChatThreadHeader,
  CometChatUIKit,
  CometChatUsers,
  UIKitSettingsBuilder,
} from "@cometchat/chat-uikit-react";
import "@cometchat/chat-uikit-react/styles";

const LISTS = ["Chats", "Users", "Groups", "Saved", "Search", "Feed"];

const failed = (error) => console.error("onError", error?.code, error?.message);

function entity(message, me) {
  const sender = message.getSender();
  return message.getReceiverType() === "group" || sender.getUid() === me ? message.getReceiver() : sender;
}

const chatWith = (entity) => (entity.getGuid ? { group: entity } : { user: entity });

function List({ tab, open, me }) {
  if (tab === "Users") return <CometChatUsers onItemClick={open} onError={failed} />;
  if (tab === "Groups") return <CometChatGroups onItemClick={open} onError={failed} />;
  if (tab === "Saved") return <CometChatSavedMessages hideCloseButton onItemClick={(it) => open(entity(it, me), it)} />;
  if (tab === "Feed") return <CometChatNotificationFeed onError={failed} />;
  if (tab === "Search") {
    return (
      <CometChatSearch
        hideBackButton
        onConversationClicked={({ conversation }) => open(conversation.getConversationWith())}
        onMessageClicked={({ message }) => open(entity(message, me), message)}
        onError={failed}
      />
    );
  }
  return (
    <CometChatConversations disableSoundForMessages onItemClick={(it) => open(it.getConversationWith())} onError={failed} showSearchBar />
  );
}

function Chat({ chat, message, show }) {
  const [edited, setEdited] = useState(null);
  const [quoted, setQuoted] = useState(null);
  return (
    <section id="chat">
      <CometChatMessageHeader
        {...chat}
        showSearchOption
        onItemClick={() => show({ members: true })}
        onSearchOptionClicked={() => show({ search: true })}
        onPinnedMessagesClicked={() => show({ pinned: true })}
        onError={failed}
      />
      <div className="fill">
        <CometChatMessageList
          {...chat}
          disableSoundForMessages
          goToMessageId={message?.getId()}
          showMarkAsUnreadOption
          onThreadRepliesClick={(parent) => show({ thread: parent })}
          onEditMessage={setEdited}
          onReplyMessage={setQuoted}
          onError={failed}
        />
      </div>
      <CometChatMessageComposer
        {...chat}
        disableSoundForMessage
        textMessageToEdit={edited}
        messageToReply={quoted}
        onClosePreview={() => { setEdited(null); setQuoted(null); }}
        onError={failed}
      />
    </section>
  );
}

function Side({ shown, chat, close, open, me }) {
  if (shown.thread) {
    return (
      <section id="side">
        <CometChatThreadHeader parentMessage={shown.thread} onClose={close} onError={failed} />
        <div className="fill">
          <CometChatMessageList
            {...chat} disableSoundForMessages parentMessage={shown.thread} parentMessageId={shown.thread.getId()} onError={failed}
          />
        </div>
        <CometChatMessageComposer {...chat} disableSoundForMessage parentMessageId={shown.thread.getId()} onError={failed} />
      </section>
    );
  }
  if (shown.members && chat.group) {
    return <section id="side"><CometChatGroupMembers group={chat.group} onError={failed} /></section>;
  }
  if (shown.pinned) {
    return <section id="side"><CometChatPinnedMessages {...chat} onClose={close} /></section>;
  }
  if (shown.search) {
    return (
      <section id="side">
        <CometChatSearch
          uid={chat.user?.getUid()}
          guid={chat.group?.getGuid()}
          onBack={close}
          onMessageClicked={({ message }) => open(entity(message, me), message)}
          onError={failed}
        />
      </section>
    );
  }
  return null;
}

function App({ me }) {
  const [tab, setTab] = useState(LISTS[0]);
  const [{ chat, message }, setChat] = useState({});
  const [side, setSide] = useState({});
  const open = async (entity, message) => {
    // A group must be joined before its messages can be read.
    if (entity.getGuid && !entity.getHasJoined()) {
      await CometChat.joinGroup(entity.getGuid(), entity.getType(), "").catch(failed);
      entity = await CometChat.getGroup(entity.getGuid());
    }
    setSide({});
    setChat({ chat: chatWith(entity), message });
  };
  const key = chat && (chat.user?.getUid() ?? chat.group.getGuid()) + (message?.getId() ?? "");
  return (
    <>
      <nav>
        {LISTS.map((name) => (
          <button key={name} aria-current={name === tab} onClick={() => setTab(name)}>{name}</button>
        ))}
      </nav>
      <main>
        <section id="list"><List tab={tab} open={open} me={me} /></section>
        {chat ? <Chat key={key} chat={chat} message={message} show={setSide} /> : <section id="chat" />}
        {chat && <Side shown={side} chat={chat} close={() => setSide({})} open={open} me={me} />}
      </main>
    </>
  );
}

// The UI Kit loads its lists when it is mounted, and again once the socket is up. If both answers come at once, it
// may show no conversation at all. So it is mounted when the socket is up.
function connected() {
  return new Promise((done) => {
    CometChat.addConnectionListener("start", new CometChat.ConnectionListener({ onConnected: done }));
    if (CometChat.getConnectionStatus() === "connected") done();
  });
}

// Where the sandbox is, and who logs in: /?host=127.0.0.1:8443&app=...&key=...&uid=...
async function start() {
  const asked = new URLSearchParams(location.search);
  const host = `${asked.get("host")}/v3.0`;
  const settings = new UIKitSettingsBuilder()
    .setAppId(asked.get("app"))
    .setRegion("us")
    .setAuthKey(asked.get("key"))
    .setAdminHost(host)
    .setClientHost(host)
    .subscribePresenceForAllUsers()
    .build();
  window.CometChat = CometChat; // for the driver, which waits for the connection
  await CometChatUIKit.init(settings);
  const user = CometChatUIKit.getLoggedInUser() ?? (await CometChatUIKit.login(asked.get("uid")));
  await connected();
  createRoot(document.getElementById("root")).render(
    <CometChatProvider locale="en"><App me={user.getUid()} /></CometChatProvider>,
  );
}

start().catch((error) => console.error("start", error?.code, error?.message ?? error));
