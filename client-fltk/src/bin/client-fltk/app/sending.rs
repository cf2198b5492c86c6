//! What becomes of a text when Enter is pressed.
//!
//! A text leaves the field only when something else has it: the driver, or the person who was asked what to do with it.

use client_fltk::command::Command;
use client_fltk::model::Target;
use wire::limits::MESSAGE_TEXT_BYTES_MAX;

use super::update::stop_typing;
use super::{App, Cmd, For, Question, words};

/// Bytes in the writing field: a text of so many parts. More belongs into a file.
pub(crate) const FIELD_BYTES_MAX: usize = 16 * MESSAGE_TEXT_BYTES_MAX;

/// Sends what the writing field has let go of.
pub(super) fn send(app: &mut App, conversation: u64, text: &str) -> Vec<Cmd> {
    let wanted = text.trim();
    if wanted.is_empty() {
        return Vec::new();
    }
    let Some(chat) = app.chat.as_mut().filter(|chat| chat.id == conversation) else {
        // Another conversation was chosen an instant before. Whoever it was meant for, nobody has seen it there.
        app.drafts.write(conversation, text, app.now_ms);
        return Vec::new();
    };
    chat.new_from = None;
    app.notice = None;
    let mut cmds = stop_typing(app);
    cmds.push(ask(conversation, wanted));
    // After that: what was typed may be on disk twice, but never nowhere.
    app.drafts.write(conversation, "", app.now_ms);
    cmds.extend(app.drafts.save());
    cmds.push(Cmd::ShowNewest);
    cmds
}

fn ask(conversation: u64, text: &str) -> Cmd {
    let command = Command::Send { to: Target::Conversation(conversation), text: text.into() };
    Cmd::Ask(command, For::Sending { conversation, text: text.to_owned() })
}

/// The driver has no room for a message: it is in its field again, behind what was begun meanwhile.
pub(super) fn put_back(app: &mut App, conversation: u64, text: &str, why: &str) -> Vec<Cmd> {
    let text = [app.drafts.of(conversation), text].map(str::trim_end).join("\n").trim_start().to_owned();
    app.drafts.write(conversation, &text, app.now_ms);
    app.notice = Some(words::sentence(why));
    let mut cmds = app.drafts.save();
    if app.chat.as_ref().is_some_and(|chat| chat.id == conversation) {
        cmds.push(Cmd::Write { conversation, text });
    }
    cmds
}

/// The text in the field is too long for one message. It stays there until that is decided.
pub(super) fn ask_for_parts(app: &mut App, conversation: u64) {
    if app.chat.as_ref().is_some_and(|chat| chat.id == conversation) {
        app.ask(Question::Parts(parts(app.drafts.of(conversation)).len()));
    }
}

/// Sends what is in the field, in as many messages as it takes.
pub(super) fn send_parts(app: &mut App, conversation: u64) -> Vec<Cmd> {
    let text = app.drafts.of(conversation).to_owned();
    let mut cmds: Vec<_> = parts(&text).into_iter().map(|part| ask(conversation, part)).collect();
    let sent = send(app, conversation, &text);
    // All that is done around one message is done once; the text as a whole is nobody's.
    cmds.extend(sent.into_iter().filter(|cmd| !matches!(cmd, Cmd::Ask(_, For::Sending { .. }))));
    cmds.push(Cmd::Write { conversation, text: String::new() });
    cmds
}

/// What is said of a text in the field that is longer than a message may be.
pub(crate) fn long_draft(text: &str) -> Option<String> {
    (text.trim().len() > MESSAGE_TEXT_BYTES_MAX).then(|| {
        let (bytes, parts) = (text.trim().len().div_ceil(1024), parts(text).len());
        format!(
            "This text has {bytes} KiB, and a message at most {}. Enter sends it in {parts} parts.",
            MESSAGE_TEXT_BYTES_MAX / 1024
        )
    })
}

/// What is said of a text that does not even fit into the field.
pub(super) fn too_long(bytes: usize) -> String {
    format!(
        "That would be {} KiB. At most {} fit here, so nothing was added; it is still on the clipboard.",
        bytes.div_ceil(1024),
        FIELD_BYTES_MAX / 1024
    )
}

/// A text in pieces that are messages: between lines if possible, between words otherwise, and never within a letter.
fn parts(text: &str) -> Vec<&str> {
    let (mut rest, mut parts) = (text.trim(), Vec::new());
    while rest.len() > MESSAGE_TEXT_BYTES_MAX {
        let most = &rest[..rest.floor_char_boundary(MESSAGE_TEXT_BYTES_MAX)];
        // A part that ends far before it could would make more of them.
        let half = MESSAGE_TEXT_BYTES_MAX / 2;
        let end = [most.rfind('\n'), most.rfind(char::is_whitespace)].into_iter().flatten().find(|&end| end > half);
        let (part, after) = rest.split_at(end.unwrap_or(most.len()));
        parts.push(part.trim());
        rest = after.trim_start();
    }
    parts.push(rest);
    parts.retain(|part| !part.is_empty());
    parts
}

#[cfg(test)]
mod tests {
    use client_fltk::command::Failure;

    use super::super::{Chat, Msg, Page, update};
    use super::*;

    const CHAT: u64 = 7;
    const NOW: u64 = 1_800_000_000_000;

    fn app() -> App {
        let mut app = App { chat: Some(Chat { id: CHAT, ..Chat::default() }), ..App::default() };
        update(&mut app, Msg::Started(Box::default()), NOW);
        assert_ne!(app.page(), Page::Server);
        app
    }

    fn sent(cmds: &[Cmd]) -> Vec<(For, String)> {
        let sent = cmds.iter().filter_map(|cmd| match cmd {
            Cmd::Ask(Command::Send { text, .. }, of) => Some((of.clone(), text.0.clone())),
            _ => None,
        });
        sent.collect()
    }

    #[test]
    fn a_message_for_which_there_is_no_room_is_in_its_field_again() {
        let mut app = app();
        let cmds = update(&mut app, Msg::Send { conversation: CHAT, text: "important".into() }, NOW);
        let (of, _) = sent(&cmds).remove(0);
        assert_eq!(app.drafts.of(CHAT), "");
        update(&mut app, Msg::Typed { conversation: CHAT, text: "the next".into() }, NOW);
        let cmds = update(&mut app, Msg::Answered(of.clone(), Err(Failure::Busy("too much waits".into()))), NOW);
        let text = "the next\nimportant".to_owned();
        assert!(cmds.contains(&Cmd::Write { conversation: CHAT, text: text.clone() }), "{cmds:?}");
        assert_eq!((app.drafts.of(CHAT), app.notice.as_deref()), (&*text, Some("Too much waits.")));
        // Also when one looks at another conversation by then.
        app.chat = None;
        let cmds = update(&mut app, Msg::Answered(of, Err(Failure::Busy("too much waits".into()))), NOW);
        assert!(!cmds.iter().any(|cmd| matches!(cmd, Cmd::Write { .. })), "{cmds:?}");
        assert_eq!(app.drafts.of(CHAT), "the next\nimportant\nimportant");
    }

    #[test]
    fn a_text_that_is_too_long_is_kept_and_sent_in_parts() {
        let mut app = app();
        let line = format!("{}\n", "é".repeat(500));
        let text = line.repeat(200);
        update(&mut app, Msg::Typed { conversation: CHAT, text: text.clone() }, NOW);
        assert!(long_draft(app.drafts.of(CHAT)).unwrap().contains("4 parts"));
        let cmds = update(&mut app, Msg::SendLong(CHAT), NOW);
        assert_eq!((sent(&cmds), &app.question), (Vec::new(), &Some(Question::Parts(4))));
        // Whoever decides otherwise has it still.
        update(&mut app, Msg::Back, NOW);
        assert_eq!((app.drafts.of(CHAT), &app.question), (&*text, &None));
        update(&mut app, Msg::SendLong(CHAT), NOW);
        let cmds = update(&mut app, Msg::Confirm, NOW);
        let parts: Vec<_> = sent(&cmds).into_iter().map(|(_, text)| text).collect();
        assert!(parts.iter().all(|part| part.len() <= MESSAGE_TEXT_BYTES_MAX && part.ends_with('é')));
        assert_eq!(parts.join("\n"), text.trim());
        assert_eq!(app.drafts.of(CHAT), "");
        assert!(cmds.contains(&Cmd::Write { conversation: CHAT, text: String::new() }));
    }

    #[test]
    fn parts_end_between_lines_between_words_or_between_letters() {
        let max = MESSAGE_TEXT_BYTES_MAX;
        assert_eq!(parts(&"x".repeat(max)).len(), 1);
        let solid = "x".repeat(max - 1) + "é";
        assert_eq!(parts(&solid), [&solid[..max - 1], "é"]);
        let words = "word ".repeat(max / 4);
        assert!(parts(&words).iter().all(|part| part.starts_with("word") && part.ends_with("word")));
        let late = format!("{}\n{}", "x".repeat(10), "y".repeat(max));
        assert_eq!(parts(&late).len(), 2, "the end of a line far before the bound is none");
        assert_eq!(parts(&format!("{}{}", " ".repeat(max), "x")), ["x"]);
        assert_eq!(long_draft("x"), None);
    }
}
